package pipelines

import (
	"container/list"
	"context"
	"sync"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/stream"
)

// minCharge is what the smallest segment is counted as: what goes with an item of any size, and a bound on how many there are.
const minCharge = 16 << 10

// gate lets segments into the pipeline: it keeps what is under way within the memory it may take, and what is under way of one stream
// within a few segments (invariant 6).
//
// A source asks it from the goroutine of each partition or file (ingest.Gate). So what a slow stream makes wait is its own partition: it
// cannot fill the pipeline, and the partitions beside it go on (invariant 4). Of the memory, half is for streams that have nothing under
// way: whatever the others take, such a stream gets in.
type gate struct {
	limit     int64
	perStream int
	frame     int64 // bytes of one sampled frame
	fps       float64
	limits    decode.Limits
	// open lets everything in at once: the intake counts by itself.
	open bool

	mu       sync.Mutex
	used     int64 // what is under way and what decoders hold
	decoders int64 // what decoders hold of it
	peak     int64 // of what segments take themselves
	streams  map[string]int
	waiting  list.List // of *waiter, in order of arrival
}

// waiter is a segment outside the gate; in is closed when it may go in.
type waiter struct {
	segment *stream.Segment
	charge  int64
	in      chan struct{}
}

func newGate(def *Definition, size decode.Size) *gate {
	return &gate{
		limit: def.Queues.Memory - def.Queues.ofSource(def.Ingest), perStream: def.Queues.Size, frame: int64(size.Width) * int64(size.Height) * 3,
		fps: def.Decode.FPS, limits: def.Decode.Limits, open: def.Queues.Full == FullDropOldest, streams: map[string]int{},
	}
}

// ofSource is the part of the memory that the source may fill with payloads: those just read and those that wait for a missing one.
func (q Queues) ofSource(source ingest.Config) int64 {
	if source.Kafka == nil {
		return 0
	}
	return q.Memory / 4
}

// Enter implements ingest.Gate.
func (g *gate) Enter(ctx context.Context, segment *stream.Segment) error {
	if g.open {
		return nil
	}
	return g.enter(ctx, segment)
}

func (g *gate) enter(ctx context.Context, segment *stream.Segment) error {
	g.mu.Lock()
	charge := g.charge(segment)
	if charge == 0 {
		g.mu.Unlock()
		return nil
	}
	w := &waiter{segment: segment, charge: charge, in: make(chan struct{})}
	place := g.waiting.PushBack(w)
	g.admit()
	g.mu.Unlock()
	select {
	case <-w.in:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-w.in: // at this very moment
		g.leave(segment)
	default:
		g.waiting.Remove(place)
	}
	g.admit()
	return ctx.Err()
}

// try is Enter for a segment that does not wait; it is false where it would have to.
func (g *gate) try(segment *stream.Segment) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	charge := g.charge(segment)
	if charge > 0 && !g.fits(segment.Stream, charge) {
		return false
	}
	g.let(segment, charge)
	return true
}

// Leave implements ingest.Gate; it is called once for every segment that was let in.
func (g *gate) Leave(segment *stream.Segment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leave(segment)
	g.admit()
}

// settle says what the segment really takes, now that it is known.
func (g *gate) settle(segment *stream.Segment, bytes int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if segment.Charge == 0 {
		return
	}
	bytes = max(bytes, minCharge)
	g.used += bytes - segment.Charge
	g.peak = max(g.peak, g.used-g.decoders)
	segment.Charge = bytes
	g.admit()
}

// burden counts bytes that are no segment's own but taken to work on it. They are given back when that is done, so nobody waits for them
// here; what is outside waits until there is room again.
func (g *gate) burden(more int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used += more
	g.decoders += more
	if more < 0 {
		g.admit()
	}
}

// setLimits changes what segments are estimated by.
func (g *gate) setLimits(limits decode.Limits) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limits = limits
}

// memory is how many bytes are under way, and how many segments took at most themselves: what decoders hold comes on top, for as long as
// they work, and keeps others out meanwhile.
func (g *gate) memory() (used, peak int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.used, g.peak
}

// gateStatus is what the gate lets through just now.
type gateStatus struct {
	used, peak, limit int64
	// streams have segments under way, waiting segments stand outside.
	streams, waiting int
}

func (g *gate) status() gateStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	return gateStatus{used: g.used, peak: g.peak, limit: g.limit, streams: len(g.streams), waiting: g.waiting.Len()}
}

// charge is an upper estimate of the bytes the segment takes: its payload and the frames sampled from it. A control segment takes none;
// nothing takes more than all there is, so that one segment alone always gets in.
func (g *gate) charge(segment *stream.Segment) int64 {
	if segment.Mark == stream.MarkForget {
		return 0
	}
	length := segment.Duration
	if length <= 0 || length > g.limits.Duration {
		length = g.limits.Duration
	}
	payload := claimed(segment, g.limits.Bytes)
	bytes := payload
	if payload > 0 && segment.Problem == nil {
		// The sampling grid is at most 1.5 times as fine as asked (decode's rule on whole multiples).
		bytes += (int64(1.5*g.fps*length.Seconds()) + 1) * g.frame
	}
	return min(max(bytes, minCharge), g.limit)
}

// admit lets in what waits and fits, in order of arrival. Who waits for its own stream holds nobody up. Who waits for memory holds up
// those behind it, or they would overtake it for ever; only that a stream with something under way never holds up one with nothing.
func (g *gate) admit() {
	firstWaits, furtherWaits := false, false
	var next *list.Element
	for e := g.waiting.Front(); e != nil; e = next {
		next = e.Next()
		w := e.Value.(*waiter)
		further := g.streams[w.segment.Stream] > 0
		switch {
		case g.streams[w.segment.Stream] >= g.perStream:
		case firstWaits, further && furtherWaits:
		case g.fits(w.segment.Stream, w.charge):
			g.waiting.Remove(e)
			g.let(w.segment, w.charge)
			close(w.in)
		case further:
			furtherWaits = true
		default:
			firstWaits = true
		}
	}
}

func (g *gate) fits(name string, charge int64) bool {
	under := g.streams[name]
	switch {
	case g.used == 0:
		return true
	case under == 0:
		return g.used+charge <= g.limit
	}
	return under < g.perStream && g.used+charge <= g.limit/2
}

func (g *gate) let(segment *stream.Segment, charge int64) {
	if charge == 0 {
		return
	}
	segment.Charge = charge
	g.used += charge
	g.peak = max(g.peak, g.used-g.decoders)
	g.streams[segment.Stream]++
}

func (g *gate) leave(segment *stream.Segment) {
	if segment.Charge == 0 {
		return
	}
	g.used -= segment.Charge
	segment.Charge = 0
	if g.streams[segment.Stream]--; g.streams[segment.Stream] == 0 {
		delete(g.streams, segment.Stream)
	}
}
