package pipelines

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/state"
	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/tracing"
	"github.com/ensue-video/ensue/web"
)

// Engine runs one definition. It owns every channel and goroutine between its source and its sinks; several engines run in one
// process without knowing of each other.
type Engine struct {
	def    *Definition
	log    *slog.Logger
	source ingest.Source
	// claims gets payloads that are not in their records; nil where the definition has no ingest.claims.
	claims  *ingest.Claims
	nets    *nets
	scorer  *predictor.Scorer
	results sink.Sink
	dead    sink.DeadLetters
	pool    *decode.Pool
	counts  *Counts
	onDone  func(*stream.Segment, *stream.Result, *stream.Failure)
	// observers are told what is seen and done, gauges are the stages that count it.
	observers observers
	gauges    gauges
	// meter is what Prometheus is told.
	meter *meter
	phase atomic.Int32
	// readiness remembers what /readyz was last told.
	readiness readiness
	// page is the live page, nil where there is none; version is the program's, for it.
	page    *web.Server
	version string
	// session is where everything is written that goes to Kafka; nil: for good, without transactions.
	session *session
	// intake lets segments in, keeper saves what is known of streams; nil where the source has no offsets.
	intake *intake
	keeper *keeper
	// reloading is what may change while the engine runs.
	reloading reloading
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
	size, _ := frame(e.nets.encoder.Info())
	e.intake = newIntake(e.def, size, e.counts)
	e.meter = e.newMeter()
	e.reloading.now.Store(&settings{def: def, scorer: e.scorer})
	e.reloading.swaps, e.reloading.ended = make(chan swap), make(chan struct{})
	e.reloading.brought = e.results != nil || e.dead != nil
	if err := errors.Join(e.buildTracer(), e.buildPage(), e.buildEnds()); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *Engine) buildModel() (err error) {
	if e.nets, err = buildNets(e.def); err != nil {
		return err
	}
	options := e.nets.energy.options()
	if e.def.keepsMemory() {
		options = append(options, predictor.WithKeptMemory())
	}
	e.scorer, err = predictor.NewScorer(e.nets.encoder.Info(), e.nets.predictor, e.def.Predictor, e.def.Decode.FPS, options...)
	if err != nil {
		return errors.Join(fmt.Errorf("making the scorer: %w", err), e.nets.close())
	}
	return nil
}

// buildTracer makes the tracer where the definition wants traces.
func (e *Engine) buildTracer() (err error) {
	if e.def.Traces == nil {
		return nil
	}
	about := tracing.About{Pipeline: e.def.Name, Model: e.Model(), Version: e.version}
	e.intake.tracer, err = tracing.New(*e.def.Traces, about, e.log)
	return err
}

func (e *Engine) buildEnds() (err error) {
	if e.exactlyOnce() && e.source == nil {
		e.session = &session{}
	}
	brokers, to := e.def.Brokers(), e.def.sinks()
	if e.results == nil {
		if e.results, err = sink.New(to, brokers, e.log, e.writing()...); err != nil {
			return fmt.Errorf("making the sinks: %w", err)
		}
	}
	if e.dead == nil {
		if e.dead, err = sink.NewDeadLetters(to, brokers, e.log, e.writing()...); err != nil {
			return fmt.Errorf("making the dead-letter sink: %w", err)
		}
	}
	if claims := e.def.Ingest.Claims; claims != nil {
		if e.claims, err = ingest.NewClaims(*claims, e.def.Decode.Limits.Bytes); err != nil {
			return fmt.Errorf("making the source: %w", err)
		}
	}
	if e.source == nil {
		if err := e.buildSource(); err != nil {
			return fmt.Errorf("making the source: %w", err)
		}
	}
	return nil
}

// buildSource makes the source and what it gets from the pipeline around it.
func (e *Engine) buildSource() (err error) {
	options := []ingest.Option{ingest.WithGate(e.intake.gate), ingest.WithMemory(e.def.Queues.ofSource(e.def.Ingest))}
	if e.def.Ingest.Kafka != nil {
		if e.keeper, err = e.newKeeper(); err != nil {
			return err
		}
		options = append(options, ingest.WithRecovery(e.keeper))
	}
	e.source, err = e.openSource(options...)
	return err
}

// newKeeper opens what the definition's `state` names.
func (e *Engine) newKeeper() (*keeper, error) {
	kafka, config := e.def.Ingest.Kafka, e.def.State
	var store state.Store = state.NewMemory()
	switch {
	case config.Topic != "":
		writer, err := sink.OpenWriter(sink.ProducerConfig{
			Brokers: kafka.Brokers, Security: kafka.Security, Topic: config.Topic, Explicit: true, Key: "state", Log: e.log,
		}, e.writing()...)
		if err != nil {
			return nil, err
		}
		store = state.NewTopic(state.TopicConfig{
			Brokers: kafka.Brokers, Security: kafka.Security, Topic: config.Topic, Source: kafka.Topic, Log: e.log,
		}, writer)
	case config.Folder != "":
		folder, err := state.NewFolder(config.Folder, e.log)
		if err != nil {
			return nil, err
		}
		store = folder
	}
	return newKeeper(store, e.Model(), config.Durable(), e.log), nil
}

