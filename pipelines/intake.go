package pipelines

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/stream"
)

// FullBlock and FullDropOldest are the values of queues.full.
const (
	FullBlock      = "block"
	FullDropOldest = "drop_oldest"
)

// intake admits segments into the pipeline: it keeps the first queue and the memory of what is under way within their bounds
// (invariant 6).
type intake struct {
	queues Queues
	size   decode.Size
	fps    float64
	limits decode.Limits
	memory *semaphore.Weighted
	counts *Counts
}

func newIntake(def *Definition, size decode.Size, counts *Counts) *intake {
	return &intake{
		queues: def.Queues, size: size, fps: def.Decode.FPS, limits: def.Decode.Limits, counts: counts,
		memory: semaphore.NewWeighted(def.Queues.Memory),
	}
}

// run passes segments from in to out as items until in is closed.
func (n *intake) run(ctx context.Context, in <-chan *stream.Segment, out chan<- *item) error {
	if n.queues.Full == FullDropOldest {
		return n.dropOldest(ctx, in, out)
	}
	for segment := range in {
		if err := n.send(ctx, n.admit(segment), out); err != nil {
			return err
		}
	}
	return nil
}

// admit makes an item of the segment.
func (n *intake) admit(segment *stream.Segment) *item {
	n.counts.Received.Add(1)
	return &item{segment: segment, taken: time.Now(), charge: n.charge(segment)}
}

func (n *intake) send(ctx context.Context, it *item, out chan<- *item) error {
	if err := n.memory.Acquire(ctx, it.charge); err != nil {
		return err
	}
	select {
	case out <- it:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// release gives back what the item was admitted with.
func (n *intake) release(it *item) { n.memory.Release(it.charge) }

// charge is an upper estimate of the bytes the segment takes: its payload and the frames sampled from it.
// One segment alone is always admitted.
func (n *intake) charge(segment *stream.Segment) int64 {
	length := segment.Duration
	if length <= 0 || length > n.limits.Duration {
		length = n.limits.Duration
	}
	// The sampling grid is at most 1.5 times as fine as asked (decode's rule on whole multiples).
	frames := int64(1.5*n.fps*length.Seconds()) + 1
	bytes := int64(len(segment.Payload)) + frames*int64(n.size.Width)*int64(n.size.Height)*3
	return min(bytes, n.queues.Memory)
}

// dropOldest keeps the newest segments when the stages cannot keep up. A dropped segment is acknowledged and counted, and the
// next one of its stream has a gap before it.
func (n *intake) dropOldest(ctx context.Context, in <-chan *stream.Segment, out chan<- *item) error {
	var waiting []*item
	torn := map[string]bool{}
	for in != nil || len(waiting) > 0 {
		var ready chan<- *item
		var first *item
		if len(waiting) > 0 && n.memory.TryAcquire(waiting[0].charge) {
			ready, first = out, waiting[0]
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ready <- first:
			waiting = waiting[1:]
			continue
		case segment, ok := <-in:
			if !ok {
				in = nil
			} else {
				waiting = append(waiting, n.admit(segment))
			}
		case <-n.poll(ready, waiting):
		}
		if first != nil {
			n.memory.Release(first.charge)
		}
		waiting = n.cut(waiting, torn)
	}
	return nil
}

// poll wakes dropOldest to look for memory again; never when it is not memory it waits for.
func (n *intake) poll(ready chan<- *item, waiting []*item) <-chan time.Time {
	if ready != nil || len(waiting) == 0 {
		return nil
	}
	return time.After(20 * time.Millisecond)
}

// cut drops the oldest ordinary segments beyond the bound; control segments are kept, they cost nothing.
func (n *intake) cut(waiting []*item, torn map[string]bool) []*item {
	kept := waiting[:0]
	over := len(waiting) - n.queues.Size
	for _, it := range waiting {
		name := it.segment.Stream
		if over > 0 && it.segment.Mark == stream.MarkNone {
			over--
			torn[name] = true
			n.counts.Dropped.Add(1)
			it.segment.Receipt.Done(stream.SegmentID{}) // the next one has a gap before it: nothing is needed
			continue
		}
		if torn[name] {
			it.segment.Gap = true
			delete(torn, name)
		}
		kept = append(kept, it)
	}
	return kept
}
