package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/examples/video"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/publish"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/tail"
	"github.com/ensue-video/ensue/web"
)

// Options say how a demo runs.
type Options struct {
	// Folder is where results.jsonl and definition.yaml are left.
	Folder string
	// Speed is how many times faster than real time the streams are published; 0 is as fast as it goes.
	Speed float64
	Log   *slog.Logger
	// OnResult sees every result as it comes back from the broker; it may be nil.
	OnResult func(*stream.Result) error
	// Serve is the address of a live page; with one the demo goes on until its context ends. Empty: there is none.
	Serve string
	// Version is the program's, for the page.
	Version string
	// OnPage is told where the page is, OnFound the summary, before the page is left standing. They may be nil.
	OnPage  func(address string)
	OnFound func(*Summary) error
	// Watch makes who watches the pipeline, once its definition is known; it may be nil.
	Watch func(*pipelines.Definition) pipelines.Observer
}

// The partitions of the demo's topics, how long a segment is, and how much longer than the streams the demo may take.
const (
	partitions = 3
	segment    = 2 * time.Second
	patience   = 5 * time.Minute
)

// run is one demo under way.
type run struct {
	options Options
	broker  *broker.Embedded
	def     *pipelines.Definition
	streams []video.Stream
	summary *Summary
}

// Run runs the demo to its end: every result of every published segment has come back. With a live page it waits then until ctx ends, which
// is no failure, whenever it is.
func Run(ctx context.Context, options Options) (*Summary, error) {
	d := &run{options: options}
	if d.options.Log == nil {
		d.options.Log = slog.New(slog.DiscardHandler)
	}
	if err := d.prepare(ctx); err != nil {
		return nil, err
	}
	defer d.broker.Close()
	if err := d.work(ctx); err != nil {
		if options.Serve != "" && ctx.Err() != nil {
			return d.summary, nil
		}
		return nil, err
	}
	return d.summary, nil
}

// prepare starts the broker and writes the definition.
func (d *run) prepare(ctx context.Context) (err error) {
	if d.streams, err = video.Streams(); err != nil {
		return err
	}
	if err = os.MkdirAll(d.options.Folder, 0o755); err != nil {
		return fmt.Errorf("making the folder for the results: %w", err)
	}
	text, ok := pipelines.Stock("demo")
	if !ok {
		return errors.New("the stock definition demo is missing from this program")
	}
	definition := filepath.Join(d.options.Folder, "definition.yaml")
	if err = os.WriteFile(definition, text, 0o644); err != nil {
		return fmt.Errorf("writing the definition: %w", err)
	}
	d.broker, err = broker.StartEmbedded(ctx, broker.Options{Log: d.options.Log})
	if err != nil {
		return fmt.Errorf("starting the embedded broker: %w", err)
	}
	if err = d.define(ctx, text); err != nil {
		d.broker.Close()
		return err
	}
	d.summary = &Summary{Brokers: d.broker.Addrs(), Definition: definition, Results: d.def.Sink.JSONL.Path}
	return nil
}

// define parses the stock definition for the embedded broker and makes its topics.
func (d *run) define(ctx context.Context, text []byte) error {
	env := func(name string) (string, bool) {
		if name == "KAFKA" {
			return d.broker.Addrs()[0], true
		}
		return os.LookupEnv(name)
	}
	def, findings := pipelines.Parse("demo", text, env)
	if def == nil {
		return fmt.Errorf("the stock definition demo: %v", findings)
	}
	d.def = def
	if d.options.Serve != "" {
		def.Serve = &web.Config{Address: d.options.Serve}
	}
	def.Sink.JSONL = &sink.JSONLConfig{Path: filepath.Join(d.options.Folder, "results.jsonl")}
	if err := os.Remove(def.Sink.JSONL.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the results of an earlier demo: %w", err)
	}
	var topics []broker.Topic
	for _, name := range []string{def.Ingest.Kafka.Topic, def.Sink.Kafka.Topic, def.Sink.DeadLetter.Kafka.Topic} {
		topics = append(topics, broker.Topic{Name: name, Partitions: partitions})
	}
	if err := broker.CreateTopics(ctx, d.broker.Addrs(), topics); err != nil {
		return fmt.Errorf("making the topics: %w", err)
	}
	return nil
}

// engine makes the pipeline, and has it watched.
func (d *run) engine() (*pipelines.Engine, error) {
	options := []pipelines.Option{pipelines.WithLogger(d.options.Log), pipelines.WithVersion(d.options.Version)}
	if d.options.Watch != nil {
		options = append(options, pipelines.WithObserver(d.options.Watch(d.def)))
	}
	return pipelines.New(d.def, options...)
}

