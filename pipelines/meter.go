package pipelines

import (
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/metrics"
	"github.com/ensue-video/ensue/stream"
)

// meter is what an engine tells Prometheus (package metrics). What the engine counts by itself it reads when somebody scrapes; the rest is
// booked as segments pass. A nil meter books nothing.
type meter struct {
	set    *metrics.Set
	stages map[string]watch
	// queue, delivery, age and p are told a segment once it is delivered.
	queue, delivery, age, p prometheus.Observer
	results, dead, state    prometheus.Observer
	// writing is when the write under way began, in nanoseconds; 0 where none is.
	writing atomic.Int64
}

// watch is what a stage books of segments with something to work on; the zero watch books nothing.
type watch struct {
	time prometheus.Observer
	done *atomic.Int64
}

func (w watch) pass(spent time.Duration, ok bool) {
	if w.time != nil {
		w.time.Observe(spent.Seconds())
	}
	if w.done != nil && ok {
		w.done.Add(1)
	}
}

// newMeter makes the engine's metrics.
func (e *Engine) newMeter() *meter {
	options := metrics.Options{Pipeline: e.def.Name, Read: e.readMetrics}
	if e.def.Serve != nil {
		options.Streams = e.def.Serve.Streams
	}
	set := metrics.New(options)
	timed := func(stage string, done *atomic.Int64) watch {
		return watch{time: set.Observer(metrics.StageDuration, stage), done: done}
	}
	return &meter{
		set: set,
		stages: map[string]watch{
			stageDecode: timed(stageDecode, &e.counts.Decoded), stageEncode: timed(stageEncode, &e.counts.Encoded),
			stagePredict: timed(stagePredict, &e.counts.Scored), stageClaim: timed(stageClaim, nil),
		},
		queue: set.Observer(metrics.QueueDuration), delivery: set.Observer(metrics.DeliveryDuration), age: set.Observer(metrics.ResultAge),
		p:       set.Observer(metrics.PValue),
		results: set.Observer(metrics.SinkDuration, "results"), dead: set.Observer(metrics.SinkDuration, "dead_letters"),
		state: set.Observer(metrics.SinkDuration, "state"),
	}
}

// Metrics gives what the engine tells Prometheus, for programs that serve it by themselves.
func (e *Engine) Metrics() prometheus.Gatherer { return e.meter.set.Gatherer() }

func (m *meter) watch(stage string) watch {
	if m == nil {
		return watch{}
	}
	return m.stages[stage]
}

// sinkKind is one of the places that a batch is written to.
type sinkKind int

const (
	toResults sinkKind = iota
	toDead
	toState
)

// written notes how long one write took. The write that takes too long is told while it is under way.
func (m *meter) written(to sinkKind, write func() error) error {
	if m == nil {
		return write()
	}
	begin := time.Now()
	m.writing.Store(begin.UnixNano())
	err := write()
	m.writing.Store(0)
	[]prometheus.Observer{m.results, m.dead, m.state}[to].Observe(time.Since(begin).Seconds())
	return err
}

// underWay is how long the write that is under way has taken so far.
func (m *meter) underWay() time.Duration {
	if begun := m.writing.Load(); begun != 0 {
		return time.Since(time.Unix(0, begun))
	}
	return 0
}

// delivered books an item whose result or dead letter is durable.
func (m *meter) delivered(it *item) {
	if m == nil {
		return
	}
	now := time.Now()
	if it.forgets() {
		m.set.Forget(it.segment.Stream)
	}
	if it.segment.ContextOnly || it.result == nil && it.failure == nil {
		return
	}
	m.delivery.Observe(now.Sub(it.taken).Seconds())
	if it.latency.Queue > 0 {
		m.queue.Observe(it.latency.Queue)
	}
	if at := it.segment.Record.Time; !at.IsZero() {
		m.age.Observe(max(now.Sub(at).Seconds(), 0))
	}
	if it.result == nil {
		return
	}
	if it.result.PValue != nil {
		m.p.Observe(*it.result.PValue)
	}
	if !it.forgets() {
		m.set.Result(it.result, now)
	}
}

