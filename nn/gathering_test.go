package nn

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// While one job is computed others come; they are computed together as far as they fit, in the order they came.
func TestJobsThatWaitAreComputedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gathering[int]
		var computed [][]int
		open := make(chan struct{})
		compute := func(jobs []int) error {
			computed = append(computed, slices.Clone(jobs)) // one at a time: no lock
			<-open
			return nil
		}
		var group sync.WaitGroup
		for job := 1; job <= 6; job++ {
			group.Go(func() { require.NoError(t, g.Do(t.Context(), job, job, 8, compute)) })
			synctest.Wait()
		}
		close(open)
		group.Wait()
		require.Equal(t, [][]int{{1}, {2, 3}, {4}, {5}, {6}}, computed)
		require.NoError(t, g.Do(t.Context(), 7, 100, 8, compute), "what is larger than the limit is computed alone")
		require.Equal(t, []int{7}, computed[len(computed)-1])
	})
}

func TestAnErrorIsThatOfAllThatWereComputedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gathering[string]
		failed, open := errors.New("failed"), make(chan struct{})
		var group sync.WaitGroup
		bring := func(job string, want error) {
			group.Go(func() {
				require.ErrorIs(t, g.Do(t.Context(), job, 1, 8, func(jobs []string) error {
					<-open
					if len(jobs) > 1 {
						return failed
					}
					return nil
				}), want)
			})
			synctest.Wait()
		}
		bring("alone", nil)
		bring("one", failed)
		bring("other", failed)
		close(open)
		group.Wait()
	})
}

func TestWhoeverGivesUpIsNotComputed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gathering[string]
		var computed []string
		open := make(chan struct{})
		compute := func(jobs []string) error {
			<-open
			computed = append(computed, jobs...)
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { require.NoError(t, g.Do(ctx, "begun", 1, 8, compute), "it cannot be stopped any more") })
		synctest.Wait()
		group.Go(func() { require.ErrorIs(t, g.Do(ctx, "waiting", 1, 8, compute), context.Canceled) })
		synctest.Wait()
		group.Go(func() { require.NoError(t, g.Do(t.Context(), "patient", 1, 8, compute)) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(open)
		group.Wait()
		require.Equal(t, []string{"begun", "patient"}, computed)
		require.ErrorIs(t, g.Do(ctx, "late", 1, 8, compute), context.Canceled)
	})
}

func TestAPanicStopsNobodyElse(t *testing.T) {
	var g Gathering[int]
	require.Panics(t, func() { _ = g.Do(t.Context(), 1, 1, 8, func([]int) error { panic("boom") }) })
	require.NoError(t, g.Do(t.Context(), 2, 1, 8, func([]int) error { return nil }))
}
