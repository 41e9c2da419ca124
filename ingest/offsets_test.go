package ingest

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// ledger is offsets with the segments that went through it.
type ledger struct {
	*offsets
	sentSegments map[int64]*stream.Segment
}

func newLedger(start int64) *ledger {
	return &ledger{newOffsets(start, progress{Base: start, Next: start}), map[int64]*stream.Segment{}}
}

// feed reads a record and sends its segment on.
func (l *ledger) feed(offset int64, name string, sequence int64, edits ...func(*stream.Segment)) fate {
	known := l.take(offset)
	if known == fatePass {
		return known
	}
	s := &stream.Segment{
		Stream: name, Sequence: sequence, Sequenced: true, Payload: []byte{1}, Origin: stream.Origin{Topic: "t", Offset: offset},
		ContextOnly: known == fateContext,
	}
	for _, edit := range edits {
		edit(s)
	}
	s.Receipt = l.receipt(s)
	l.sent(s)
	l.sentSegments[offset] = s
	return known
}

// finish is the pipeline's Done of the record at offset, which needs its stream from needed on.
func (l *ledger) finish(offset, needed int64) {
	s := l.sentSegments[offset]
	s.Receipt.Done(stream.SegmentID{Stream: s.Stream, Sequence: needed})
}

func TestOffsetsHoldBackWhatIsNeeded(t *testing.T) {
	// Invariant 3, row by row.
	l := newLedger(10)
	require.Equal(t, progress{Base: 10, Next: 10}, bare(l.progress()))
	l.feed(10, "a", 0)
	l.feed(11, "b", 0)
	l.feed(12, "a", 1)
	require.Equal(t, progress{Base: 10, Next: 13, Pending: []int64{10, 11, 12}}, bare(l.progress()), "all in flight")
	l.finish(12, 1) // out of turn
	require.Equal(t, progress{Base: 10, Next: 13, Pending: []int64{10, 11}, Needed: []int64{12}}, bare(l.progress()))
	l.finish(10, 0)
	require.Equal(t, progress{Base: 11, Next: 13, Pending: []int64{11}, Needed: []int64{12}}, bare(l.progress()),
		"a/0 is needed no more, as a/1 said")
	l.finish(11, 0)
	require.Equal(t, progress{Base: 11, Next: 13, Needed: []int64{11, 12}}, bare(l.progress()), "b/0 is needed by b/1")
	l.feed(13, "b", 1)
	l.finish(13, 1)
	require.Equal(t, progress{Base: 12, Next: 14, Needed: []int64{12, 13}}, bare(l.progress()))
	l.feed(14, "a", 2, ending)
	l.finish(14, 2)
	require.Equal(t, progress{Base: 13, Next: 15, Needed: []int64{13}}, bare(l.progress()), "a ended: nothing of it is needed")
	forget := forgetSegment(t0, "b", 1)
	l.sent(forget)
	require.EqualValues(t, 13, l.progress().Base, "not yet forgotten")
	forget.Receipt.Done(stream.SegmentID{})
	require.Equal(t, progress{Base: 15, Next: 15}, bare(l.progress()))
}

// bare makes empty lists nil.
func bare(p progress) progress {
	p.Pending, p.Needed = append([]int64(nil), p.Pending...), append([]int64(nil), p.Needed...)
	return p
}

func TestOffsetsContextAcrossSeveralSegments(t *testing.T) {
	l := newLedger(0)
	for i := range int64(5) {
		l.feed(i, "a", i)
		l.finish(i, max(i-2, 0)) // three segments of context
	}
	require.Equal(t, progress{Base: 2, Next: 5, Needed: []int64{2, 3, 4}}, bare(l.progress()))
}

func TestOffsetsOrderOfTheStreamIsNotThatOfTheTopic(t *testing.T) {
	l := newLedger(0)
	l.take(0) // a/1, waits for a/0
	require.Equal(t, fateNew, l.feed(1, "a", 0))
	l.finish(1, 0)
	require.Equal(t, progress{Base: 0, Next: 2, Pending: []int64{0}, Needed: []int64{1}}, bare(l.progress()))
}

func TestOffsetsUnknownNeedLetsNothingGo(t *testing.T) {
	l := newLedger(0)
	l.feed(0, "a", 0)
	l.finish(0, 0)
	l.feed(1, "a", 1)
	l.finish(1, 77)
	require.EqualValues(t, 0, l.progress().Base)
	l.feed(2, "a", 2)
	l.sentSegments[2].Receipt.Done(stream.SegmentID{})
	require.EqualValues(t, 3, l.progress().Base, "the empty ID: nothing is needed")
}

