package pipelines

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/stream"
)

// testGate counts a second of video as its payload alone, for frames have no pixels.
func testGate(perStream int, memory int64) *gate {
	return newGate(&Definition{
		Decode: decode.Config{FPS: 8, Limits: decode.Limits{Bytes: 1 << 20, Duration: time.Minute}},
		Queues: Queues{Size: perStream, Full: FullBlock, Memory: memory},
	}, decode.Size{})
}

func sized(name string, sequence int64, bytes int) *stream.Segment {
	return &stream.Segment{Stream: name, Sequence: sequence, Duration: time.Second, Payload: make([]byte, bytes), Receipt: stream.NoReceipt{}}
}

// entering asks for a segment to be let in, and tells when it is.
func entering(ctx context.Context, g *gate, segment *stream.Segment) <-chan error {
	in := make(chan error, 1)
	go func() { in <- g.Enter(ctx, segment) }()
	return in
}

// Invariant 4: what a slow stream makes wait is itself.
func TestAStreamWithManySegmentsUnderWayWaitsForItselfAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := testGate(2, 10<<20)
		slow := []*stream.Segment{sized("slow", 0, 1000), sized("slow", 1, 1000), sized("slow", 2, 1000)}
		require.NoError(t, g.Enter(t.Context(), slow[0]))
		require.NoError(t, g.Enter(t.Context(), slow[1]))
		third := entering(t.Context(), g, slow[2])
		synctest.Wait()
		require.Empty(t, third)
		for i := range int64(2) {
			require.NoError(t, g.Enter(t.Context(), sized("quick", i, 1000)), "another stream does not wait for it")
		}
		g.Leave(slow[0])
		require.NoError(t, <-third)
	})
}

// Invariant 6: what is under way stays within the memory. Invariant 4: half of it is for streams with nothing under way.
func TestOnlyAStreamWithNothingUnderWayMayUseTheSecondHalfOfTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := testGate(8, 100_000)
		a := []*stream.Segment{sized("a", 0, 25_000), sized("a", 1, 25_000), sized("a", 2, 25_000)}
		require.NoError(t, g.Enter(t.Context(), a[0]))
		require.NoError(t, g.Enter(t.Context(), a[1]))
		more := entering(t.Context(), g, a[2])
		b, c := sized("b", 0, 25_000), sized("c", 0, 30_000)
		require.NoError(t, g.Enter(t.Context(), b))
		last := entering(t.Context(), g, c)
		synctest.Wait()
		require.Empty(t, more, "a has enough")
		require.Empty(t, last, "there is no room for c")
		used, peak := g.memory()
		require.EqualValues(t, 75_000, used)
		require.EqualValues(t, 75_000, peak)
		g.Leave(a[0])
		require.NoError(t, <-last)
		synctest.Wait()
		require.Empty(t, more)
		g.Leave(b)
		g.Leave(c)
		require.NoError(t, <-more)
	})
}

func TestASegmentLargerThanAllMemoryIsLetInAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := testGate(8, 100_000)
		small, large, after := sized("a", 0, 20_000), sized("b", 0, 500_000), sized("c", 0, 20_000)
		require.NoError(t, g.Enter(t.Context(), small))
		waits, behind := entering(t.Context(), g, large), (<-chan error)(nil)
		synctest.Wait()
		behind = entering(t.Context(), g, after)
		synctest.Wait()
		require.Empty(t, waits)
		require.Empty(t, behind, "nobody overtakes what waits for memory, or it would wait for ever")
		g.Leave(small)
		require.NoError(t, <-waits)
		synctest.Wait()
		require.Empty(t, behind)
		g.Leave(large)
		require.NoError(t, <-behind)
	})
}

func TestWhatDecodersHoldKeepsOthersOutUntilItIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := testGate(8, 100_000)
		first := sized("a", 0, 20_000)
		require.NoError(t, g.Enter(t.Context(), first))
		g.burden(70_000)
		next := entering(t.Context(), g, sized("b", 0, 20_000))
		synctest.Wait()
		require.Empty(t, next)
		g.burden(-70_000)
		require.NoError(t, <-next)
		used, peak := g.memory()
		require.EqualValues(t, 40_000, used)
		require.EqualValues(t, 40_000, peak, "what decoders hold is no segment's own")
	})
}

func TestWhatASegmentReallyTakesIsCountedOnceItIsKnown(t *testing.T) {
	g := testGate(8, 100_000)
	segment := sized("a", 0, 60_000)
	require.NoError(t, g.Enter(t.Context(), segment))
	g.settle(segment, 90_000)
	used, peak := g.memory()
	require.EqualValues(t, 90_000, used)
	require.EqualValues(t, 90_000, peak)
	g.settle(segment, 20_000)
	g.Leave(segment)
	g.settle(segment, 20_000) // too late: it does not count any more
	used, peak = g.memory()
	require.Zero(t, used)
	require.EqualValues(t, 90_000, peak)
}

func TestWhoGivesUpWaitingTakesNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := testGate(1, 100_000)
		first := sized("a", 0, 20_000)
		require.NoError(t, g.Enter(t.Context(), first))
		ctx, cancel := context.WithCancel(t.Context())
		waits := entering(ctx, g, sized("a", 1, 20_000))
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-waits, context.Canceled)
		g.Leave(first)
		require.NoError(t, g.Enter(t.Context(), sized("a", 2, 20_000)))
		used, _ := g.memory()
		require.EqualValues(t, 20_000, used)
	})
}

func TestControlSegmentsNeverWait(t *testing.T) {
	g := testGate(1, 20_000)
	require.NoError(t, g.Enter(t.Context(), sized("a", 0, 20_000)))
	require.NoError(t, g.Enter(t.Context(), &stream.Segment{Stream: "a", Mark: stream.MarkForget}))
}

// What waits at the gate is let in whatever the order of arrivals and leavings, and never more than fits.
func TestTheGateLetsEverybodyInInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 200_000
		g := testGate(3, limit)
		var working sync.WaitGroup
		for name := range 7 {
			working.Go(func() {
				for i := range int64(40) {
					segment := sized(string(rune('a'+name)), i, 10_000*(1+(name*7+int(i)*3)%9))
					require.NoError(t, g.Enter(t.Context(), segment))
					working.Add(1)
					time.AfterFunc(time.Duration(1+(name*5+int(i))%11)*time.Millisecond, func() { // what is under way ends by itself
						defer working.Done()
						g.Leave(segment)
					})
				}
			})
		}
		working.Wait()
		used, peak := g.memory()
		require.Zero(t, used)
		require.Empty(t, g.streams)
		require.LessOrEqual(t, peak, int64(limit))
	})
}