// work runs pipeline, publishers and reader side by side, until every result is back, and with a live page until ctx ends.
func (d *run) work(ctx context.Context) error {
	engine, err := d.engine() //nolint:contextcheck // what the engine makes belongs to the engine, which Run gives the context
	if err != nil {
		return err
	}
	running, drain := context.WithCancel(ctx)
	defer drain()
	group, ctx := errgroup.WithContext(ctx)
	showing, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the demo did not end by itself"))
	defer cancel()
	back := newTally()
	group.Go(func() error { return engine.Run(running) })
	group.Go(func() error { d.sayPage(ctx, engine); return nil })
	group.Go(func() error {
		count, err := d.publish(showing)
		back.want(count)
		return err
	})
	group.Go(func() error {
		defer drain()
		if err := d.read(showing, back); err != nil {
			return err
		}
		return d.stay(ctx, engine)
	})
	if err = group.Wait(); err == nil && d.options.Serve == "" {
		d.found(engine)
	}
	return err
}

// sayPage tells where the live page is, once it is there.
func (d *run) sayPage(ctx context.Context, engine *pipelines.Engine) {
	if engine.Page() == nil || d.options.OnPage == nil {
		return
	}
	select {
	case <-engine.Page().Bound():
		d.options.OnPage(engine.Page().URL())
	case <-ctx.Done():
	}
}

// stay leaves the live page standing until ctx ends, where there is one.
func (d *run) stay(ctx context.Context, engine *pipelines.Engine) error {
	if d.options.Serve == "" {
		return nil
	}
	d.found(engine)
	if d.options.OnFound != nil {
		if err := d.options.OnFound(d.summary); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// found completes the summary.
func (d *run) found(engine *pipelines.Engine) {
	d.summary.Model, d.summary.Dead = engine.Model(), engine.Counts().Codes()
	d.summary.judge(d.streams)
}

// publish sends the sample streams, all at once, and one record that is no video; it returns how many segments were sent.
func (d *run) publish(ctx context.Context) (int, error) {
	folder, err := os.MkdirTemp("", "ensue-demo-")
	if err != nil {
		return 0, fmt.Errorf("making a folder for the sample video: %w", err)
	}
	defer os.RemoveAll(folder) //nolint:errcheck // a left-over copy of the samples harms nobody
	if err := os.CopyFS(folder, video.FS()); err != nil {
		return 0, fmt.Errorf("copying the sample video: %w", err)
	}
	publisher, err := publish.New(publish.Config{
		Brokers: d.broker.Addrs(), Topic: d.def.Ingest.Kafka.Topic, Segment: segment, Speed: d.options.Speed, Loops: 1, Start: time.Now().UTC(),
	})
	if err != nil {
		return 0, err
	}
	defer publisher.Close()
	group, ctx := errgroup.WithContext(ctx)
	counts := make([]int, len(d.streams))
	for i, sample := range d.streams {
		group.Go(func() error {
			sent, err := publisher.File(ctx, filepath.Join(folder, sample.File), sample.Name, nil)
			counts[i] = sent.Segments
			return err
		})
	}
	group.Go(func() error { return d.poison(ctx) })
	err = group.Wait()
	total := 0
	for _, count := range counts {
		total += count
	}
	return total, err
}

// poison sends a record that is no video, as sooner or later somebody does.
func (d *run) poison(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(d.broker.Addrs()...), kgo.DefaultProduceTopic(d.def.Ingest.Kafka.Topic))
	if err != nil {
		return fmt.Errorf("sending a record that is no video: %w", err)
	}
	defer client.Close()
	record := &kgo.Record{Key: []byte("poison"), Value: []byte("#EXTM3U\nthis is a playlist, not a video\nfile:///etc/passwd\n")}
	if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
		return fmt.Errorf("sending a record that is no video: %w", err)
	}
	return nil
}

// read reads results until there are as many as were published.
func (d *run) read(ctx context.Context, back *tally) error {
	reader, err := tail.NewReader(tail.Config{Brokers: d.broker.Addrs(), Topic: d.def.Sink.Kafka.Topic, Once: true})
	if err != nil {
		return err
	}
	defer reader.Close()
	reading, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(back.all, stop)() //nolint:contextcheck // back.all only ends the reading sooner; ctx ends it too
	err = reader.Read(reading, func(result *stream.Result) error {
		d.summary.add(result)
		back.add()
		if d.options.OnResult != nil {
			return d.options.OnResult(result)
		}
		return nil
	}, nil)
	if err == nil && back.all.Err() == nil {
		return context.Cause(ctx)
	}
	return err
}

// tally counts results until there are as many as are wanted, which is known only when everything is published.
type tally struct {
	mu          sync.Mutex
	seen, total int
	// all ends when every result is back.
	all  context.Context
	done context.CancelFunc
}

func newTally() *tally {
	t := &tally{total: -1}
	t.all, t.done = context.WithCancel(context.Background())
	return t
}

func (t *tally) add() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen++
	t.check()
}

func (t *tally) want(total int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total = total
	t.check()
}

func (t *tally) check() {
	if t.seen == t.total {
		t.done()
	}
}
