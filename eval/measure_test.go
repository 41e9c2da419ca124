package eval

import (
	"context"
	"image"
	"math"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

func TestMeasureDoesNotDependOnTheOtherSources(t *testing.T) {
	w := testWindows()
	a, b := pixelSource(t, predictor.NewPersistence()), pixelSource(t, predictor.NewDamped(8))
	alone, err := Measure(t.Context(), w, []*Source{a}, negatives.Kinds(), 0, nil)
	require.NoError(t, err)
	calls := 0
	both, err := Measure(t.Context(), w, []*Source{b, a}, negatives.Kinds(), 0, func(done, total int) {
		calls++
		require.Equal(t, calls, done)
		require.Equal(t, len(w.Windows), total)
	})
	require.NoError(t, err)
	require.Equal(t, len(w.Windows), calls)
	for i := range alone {
		require.Equal(t, alone[i].Genuine[0].Raw, both[i].Genuine[1].Raw)
		require.Equal(t, alone[i].Genuine[0].Statistics, both[i].Genuine[1].Statistics)
		for kind, judged := range alone[i].Negatives {
			require.Equal(t, judged[0].Raw, both[i].Negatives[kind][1].Raw, kind)
		}
	}
	other, err := Measure(t.Context(), w, []*Source{a}, []negatives.Kind{negatives.Splice}, 1, nil)
	require.NoError(t, err)
	require.NotEqual(t, alone[0].Negatives[negatives.Splice][0].Raw, other[0].Negatives[negatives.Splice][0].Raw, "another seed")
}

func TestKindsOfMotionAreNotMadeWhereNothingMoves(t *testing.T) {
	w := testWindows()
	measured, err := Measure(t.Context(), w, []*Source{pixelSource(t, predictor.NewPersistence())}, negatives.Kinds(), 0, nil)
	require.NoError(t, err)
	for i, m := range measured {
		require.Equal(t, w.Windows[i].Static, m.Static)
		for kind := range m.Negatives {
			require.False(t, m.Static && kind.Motion())
		}
		require.Contains(t, m.Negatives, negatives.Other)
	}
	frozen := measured[0].Negatives[negatives.Freeze][0]
	require.Zero(t, frozen.Raw, "persistence expects a frozen picture")
}

func TestMeasureEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Measure(ctx, testWindows(), []*Source{pixelSource(t, predictor.NewPersistence())}, negatives.Kinds(), 0, nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestParallelDoesEverythingOnceAndStopsAtAnError(t *testing.T) {
	var sum atomic.Int64
	require.NoError(t, parallel(t.Context(), 100, nil, func(_ context.Context, i int) error {
		sum.Add(int64(i))
		return nil
	}))
	require.Equal(t, int64(4950), sum.Load())
	err := parallel(t.Context(), 10, nil, func(_ context.Context, i int) error {
		if i == 3 {
			return context.DeadlineExceeded
		}
		return nil
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestLocalisation(t *testing.T) {
	shape := stream.Shape{H: 4, W: 4}
	box := image.Rect(8, 8, 24, 24) // centres 12 and 20: the four places in the middle
	energies := make([]float32, 32) // two steps
	shape.T = 2
	energies[5] = 1
	found := localise(energies, shape, box, 32)
	require.InDelta(t, 1, found.Hit, 0)
	require.InDelta(t, (1+3*0.5)/4, found.Cells, 1e-12) // one place above all, three level with those outside
	energies[16] = 2                                    // in the second step, at place 0
	found = localise(energies, shape, box, 32)
	require.InDelta(t, 0, found.Hit, 0)
	require.InDelta(t, (11.0/12+3*(11.0/24))/4, found.Cells, 1e-12)
	require.True(t, math.IsNaN(localise(energies, shape, image.Rect(0, 0, 1, 1), 32).Cells), "no place has its centre in the box")
	require.True(t, math.IsNaN(localise(energies, shape, image.Rectangle{}, 32).Hit), "there is no box")
}

// TestSourcesDrawAMapTogether: each source is odd at a place of its own, and both at the one in the box.
func TestSourcesDrawAMapTogether(t *testing.T) {
	shape, box := stream.Shape{T: 1, H: 2, W: 2, D: 1}, image.Rect(0, 0, 64, 64)
	judged := make([]Judged, 2)
	for i, distances := range [][]float32{{5, 6, 1, 1}, {50, 10, 10, 60}} {
		judged[i] = Judged{spliced: &spliced{distances, shape, box, 128}, Found: localise(distances, shape, box, 128)}
		require.Zero(t, judged[i].Found.Hit)
	}
	require.Equal(t, Found{Hit: 1, Cells: 1}, jointly(judged, []int{0, 1}))
	require.Equal(t, judged[1].Found, jointly(judged, []int{1}))

	small, err := encoder.NewPatchesOf(32, 4)
	require.NoError(t, err)
	large, err := encoder.NewPatchesOf(64, 4)
	require.NoError(t, err)
	other, err := encoder.NewPatchesOf(32, 8)
	require.NoError(t, err)
	sources := []*Source{{Encoder: small}, {Encoder: large}, {Encoder: other}}
	require.Equal(t, []int{1, 0}, sameSight(sources, []int{1, 0}))
	require.Nil(t, sameSight(sources, []int{0, 2}))
}