// readMetrics tells what the engine counts by itself.
func (e *Engine) readMetrics(emit metrics.Emit) {
	e.readCounts(emit)
	for _, s := range e.Stages() {
		emit(metrics.StageSegments, float64(s.Done), s.Name)
		emit(metrics.StageBusy, s.Busy.Seconds(), s.Name)
		emit(metrics.StageRetries, float64(s.Retried), s.Name)
		emit(metrics.StageWorkers, float64(s.Workers), s.Name)
		emit(metrics.QueueSegments, float64(s.Waiting), s.Name)
		emit(metrics.QueueCapacity, float64(s.Room), s.Name)
	}
	e.readHealth(emit)
	e.readReloads(emit)
	if reporter, ok := e.source.(ingest.Reporter); ok && e.def.Ingest.Kafka != nil {
		readIngest(reporter.Stats(), emit)
	}
	energy := e.def.Predictor.Energy
	if e.nets.energy.learned == nil && e.nets.energy.verifier == nil {
		energy = "distance"
	}
	emit(metrics.ModelInfo, 1, e.Model(), e.nets.encoder.Info().Name, e.nets.predictor.Info().Name, energy)
	version := e.version
	if version == "" {
		version = "unknown"
	}
	emit(metrics.BuildInfo, 1, version, revision(), runtime.Version())
}

func (e *Engine) readCounts(emit metrics.Emit) {
	c := e.counts
	for name, count := range map[string]*atomic.Int64{
		metrics.SegmentsReceived: &c.Received, metrics.SegmentsDecoded: &c.Decoded, metrics.SegmentsEncoded: &c.Encoded,
		metrics.SegmentsScored: &c.Scored, metrics.SegmentsDropped: &c.Dropped, metrics.SegmentsLost: &c.Lost,
		metrics.ReceivedBytes: &c.Bytes, metrics.FramesSampled: &c.Frames, metrics.FramesDropped: &c.FramesDropped,
	} {
		emit(name, float64(count.Load()))
	}
	verdicts := c.Verdicts()
	for _, verdict := range []stream.Verdict{stream.WarmingUp, stream.Continues, stream.Breaks, stream.Stalls, stream.Unscored} {
		emit(metrics.ResultsWritten, float64(verdicts[verdict]), string(verdict))
	}
	for code, count := range c.Codes() {
		emit(metrics.DeadLetters, float64(count), string(code))
	}
}

func (e *Engine) readHealth(emit metrics.Emit) {
	emit(metrics.SinkWriting, e.meter.underWay().Seconds())
	emit(metrics.BreakerFailed, float64(e.counts.Failing.Load()))
	emit(metrics.BreakerLimit, float64(e.def.Breaker.Failed))
	draining := 0.0
	if e.phase.Load() == phaseDraining {
		draining = 1
	}
	emit(metrics.Draining, draining)
	state := e.intake.gate.status()
	emit(metrics.MemoryUsed, float64(state.used))
	emit(metrics.MemoryPeak, float64(state.peak))
	emit(metrics.MemoryLimit, float64(state.limit))
	emit(metrics.GateWaiting, float64(state.waiting))
	emit(metrics.StreamsInFlight, float64(state.streams))
}

func (e *Engine) readReloads(emit metrics.Emit) {
	c := e.counts
	emit(metrics.Reloads, float64(c.Reloads.Load()), "taken_over")
	emit(metrics.Reloads, float64(c.ReloadsUnchanged.Load()), "unchanged")
	emit(metrics.Reloads, float64(c.ReloadsRefused.Load()), "refused")
	successful := 1.0
	if c.differs.Load() {
		successful = 0
	}
	emit(metrics.ReloadSuccessful, successful)
	emit(metrics.ReloadSuccessTime, float64(c.settled.Load())/float64(time.Second))
}

func readIngest(stats ingest.Stats, emit metrics.Emit) {
	emit(metrics.IngestPartitions, float64(len(stats.Partitions)))
	for _, p := range stats.Partitions {
		name := strconv.Itoa(p.Partition)
		emit(metrics.IngestLag, float64(p.Lag), name)
		emit(metrics.IngestHeld, float64(p.Held), name)
	}
	emit(metrics.IngestRebalances, float64(stats.Rebalances))
	for event, count := range map[string]int64{
		"duplicate": stats.Duplicates, "late": stats.Late, "late_dropped": stats.Dropped, "gap": stats.Gaps, "forced_gap": stats.Forced,
		"restart": stats.Restarts, "evicted": stats.Evicted, "problem": stats.Problems, "passed": stats.Passed,
		"context_given_up": stats.Given, "offset_out_of_range": stats.OutOfRange,
	} {
		emit(metrics.IngestEvents, float64(count), event)
	}
}

// revision is the commit that the program was built from; empty where the build does not know.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value[:min(12, len(setting.Value))]
		}
	}
	return ""
}
