package pipelines

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// trying makes a step that is tried again as retry says.
func trying(retry Retry, do func(context.Context, *item) error) func() step {
	made := stepOf(do)()
	made.retry = func() Retry { return retry }
	return func() step { return made }
}

func TestWhatMayPassIsTriedAgainWithGrowingPausesAndThenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		retry := Retry{Attempts: 4, First: 100 * time.Millisecond, Most: 300 * time.Millisecond}
		var at []time.Duration
		begin := time.Now()
		out := make(chan *item, 1)
		require.NoError(t, newLanes(1, 8).run(t.Context(), feed([]*item{numbered("cam", 7)}), out,
			trying(retry, func(context.Context, *item) error {
				at = append(at, time.Since(begin))
				return stream.FailTransient("encode", "encode.busy", "not now")
			})))
		it := <-out
		require.EqualValues(t, "encode.busy", it.failure.Code)
		require.Equal(t, 4, it.failure.Attempts)
		require.Equal(t, 4, letter(it).Attempts)
		require.Len(t, at, 4)
		for i, most := range []time.Duration{100, 200, 300} { // of each pause at least a half remains
			pause := (at[i+1] - at[i]) / time.Millisecond
			require.LessOrEqual(t, most/2, pause)
			require.LessOrEqual(t, pause, most)
		}
	})
}

func TestWhatCannotPassIsTriedOnce(t *testing.T) {
	for name, failure := range map[string]*stream.Failure{
		"permanent":                     stream.Fail("encode", "encode.odd", "odd"),
		"tried again where it happened": {Code: "claim.away", Stage: "encode", Attempts: 5, Err: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			calls, out := 0, make(chan *item, 1)
			retry := Retry{Attempts: 4, First: time.Hour, Most: time.Hour}
			require.NoError(t, newLanes(1, 8).run(t.Context(), feed([]*item{numbered("cam", 7)}), out,
				trying(retry, func(context.Context, *item) error {
					calls++
					return failure
				})))
			require.Equal(t, 1, calls)
			require.Equal(t, max(failure.Attempts, 1), (<-out).failure.Attempts)
		})
	}
}

// Invariants 2 and 4: what waits to be tried again keeps its place in its stream, and keeps no worker from another.
func TestAPauseHoldsUpNobodyButItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		retry := Retry{Attempts: 3, First: time.Minute, Most: time.Minute}
		items := []*item{numbered("shaky", 0), numbered("shaky", 1), numbered("calm", 0), numbered("calm", 1)}
		begin, out := time.Now(), make(chan *item, len(items))
		var failing atomic.Int64
		require.NoError(t, newLanes(1, 8).run(t.Context(), feed(items), out, trying(retry, func(_ context.Context, it *item) error {
			if it.segment.Stream == "calm" {
				require.Less(t, time.Since(begin), time.Second)
				return nil
			}
			if it.segment.Sequence == 0 && failing.Add(1) < 3 {
				return stream.FailTransient("encode", "encode.busy", "not now")
			}
			return nil
		})))
		close(out)
		var order []string
		for it := range out {
			require.Nil(t, it.failure)
			order = append(order, it.segment.ID().String())
		}
		require.Equal(t, []string{"calm/0", "calm/1", "shaky/0", "shaky/1"}, order)
	})
}

func TestAPipelineThatIsAbandonedDoesNotWaitForAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		retry := Retry{Attempts: 3, First: time.Hour, Most: time.Hour}
		begin := time.Now()
		go func() {
			ended <- newLanes(2, 8).run(ctx, feed([]*item{numbered("cam", 0)}), make(chan *item), trying(retry, func(context.Context, *item) error {
				return stream.FailTransient("encode", "encode.busy", "not now")
			}))
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		require.Less(t, time.Since(begin), time.Second)
	})
}