func TestOffsetsLetGoByPlaceNotByNumber(t *testing.T) {
	// The sender counts anew: number 0 comes after number 9.
	l := newLedger(0)
	l.feed(0, "a", 9)
	l.finish(0, 9)
	l.feed(1, "a", 0)
	l.finish(1, 0)
	require.Equal(t, progress{Base: 1, Next: 2, Needed: []int64{1}}, bare(l.progress()))
}

func TestOffsetsSegmentsWithoutTokensHoldNothing(t *testing.T) {
	l := newLedger(0)
	problem := func(s *stream.Segment) { s.Problem = stream.Fail("ingest", "x.y", "bad") }
	l.feed(0, "poison", 0, problem)
	l.finish(0, 0)
	require.EqualValues(t, 1, l.progress().Base, "what cannot be decoded is nobody's context")
	l.feed(1, "a", 0, func(s *stream.Segment) { s.Alone = true })
	l.finish(1, 0)
	require.EqualValues(t, 2, l.progress().Base)
}

func TestOffsetsDuplicatesAndDrops(t *testing.T) {
	l := newLedger(0)
	l.feed(0, "a", 0)
	l.finish(0, 0)
	require.Equal(t, fateNew, l.take(1)) // a/0 again: the Order acknowledges it
	s := &stream.Segment{Stream: "a", Origin: stream.Origin{Offset: 1}}
	l.receipt(s).Done(s.ID())
	require.Equal(t, progress{Base: 0, Next: 2, Needed: []int64{0}}, bare(l.progress()), "done, and moved nothing")
}

func TestOffsetsAfterARestart(t *testing.T) {
	l := newLedger(0)
	names := []string{"a", "b", "c"}
	for i := range int64(9) {
		l.feed(i, names[i%3], i/3)
	}
	for _, i := range []int64{0, 1, 2, 3, 6} { // all of a, and the first of b and c
		l.finish(i, i/3)
	}
	before := l.progress()
	require.Equal(t, progress{Base: 1, Next: 9, Pending: []int64{4, 5, 7, 8}, Needed: []int64{1, 2, 6}}, bare(before))

	prior, err := parseProgress(before.Base, before.text(maxMetadata))
	require.NoError(t, err)
	l = &ledger{newOffsets(prior.Base, prior), map[int64]*stream.Segment{}}
	require.Equal(t, before, l.progress(), "nothing is forgotten before it is read again")
	want := map[int64]fate{1: fateContext, 2: fateContext, 3: fatePass, 6: fateContext} // all others are new
	for i := int64(1); i < 10; i++ {
		require.Equal(t, want[i], l.feed(i, names[i%3], i/3), "offset %d", i)
		if i < 9 {
			require.Equal(t, before, l.progress(), "nor while it is: after offset %d", i)
		}
	}
	l.finish(1, 0) // b/0, only context
	require.EqualValues(t, 1, l.progress().Base, "b/1 still needs it")
	l.finish(4, 1)
	l.finish(2, 0)
	require.EqualValues(t, 2, l.progress().Base)
}

func TestOffsetsNeededThatIsGoneHoldsNothing(t *testing.T) {
	o := newOffsets(5, progress{Base: 5, Next: 9, Needed: []int64{5, 7}, Pending: []int64{6}})
	require.EqualValues(t, 5, o.progress().Base)
	o.advance(7) // compacted away
	require.EqualValues(t, 7, o.progress().Base)
	o.restart(20) // retention
	require.Equal(t, progress{Base: 20, Next: 20}, bare(o.progress()))
}

func TestOffsetsOfATopicMadeAnew(t *testing.T) {
	l := newLedger(100)
	l.feed(100, "a", 0)
	l.restart(0)
	l.take(0)
	require.Equal(t, progress{Base: 0, Next: 1, Pending: []int64{0}}, bare(l.progress()))
	old := l.sentSegments[100].Receipt.(*receipt)
	old.offset = 0 // the worst case: the same offset in both topics
	old.Done(stream.SegmentID{Stream: "a"})
	require.Equal(t, []int64{0}, l.progress().Pending, "a receipt of the old topic says nothing of the new one")
	require.Zero(t, l.drain(time.Second))
}

