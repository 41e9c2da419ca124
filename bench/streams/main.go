package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/bench/rig"
	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/stream"
)

// settings are what the flags say.
type settings struct {
	streams, partitions           int
	length                        time.Duration
	clips, video, program, report string
	few, rounds                   int
	// calibrate and more are of the definition; no flag sets them.
	calibrate, more string
}

// Report is what was measured.
type Report struct {
	Streams int     `json:"streams"`
	Clips   string  `json:"clips"`
	Cores   int     `json:"cores"`
	Few     int     `json:"few_streams"`
	FewMiB  float64 `json:"resident_mib_few"`
	ManyMiB float64 `json:"resident_mib_many"`
	// PerStreamKiB is the difference of the two, by the difference of the streams.
	PerStreamKiB float64 `json:"per_stream_kib"`
	// Capacity is segments a second with a backlog.
	Capacity float64 `json:"capacity_segments_per_second"`
	// CapacityCores is how many processors the process used then.
	CapacityCores float64 `json:"capacity_cores"`
	// SecondsOfVideo is how many seconds of video that is in a second.
	SecondsOfVideo float64 `json:"seconds_of_video_per_second"`
	Loads          []Load  `json:"loads"`
}

// Load is what was measured at one rate.
type Load struct {
	Part    float64 `json:"part_of_capacity"`
	Rate    float64 `json:"segments_per_second"`
	Seconds float64 `json:"seconds"`
	N       int     `json:"n"`
	P50     float64 `json:"p50_seconds"`
	P95     float64 `json:"p95_seconds"`
	P99     float64 `json:"p99_seconds"`
	Longest float64 `json:"max_seconds"`
	// Cores is how many processors the process used.
	Cores float64 `json:"cores"`
	MiB   float64 `json:"resident_mib"`
}

