package ingest

import (
	"cmp"
	"container/list"
	"slices"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// Bounds are how much an Order may keep (invariant 6). What exceeds them is not lost: a missing segment is given up early.
type Bounds struct {
	// PerStream is how many segments of one stream may wait for a missing one.
	PerStream int
	// Waiting and Bytes are how many segments may wait in all, and how many bytes of payload.
	Waiting int
	Bytes   int64
	// Streams is how many streams are remembered; beyond it the one idle for longest is forgotten.
	Streams int
}

// DefaultBounds are the bounds of one source.
func DefaultBounds() Bounds {
	return Bounds{PerStream: 64, Waiting: 4096, Bytes: 256 << 20, Streams: 16384}
}

// share is what each of n orders of the same source may keep; never so little that a few segments cannot wait.
func (b Bounds) share(n int) Bounds {
	const leastWaiting, leastBytes, leastStreams = 64, 16 << 20, 1024
	return Bounds{
		PerStream: b.PerStream,
		Waiting:   max(b.Waiting/n, leastWaiting),
		Bytes:     max(b.Bytes/int64(n), leastBytes),
		Streams:   max(b.Streams/n, leastStreams),
	}
}

// Order brings segments into the order of their streams. It is a state machine without goroutine or clock: its owner pushes
// what arrives, calls Tick when Deadline has come, and sends on what both return, in that order.
//
// Rules, per stream:
//
//   - Segments without a sequence of the sender's (Sequenced is false) pass straight through; one that starts when a recent one of
//     the stream started and has its SHA-256 is a duplicate: the sender sent it again because it did not hear that it had arrived.
//   - A missing segment is waited for, for Grace since something after it arrived; then the one after it goes on with Gap set.
//     The same holds before the first segment seen of a stream, unless its sequence says that it is the very first (0) or it
//     is read again as context.
//   - What was there before is a duplicate: it is acknowledged and counted.
//   - What comes after its place was given up is late, and Late says what happens to it. Neither duplicates nor latecomers
//     keep a stream alive.
//   - A sequence that is in the past, on a segment that starts after the end of everything seen, is a sender that began to
//     count anew: what waits is sent on, then the segment, with Gap set. Without times nobody can tell that from lateness: such
//     segments are late until the stream is forgotten.
//   - After its end a stream may begin again: with the first sequence of the ended run (or a lower or a higher than any of
//     it) at once, with another one after Grace; until then that is a duplicate.
//   - What was a dead letter and is sent again has lost its place: it goes on at once, Alone, and changes nothing.
//   - A stream that is taken over (Expect) begins with the first of the segments that are read again as its context.
//   - A stream without a segment in its place for Evict is forgotten: a MarkForget segment is returned.
//
// A segment with a Start but no Epoch gets the Start (or the Epoch) of the first segment sent on of its stream.
type Order struct {
	cfg      OrderConfig
	bounds   Bounds
	counters *Counters

	lines   map[string]*line
	idle    *list.List // of *line, the one idle for longest first
	waiting map[*line]struct{}
	count   int   // segments waiting in all
	bytes   int64 // their payload
}

// NewOrder makes an Order that counts into counters.
func NewOrder(cfg OrderConfig, bounds Bounds, counters *Counters) *Order {
	return &Order{
		cfg: cfg, bounds: bounds, counters: counters,
		lines: map[string]*line{}, idle: list.New(), waiting: map[*line]struct{}{},
	}
}

// line is what is known about one stream.
type line struct {
	name   string
	place  *list.Element // in Order.idle
	active time.Time     // when a segment last came in its place

	begun       bool // first and last are valid
	first, last int64
	missing     []span // between first and last, given up; ascending
	ended       bool
	endedAt     time.Time

	sent   bool // the stages hold state of this stream
	broken bool // the next segment does not follow the one before it
	epoch  time.Time
	// context is the first segment that is to be read again as context; -1 where that is not known.
	context int64
	end     time.Time // the latest end of any segment, where times were told

	waiting []waiter // ascending by sequence
	// unnumbered are the last segments without a number, by which their copies are known.
	unnumbered []fingerprint
}

// fingerprint is what a segment without a number is known by.
type fingerprint struct {
	start  time.Time
	sha256 string
}

// maxPrints bounds how many are remembered of a stream: a sender tries the last one again, not one of minutes ago.
const maxPrints = 16

// repeats says whether an unnumbered segment was here before, and remembers it.
func (l *line) repeats(segment *stream.Segment) bool {
	if segment.Start.IsZero() || segment.SHA256 == "" || segment.Problem != nil {
		return false
	}
	seen := fingerprint{start: segment.Start, sha256: segment.SHA256}
	if slices.Contains(l.unnumbered, seen) {
		return true
	}
	if len(l.unnumbered) == maxPrints {
		l.unnumbered = slices.Delete(l.unnumbered, 0, 1)
	}
	l.unnumbered = append(l.unnumbered, seen)
	return false
}

type waiter struct {
	segment *stream.Segment
	since   time.Time
}

// span is from..to, both included.
type span struct{ from, to int64 }

// maxSpans bounds what is remembered of the gaps of one stream; what is forgotten counts as late rather than duplicate.
const maxSpans = 64

// Push takes a segment in and returns what goes on now, in order.
func (o *Order) Push(now time.Time, segment *stream.Segment) []*stream.Segment {
	o.counters.Received.Add(1)
	if segment.Retried {
		return o.again(segment)
	}
	l, out := o.line(now, segment.Stream)
	if !segment.Sequenced {
		return append(out, o.pass(now, l, segment)...)
	}
	if l.ended {
		if o.repeatsEnded(now, l, segment) {
			o.duplicate(segment)
			return out
		}
		l.beginAnew(false)
	}
	if l.countsAnew(segment) {
		o.counters.Restarts.Add(1)
		out = append(out, o.release(now, l, len(l.waiting))...)
		l.beginAnew(true)
	}
	switch {
	case segment.ContextOnly && !l.begun && segment.Sequence < l.context:
		o.counters.Passed.Add(1)
		segment.Receipt.Done(segment.ID()) // it was done before, and what comes after the context does not need it
		return out
	case l.begun && segment.Sequence <= l.last:
		return append(out, o.past(now, l, segment)...)
	case l.waits(segment.Sequence):
		o.duplicate(segment)
		return out
	}
	o.wait(now, l, segment)
	out = append(out, o.release(now, l, 0)...)
	return append(out, o.bound(now, l)...)
}

// Tick gives up what was waited for long enough, and forgets idle streams.
func (o *Order) Tick(now time.Time) []*stream.Segment {
	var out []*stream.Segment
	for _, l := range o.waitingLines() {
		out = append(out, o.release(now, l, 0)...)
	}
	for e := o.idle.Front(); e != nil; e = o.idle.Front() {
		l := e.Value.(*line)
		if now.Sub(l.active) < o.cfg.Evict {
			break
		}
		if len(l.waiting) > 0 { // only where Grace is longer than Evict
			o.touch(now, l)
			continue
		}
		out = append(out, o.forget(now, l)...)
	}
	return out
}

// Deadline is when Tick is next due; zero means not before the next Push.
func (o *Order) Deadline() time.Time {
	var next time.Time
	if e := o.idle.Front(); e != nil {
		next = e.Value.(*line).active.Add(o.cfg.Evict)
	}
	for l := range o.waiting {
		if due := l.since().Add(o.cfg.Grace); next.IsZero() || due.Before(next) {
			next = due
		}
	}
	return next
}

// Interrupted says that the source lost an unknown number of segments. Numbered streams tell a gap by themselves; the next
// segment of every other one gets Gap.
func (o *Order) Interrupted() {
	for _, l := range o.lines {
		l.broken = l.broken || !l.begun
	}
}

// Forget drops everything, what waits included (unacknowledged), and returns a MarkForget for every stream the stages hold
// state of.
func (o *Order) Forget(now time.Time) []*stream.Segment {
	var out []*stream.Segment
	for _, name := range sortedKeys(o.lines) {
		if o.lines[name].sent {
			moved := forgetSegment(now, name, o.lines[name].last)
			moved.Moved = true
			out = append(out, moved)
		}
	}
	o.lines, o.waiting = map[string]*line{}, map[*line]struct{}{}
	o.idle.Init()
	o.count, o.bytes = 0, 0
	return out
}

// Expect says what is known of a stream before anything of it is read: where the segments begin that are read again as its context, and
// when the stream began. The stages hold nothing of it yet; where it stays away they are told to forget it all the same, so that what was
// saved of it is removed.
func (o *Order) Expect(now time.Time, saved *stream.Saved) {
	l, _ := o.line(now, saved.Stream)
	l.sent, l.epoch = true, saved.Epoch
	if saved.Numbered {
		l.context = saved.Needed
	}
}

// again sends on what was a dead letter. Its place has passed, often long ago, and is not to be told from that of a duplicate.
func (o *Order) again(segment *stream.Segment) []*stream.Segment {
	segment.Alone, segment.Mark = true, stream.MarkNone
	o.counters.Emitted.Add(1)
	return []*stream.Segment{segment}
}

// line finds or begins the line of a stream; beginning one too many forgets the one idle for longest (invariant 6).
func (o *Order) line(now time.Time, name string) (*line, []*stream.Segment) {
	if l := o.lines[name]; l != nil {
		return l, nil
	}
	var out []*stream.Segment
	if len(o.lines) >= o.bounds.Streams {
		oldest := o.idle.Front().Value.(*line)
		out = append(o.release(now, oldest, len(oldest.waiting)), o.forget(now, oldest)...)
	}
	l := &line{name: name, active: now, context: -1}
	l.place = o.idle.PushBack(l)
	o.lines[name] = l
	return l, out
}

func (o *Order) touch(now time.Time, l *line) {
	l.active = now
	o.idle.MoveToBack(l.place)
}

// pass sends an unnumbered segment on. Its end of the stream comes after everything that still waits.
func (o *Order) pass(now time.Time, l *line, segment *stream.Segment) []*stream.Segment {
	if l.repeats(segment) {
		o.duplicate(segment)
		return nil
	}
	var out []*stream.Segment
	if segment.Mark == stream.MarkEnd && segment.Problem == nil {
		out = o.release(now, l, len(l.waiting))
	}
	o.counters.Emitted.Add(1)
	if segment.Problem != nil && (l.begun || len(l.waiting) > 0) {
		// Its number could not be read: in a numbered stream nobody knows its place, so it must not change what follows.
		segment.Alone, segment.Mark = true, stream.MarkNone
		return append(out, segment)
	}
	o.touch(now, l)
	l.send(now, segment)
	return append(out, segment)
}

// repeatsEnded tells a copy of a segment of the run that ended from the first segments of a new run.
func (o *Order) repeatsEnded(now time.Time, l *line, segment *stream.Segment) bool {
	return l.begun && segment.Sequence > l.first && segment.Sequence <= l.last &&
		now.Sub(l.endedAt) < o.cfg.Grace && !l.startsLater(segment)
}

// past deals with a segment whose place has passed: it was there, or it was given up.
func (o *Order) past(now time.Time, l *line, segment *stream.Segment) []*stream.Segment {
	if segment.Sequence >= l.first && !l.takeMissing(segment.Sequence) {
		o.duplicate(segment)
		return nil
	}
	o.counters.Late.Add(1)
	if o.cfg.Late == LateDrop || segment.ContextOnly {
		o.counters.Dropped.Add(1)
		segment.Receipt.Done(segment.ID())
		return nil
	}
	if o.cfg.Late == LateDeadLetter && segment.Problem == nil {
		segment.Problem = stream.Fail("ingest", CodeLate,
			"%s came after its place in the stream was given up: raise ingest.order.grace (%s), or set ingest.order.late",
			segment.ID(), o.cfg.Grace)
	}
	// A latecomer never changes what follows it: no end, no state.
	segment.Alone, segment.Mark = true, stream.MarkNone
	if segment.Epoch.IsZero() && !segment.Start.IsZero() {
		segment.Epoch = l.epoch
	}
	o.counters.Emitted.Add(1)
	return []*stream.Segment{segment}
}

func (o *Order) duplicate(segment *stream.Segment) {
	o.counters.Duplicates.Add(1)
	segment.Receipt.Done(segment.ID())
}

func (o *Order) wait(now time.Time, l *line, segment *stream.Segment) {
	o.touch(now, l)
	at, _ := l.find(segment.Sequence)
	l.waiting = slices.Insert(l.waiting, at, waiter{segment: segment, since: now})
	l.note(segment)
	o.waiting[l] = struct{}{}
	o.count++
	o.bytes += int64(len(segment.Payload))
}

// release sends on what is due of one stream: what follows directly, what waited for Grace, and the first `forced` others.
func (o *Order) release(now time.Time, l *line, forced int) []*stream.Segment {
	var out []*stream.Segment
	for len(l.waiting) > 0 {
		head := l.waiting[0].segment
		follows := l.follows(head)
		if !follows && forced <= 0 && now.Sub(l.since()) < o.cfg.Grace {
			break
		}
		if !follows && l.begun {
			o.counters.Gaps.Add(1)
			l.giveUp(head.Sequence)
			head.Gap = true
		}
		forced--
		l.waiting = slices.Delete(l.waiting, 0, 1)
		o.count--
		o.bytes -= int64(len(head.Payload))
		l.reach(head.Sequence)
		l.send(now, head)
		o.counters.Emitted.Add(1)
		out = append(out, head)
		if l.ended && len(l.waiting) > 0 {
			l.beginAnew(false)
		}
	}
	if len(l.waiting) == 0 {
		delete(o.waiting, l)
	}
	if len(out) > 0 {
		o.touch(now, l)
	}
	return out
}

// bound gives missing segments up early while too much waits (invariant 6).
func (o *Order) bound(now time.Time, pushed *line) []*stream.Segment {
	var out []*stream.Segment
	if len(pushed.waiting) > o.bounds.PerStream {
		o.counters.Forced.Add(1)
		out = o.release(now, pushed, 1)
	}
	for len(o.waiting) > 0 && (o.count > o.bounds.Waiting || o.bytes > o.bounds.Bytes) {
		o.counters.Forced.Add(1)
		out = append(out, o.release(now, o.waitingLines()[0], 1)...)
	}
	return out
}

// waitingLines are the lines with something waiting, the one that waits for longest first.
func (o *Order) waitingLines() []*line {
	lines := make([]*line, 0, len(o.waiting))
	for l := range o.waiting {
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b *line) int {
		return cmp.Or(a.since().Compare(b.since()), cmp.Compare(a.name, b.name))
	})
	return lines
}

