package ingest

import (
	"maps"
	"slices"
	"sort"

	"github.com/ensue-video/ensue/stream"
)

// finished is a receipt that is done once a transaction commits, and what its stream needs after it.
type finished struct {
	receipt *receipt
	needed  stream.SegmentID
}

// after is the progress as it will be once the receipts are done, without their being done yet: it is part of the transaction that
// makes them so.
func (o *offsets) after(done []finished) progress {
	o.mu.Lock()
	o.bound()
	preview := o.clone()
	o.mu.Unlock()
	for _, f := range done {
		preview.done(f.receipt, f.needed)
	}
	return preview.progress()
}

// clone copies everything that progress is made from. The caller holds the lock.
func (o *offsets) clone() *offsets {
	c := &offsets{
		read: o.read, prior: o.prior, pending: slices.Clone(o.pending), again: maps.Clone(o.again),
		holds: make(map[string][]held, len(o.holds)), places: o.places, era: o.era, limit: o.limit,
	}
	for name, list := range o.holds {
		c.holds[name] = slices.Clone(list)
	}
	return c
}

// close ignores receipts from now on: the partition belongs to somebody else.
func (o *offsets) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.flight.ground()
}

// ground ends the waiting for what is under way: nobody will tell when it is done.
func (f *flight) ground() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count = 0
	if f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

// owned says whether the partition still belongs to this process.
func (o *offsets) owned() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.closed
}

// crowded says that so much is under way that the metadata of a commit might soon not hold it any more.
func (o *offsets) crowded(limit int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	const bytesEach = 10 // the longest varint
	under := len(o.pending) + len(o.prior.Pending)
	if under*bytesEach < limit {
		return false
	}
	p := progress{Next: o.read, Pending: slices.Concat(o.pending, o.prior.Pending)}
	p.Base = p.Pending[0]
	return len(p.encode()) > limit
}

// exact is the progress and its text where nothing that is done may be forgotten, as exactly-once delivery wants it: what does not
// fit is context, the oldest first. The stream that loses it has a gap after a restart; nothing is written twice. It is not ok where
// the text would not fit without any context.
func (p progress) exact(limit int) (fitting progress, text string, ok bool) {
	if text = p.encode(); len(text) <= limit {
		return p, text, true
	}
	drop := 1 + sort.Search(len(p.Needed)-1, func(n int) bool { return len(p.without(n+1).encode()) <= limit })
	if len(p.Needed) == 0 {
		return p, "", false
	}
	fitting = p.without(drop)
	text = fitting.encode()
	return fitting, text, len(text) <= limit
}

// without is the progress where the first so many offsets are not needed any more.
func (p progress) without(needed int) progress {
	p.Needed = p.Needed[needed:]
	p.Base = p.Next
	for _, list := range [][]int64{p.Pending, p.Needed} {
		if len(list) > 0 {
			p.Base = min(p.Base, list[0])
		}
	}
	return p
}
