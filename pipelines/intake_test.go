package pipelines

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/stream"
)

// counting is a receipt that counts.
type counting struct{ done *atomic.Int64 }

func (c counting) Done(stream.SegmentID) { c.done.Add(1) }

func testIntake(full string, size int, memory int64) *intake {
	def := &Definition{
		Decode: decode.Config{FPS: 8, Limits: decode.Limits{Duration: time.Minute}},
		Queues: Queues{Size: size, Full: full, Memory: memory},
	}
	return newIntake(def, decode.Size{Width: 100, Height: 10}, newCounts())
}

func segmentsOf(name string, count, bytes int, done *atomic.Int64) []*stream.Segment {
	segments := make([]*stream.Segment, count)
	for i := range segments {
		segments[i] = &stream.Segment{
			Stream: name, Sequence: int64(i), Duration: time.Second, Payload: make([]byte, bytes), Receipt: counting{done},
		}
	}
	return segments
}

func TestIntakeAdmitsNoMoreThanTheMemoryItMayUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A segment of 1,000 bytes and 13 frames of 3,000 bytes is charged 40,000 bytes: two of one stream are within half of 160,000.
		in, out := make(chan *stream.Segment, 5), make(chan *item, 5)
		n := testIntake(FullBlock, 8, 160_000)
		for _, segment := range segmentsOf("cam", 3, 1000, &atomic.Int64{}) {
			in <- segment
		}
		close(in)
		ended := make(chan error)
		go func() { ended <- n.run(t.Context(), in, out) }()
		synctest.Wait()
		require.Len(t, out, 2)
		n.release(<-out)
		synctest.Wait()
		require.Len(t, out, 2, "the third one is let in when the first is released")
		require.NoError(t, <-ended)
	})
}

func TestWhatTheSourceTookThroughTheGateIsNotCountedAgain(t *testing.T) {
	in, out := make(chan *stream.Segment, 1), make(chan *item, 1)
	n := testIntake(FullBlock, 8, 160_000)
	segment := segmentsOf("cam", 1, 1000, &atomic.Int64{})[0]
	require.NoError(t, n.gate.Enter(t.Context(), segment))
	in <- segment
	close(in)
	require.NoError(t, n.run(t.Context(), in, out))
	used, _ := n.gate.memory()
	require.EqualValues(t, 40_000, used)
	n.release(<-out)
	used, _ = n.gate.memory()
	require.Zero(t, used)
}

// Every segment has a result: what is given up keeps its place in the stream and loses its payload.
func TestDropOldestKeepsTheNewestAndTellsWhatItGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Int64
		in, out := make(chan *stream.Segment), make(chan *item)
		n := testIntake(FullDropOldest, 2, 1<<20)
		ended := make(chan error)
		go func() { ended <- n.run(t.Context(), in, out) }()
		segments := segmentsOf("cam", 5, 10, &done)
		segments[4].Mark = stream.MarkEnd
		for _, segment := range segments {
			in <- segment
		}
		synctest.Wait()
		close(in)
		for sequence := range int64(5) {
			it := <-out
			require.Equal(t, sequence, it.segment.Sequence)
			require.Equal(t, sequence < 3, it.dropped)
			require.Equal(t, it.dropped, it.segment.Payload == nil)
			n.release(it)
		}
		require.NoError(t, <-ended)
		require.EqualValues(t, 3, n.counts.Dropped.Load())
		require.Zero(t, done.Load(), "it is acknowledged when its result is written")
		used, _ := n.gate.memory()
		require.Zero(t, used)
	})
}

func TestDropOldestGivesUpWhatIsSlowAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Int64
		in, out := make(chan *stream.Segment), make(chan *item)
		n := testIntake(FullDropOldest, 2, 1<<20)
		ended := make(chan error)
		go func() { ended <- n.run(t.Context(), in, out) }()
		slow, quick := segmentsOf("slow", 9, 10, &done), segmentsOf("quick", 1, 10, &done)
		for range 2 { // under way, and never finished
			in <- slow[0]
			slow = slow[1:]
			<-out
		}
		for _, segment := range slow {
			in <- segment
		}
		in <- quick[0]
		var got []string
		var dropped []bool
		for range 6 {
			it := <-out
			got, dropped = append(got, it.segment.ID().String()), append(dropped, it.dropped)
		}
		require.Equal(t, []string{"slow/2", "slow/3", "slow/4", "slow/5", "slow/6", "quick/0"}, got)
		require.Equal(t, []bool{true, true, true, true, true, false}, dropped, "slow/7 and slow/8 wait on")
		close(in)
		for _, it := range []int64{0, 1} { // now the first two are done
			n.gate.Leave(&stream.Segment{Stream: "slow", Charge: 1 + it})
		}
		require.Equal(t, "slow/7", (<-out).segment.ID().String())
		require.Equal(t, "slow/8", (<-out).segment.ID().String())
		require.NoError(t, <-ended)
	})
}

// Invariant 6: what is given up takes no room at the gate. Behind a stage that is stuck only the lanes' own bound stops it.
func TestWhatIsGivenUpDoesNotPileUpBehindAStageThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := testIntake(FullDropOldest, 2, 1<<20)
		in, admitted, ended := make(chan *stream.Segment), make(chan *item), make(chan error, 2)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { ended <- n.run(ctx, in, admitted) }()
		go func() {
			ended <- newLanes(1, n.most()).run(ctx, admitted, make(chan *item), stepOf(func(ctx context.Context, _ *item) error {
				<-ctx.Done()
				return ctx.Err()
			}))
		}()
		taken := 0
		for _, segment := range segmentsOf("cam", 2*(n.most()+maxGiven), 10, &atomic.Int64{}) {
			select {
			case in <- segment:
				taken++
				continue
			case <-time.After(time.Second):
			}
			break
		}
		// So many in the lanes, so many more before them that wait to get in, and a few that are not given up.
		require.InDelta(t, n.most()+maxGiven, taken, 8)
		cancel()
		for range 2 {
			require.ErrorIs(t, <-ended, context.Canceled)
		}
	})
}