func TestOffsetsIgnoreReceiptsAfterTheDrain(t *testing.T) {
	l := newLedger(0)
	l.feed(0, "a", 0)
	require.Equal(t, 1, l.drain(time.Millisecond), "one is under way")
	l.finish(0, 0)
	require.Equal(t, []int64{0}, l.progress().Pending, "it belongs to the next owner")
}

func TestOffsetsDrainWaits(t *testing.T) {
	l := newLedger(0)
	l.feed(0, "a", 0)
	go func() {
		time.Sleep(20 * time.Millisecond)
		l.finish(0, 0)
	}()
	require.Zero(t, l.drain(10*time.Second))
	require.Empty(t, l.progress().Pending)
}

// FuzzOffsets: whatever the order of reading and finishing, and wherever the process dies, the next owner processes exactly what
// was not done, and gets as context exactly what was needed (invariant 3).
func FuzzOffsets(f *testing.F) {
	f.Add(uint64(1), uint8(30), uint8(10))
	f.Add(uint64(2), uint8(200), uint8(100))
	f.Fuzz(func(t *testing.T, seed uint64, records, finished uint8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		l := newLedger(0)
		sequence := map[string]int64{}
		var order []int64 // offsets in flight
		last := map[string]int64{}
		results := map[int64]bool{}
		read, written := int64(0), 0
		finishOne := func() {
			if len(order) == 0 {
				return
			}
			at := rnd.IntN(len(order))
			offset := order[at]
			name := l.sentSegments[offset].Stream
			for i, other := range order { // a stream's segments finish in order
				if l.sentSegments[other].Stream == name {
					at, offset = i, other
					break
				}
			}
			order = slices.Delete(order, at, at+1)
			l.finish(offset, l.sentSegments[offset].Sequence)
			last[name], results[offset] = offset, true
			written++
		}
		for read < int64(records) || written < int(finished) && len(order) > 0 {
			if read < int64(records) && (rnd.IntN(2) == 0 || len(order) == 0) {
				name := []string{"a", "b", "c"}[rnd.IntN(3)]
				l.feed(read, name, sequence[name])
				order = append(order, read)
				sequence[name]++
				read++
				continue
			}
			if written < int(finished) {
				finishOne()
			} else if read == int64(records) {
				break
			}
		}
		p := l.progress()
		prior, err := parseProgress(p.Base, p.text(maxMetadata))
		require.NoError(t, err)
		next := newOffsets(prior.Base, prior)
		for offset := range int64(records) {
			want := fateNew
			switch {
			case !results[offset]:
			case slices.Contains(slices.Collect(maps.Values(last)), offset):
				want = fateContext
			default:
				want = fatePass
			}
			if offset < p.Base {
				require.Equal(t, fatePass, want, "offset %d is before the committed one", offset)
				continue
			}
			require.Equal(t, want, next.take(offset), "offset %d of %+v", offset, p)
		}
	})
}

// What is held back for the sake of context is bounded; what is not done is held back whatever it costs (invariant 3).
func TestContextIsHeldBackSoFarAndNoFurther(t *testing.T) {
	o := newOffsets(0, progress{})
	o.limit = 10
	send := func(name string, offset int64) *stream.Segment {
		o.take(offset)
		segment := &stream.Segment{Stream: name, Sequence: offset, Payload: []byte("video"), Origin: stream.Origin{Offset: offset}}
		segment.Receipt = o.receipt(segment)
		o.sent(segment)
		return segment
	}
	pauses := send("pauses", 0)
	pauses.Receipt.Done(pauses.ID())
	stuck := send("stuck", 1)
	for offset := int64(2); offset < 11; offset++ {
		segment := send("goes on", offset)
		segment.Receipt.Done(segment.ID())
	}
	require.Zero(t, o.takeGiven())
	require.EqualValues(t, 1, o.progress().Base, "11 records are one too many for the stream that pauses")
	require.EqualValues(t, 1, o.takeGiven())
	for offset := int64(11); offset < 40; offset++ {
		segment := send("goes on", offset)
		segment.Receipt.Done(segment.ID())
	}
	require.EqualValues(t, 1, o.progress().Base, "what is not done stays")
	stuck.Receipt.Done(stuck.ID())
	require.EqualValues(t, 39, o.progress().Base)
	require.EqualValues(t, 1, o.takeGiven(), "the stream that was stuck has its context too far behind as well")
	require.Zero(t, o.takeGiven())
}
