package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/publish"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

const partitions = 8

// bench is one comparison.
type bench struct {
	threads, rounds int
	files           []string
	segments        map[string][]*stream.Segment
	count           int
	broker          *broker.Embedded
}

func main() {
	b := bench{segments: map[string][]*stream.Segment{}}
	flag.IntVar(&b.threads, "threads", 2, "threads for both")
	flag.IntVar(&b.rounds, "rounds", 5, "runs of each")
	flag.Parse()
	if err := b.run(context.Background(), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, paths []string) (err error) {
	runtime.GOMAXPROCS(b.threads)
	if b.files, err = ingest.ExpandPaths(paths); err != nil {
		return err
	}
	if len(b.files) == 0 {
		return errors.New("name the video files, or folders of them")
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	defer b.broker.Close()
	ratios := make([]float64, 0, b.rounds)
	for round := range b.rounds {
		alone, err := b.decodeAlone(ctx)
		if err != nil {
			return err
		}
		whole, err := b.whole(ctx, round)
		if err != nil {
			return err
		}
		ratios = append(ratios, alone.Seconds()/whole.Seconds())
		fmt.Printf("decode alone %6.2f s   whole pipeline %6.2f s   ratio %.3f\n", alone.Seconds(), whole.Seconds(), ratios[round])
	}
	slices.Sort(ratios)
	fmt.Printf("%d segments of %d files: ratio %.3f (%.3f to %.3f, n = %d)\n",
		b.count, len(b.files), ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], len(ratios))
	return nil
}

// prepare cuts the files and puts them on the topic, so that neither is measured.
func (b *bench) prepare(ctx context.Context) (err error) {
	b.broker, err = broker.StartEmbedded(ctx, broker.Options{Topics: []broker.Topic{
		{Name: "in", Partitions: partitions}, {Name: "out", Partitions: partitions}, {Name: "dead", Partitions: 1},
	}})
	if err != nil {
		return err
	}
	publisher, err := publish.New(publish.Config{Brokers: b.broker.Addrs(), Topic: "in", Segment: 2 * time.Second, Loops: 1})
	if err != nil {
		return err
	}
	defer publisher.Close()
	for i, name := range ingest.StreamNames(b.files) {
		keep := func(segment *stream.Segment) { b.segments[name] = append(b.segments[name], segment) }
		if _, err := publisher.File(ctx, b.files[i], name, keep); err != nil {
			return fmt.Errorf("publishing %s: %w", filepath.Base(b.files[i]), err)
		}
		b.count += len(b.segments[name])
	}
	return nil
}

func (b *bench) config() decode.Config {
	config := decode.Default()
	config.Limits.Duration, config.Limits.Frames = 10*time.Minute, 20000 // raw streams are one long segment
	config.Workers = b.threads
	return config
}

// decodeAlone decodes every segment with one decoder a thread, each taking the next stream.
func (b *bench) decodeAlone(ctx context.Context) (time.Duration, error) {
	next := make(chan []*stream.Segment)
	begin := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for range b.threads {
		group.Go(func() error {
			decoder, err := decode.New(b.config(), decode.Size{Width: 128, Height: 128})
			if err != nil {
				return err
			}
			defer decoder.Close()
			for segments := range next {
				timeline := &decode.Timeline{}
				for _, segment := range segments {
					clip, err := decoder.Decode(ctx, segment, timeline.Offset(segment))
					if err != nil {
						return err
					}
					timeline.Advance(clip)
					clip.Release()
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(next)
		for _, segments := range b.segments {
			select {
			case next <- segments:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	err := group.Wait()
	return time.Since(begin), err
}

// whole runs the pipeline from topic to topic, joining the group included, until the last result is acknowledged by the broker.
func (b *bench) whole(ctx context.Context, round int) (time.Duration, error) {
	text, _ := pipelines.Stock("live")
	def, findings := pipelines.Parse("live", text, func(name string) (string, bool) { return b.broker.Addrs()[0], name == "KAFKA" })
	if def == nil {
		return 0, pipelines.Refusal(findings)
	}
	def.Ingest.Kafka.Topic, def.Ingest.Kafka.Group = "in", fmt.Sprint("bench-", round)
	def.Decode, def.Encoder.Model = b.config(), encoder.DefaultModel
	def.Sink.Kafka.Topic, def.Sink.DeadLetter.Kafka = "out", &sink.DeadLetterKafkaConfig{Topic: "dead", DeliveryTimeout: time.Minute}
	running, stop := context.WithCancel(ctx)
	defer stop()
	var done atomic.Int64
	begin := time.Now()
	var took time.Duration
	//nolint:contextcheck // what the engine makes belongs to the engine, which Run gives the context
	engine, err := pipelines.New(def, pipelines.WithOnDone(func(*stream.Segment, *stream.Result, *stream.Failure) {
		if done.Add(1) == int64(b.count) {
			took = time.Since(begin)
			stop()
		}
	}))
	if err != nil {
		return 0, err
	}
	if err := engine.Run(running); err != nil {
		return 0, err
	}
	if dead := engine.Counts().Dead.Load(); dead > 0 {
		return 0, fmt.Errorf("%d of %d segments became dead letters", dead, b.count)
	}
	return took, nil
}
