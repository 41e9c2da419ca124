package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/publish"
)

type publishFlags struct {
	config publish.Config
	stream string
	pace   string
	start  string
	hook   bool
	create int
	claims claimFlags
	listen listenFlags
	// cluster is where segments go.
	cluster clusterFlags
}

func (a *app) publishCommand() *cobra.Command {
	flags := publishFlags{}
	command := &cobra.Command{
		Use:   "publish [FILE...]",
		Short: "cut recorded video on key frames and put the segments on Kafka, as a camera would",
		Long: "Publish cuts files on key frames, without encoding them again, and puts the segments on a topic; every file is a stream,\n" +
			"several are sent side by side. With --hook it is what MediaMTX calls when a recorded segment is complete:\n" +
			"  runOnRecordSegmentComplete: ensue publish --hook --brokers kafka:9092\n" +
			"With --listen it takes segments by HTTP, for whoever cannot speak Kafka:\n" +
			"  curl -T lobby-0042.mp4 http://localhost:8090/streams/lobby/segments/42\n" +
			"Every way returns only once Kafka has the segments, in all in-sync replicas. What is larger than --claim-above goes into\n" +
			"--store, and a claim onto the topic.",
		RunE: func(command *cobra.Command, files []string) error { return a.publish(command, files, flags) },
	}
	f := command.Flags()
	f.StringVar(&flags.config.Topic, "topic", "video.segments", "topic of the segments")
	f.DurationVar(&flags.config.Segment, "segment", 2*time.Second, "length to cut at; a cut falls on the next key frame")
	f.StringVar(&flags.stream, "stream", "", "name of the stream (only with one file); default: the file's base name")
	f.StringVar(&flags.pace, "pace", "asap", "realtime, asap, or a speed such as x4")
	f.IntVar(&flags.config.Loops, "loop", 1, "send the files so many times, as one long stream each; 0 is without end")
	f.StringVar(&flags.start, "start", "", "when the first frame was taken: RFC 3339, or now; default 1970-01-01T00:00:00Z, as replay has it")
	f.BoolVar(&flags.hook, "hook", false, "take file, stream and time from MediaMTX's MTX_* variables")
	f.IntVar(&flags.create, "create", 0, "create the topic with so many partitions if it is missing")
	f.DurationVar(&flags.config.Patience, "delivery-timeout", time.Minute,
		"how long a segment is tried to be delivered while Kafka or the store is away")
	flags.claims.add(f)
	flags.listen.add(f)
	flags.cluster.add(f)
	return command
}

func (a *app) publish(command *cobra.Command, files []string, flags publishFlags) (err error) {
	var jobs []publishJob
	if flags.listen.address != "" {
		flags.listen.config, err = a.listenConfig(&flags.listen, files, flags.hook)
	} else {
		jobs, err = a.publishJobs(files, &flags)
	}
	if err != nil {
		return err
	}
	if err := a.claimInto(flags.claims, &flags.config); err != nil {
		return err
	}
	if flags.config.Store != nil {
		defer func() { err = errors.Join(err, flags.config.Store.Close()) }()
	}
	place, err := a.place(&flags.cluster, command.Flags(), flags.config.Topic, "ingest.kafka", (*pipelines.Definition).SegmentsPlace)
	if err != nil {
		return err
	}
	flags.config.Brokers, flags.config.Topic, flags.config.Security = place.Brokers, place.Topic, place.Security
	flags.config.Naming = place.Naming()
	publisher, err := publish.New(flags.config)
	if err != nil {
		return err
	}
	defer publisher.Close()
	ctx := command.Context()
	if err := reachFor(ctx, flags.waits(), publisher.Check); err != nil {
		return err
	}
	if flags.create > 0 {
		topic := broker.Topic{Name: flags.config.Topic, Partitions: flags.create}
		if err := broker.CreateTopicsSecurely(ctx, flags.config.Brokers, flags.config.Security, []broker.Topic{topic}); err != nil {
			return environmentError("publish.topic_refused", err, "may this user create topics?")
		}
	}
	if flags.listen.address != "" {
		return a.listen(command, publisher, flags)
	}
	summaries, err := a.sendAll(ctx, publisher, jobs)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil // told to stop: what was sent is durable
	}
	if err != nil {
		return err
	}
	return a.say(command, summaries, func(out io.Writer) error {
		for _, s := range summaries {
			if _, err := fmt.Fprintf(out, "%s: %d segments, %.1f s, %d bytes\n", s.Stream, s.Segments, s.Seconds, s.Bytes); err != nil {
				return err
			}
		}
		return nil
	})
}

