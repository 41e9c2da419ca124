package ingest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// offsets knows, for one partition and for as long as this process owns it, which records are read, done, and needed as
// context, and from that what may be committed. Receipts report to it from any goroutine.
//
// Invariant 3: what progress returns as Base is never beyond a record that is not done, nor beyond a done one that the next
// segment of a live stream needs as context.
type offsets struct {
	mu   sync.Mutex
	read int64 // the next offset to read
	// prior is what the owner before left; only what lies at or after read still counts.
	prior progress
	// pending are the records read but not done, ascending.
	pending []int64
	// again are records read again as context that were not sent on yet.
	again map[int64]struct{}
	// holds are, per live stream, the records that may still be needed.
	holds  map[string][]held
	places uint64
	era    int // counts the topics of this name: receipts of an earlier one say nothing about this one
	flight flight
	closed bool
	// limit is how many records may be held back for the sake of context; 0: any number. given counts streams that were given up for it.
	limit int64
	given int64
	lease *lease // nil: nobody else can have the partition
}

// held is a record sent on: place orders them as they were sent, which is the order of the stream.
type held struct {
	place            uint64
	sequence, offset int64
	// void says that it has no tokens, so that it cannot be context itself.
	void bool
}

// fate is what is to be done with a record that was read.
type fate int

const (
	fateNew     fate = iota // process it
	fateContext             // its results are written; it is needed as context
	fatePass                // its results are written, and nothing needs it
)

func newOffsets(start int64, prior progress) *offsets {
	return &offsets{read: start, prior: prior, again: map[int64]struct{}{}, holds: map[string][]held{}}
}

// take says that the record at offset was read, and what to do with it. Offsets come ascending; those that are left out do not
// exist (compacted away, or markers of transactions).
func (o *offsets) take(offset int64) fate {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := offset < o.prior.Next
	_, pending := slices.BinarySearch(o.prior.Pending, offset)
	_, needed := slices.BinarySearch(o.prior.Needed, offset)
	o.skip(offset + 1)
	switch {
	case !known || pending:
		o.pending = append(o.pending, offset)
		return fateNew
	case needed:
		o.again[offset] = struct{}{}
		return fateContext
	}
	return fatePass
}

// advance says that there is nothing to read before next.
func (o *offsets) advance(next int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.skip(next)
}

func (o *offsets) skip(next int64) {
	o.read = max(o.read, next)
	for _, list := range []*[]int64{&o.prior.Pending, &o.prior.Needed} {
		from, _ := slices.BinarySearch(*list, o.read)
		*list = (*list)[from:]
	}
}

// restart says that reading goes on at next, because what lies between is gone, or the topic was made anew.
func (o *offsets) restart(next int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if next < o.read { // a new topic of the same name: the old offsets mean nothing
		o.era++
		o.prior, o.pending = progress{Base: next, Next: next}, nil
		clear(o.again)
		clear(o.holds)
		o.read = next
		return
	}
	o.skip(next)
}

// receipt is how one segment reports to its partition.
type receipt struct {
	to       *offsets
	stream   string
	sequence int64
	offset   int64
	era      int
	place    uint64 // 0: not sent on
	alone    bool
	ends     bool // nothing of the stream up to here is needed any more
	control  bool // not a record
}

// Done implements stream.Receipt.
func (r *receipt) Done(needed stream.SegmentID) { r.to.done(r, needed) }

// Held implements stream.Holding.
func (r *receipt) Held(ctx context.Context) bool { return r.to.held(ctx) }

