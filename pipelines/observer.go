package pipelines

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// Observer watches an engine at work: the live page and reports are made from what it is told. It is called on the engine's own
// goroutines, so it returns soon and never waits for anybody; it changes nothing that it is given.
type Observer interface {
	// Scored is told a segment as soon as it is scored, while its frames are still there: clip and its frames are not to be used after the
	// call. clip and result may be nil. Segments of one stream come one after another, those of different streams side by side.
	Scored(segment *stream.Segment, clip *stream.Clip, result *stream.Result)
	// Done is told a segment once its result or dead letter is durably written (either may be nil), from one goroutine.
	Done(segment *stream.Segment, result *stream.Result, failure *stream.Failure)
}

// WithObserver has an observer watch the engine; there may be several.
func WithObserver(o Observer) Option {
	return func(e *Engine) { e.observers = append(e.observers, o) }
}

// observers are all who watch.
type observers []Observer

func (all observers) scored(it *item) {
	for _, o := range all {
		o.Scored(it.segment, it.clip, it.result)
	}
}

func (all observers) done(it *item) {
	for _, o := range all {
		o.Done(it.segment, it.result, it.failure)
	}
}

// StageStatus is what one stage of a running engine is doing.
type StageStatus struct {
	// Name is as in failures: "decode".
	Name string
	// Waiting segments stand before the stage, Room is how many may.
	Waiting, Room int
	// Done segments have passed, which took its Workers Busy, all together. Retried attempts failed and were made again.
	Done, Retried int64
	Busy          time.Duration
	Workers       int
}

// Stages is what the stages are doing, in the order in which segments pass them; none before Run. It may be called at any time.
func (e *Engine) Stages() []StageStatus { return e.gauges.read() }

// gauge counts what passes a stage.
type gauge struct {
	name    string
	workers int
	room    int
	waiting func() int
	passed  atomic.Int64
	busy    atomic.Int64
	retried atomic.Int64
}

// pass books segments that were worked on since begin; a nil gauge books nothing.
func (g *gauge) pass(count int, begin time.Time) {
	if g == nil {
		return
	}
	g.passed.Add(int64(count))
	g.busy.Add(int64(time.Since(begin)))
}

// again books an attempt that failed and is made again.
func (g *gauge) again(begin time.Time) {
	if g == nil {
		return
	}
	g.retried.Add(1)
	g.busy.Add(int64(time.Since(begin)))
}

// gauges are those of an engine's stages.
type gauges struct {
	mu  sync.Mutex
	all []*gauge
}

func (g *gauges) add(name string, workers, room int, waiting func() int) *gauge {
	g.mu.Lock()
	defer g.mu.Unlock()
	made := &gauge{name: name, workers: workers, room: room, waiting: waiting}
	g.all = append(g.all, made)
	return made
}

func (g *gauges) read() []StageStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	status := make([]StageStatus, len(g.all))
	for i, one := range g.all {
		status[i] = StageStatus{
			Name: one.name, Waiting: one.waiting(), Room: one.room, Done: one.passed.Load(), Retried: one.retried.Load(),
			Busy: time.Duration(one.busy.Load()), Workers: one.workers,
		}
	}
	return status
}