func (o *Order) forget(now time.Time, l *line) []*stream.Segment {
	o.idle.Remove(l.place)
	delete(o.lines, l.name)
	if !l.sent {
		return nil
	}
	o.counters.Evicted.Add(1)
	return []*stream.Segment{forgetSegment(now, l.name, l.last)}
}

func forgetSegment(now time.Time, name string, last int64) *stream.Segment {
	return &stream.Segment{
		Stream: name, Sequence: last, Mark: stream.MarkForget, Received: now, Receipt: stream.NoReceipt{},
	}
}

// follows says whether a segment is the next of its stream.
func (l *line) follows(segment *stream.Segment) bool {
	if !l.begun {
		return segment.Sequence <= 0 || segment.ContextOnly && (l.context < 0 || segment.Sequence == l.context)
	}
	return segment.Sequence-1 == l.last // no overflow: everything that waits is above last
}

// countsAnew says whether the sender began to count anew: a sequence seen before, at a time after everything seen.
func (l *line) countsAnew(segment *stream.Segment) bool {
	past := l.begun && segment.Sequence <= l.last
	return (past || l.waits(segment.Sequence)) && l.startsLater(segment)
}

// startsLater says whether a segment starts after everything seen of its stream ended.
func (l *line) startsLater(segment *stream.Segment) bool {
	return !segment.Start.IsZero() && !l.end.IsZero() && segment.Start.After(l.end)
}

