package pipelines

import (
	"context"
	"time"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/tracing"
)

// FullBlock and FullDropOldest are the values of queues.full.
const (
	FullBlock      = "block"
	FullDropOldest = "drop_oldest"
)

// maxGiven is how many segments that were given up may wait for their results to be written; each is small, for its payload is gone.
const maxGiven = 4096

// intake makes items of segments. What the source did not take through the gate by itself it takes through.
type intake struct {
	queues Queues
	gate   *gate
	counts *Counts
	// claims says that there is a stage that gets the payloads of claims.
	claims bool
	// tracer begins traces; nil: there are none.
	tracer *tracing.Tracer
}

func newIntake(def *Definition, size decode.Size, counts *Counts) *intake {
	return &intake{queues: def.Queues, gate: newGate(def, size), counts: counts, claims: def.Ingest.Claims != nil}
}

// run passes segments from in to out as items until in is closed.
func (n *intake) run(ctx context.Context, in <-chan *stream.Segment, out chan<- *item) error {
	if n.gate.open {
		return n.dropOldest(ctx, in, out)
	}
	for segment := range in {
		if segment.Charge == 0 {
			if err := n.gate.enter(ctx, segment); err != nil {
				return err
			}
		}
		select {
		case out <- n.admit(segment):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// admit makes an item of the segment.
func (n *intake) admit(segment *stream.Segment) *item {
	n.counts.Received.Add(1)
	n.counts.Bytes.Add(int64(len(segment.Payload)))
	if !n.claims {
		refuseClaim(segment)
	}
	taken := time.Now()
	return &item{segment: segment, taken: taken, settle: n.gate.settle, trail: n.tracer.Begin(segment, taken)}
}

// most is how many items there can be in the pipeline.
func (n *intake) most() int { return int(n.gate.limit/minCharge) + maxGiven }

// release gives back what the item was admitted with.
func (n *intake) release(it *item) { n.gate.Leave(it.segment) }

// dropOldest keeps the newest segments when the stages cannot keep up: of a stream so many as a queue holds, and of all together so many
// bytes as half of the memory. What is given up loses its payload and goes on as a result that says so; the next segment of its stream has
// a gap before it.
func (n *intake) dropOldest(ctx context.Context, in <-chan *stream.Segment, out chan<- *item) error {
	line := &waitingLine{intake: n}
	for in != nil || len(line.items) > 0 {
		first := line.first()
		var ready chan<- *item
		if first != nil {
			ready = out
		}
		from := in
		if line.given >= maxGiven {
			from = nil // not even what is given up gets through: nothing is read any more
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ready <- first:
			line.sent(first)
			continue
		case segment, ok := <-from:
			if !ok {
				in = nil
			} else {
				line.add(n.admit(segment))
			}
		case <-line.poll(first):
		}
		if first != nil {
			n.release(first)
		}
		line.cut()
	}
	return nil
}

// waitingLine is what waits for the stages, oldest first.
type waitingLine struct {
	*intake
	items []*item
	bytes int64 // their payloads
	given int   // how many of them were given up
}

func (l *waitingLine) add(it *item) {
	l.items = append(l.items, it)
	l.bytes += int64(len(it.segment.Payload))
}

// first is the oldest item that may go on now, already let in; nil when there is none. Nothing overtakes an item of its own stream.
func (l *waitingLine) first() *item {
	var held map[string]bool
	for _, it := range l.items {
		if held[it.segment.Stream] {
			continue
		}
		if it.dropped || l.gate.try(it.segment) {
			return it
		}
		if held == nil {
			held = map[string]bool{}
		}
		held[it.segment.Stream] = true
	}
	return nil
}

func (l *waitingLine) sent(first *item) {
	for i, it := range l.items {
		if it == first {
			l.items = append(l.items[:i], l.items[i+1:]...)
			break
		}
	}
	l.bytes -= int64(len(first.segment.Payload))
	if first.dropped {
		l.given--
	}
}

// poll wakes dropOldest to look for room again; never when it is not room it waits for.
func (l *waitingLine) poll(first *item) <-chan time.Time {
	if first != nil || len(l.items) == 0 {
		return nil
	}
	return time.After(20 * time.Millisecond)
}

// cut gives up the oldest ordinary segments beyond the bounds; control segments are kept, they cost nothing.
func (l *waitingLine) cut() {
	each := map[string]int{}
	for _, it := range l.items {
		if !it.dropped {
			each[it.segment.Stream]++
		}
	}
	for _, it := range l.items {
		name := it.segment.Stream
		if it.dropped || it.segment.Mark != stream.MarkNone {
			continue
		}
		if each[name] > l.queues.Size || l.bytes > l.gate.limit/2 {
			each[name]--
			l.bytes -= int64(len(it.segment.Payload))
			l.give(it)
		}
	}
}

// give gives an item up. Invariant 6: its payload goes.
func (l *waitingLine) give(it *item) {
	l.given++
	l.counts.Dropped.Add(1)
	it.dropped = true
	it.segment.Payload, it.segment.Record.Value, it.segment.Ref = nil, nil, ""
}
