package pipelines

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// numbered is an item of a stream that counts.
func numbered(name string, sequence int64) *item {
	return &item{segment: &stream.Segment{Stream: name, Sequence: sequence, Payload: []byte{1}, Receipt: stream.NoReceipt{}}}
}

// stepOf makes a step from a function.
func stepOf(do func(context.Context, *item) error) func() step {
	return func() step {
		return step{stage: stageEncode, do: do, spent: func(l *stream.Latency) *float64 { return &l.Encode }}
	}
}

// feed sends items into a channel and closes it.
func feed(items []*item) <-chan *item {
	in := make(chan *item)
	go func() {
		defer close(in)
		for _, it := range items {
			in <- it
		}
	}()
	return in
}

func TestLanesKeepTheOrderOfEveryStreamWhateverTheConcurrency(t *testing.T) {
	for _, workers := range []int{1, 2, 7} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const streams, each = 5, 40
				var items []*item
				for sequence := range int64(each) {
					for name := range streams {
						items = append(items, numbered(fmt.Sprint(name), sequence))
					}
				}
				var busy sync.Map
				var most, now atomic.Int64
				out := make(chan *item, len(items))
				err := newLanes(workers, 8).run(t.Context(), feed(items), out, stepOf(func(_ context.Context, it *item) error {
					_, other := busy.LoadOrStore(it.segment.Stream, true)
					require.False(t, other, "two segments of one stream at a time")
					most.Store(max(most.Load(), now.Add(1)))
					time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
					now.Add(-1)
					busy.Delete(it.segment.Stream)
					return nil
				}))
				require.NoError(t, err)
				close(out)
				next := map[string]int64{}
				for it := range out {
					require.Equal(t, next[it.segment.Stream], it.segment.Sequence)
					next[it.segment.Stream]++
				}
				require.Len(t, next, streams)
				require.EqualValues(t, min(workers, streams), most.Load(), "streams are worked on side by side")
			})
		})
	}
}

func TestLanesTakeInNoMoreThanTheirBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := make(chan *item), make(chan *item)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- newLanes(2, 3).run(ctx, in, out, stepOf(func(context.Context, *item) error { return nil }))
		}()
		taken := 0
		for moving := true; moving && taken < 20; {
			select {
			case in <- numbered("one", int64(taken)):
				taken++
			case <-time.After(time.Second):
				moving = false
			}
		}
		// One with a worker that cannot send it on, three waiting, one in the hand of the dispatcher.
		require.Equal(t, 5, taken)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

func TestASlowStreamDoesNotHoldUpAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		items := []*item{numbered("slow", 0), numbered("slow", 1), numbered("quick", 0), numbered("quick", 1)}
		out := make(chan *item, len(items))
		begin := time.Now()
		var quick time.Duration
		require.NoError(t, newLanes(2, 8).run(t.Context(), feed(items), out, stepOf(func(_ context.Context, it *item) error {
			if it.segment.Stream == "slow" {
				time.Sleep(time.Minute)
			} else {
				quick = time.Since(begin)
			}
			return nil
		})))
		require.Zero(t, quick)
		require.Equal(t, 2*time.Minute, time.Since(begin))
	})
}

func TestAPanicInAStageBecomesAFailureOfItsSegmentOnly(t *testing.T) {
	out := make(chan *item, 2)
	items := []*item{numbered("bad", 0), numbered("good", 0)}
	require.NoError(t, newLanes(1, 8).run(t.Context(), feed(items), out, stepOf(func(_ context.Context, it *item) error {
		if it.segment.Stream == "bad" {
			panic("index out of range")
		}
		return nil
	})))
	close(out)
	for it := range out {
		if it.segment.Stream == "good" {
			require.Nil(t, it.failure)
			continue
		}
		require.EqualValues(t, "encode.panic", it.failure.Code)
		require.True(t, it.failure.Permanent)
		require.ErrorContains(t, it.failure, "bad/0")
	}
}

func TestAnErrorOfAStepKeepsItsCodeAndNamesTheSegment(t *testing.T) {
	it := numbered("cam1", 42)
	stepOf(func(context.Context, *item) error { return stream.Fail("encode", "encode.too_odd", "odd") })().work(t.Context(), it)
	require.EqualValues(t, "encode.too_odd", it.failure.Code)
	require.ErrorContains(t, it.failure, "encoding segment cam1/42: odd")

	it = numbered("cam1", 43)
	stepOf(func(context.Context, *item) error { return errors.New("plain") })().work(t.Context(), it)
	require.EqualValues(t, "encode.internal", it.failure.Code)
	require.False(t, it.failure.Permanent)
}
