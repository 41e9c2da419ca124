package pipelines

import (
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
	return newIntake(def, decode.Size{Width: 10, Height: 10}, newCounts())
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
		// A segment of 1,000 bytes and 13 frames of 300 bytes is charged 4,900 bytes: two fit into 10,000.
		in, out := make(chan *stream.Segment, 5), make(chan *item, 5)
		n := testIntake(FullBlock, 8, 10_000)
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

func TestASegmentLargerThanAllMemoryIsAdmittedAlone(t *testing.T) {
	n := testIntake(FullBlock, 8, 100)
	require.EqualValues(t, 100, n.charge(segmentsOf("cam", 1, 5000, &atomic.Int64{})[0]))
}

func TestDropOldestKeepsTheNewestAndMarksTheGap(t *testing.T) {
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
		first, second := <-out, <-out
		require.NoError(t, <-ended)
		require.EqualValues(t, 3, first.segment.Sequence)
		require.True(t, first.segment.Gap)
		require.EqualValues(t, 4, second.segment.Sequence)
		require.False(t, second.segment.Gap)
		require.EqualValues(t, 3, n.counts.Dropped.Load())
		require.EqualValues(t, 3, done.Load(), "what is dropped is acknowledged")
		n.release(first)
		n.release(second)
		require.True(t, n.memory.TryAcquire(1<<20), "nothing is charged any more")
	})
}