// beginAnew forgets the sequences; broken says that what comes does not follow what was.
func (l *line) beginAnew(broken bool) {
	l.begun, l.ended, l.missing = false, false, nil
	l.broken = l.broken || broken
	l.end = time.Time{}
	for _, w := range l.waiting {
		l.note(w.segment)
	}
}

// note remembers the latest end of the stream, less a nanosecond, so that what starts at the end counts as after it; a copy of
// a segment of unknown length does not.
func (l *line) note(segment *stream.Segment) {
	if segment.Start.IsZero() {
		return
	}
	end := segment.Start.Add(max(segment.Duration-time.Nanosecond, 0))
	if end.After(l.end) {
		l.end = end
	}
}

// send marks a segment as it goes on, and the line by it.
func (l *line) send(now time.Time, segment *stream.Segment) {
	l.note(segment)
	segment.Gap = segment.Gap || l.broken
	l.broken = false
	if l.epoch.IsZero() {
		l.epoch = segment.Epoch
		if l.epoch.IsZero() {
			l.epoch = segment.Start
		}
	}
	if segment.Epoch.IsZero() && !segment.Start.IsZero() {
		segment.Epoch = l.epoch
	}
	l.sent = true
	if segment.Mark == stream.MarkEnd {
		l.sent, l.ended, l.endedAt, l.epoch = false, true, now, time.Time{}
	}
}