func main() {
	var s settings
	flag.IntVar(&s.streams, "streams", 1000, "streams")
	flag.IntVar(&s.rounds, "rounds", 1, "how often all of it is measured, each time with a process of its own")
	flag.IntVar(&s.few, "few", 10, "how many streams the memory of many is compared with")
	flag.IntVar(&s.partitions, "partitions", 12, "partitions of the segments' topic")
	flag.DurationVar(&s.length, "length", time.Minute, "how long each load is measured")
	flag.StringVar(&s.clips, "clips", "real", "real: the footage as it is, 2 s each; small: 64x48 at 8 frames a second, 1 s each")
	flag.StringVar(&s.video, "video", "examples/video/shelf.mp4", "the footage")
	flag.StringVar(&s.program, "ensue", "bin/ensue", "the program")
	flag.StringVar(&s.report, "json", "", "file that the report is written to, as JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	reports, err := repeat(ctx, s)
	if err == nil && s.report != "" {
		var text []byte
		if text, err = json.MarshalIndent(reports, "", "  "); err == nil {
			err = os.WriteFile(s.report, append(text, '\n'), 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "streams:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

// repeat measures in rounds, and tells what they have in common.
func repeat(ctx context.Context, s settings) ([]*Report, error) {
	var reports []*Report
	for range s.rounds {
		report, err := run(ctx, s)
		if err != nil {
			return reports, err
		}
		reports = append(reports, report)
	}
	if len(reports) > 1 {
		summarise(reports)
	}
	return reports, nil
}

// bench is one measurement.
type bench struct {
	settings
	kafka   *rig.Kafka
	sender  *rig.Sender
	clips   []rig.Clip
	process *rig.Process
	report  *Report
	next    []int
	epoch   time.Time

	mu sync.Mutex
	// available is when a segment could be read; a result takes it out.
	available map[string]time.Time
	sent      int
	took      []time.Duration
	done      int
	failed    error
}

func run(ctx context.Context, s settings) (_ *Report, err error) {
	dir, err := os.MkdirTemp("", "ensue-streams-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{
		settings: s, next: make([]int, s.streams), epoch: time.Now().UTC().Truncate(time.Second), available: map[string]time.Time{},
		report: &Report{Streams: s.streams, Clips: s.clips, Cores: runtime.NumCPU(), Few: s.few},
	}
	if b.kafka, err = rig.StartKafka(ctx, rig.Embedded, dir, 1); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.kafka.Close()) }()
	if err := b.kafka.Topics(ctx, broker.Topic{Name: "in", Partitions: s.partitions}, broker.Topic{Name: "out", Partitions: 6},
		broker.Topic{Name: "dead", Partitions: 1}); err != nil {
		return nil, err
	}
	if b.sender, err = rig.NewSender(b.kafka.Addrs(), "in"); err != nil {
		return nil, err
	}
	defer b.sender.Close()
	if err := b.footage(ctx, dir); err != nil {
		return nil, err
	}
	watching, unwatch := context.WithCancel(ctx)
	var watched sync.WaitGroup
	watched.Go(func() { b.watch(watching) })
	defer watched.Wait()
	defer unwatch()
	if err := b.start(dir); err != nil {
		return nil, err
	}
	err = b.measure(ctx)
	err = errors.Join(err, b.process.Signal(syscall.SIGTERM))
	if !b.process.Wait(time.Minute) {
		err = errors.Join(err, b.process.Signal(syscall.SIGKILL))
	}
	if code := b.process.Exit(); err == nil && code != 0 {
		err = fmt.Errorf("the pipeline ended with %d: %s", code, b.process.LastLine())
	}
	return b.report, err
}

func (b *bench) footage(ctx context.Context, dir string) (err error) {
	if b.settings.clips == "small" {
		b.clips, err = rig.Clips(ctx, dir, b.video, rig.ClipFormat{Width: 64, Height: 48, FPS: 8, Length: time.Second})
		return err
	}
	return ingest.SegmentsOf(ctx, b.video, "clips", 2*time.Second, func(segment *stream.Segment) error {
		b.clips = append(b.clips, rig.Clip{Data: segment.Payload, Length: segment.Duration})
		return segment.Problem
	})
}

func (b *bench) start(dir string) (err error) {
	path, calibrate := filepath.Join(dir, "streams.yaml"), ""
	if b.calibrate != "" {
		calibrate = ", calibrate: " + b.calibrate
	}
	text := fmt.Sprintf(`version: 1
name: streams
ingest:
  kafka: {brokers: ["%s"], topic: in, group: streams}
  order: {evict: 1h}
encoder: {model: pixels}
predictor: {model: persistence%s}
sink:
  kafka: {topic: out}
  dead_letter: {kafka: {topic: dead}}
%s`, b.kafka.Addrs()[0], calibrate, b.more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	b.process, err = rig.Start(filepath.Join(dir, "ensue.log"), b.program, "run", path)
	return err
}

// watch takes the time of every result, and notes dead letters.
func (b *bench) watch(ctx context.Context) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.Addrs()...), kgo.ConsumeTopics("out", "dead"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		b.fail(err)
		return
	}
	defer client.Close()
	for ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(record *kgo.Record) {
			now := time.Now()
			var told struct{ Y struct{ Segment string } }
			if record.Topic == "dead" {
				b.fail(errors.New("a segment became a dead letter"))
			} else if err := json.Unmarshal(record.Value, &told); err != nil {
				b.fail(err)
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if at, ok := b.available[told.Y.Segment]; ok {
				b.took = append(b.took, now.Sub(at))
				delete(b.available, told.Y.Segment)
				b.done++
			}
		})
	}
}

func (b *bench) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = errors.Join(b.failed, err)
}

// send sends the next segment of a stream. It counts as available before it is sent: the pipeline may be quicker than the acknowledgement.
func (b *bench) send(ctx context.Context, i int) {
	number := b.next[i]
	b.next[i]++
	clip := b.clips[(number+i)%len(b.clips)]
	segment := rig.Segment{
		Stream: "cam-" + strconv.Itoa(i), Sequence: number, Epoch: b.epoch, Start: b.epoch.Add(time.Duration(number) * clip.Length),
		Length: clip.Length,
		Value:  clip.Data,
	}
	id := segment.Stream + "/" + strconv.Itoa(number)
	b.mu.Lock()
	b.sent++
	b.available[id] = time.Now()
	b.mu.Unlock()
	b.sender.Send(ctx, segment.Record(), func(_ *kgo.Record, err error) {
		if err != nil {
			b.fail(err)
		}
	})
}