// waits is how long a broker is waited for at the start: a hook, which nobody watches, waits as long as for the delivery.
func (f *publishFlags) waits() time.Duration {
	if f.hook {
		return max(f.config.Patience, reachTimeout)
	}
	return 0
}

// publishJob is one file to send as one stream.
type publishJob struct{ path, stream string }

func (a *app) publishJobs(files []string, flags *publishFlags) ([]publishJob, error) {
	if err := flags.parse(); err != nil {
		return nil, err
	}
	if flags.hook {
		hook, err := publish.MediaMTXHook(a.env)
		if err != nil {
			return nil, err
		}
		flags.config.Start, flags.config.Unnumbered, flags.config.Open, flags.config.Loops = hook.Start, true, true, 1
		return []publishJob{{path: hook.Path, stream: hook.Stream}}, nil
	}
	if len(files) == 0 {
		return nil, inputError("publish.no_files", errors.New("no file to publish"), "name a video file: ensue publish lobby.mp4")
	}
	if flags.stream != "" && len(files) > 1 {
		return nil, inputError("flags.value", fmt.Errorf("--stream %q names one stream, but there are %d files", flags.stream, len(files)),
			"leave --stream out: every file is a stream named after it")
	}
	if flags.stream != "" {
		return []publishJob{{path: files[0], stream: flags.stream}}, nil
	}
	names := ingest.StreamNames(files)
	jobs := make([]publishJob, len(files))
	for i, path := range files {
		jobs[i] = publishJob{path: filepath.Clean(path), stream: names[i]}
	}
	return jobs, nil
}

// parse reads the flags that are words.
func (f *publishFlags) parse() error {
	switch speed, isSpeed := strings.CutPrefix(f.pace, "x"); {
	case f.pace == "asap":
		f.config.Speed = 0
	case f.pace == "realtime":
		f.config.Speed = 1
	case isSpeed:
		value, err := strconv.ParseFloat(speed, 64)
		if err != nil || value <= 0 {
			return inputError("flags.value", fmt.Errorf("--pace %q is no speed", f.pace), "it is realtime, asap, or a speed such as x4")
		}
		f.config.Speed = value
	default:
		return inputError("flags.value", fmt.Errorf("--pace %q is not known", f.pace), "it is realtime, asap, or a speed such as x4")
	}
	if f.config.Loops < 0 {
		return inputError("flags.value", fmt.Errorf("--loop %d is negative", f.config.Loops), "0 is without end")
	}
	switch f.start {
	case "":
	case "now":
		f.config.Start = time.Now().UTC()
	default:
		start, err := time.Parse(time.RFC3339Nano, f.start)
		if err != nil {
			return inputError("flags.value", fmt.Errorf("--start %q is no time: %w", f.start, err), "write it as 2026-05-01T12:00:00Z, or now")
		}
		f.config.Start = start
	}
	return nil
}

// sendAll sends every job side by side and returns what was sent, whatever became of the others.
func (a *app) sendAll(ctx context.Context, publisher *publish.Publisher, jobs []publishJob) ([]publish.Summary, error) {
	summaries := make([]publish.Summary, len(jobs))
	var failed error
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	for i, job := range jobs {
		group.Go(func() error {
			summary, err := publisher.File(ctx, job.path, job.stream, nil)
			mu.Lock()
			defer mu.Unlock()
			summaries[i] = summary
			failed = errors.Join(failed, err)
			return nil
		})
	}
	_ = group.Wait()
	return summaries, failed
}