func (l *line) reach(sequence int64) {
	if !l.begun {
		l.begun, l.first = true, sequence
	}
	l.last = sequence
}

// giveUp remembers that what lies between the last segment and this sequence is missing.
func (l *line) giveUp(sequence int64) {
	l.missing = append(l.missing, span{l.last + 1, sequence - 1})
	if len(l.missing) > maxSpans {
		l.first = l.missing[0].to + 1
		l.missing = slices.Delete(l.missing, 0, 1)
	}
}

// takeMissing says whether a sequence was given up, and forgets that, so that a second copy is a duplicate.
func (l *line) takeMissing(sequence int64) bool {
	i := slices.IndexFunc(l.missing, func(s span) bool { return s.from <= sequence && sequence <= s.to })
	if i < 0 {
		return false
	}
	whole := l.missing[i]
	var rest []span
	if whole.from < sequence {
		rest = append(rest, span{whole.from, sequence - 1})
	}
	if sequence < whole.to {
		rest = append(rest, span{sequence + 1, whole.to})
	}
	l.missing = slices.Replace(l.missing, i, i+1, rest...)
	return true
}

func (l *line) find(sequence int64) (int, bool) {
	return slices.BinarySearchFunc(l.waiting, sequence, func(w waiter, sequence int64) int {
		return cmp.Compare(w.segment.Sequence, sequence)
	})
}

func (l *line) waits(sequence int64) bool {
	_, found := l.find(sequence)
	return found
}

// since is when the first of what waits arrived: from then on it is known that something is missing.
func (l *line) since() time.Time {
	since := l.waiting[0].since
	for _, w := range l.waiting[1:] {
		if w.since.Before(since) {
			since = w.since
		}
	}
	return since
}