// held says whether the partition still belongs to this process; once it does not, nothing that is known of it counts.
func (o *offsets) held(ctx context.Context) bool {
	held := o.lease == nil || o.lease.held(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = o.closed || !held && ctx.Err() == nil
	return held && !o.closed
}

// receipt makes the receipt of a record.
func (o *offsets) receipt(segment *stream.Segment) *receipt {
	o.mu.Lock()
	defer o.mu.Unlock()
	return &receipt{to: o, stream: segment.Stream, sequence: segment.Sequence, offset: segment.Origin.Offset, era: o.era}
}

// sent says that a segment is about to go into the pipeline. A MarkForget gets its receipt here.
func (o *offsets) sent(segment *stream.Segment) {
	r, ours := segment.Receipt.(*receipt)
	if !ours {
		r = o.receipt(segment)
		r.control = true
		segment.Receipt = r
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.places++
	o.flight.add()
	r.place, r.alone = o.places, segment.Alone
	r.ends = segment.Mark != stream.MarkNone
	if r.control || r.alone || r.era != o.era {
		return
	}
	delete(o.again, r.offset)
	o.holds[r.stream] = append(o.holds[r.stream], held{
		place: r.place, sequence: r.sequence, offset: r.offset, void: segment.Problem != nil || len(segment.Payload) == 0 && segment.Ref == "",
	})
}

// unsent takes sent back: the pipeline did not take the segment. It stays pending.
func (o *offsets) unsent() { o.flight.done() }

func (o *offsets) done(r *receipt, needed stream.SegmentID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		if r.place != 0 {
			o.flight.done()
		}
		return // the partition belongs to somebody else: what we know of it counts no more
	}
	current := r.era == o.era
	if current && !r.control {
		if at, found := slices.BinarySearch(o.pending, r.offset); found {
			o.pending = slices.Delete(o.pending, at, at+1)
		}
		delete(o.again, r.offset)
	}
	if r.place == 0 {
		return // a duplicate, or dropped: it never was part of its stream
	}
	o.flight.done()
	if current && !r.alone {
		o.letGo(r, needed)
	}
}

// letGo forgets what of a stream is needed no more. Nothing is let go where needed is unknown (invariant 3).
func (o *offsets) letGo(r *receipt, needed stream.SegmentID) {
	list := o.holds[r.stream]
	gone := 0
	for i, h := range list {
		if h.place > r.place {
			break
		}
		switch {
		case r.ends || needed == (stream.SegmentID{}):
			gone = i + 1
		case h.sequence == needed.Sequence && r.stream == needed.Stream:
			gone = i // the last of that number: a sender may have counted anew
		}
	}
	if gone == len(list) {
		delete(o.holds, r.stream)
		return
	}
	o.holds[r.stream] = slices.Delete(list, 0, gone)
}

// progress is how far the partition is done, now.
func (o *offsets) progress() progress {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bound()
	p := progress{
		Next:    max(o.read, o.prior.Next),
		Pending: slices.Concat(o.pending, o.prior.Pending),
		Needed:  slices.Concat(slices.Collect(maps.Keys(o.again)), o.prior.Needed),
	}
	for _, list := range o.holds {
		for _, h := range list {
			if _, pending := slices.BinarySearch(o.pending, h.offset); !pending && !h.void {
				p.Needed = append(p.Needed, h.offset)
			}
		}
	}
	slices.Sort(p.Needed)
	p.Needed = slices.Compact(p.Needed)
	p.Base = p.Next
	for _, list := range [][]int64{p.Pending, p.Needed} {
		if len(list) > 0 {
			p.Base = min(p.Base, list[0])
		}
	}
	return p
}

// bound lets go of context that lies too far behind: whoever takes the partition over then judges the next segment of that stream without
// its past. What is not done is never let go.
func (o *offsets) bound() {
	if o.limit <= 0 {
		return
	}
	oldest := max(o.read, o.prior.Next) - o.limit
	from, _ := slices.BinarySearch(o.prior.Needed, oldest)
	o.prior.Needed = o.prior.Needed[from:]
	for offset := range o.again {
		if offset < oldest {
			delete(o.again, offset)
		}
	}
	for name, list := range o.holds {
		kept := slices.DeleteFunc(list, func(h held) bool { return h.offset < oldest })
		if len(kept) < len(list) {
			o.given++
		}
		if o.holds[name] = kept; len(kept) == 0 {
			delete(o.holds, name)
		}
	}
}

// takeGiven is how many streams' context was given up since it was asked last.
func (o *offsets) takeGiven() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	count := o.given
	o.given = 0
	return count
}

// drain waits until nothing sent is under way, for at most timeout; it returns how many segments still are. From then on
// receipts are ignored.
func (o *offsets) drain(timeout time.Duration) int {
	left := o.flight.land(timeout)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	return left
}

// position is the next offset to read.
func (o *offsets) position() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.read
}
