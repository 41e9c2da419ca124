package pipelines

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

// Engine runs one definition. It owns every channel and goroutine between its source and its sinks; several engines run in one
// process without knowing of each other.
type Engine struct {
	def     *Definition
	log     *slog.Logger
	source  ingest.Source
	nets    *nets
	scorer  *predictor.Scorer
	results sink.Sink
	dead    sink.DeadLetters
	pool    *decode.Pool
	counts  *Counts
	onDone  func(*stream.Segment, *stream.Result, *stream.Failure)
}

// poolRetain is how many bytes of frames are kept for the next clips.
const poolRetain = 64 << 20

// Option changes how an Engine is built.
type Option func(*Engine)

// WithLogger sets where the engine logs; the default is nowhere.
func WithLogger(log *slog.Logger) Option { return func(e *Engine) { e.log = log } }

// WithSource runs the engine on a source of the caller's instead of the definition's.
func WithSource(source ingest.Source) Option { return func(e *Engine) { e.source = source } }

// WithSink runs the engine into a sink of the caller's instead of the definition's.
func WithSink(results sink.Sink) Option { return func(e *Engine) { e.results = results } }

// WithDeadLetters sends what cannot be processed to the caller instead of the definition's sink.
func WithDeadLetters(dead sink.DeadLetters) Option { return func(e *Engine) { e.dead = dead } }

// WithOnDone has f called for every segment once its result or dead letter is written (either may be nil), from one goroutine.
func WithOnDone(f func(*stream.Segment, *stream.Result, *stream.Failure)) Option {
	return func(e *Engine) { e.onDone = f }
}

// New builds the stages of the definition. It connects to nothing yet. Run must be called once; it frees what New made.
func New(def *Definition, options ...Option) (*Engine, error) {
	e := &Engine{def: def, log: slog.New(slog.DiscardHandler), pool: decode.NewPool(poolRetain), counts: newCounts()}
	for _, option := range options {
		option(e)
	}
	if err := e.buildModel(); err != nil {
		return nil, err
	}
	if err := e.buildEnds(); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *Engine) buildModel() (err error) {
	if e.nets, err = buildNets(e.def); err != nil {
		return err
	}
	e.scorer, err = predictor.NewScorer(e.nets.encoder.Info(), e.nets.predictor, e.def.Predictor, e.def.Decode.FPS)
	if err != nil {
		return errors.Join(fmt.Errorf("making the scorer: %w", err), e.nets.close())
	}
	return nil
}

func (e *Engine) buildEnds() (err error) {
	brokers := e.def.Brokers()
	if e.results == nil {
		if e.results, err = sink.New(e.def.Sink, brokers, e.log); err != nil {
			return fmt.Errorf("making the sinks: %w", err)
		}
	}
	if e.dead == nil {
		if e.dead, err = sink.NewDeadLetters(e.def.Sink, brokers, e.log); err != nil {
			return fmt.Errorf("making the dead-letter sink: %w", err)
		}
	}
	if e.source == nil {
		if e.source, err = ingest.New(e.def.Ingest, e.log); err != nil {
			return fmt.Errorf("making the source: %w", err)
		}
	}
	return nil
}

// Brokers is where sinks that name no brokers of their own write: the brokers of ingest.kafka.
func (d *Definition) Brokers() []string {
	if d.Ingest.Kafka == nil {
		return nil
	}
	return d.Ingest.Kafka.Brokers
}

// Model names encoder and predictor by digest, as in results.
func (e *Engine) Model() string { return e.scorer.Model() }

// Counts is what the engine has done so far.
func (e *Engine) Counts() *Counts { return e.counts }

// drainGrace is how long the stages may go on once the source has drained, or given up draining, before they are stopped.
const drainGrace = 10 * time.Second

// ErrDrain says that a pipeline was stopped before it had finished what it had taken in; that is read again at the next start.
var ErrDrain = errors.New("segments were still under way when the drain ran out of time")

