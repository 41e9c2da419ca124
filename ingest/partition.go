package ingest

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// feed reads one partition from next on and tells what it reads, until ctx is done.
type feed interface {
	run(ctx context.Context, next int64, out chan<- fetched)
}

// worker owns one partition for one generation of the group: it reads, orders and sends on. One goroutine runs it, and one
// more its fetcher.
type worker struct {
	id       int
	fetcher  feed
	order    *Order
	offsets  *offsets
	clock    readingClock
	out      chan<- *stream.Segment
	counters *Counters
	moved    func(read, high int64)
	drain    time.Duration
	log      *slog.Logger
	gate     Gate // nil: none
	taken    takeover
	// recover asks what is known of the partition's streams; nil: nothing is kept. known is what it said.
	recover func(context.Context) (map[string]*stream.Saved, error)
	known   map[string]*recovered

	// forget is, after run, a MarkForget for every stream the stages still hold state of.
	forget []*stream.Segment
	// committed is what the group knows; the committer uses it.
	committed struct {
		offset   int64
		metadata string
	}
}

// run reads until ctx is done, then waits for what it sent to be done. What waits in the Order stays undone, and whoever owns
// the partition next reads it again.
func (w *worker) run(ctx context.Context) {
	if !w.takeOver(ctx) {
		return
	}
	news := make(chan fetched)
	var fetching sync.WaitGroup
	fetching.Go(func() { w.fetcher.run(ctx, w.offsets.position(), news) })
	w.loop(ctx, news)
	fetching.Wait()
	if left := w.offsets.drain(patience(ctx, w.drain)); left > 0 {
		w.log.Warn("giving a partition back before all of its segments are done; the next owner processes them again",
			"partition", w.id, "segments", left, "drain_timeout", w.drain)
	}
	w.forget = w.order.Forget(time.Now())
}

func (w *worker) loop(ctx context.Context, news <-chan fetched) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(w.clock.until(w.order.Deadline()))
		var due []*stream.Segment
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			due = w.order.Tick(w.clock.now())
		case f := <-news:
			due = w.take(f)
		}
		if !w.send(ctx, due) {
			return
		}
	}
}

// take deals with what the fetcher tells, and returns what goes on because of it.
func (w *worker) take(f fetched) []*stream.Segment {
	if f.failing {
		w.clock.pause() // what cannot be read is not late
		return nil
	}
	w.clock.resume()
	defer w.moved(f.next, f.high)
	w.tellGiven()
	if f.lost {
		w.counters.OutOfRange.Add(1)
		w.offsets.restart(f.next)
		w.order.Interrupted()
		return nil
	}
	if f.record == nil {
		w.offsets.advance(f.next)
		return nil
	}
	known := w.offsets.take(f.record.Offset)
	if known == fatePass {
		w.counters.Passed.Add(1)
		return nil
	}
	now := w.clock.now()
	return append(w.order.Push(now, w.segment(f.record, known)), w.order.Tick(now)...)
}

func (w *worker) segment(record *stream.Record, known fate) *stream.Segment {
	segment := stream.SegmentFromRecord(*record)
	segment.Received = time.Now()
	segment.Receipt = w.offsets.receipt(segment)
	segment.ContextOnly = known == fateContext
	w.recall(segment)
	if segment.Problem != nil {
		w.counters.Problems.Add(1)
	}
	return segment
}

// tellGiven tells that context was given up for ingest.kafka.hold_back.
func (w *worker) tellGiven() {
	if count := w.offsets.takeGiven(); count > 0 {
		w.counters.Given.Add(count)
		w.log.Warn("giving up the context of streams that pause: after a restart their next segment is judged without its past; "+
			"raise ingest.kafka.hold_back, or lower ingest.order.evict", "partition", w.id, "streams", count)
	}
}

// send passes segments on; it is false when ctx ended before all were taken. While the pipeline is full no time passes for
// the Order: what cannot be read is not late.
func (w *worker) send(ctx context.Context, segments []*stream.Segment) bool {
	for _, segment := range segments {
		w.hand(segment)
		w.clock.pause()
		if !w.enter(ctx, segment) {
			return false
		}
		w.offsets.sent(segment)
		select {
		case w.out <- segment:
			w.clock.resume()
		case <-ctx.Done():
			w.offsets.unsent()
			w.leave(segment)
			return false
		}
	}
	return true
}

// enter waits for room in the pipeline. Meanwhile the partition stands still: nothing more of it is fetched than what is here already
// (invariant 6), and the others go on.
func (w *worker) enter(ctx context.Context, segment *stream.Segment) bool {
	return w.gate == nil || w.gate.Enter(ctx, segment) == nil
}

func (w *worker) leave(segment *stream.Segment) {
	if w.gate != nil {
		w.gate.Leave(segment)
	}
}

// readingClock tells the time less the time in which nothing could be read.
type readingClock struct {
	skipped time.Duration
	paused  time.Time // zero while it runs
}

func (c *readingClock) pause() {
	if c.paused.IsZero() {
		c.paused = time.Now()
	}
}

func (c *readingClock) resume() {
	if !c.paused.IsZero() {
		c.skipped += time.Since(c.paused)
		c.paused = time.Time{}
	}
}

func (c *readingClock) now() time.Time {
	if !c.paused.IsZero() {
		return c.paused.Add(-c.skipped)
	}
	return time.Now().Add(-c.skipped)
}

// until is how long to wait for a time of this clock; an hour where there is none, or while the clock stands.
func (c *readingClock) until(deadline time.Time) time.Duration {
	if deadline.IsZero() || !c.paused.IsZero() {
		return time.Hour
	}
	return max(deadline.Sub(c.now()), 0)
}