// sinks is the definition's `sink`, where what names no brokers of its own gets into those of ingest.kafka as the source does.
func (d *Definition) sinks() sink.Config {
	to := d.Sink
	if d.Ingest.Kafka == nil {
		return to
	}
	if out := to.Kafka; out != nil && len(out.Brokers) == 0 && out.Security == nil {
		with := *out
		with.Security = d.Ingest.Kafka.Security
		to.Kafka = &with
	}
	if dead := to.DeadLetter.Kafka; dead != nil && len(dead.Brokers) == 0 && dead.Security == nil {
		with := *dead
		with.Security = d.Ingest.Kafka.Security
		to.DeadLetter.Kafka = &with
	}
	return to
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

// The phases of an engine: made, running, told to stop, ended.
const (
	phaseMade int32 = iota
	phaseRunning
	phaseDraining
	phaseStopped
)

// drainGrace is how long the stages may go on once the source has drained, or given up draining, before they are stopped.
const drainGrace = 10 * time.Second

// ErrDrain says that a pipeline was stopped before it had finished what it had taken in; that is read again at the next start.
var ErrDrain = errors.New("segments were still under way when the drain ran out of time")

// Run runs the pipeline until its source is exhausted or ctx is done. When ctx is done it drains: nothing new is taken in,
// what was taken in is finished, written and acknowledged, and Run returns nil. It returns the first error that stopped it
// otherwise. Every goroutine has ended when it returns.
func (e *Engine) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, e.close()) }() //nolint:contextcheck // what is left to send is sent though ctx is done
	defer close(e.reloading.ended)
	if err := e.keeper.prepare(ctx); err != nil {
		return err
	}
	closePage, err := e.openPage(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closePage()) }()
	size, fit := frame(e.nets.encoder.Info())
	decoders, err := e.decoders(size, fit)
	if err != nil {
		return err
	}
	e.log.Info("pipeline started", "name", e.def.Name, "model", e.Model(), "decoders", len(decoders))
	e.phase.Store(phaseRunning)
	err = e.runStages(ctx, e.intake, decoders)
	e.phase.Store(phaseStopped)
	e.log.Info("pipeline stopped", "name", e.def.Name, "received", e.counts.Received.Load(),
		"results", e.counts.Results.Load(), "dead", e.counts.Dead.Load(), "error", err)
	return err
}

// runStages starts one goroutine a stage and joins them by one bounded channel an edge. The errgroup owns them all.
// The stages outlive soft by the drain.
func (e *Engine) runStages(soft context.Context, in *intake, decoders []step) error {
	defer context.AfterFunc(soft, func() { e.phase.CompareAndSwap(phaseRunning, phaseDraining) })()
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
	stage := func(name string, workers int, newStep func() step, from <-chan *item, to chan<- *item) {
		lanes := newLanes(workers, in.most())
		lanes.gauge = e.gauges.add(name, workers, size*workers+cap(from), func() int { return len(from) + lanes.length() })
		group.Go(func() error {
			defer close(to)
			return lanes.run(work, from, to, func() step {
				made := newStep()
				made.watch = e.meter.watch(name)
				return made
			})
		})
	}
	next := make(chan step, len(decoders))
	for _, decoder := range decoders {
		next <- decoder
	}
	whole := admitted
	if e.claims != nil {
		whole = make(chan *item, size)
		stage(stageClaim, e.def.Ingest.Claims.Workers, (&claimStage{e.claims}).newStep, admitted, whole)
	}
	stage(stageDecode, len(decoders), func() step { return <-next }, whole, decoded)
	stage(stageEncode, runtime.GOMAXPROCS(0), newEncodeStage(e.nets.encoder).newStep, decoded, encoded)
	predicting := newPredictStage(e.scorer, e.observers)
	predicting.retry, predicting.keeps, predicting.log = e.retries, e.keeper != nil, e.log
	predicting.current = func() *predictor.Scorer { return e.reloading.now.Load().scorer }
	predicting.keepsMemory = e.def.keepsMemory()
	stage(stagePredict, runtime.GOMAXPROCS(0), predicting.newStep, encoded, scored)
	delivered := e.gauges.add(stageSink, 1, size, func() int { return len(scored) })
	group.Go(func() error {
		out := &deliver{
			results: e.results, dead: e.dead, intake: in, counts: e.counts, onDone: e.onDone, observers: e.observers, gauge: delivered,
			keeper: e.keeper, breaker: newBreaker(e.def.Breaker), meter: e.meter, swaps: e.reloading.swaps,
			settled: func() BreakerConfig { return e.reloading.now.Load().def.Breaker },
		}
		out.swap = func(asked swap) error {
			told, fatal := e.swapSinks(out, asked)
			asked.done <- told
			return fatal
		}
		out.breaker.told = &e.counts.Failing
		if e.session != nil {
			out.within = &exchange{tx: e.session, config: e.def.Sink.Kafka.Transaction}
		}
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
		timelines: newStates(func() *clock { return &clock{Timeline: &decode.Timeline{}} }), retry: e.retries,
		limits: func() *decode.Limits { return &e.reloading.now.Load().def.Decode.Limits },
		burden: e.intake.gate.burden,
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
	if e.claims != nil {
		errs = append(errs, e.claims.Close())
	}
	if e.keeper != nil {
		errs = append(errs, e.keeper.close())
	}
	if err := e.intake.tracer.Close(context.Background()); err != nil {
		e.log.Warn("some traces were not sent", "error", err)
	}
	errs = append(errs, e.nets.close())
	return errors.Join(errs...)
}