// settle waits until every result has come.
func (b *bench) settle(ctx context.Context) error {
	for begin := time.Now(); ; {
		b.mu.Lock()
		left, failed := len(b.available), b.failed
		b.mu.Unlock()
		switch {
		case failed != nil:
			return failed
		case left == 0:
			return nil
		case b.process.Ended():
			return fmt.Errorf("the pipeline ended with %d: %s", b.process.Exit(), b.process.LastLine())
		case time.Since(begin) > 10*time.Minute:
			return fmt.Errorf("%d results did not come", left)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (b *bench) measure(ctx context.Context) error {
	rounds := func(streams, count int) error {
		for range count {
			for i := range streams {
				b.send(ctx, i)
			}
		}
		return b.settle(ctx)
	}
	// A process that has just started holds less than one that works, whatever the streams: it works first.
	if err := rounds(b.few, 20*max(1, 100/b.few)); err != nil {
		return err
	}
	b.report.FewMiB = mib(b.process.Resident())
	begin := time.Now()
	before, used := b.sent, b.process.Processor()
	if err := rounds(b.streams, 5); err != nil {
		return err
	}
	took := time.Since(begin).Seconds()
	b.report.CapacityCores = (b.process.Processor() - used).Seconds() / took
	b.report.ManyMiB = mib(b.process.Resident())
	b.report.PerStreamKiB = (b.report.ManyMiB - b.report.FewMiB) * 1024 / float64(b.streams-b.few)
	b.report.Capacity = float64(b.sent-before) / took
	b.report.SecondsOfVideo = b.report.Capacity * b.clips[0].Length.Seconds()
	fmt.Printf("%d cores, %s clips: %.0f MiB with %d streams, %.0f MiB with %d: %.1f KiB a stream\n", b.report.Cores, b.settings.clips,
		b.report.FewMiB, b.few, b.report.ManyMiB, b.streams, b.report.PerStreamKiB)
	fmt.Printf("at most %.0f segments a second (%.0f s of video a second, %.2f cores, n = %d)\n",
		b.report.Capacity, b.report.SecondsOfVideo, b.report.CapacityCores, b.sent-before)
	for _, part := range []float64{0.5, 1} {
		load, err := b.load(ctx, part)
		if err != nil {
			return err
		}
		b.report.Loads = append(b.report.Loads, load)
		fmt.Printf("at %3.0f %% (%.0f segments a second for %.0f s): p50 %.3f s, p95 %.3f s, p99 %.3f s, max %.3f s; "+
			"%.2f cores, %.0f MiB (n = %d)\n",
			100*load.Part, load.Rate, load.Seconds, load.P50, load.P95, load.P99, load.Longest, load.Cores, load.MiB, load.N)
	}
	return nil
}

// load sends at a part of the capacity, the streams one after another, evenly.
func (b *bench) load(ctx context.Context, part float64) (Load, error) {
	rate := part * b.report.Capacity
	b.mu.Lock()
	b.took = nil
	b.mu.Unlock()
	used, begin := b.process.Processor(), time.Now()
	for i := 0; time.Since(begin) < b.length; i++ {
		due := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		select {
		case <-ctx.Done():
			return Load{}, ctx.Err()
		case <-time.After(time.Until(due)):
		}
		b.send(ctx, i%b.streams)
	}
	load := Load{Part: part, Rate: rate, Seconds: time.Since(begin).Seconds(), MiB: mib(b.process.Resident())}
	load.Cores = (b.process.Processor() - used).Seconds() / load.Seconds
	if err := b.settle(ctx); err != nil {
		return load, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(b.took)
	at := func(q float64) float64 { return b.took[min(int(q*float64(len(b.took))), len(b.took)-1)].Seconds() }
	load.N, load.P50, load.P95, load.P99, load.Longest = len(b.took), at(.5), at(.95), at(.99), at(1)
	return load, nil
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
