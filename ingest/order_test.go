package ingest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// acks counts how often segments were acknowledged, by ID.
type acks map[string]int

type ack struct {
	to acks
	id string
}

func (a ack) Done(stream.SegmentID) { a.to[a.id]++ }

// t0 is when the tests' streams begin.
var t0 = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// numbered makes a numbered segment; edits change it.
func numberedSegment(to acks, name string, sequence int64, edits ...func(*stream.Segment)) *stream.Segment {
	s := &stream.Segment{Stream: name, Sequence: sequence, Sequenced: true, Payload: []byte{1}}
	for _, edit := range edits {
		edit(s)
	}
	s.Receipt = ack{to, s.ID().String()}
	return s
}

func unnumbered(s *stream.Segment) { s.Sequenced = false }
func ending(s *stream.Segment)     { s.Mark = stream.MarkEnd }
func again(s *stream.Segment)      { s.ContextOnly = true }
func broken(s *stream.Segment)     { s.Problem = stream.Fail("ingest", "x.y", "bad") }

func from(start time.Duration) func(*stream.Segment) {
	return func(s *stream.Segment) { s.Start, s.Duration = t0.Add(start), 2*time.Second }
}

// show writes segments as "0 1! 3g E": ! is the end, g a gap, a alone, p a problem, ~ forget.
func show(segments []*stream.Segment) string {
	var words []string
	for _, s := range segments {
		word := fmt.Sprint(s.Sequence)
		for flag, set := range map[string]bool{
			"!": s.Mark == stream.MarkEnd, "~": s.Mark == stream.MarkForget, "g": s.Gap, "p": s.Problem != nil,
		} {
			if set {
				word += flag
			}
		}
		if s.Alone {
			word += "a"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// step is something that happens to an Order at a time, and what must come of it.
type step struct {
	at   time.Duration
	push *stream.Segment // nil: tick
	want string
}

func TestOrder(t *testing.T) {
	to := acks{}
	n := func(sequence int64, edits ...func(*stream.Segment)) *stream.Segment {
		return numberedSegment(to, "cam", sequence, edits...)
	}
	const ms = time.Millisecond
	tests := map[string]struct {
		late  Late
		steps []step
		check func(t *testing.T, c *Counters)
	}{
		"in order": {steps: []step{{0, n(0), "0"}, {0, n(1), "1"}, {0, n(2), "2"}}},
		"out of order within grace": {steps: []step{
			{0, n(0), "0"}, {0, n(2), ""}, {0, n(3), ""}, {900 * ms, nil, ""}, {900 * ms, n(1), "1 2 3"},
		}},
		"the first segments of a stream are sorted too": {steps: []step{
			{0, n(7), ""}, {0, n(5), ""}, {0, n(6), ""}, {999 * ms, nil, ""}, {1000 * ms, nil, "5 6 7"}, {1000 * ms, n(8), "8"},
		}},
		"what is read again as context waits for nothing": {steps: []step{{0, n(7, again), "7"}, {0, n(8), "8"}}},
		"a gap is given up after grace": {
			steps: []step{{0, n(0), "0"}, {0, n(3), ""}, {500 * ms, n(2), ""}, {999 * ms, nil, ""}, {1000 * ms, nil, "2g 3"}},
			check: func(t *testing.T, c *Counters) { require.EqualValues(t, 1, c.Gaps.Load()) },
		},
		"two gaps each get their grace": {steps: []step{
			{0, n(0), "0"}, {0, n(2), ""}, {600 * ms, n(4), ""}, {1000 * ms, nil, "2g"}, {1599 * ms, nil, ""}, {1600 * ms, nil, "4g"},
		}},
		"duplicates are acknowledged and never sent again": {
			steps: []step{{0, n(0), "0"}, {0, n(1), "1"}, {0, n(0), ""}, {0, n(1), ""}, {0, n(3), ""}, {0, n(3), ""}, {0, n(2), "2 3"}},
			check: func(t *testing.T, c *Counters) { require.EqualValues(t, 3, c.Duplicates.Load()) },
		},
		"late becomes a dead letter": {
			late:  LateDeadLetter,
			steps: []step{{0, n(0), "0"}, {0, n(2), ""}, {time.Second, nil, "2g"}, {time.Second, n(1), "1pa"}, {time.Second, n(3), "3"}},
			check: func(t *testing.T, c *Counters) { require.EqualValues(t, 1, c.Late.Load()) },
		},
		"late is scored alone": {
			late:  LateScoreAlone,
			steps: []step{{0, n(0), "0"}, {0, n(2), ""}, {time.Second, nil, "2g"}, {time.Second, n(1), "1a"}, {time.Second, n(3), "3"}},
		},
		"late is dropped": {
			late:  LateDrop,
			steps: []step{{0, n(0), "0"}, {0, n(2), ""}, {time.Second, nil, "2g"}, {time.Second, n(1), ""}, {time.Second, n(3), "3"}},
			check: func(t *testing.T, c *Counters) { require.EqualValues(t, 1, c.Dropped.Load()) },
		},
		"a second copy of a late one is a duplicate": {
			late: LateScoreAlone,
			steps: []step{
				{0, n(0), "0"},
				{0, n(4), ""},
				{time.Second, nil, "4g"},
				{time.Second, n(2), "2a"},
				{time.Second, n(2), ""},
				{time.Second, n(1), "1a"},
			},
			check: func(t *testing.T, c *Counters) { require.EqualValues(t, 1, c.Duplicates.Load()) },
		},
		"before the first one is late": {
			late:  LateScoreAlone,
			steps: []step{{0, n(5), ""}, {time.Second, nil, "5"}, {time.Second, n(4), "4a"}},
		},
		"a late end ends nothing": {
			late:  LateScoreAlone,
			steps: []step{{0, n(0), "0"}, {0, n(2), ""}, {time.Second, nil, "2g"}, {time.Second, n(1, ending), "1a"}, {time.Second, n(3), "3"}},
		},
		"unnumbered segments pass straight through": {steps: []step{
			{0, n(9, unnumbered), "9"}, {0, n(3, unnumbered), "3"}, {0, n(12, unnumbered), "12"},
		}},
		"an unnumbered end comes after what waits": {steps: []step{
			{0, n(0), "0"}, {0, n(2), ""}, {0, n(100, unnumbered, ending), "2g 100!"},
		}},
		"a sender that counts anew is no latecomer": {
			steps: []step{
				{0, n(10, from(0)), ""},
				{time.Second, nil, "10"},
				{time.Second, n(11, from(2*time.Second)), "11"},
				{2 * time.Second, n(0, from(9*time.Second)), "0g"},
				{2 * time.Second, n(1, from(11*time.Second)), "1"},
			},
			check: func(t *testing.T, c *Counters) { require.EqualValues(t, 1, c.Restarts.Load()) },
		},
		"a sender that counts anew where the last segment ended": {steps: []step{
			{0, n(0, from(0)), "0"}, {0, n(0, from(2*time.Second)), "0g"},
		}},
		"counting anew sends on what waits": {steps: []step{
			{0, n(0, from(0)), "0"}, {0, n(2, from(4*time.Second)), ""}, {0, n(0, from(9*time.Second)), "2g 0g"},
		}},
		"the same time is a copy, not a new count": {
			steps: []step{
				{0, n(0, from(0)), "0"},
				{0, n(1, from(2*time.Second)), "1"},
				{0, n(0, from(0)), ""},
				{0, n(1, from(2*time.Second)), ""},
			},
			check: func(t *testing.T, c *Counters) { require.EqualValues(t, 2, c.Duplicates.Load()) },
		},
		"a stream begins again after its end": {steps: []step{
			{0, n(0), "0"}, {0, n(1, ending), "1!"}, {0, n(0), "0"}, {0, n(1), "1"},
		}},
		"a copy of the end is a duplicate for a while": {
			steps: []step{
				{0, n(0), "0"},
				{0, n(1), "1"},
				{0, n(2, ending), "2!"},
				{0, n(1), ""},
				{0, n(2, ending), ""},
				{2 * time.Second, n(1), ""},
				{3 * time.Second, nil, "1"},
			},
			check: func(t *testing.T, c *Counters) { require.EqualValues(t, 2, c.Duplicates.Load()) },
		},
		"the end waits for its turn": {steps: []step{{0, n(0), "0"}, {0, n(2, ending), ""}, {0, n(1), "1 2!"}}},
		"what waits behind the end begins a new run": {steps: []step{
			{0, n(0), "0"}, {0, n(3), ""}, {0, n(2, ending), ""}, {0, n(1), "1 2!"}, {time.Second, nil, "3"},
		}},
		"an idle stream is forgotten": {
			steps: []step{
				{0, n(0), "0"}, {9999 * ms, nil, ""}, {10 * time.Second, nil, "0~"}, {10 * time.Second, nil, ""}, {11 * time.Second, n(0), "0"},
			},
			check: func(t *testing.T, c *Counters) { require.EqualValues(t, 1, c.Evicted.Load()) },
		},
		"duplicates do not keep a stream alive": {steps: []step{
			{0, n(0), "0"}, {9 * time.Second, n(0), ""}, {10 * time.Second, nil, "0~"},
		}},
		"an ended stream needs no forgetting": {steps: []step{{0, n(0, ending), "0!"}, {time.Minute, nil, ""}}},
		"a record whose number cannot be read changes nothing": {steps: []step{
			{0, n(0), "0"}, {0, n(77, unnumbered, broken), "77pa"}, {0, n(1), "1"},
		}},
		"the largest number": {steps: []step{
			{0, n(0), "0"}, {0, n(math.MaxInt64), ""}, {time.Second, nil, fmt.Sprint(math.MaxInt64) + "g"}, {time.Second, n(math.MaxInt64), ""},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.late == "" {
				test.late = LateDeadLetter
			}
			var c Counters
			o := NewOrder(OrderConfig{Grace: time.Second, Late: test.late, Evict: 10 * time.Second}, DefaultBounds(), &c)
			pushed, emitted := 0, 0
			for i, s := range test.steps {
				now := t0.Add(s.at)
				var got []*stream.Segment
				if s.push == nil {
					got = o.Tick(now)
				} else {
					copied := *s.push // the same segment may be pushed twice
					got = o.Push(now, &copied)
					pushed++
				}
				require.Equal(t, s.want, show(got), "step %d", i)
				for _, segment := range got {
					if segment.Mark != stream.MarkForget {
						emitted++
					}
				}
			}
			require.EqualValues(t, pushed, c.Received.Load())
			require.EqualValues(t, emitted, c.Emitted.Load())
			require.EqualValues(t, pushed, c.Emitted.Load()+c.Dropped.Load()+c.Duplicates.Load()+int64(o.count), "the counts add up")
			if test.check != nil {
				test.check(t, &c)
			}
		})
	}
}

func TestOrderAcknowledgesWhatItKeeps(t *testing.T) {
	to := acks{}
	var c Counters
	o := NewOrder(OrderConfig{Grace: time.Second, Late: LateDrop, Evict: time.Minute}, DefaultBounds(), &c)
	o.Push(t0, numberedSegment(to, "cam", 0))
	o.Push(t0, numberedSegment(to, "cam", 0))
	o.Push(t0, numberedSegment(to, "cam", 2))
	o.Tick(t0.Add(time.Second))
	o.Push(t0.Add(time.Second), numberedSegment(to, "cam", 1))
	require.Equal(t, acks{"cam/0": 1, "cam/1": 1}, to, "the duplicate and the dropped one, once each")
}

func TestOrderDeadline(t *testing.T) {
	var c Counters
	o := NewOrder(OrderConfig{Grace: time.Second, Late: LateDrop, Evict: time.Minute}, DefaultBounds(), &c)
	require.True(t, o.Deadline().IsZero())
	o.Push(t0, numberedSegment(acks{}, "a", 0))
	require.Equal(t, t0.Add(time.Minute), o.Deadline(), "the eviction of a")
	o.Push(t0.Add(time.Second), numberedSegment(acks{}, "b", 5))
	require.Equal(t, t0.Add(2*time.Second), o.Deadline(), "the grace of b")
	require.Len(t, o.Tick(o.Deadline()), 1)
	require.Equal(t, t0.Add(time.Minute), o.Deadline())
}

func TestOrderTellsStreamsApart(t *testing.T) {
	var c Counters
	o := NewOrder(OrderConfig{Grace: time.Second, Late: LateDrop, Evict: time.Minute}, DefaultBounds(), &c)
	require.Len(t, o.Push(t0, numberedSegment(acks{}, "a", 0)), 1)
	require.Empty(t, o.Push(t0, numberedSegment(acks{}, "a", 2)))
	require.Len(t, o.Push(t0, numberedSegment(acks{}, "b", 0)), 1, "b does not wait for a")
	require.Len(t, o.Push(t0, numberedSegment(acks{}, "b", 1)), 1)
}

func TestOrderEpoch(t *testing.T) {
	var c Counters
	o := NewOrder(OrderConfig{Grace: time.Second, Late: LateDrop, Evict: time.Minute}, DefaultBounds(), &c)
	o.Push(t0, numberedSegment(acks{}, "cam", 6, from(8*time.Second)))
	got := o.Push(t0, numberedSegment(acks{}, "cam", 5, from(6*time.Second)))
	got = append(got, o.Tick(t0.Add(time.Second))...)
	require.Equal(t, "5 6", show(got))
	require.Equal(t, t0.Add(6*time.Second), got[0].Epoch, "the first sent on, not the first that came")
	require.Equal(t, t0.Add(6*time.Second), got[1].Epoch)
	got = o.Push(t0, numberedSegment(acks{}, "cam", 7, from(10*time.Second), func(s *stream.Segment) { s.Epoch = t0 }))
	require.Equal(t, t0, got[0].Epoch, "what the sender told stays")
	got = o.Push(t0, numberedSegment(acks{}, "cam", 8))
	require.True(t, got[0].Epoch.IsZero(), "without a start there is nothing to count from the epoch")
}

func TestOrderIsBounded(t *testing.T) {
	// Invariant 6: whatever comes, no more than the bounds waits, and nothing is lost.
	var c Counters
	bounds := Bounds{PerStream: 4, Waiting: 10, Bytes: 1 << 20, Streams: 8}
	o := NewOrder(OrderConfig{Grace: time.Hour, Late: LateScoreAlone, Evict: 2 * time.Hour}, bounds, &c)
	emitted := 0
	count := func(segments []*stream.Segment) {
		for _, s := range segments {
			if s.Mark != stream.MarkForget {
				emitted++
			}
		}
	}
	for i := range int64(500) {
		name := fmt.Sprint(i % 20)
		count(o.Push(t0, numberedSegment(acks{}, name, 2*i+1)))
		require.LessOrEqual(t, o.count, bounds.Waiting)
		require.LessOrEqual(t, len(o.lines), bounds.Streams)
		require.Len(t, o.lines, o.idle.Len())
	}
	waiting := o.count
	count(o.Tick(t0.Add(time.Hour)))
	require.Equal(t, 500, emitted)
	require.Positive(t, waiting)
	require.Zero(t, o.bytes)

	t.Run("by bytes", func(t *testing.T) {
		narrow := Bounds{PerStream: 99, Waiting: 99, Bytes: 100, Streams: 9}
		o := NewOrder(OrderConfig{Grace: time.Hour, Late: LateDrop, Evict: 2 * time.Hour}, narrow, &c)
		big := func(s *stream.Segment) { s.Payload = make([]byte, 40) }
		require.Empty(t, o.Push(t0, numberedSegment(acks{}, "a", 5, big)))
		require.Empty(t, o.Push(t0, numberedSegment(acks{}, "b", 5, big)))
		require.Equal(t, "5", show(o.Push(t0.Add(time.Second), numberedSegment(acks{}, "c", 5, big))), "the one that waits for longest")
	})
	t.Run("by segments of a stream", func(t *testing.T) {
		o := NewOrder(OrderConfig{Grace: time.Hour, Late: LateDrop, Evict: 2 * time.Hour}, bounds, &c)
		o.Push(t0, numberedSegment(acks{}, "a", 0))
		for i := range int64(4) {
			require.Empty(t, o.Push(t0, numberedSegment(acks{}, "a", 2+i)))
		}
		require.Equal(t, "2g 3 4 5 6", show(o.Push(t0, numberedSegment(acks{}, "a", 6))))
	})
}

func TestBoundsAreShared(t *testing.T) {
	require.Equal(t, DefaultBounds(), DefaultBounds().share(1))
	require.Equal(t, Bounds{PerStream: 64, Waiting: 512, Bytes: 32 << 20, Streams: 2048}, DefaultBounds().share(8))
	require.Equal(t, Bounds{PerStream: 64, Waiting: 64, Bytes: 16 << 20, Streams: 1024}, DefaultBounds().share(1000))
}

func TestOrderForget(t *testing.T) {
	to := acks{}
	var c Counters
	o := NewOrder(OrderConfig{Grace: time.Second, Late: LateDrop, Evict: time.Minute}, DefaultBounds(), &c)
	o.Push(t0, numberedSegment(to, "b", 0))
	o.Push(t0, numberedSegment(to, "b", 2)) // waits
	o.Push(t0, numberedSegment(to, "a", 7, unnumbered))
	o.Push(t0, numberedSegment(to, "ended", 0, ending))
	o.Push(t0, numberedSegment(to, "only waiting", 3))
	got := o.Forget(t0)
	require.Len(t, got, 2)
	require.Equal(t, "a", got[0].Stream)
	require.Equal(t, "b", got[1].Stream)
	require.Equal(t, stream.MarkForget, got[0].Mark)
	require.NotNil(t, got[0].Receipt)
	require.Empty(t, to, "what waits is not acknowledged: it is read again")
	require.Empty(t, o.Tick(t0.Add(time.Hour)))
	require.True(t, o.Deadline().IsZero())
}

func TestOrderInterrupted(t *testing.T) {
	var c Counters
	o := NewOrder(OrderConfig{Grace: time.Second, Late: LateDrop, Evict: time.Minute}, DefaultBounds(), &c)
	o.Push(t0, numberedSegment(acks{}, "plain", 3, unnumbered))
	o.Push(t0, numberedSegment(acks{}, "counted", 0))
	o.Interrupted()
	require.Equal(t, "9g", show(o.Push(t0, numberedSegment(acks{}, "plain", 9, unnumbered))))
	require.Equal(t, "10", show(o.Push(t0, numberedSegment(acks{}, "plain", 10, unnumbered))))
	require.Equal(t, "1", show(o.Push(t0, numberedSegment(acks{}, "counted", 1))), "its numbers say that nothing is missing")
}

// FuzzOrder: whatever the order, the copies and the losses, every stream leaves sorted, a gap is marked exactly where a number is
// missing, and the counts add up.
func FuzzOrder(f *testing.F) {
	f.Add(uint64(1), uint8(20), uint8(0), uint8(0))
	f.Add(uint64(2), uint8(60), uint8(3), uint8(0))
	f.Add(uint64(3), uint8(200), uint8(20), uint8(20))
	f.Fuzz(func(t *testing.T, seed uint64, length, copies, losses uint8) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		bounds := DefaultBounds()
		bounds.PerStream = 1000 // everything within grace
		var c Counters
		to := acks{}
		o := NewOrder(OrderConfig{Grace: time.Second, Late: LateScoreAlone, Evict: time.Hour}, bounds, &c)

		numbers := map[string][]int64{"a": nil, "b": nil}
		var pushes []*stream.Segment
		first := int64(rnd.IntN(3))
		for i := range int64(length) {
			name := []string{"a", "b"}[rnd.IntN(2)]
			if rnd.IntN(256) < int(losses) {
				continue
			}
			numbers[name] = append(numbers[name], first+i)
			for range 1 + rnd.IntN(1+int(copies)/16) {
				pushes = append(pushes, numberedSegment(to, name, first+i))
			}
		}
		rnd.Shuffle(len(pushes), func(i, j int) { pushes[i], pushes[j] = pushes[j], pushes[i] })

		got := map[string][]*stream.Segment{}
		collect := func(segments []*stream.Segment) {
			for _, s := range segments {
				got[s.Stream] = append(got[s.Stream], s)
			}
		}
		now := t0
		for _, s := range pushes {
			collect(o.Push(now, s))
		}
		for range pushes { // every gap has its own grace at most
			now = now.Add(time.Second)
			collect(o.Tick(now))
		}
		for name, want := range numbers {
			var sequences []int64
			for i, s := range got[name] {
				sequences = append(sequences, s.Sequence)
				require.False(t, s.Alone)
				require.Equal(t, i > 0 && want[i] != want[i-1]+1, s.Gap, "%s/%d", name, s.Sequence)
			}
			require.True(t, slices.Equal(want, sequences), "want %v, got %v", want, sequences)
		}
		require.EqualValues(t, len(pushes), c.Received.Load())
		require.EqualValues(t, len(pushes), c.Emitted.Load()+c.Dropped.Load()+c.Duplicates.Load())
		require.Zero(t, o.count)
		require.Zero(t, o.bytes)
		acknowledged := 0
		for _, n := range to {
			acknowledged += n
		}
		require.EqualValues(t, c.Duplicates.Load(), acknowledged)
	})
}

func TestAnUnnumberedSegmentThatIsSentAgainIsADuplicate(t *testing.T) {
	var c Counters
	o := NewOrder(DefaultOrder(), DefaultBounds(), &c)
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	make := func(offset int64, start time.Duration, digest string) *stream.Segment {
		return &stream.Segment{
			Stream: "a", Sequence: offset, Start: at.Add(start), SHA256: digest, Payload: []byte("x"), Receipt: stream.NoReceipt{},
		}
	}
	require.Len(t, o.Push(at, make(0, 0, "one")), 1)
	require.Len(t, o.Push(at, make(1, time.Second, "one")), 1, "a stream that stands still: the same picture, later")
	require.Empty(t, o.Push(at, make(2, time.Second, "one")), "sent again")
	require.Len(t, o.Push(at, make(3, time.Second, "two")), 1, "the same time, other bytes")
	require.Len(t, o.Push(at, make(4, 2*time.Second, "")), 1)
	require.Len(t, o.Push(at, make(5, 2*time.Second, "")), 1, "without a digest nobody can tell")
	require.EqualValues(t, 1, c.Duplicates.Load())
}