// Run runs the pipeline until its source is exhausted or ctx is done. When ctx is done it drains: nothing new is taken in,
// what was taken in is finished, written and acknowledged, and Run returns nil. It returns the first error that stopped it
// otherwise. Every goroutine has ended when it returns.
func (e *Engine) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, e.close()) }()
	size, fit := frame(e.nets.encoder.Info())
	decoders, err := e.decoders(size, fit)
	if err != nil {
		return err
	}
	e.log.Info("pipeline started", "name", e.def.Name, "model", e.Model(), "decoders", len(decoders))
	err = e.runStages(ctx, newIntake(e.def, size, e.counts), decoders)
	e.log.Info("pipeline stopped", "name", e.def.Name, "received", e.counts.Received.Load(),
		"results", e.counts.Results.Load(), "dead", e.counts.Dead.Load(), "error", err)
	return err
}

// runStages starts one goroutine a stage and joins them by one bounded channel an edge. The errgroup owns them all.
// The stages outlive soft by the drain.
func (e *Engine) runStages(soft context.Context, in *intake, decoders []step) error {
	hard, abort := context.WithCancelCause(context.WithoutCancel(soft))
	defer abort(nil)
	group, work := errgroup.WithContext(hard)
	size := e.def.Queues.Size
	segments, admitted := make(chan *stream.Segment), make(chan *item)
	decoded, encoded, scored := make(chan *item, size), make(chan *item, size), make(chan *item, size)

	group.Go(func() error { return e.read(soft, work, abort, segments) })
	group.Go(func() error {
		defer close(admitted)
		return in.run(work, segments, admitted)
	})
	stage := func(workers int, newStep func() step, from <-chan *item, to chan<- *item) {
		group.Go(func() error {
			defer close(to)
			return newLanes(workers, size*workers).run(work, from, to, newStep)
		})
	}
	next := make(chan step, len(decoders))
	for _, decoder := range decoders {
		next <- decoder
	}
	stage(len(decoders), func() step { return <-next }, admitted, decoded)
	stage(runtime.GOMAXPROCS(0), newEncodeStage(e.nets.encoder).newStep, decoded, encoded)
	stage(runtime.GOMAXPROCS(0), newPredictStage(e.scorer).newStep, encoded, scored)
	group.Go(func() error {
		out := &deliver{results: e.results, dead: e.dead, intake: in, counts: e.counts, onDone: e.onDone}
		return out.run(work, scored)
	})
	err := group.Wait()
	if cause := context.Cause(hard); errors.Is(cause, ErrDrain) {
		return cause
	}
	return err
}

// read runs the source. A stage that fails ends the source too, without a drain; a drain that is over leaves the stages
// drainGrace to finish.
func (e *Engine) read(soft, work context.Context, abort context.CancelCauseFunc, segments chan<- *stream.Segment) error {
	defer close(segments)
	reading, stop := context.WithCancelCause(soft)
	defer stop(nil)
	defer context.AfterFunc(work, func() { stop(ingest.ErrAbandoned) })()
	if err := e.source.Run(reading, segments); err != nil {
		return fmt.Errorf("reading segments: %w", err)
	}
	if soft.Err() != nil {
		timer := time.AfterFunc(drainGrace, func() { abort(ErrDrain) })
		context.AfterFunc(work, func() { timer.Stop() })
	}
	return nil
}

// decoders makes a decoder for every worker, so that what cannot be made is told before anything runs.
func (e *Engine) decoders(size decode.Size, fit decode.Fit) ([]step, error) {
	workers := e.def.Decode.Parallel()
	stage := &decodeStage{
		config: e.def.Decode, size: size, fit: fit, pool: e.pool,
		timelines: newStates(func() *decode.Timeline { return &decode.Timeline{} }),
	}
	steps := make([]step, 0, workers)
	for range workers {
		made, err := stage.newStep()
		if err != nil {
			for _, earlier := range steps {
				earlier.close()
			}
			return nil, fmt.Errorf("making a decoder: %w", err)
		}
		steps = append(steps, made)
	}
	return steps, nil
}

func (e *Engine) close() error {
	var errs []error
	if e.results != nil {
		errs = append(errs, e.results.Close())
	}
	if e.dead != nil {
		errs = append(errs, e.dead.Close())
	}
	errs = append(errs, e.nets.close())
	return errors.Join(errs...)
}
