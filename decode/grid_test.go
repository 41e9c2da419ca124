package decode

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/container"
)

// rounded is n times at a rate, rounded to a time base.
func rounded(n int, rate float64, base container.TimeBase) []int64 {
	times := make([]int64, n)
	for i := range times {
		times[i] = int64(math.Round(float64(i) / rate * float64(base.Den) / float64(base.Num)))
	}
	return times
}

func TestStepIsAWholeNumberOfFrames(t *testing.T) {
	milli, mpeg := container.TimeBase{Num: 1, Den: 1000}, container.TimeBase{Num: 1, Den: 90000}
	tests := []struct {
		name     string
		rate     float64
		base     container.TimeBase
		declared float64
		frames   int
		wantRate float64
		wantN    float64
	}{
		{"30 fps in milliseconds", 30, milli, 0, 60, 30, 4},
		{"29.97 fps in milliseconds", 30000.0 / 1001, milli, 0, 60, 30000.0 / 1001, 4},
		{"23.976 fps in milliseconds", 24000.0 / 1001, milli, 0, 48, 24000.0 / 1001, 3},
		{"23.976 fps in 90 kHz", 24000.0 / 1001, mpeg, 0, 48, 24000.0 / 1001, 3},
		{"25 fps", 25, mpeg, 0, 50, 25, 3},
		{"10 fps", 10, milli, 0, 20, 10, 1},
		{"12.5 fps", 12.5, mpeg, 0, 25, 12.5, 2},
		{"5 fps", 5, milli, 0, 10, 5, 1},
		{
			"a camera that really runs at 29.83 fps, exactly", 11456.0 / 384,
			container.TimeBase{Num: 1, Den: 11456},
			179.0 / 6, 60, 11456.0 / 384, 4,
		},
		{"a few frames and a declared rate", 30, milli, 30, 3, 30, 4},
		{"a wrong declared rate", 30, milli, 1000, 60, 30, 4},
		{"a single frame of a declared rate", 30, milli, 30, 1, 30, 4},
		{"a single frame", 30, milli, 0, 1, 25, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g, _ := newGrid(rounded(test.frames, test.rate, test.base), test.base, test.declared, 8, nil)
			require.True(t, g.steady)
			require.InEpsilon(t, 1e9/test.wantRate, g.frame, 1e-9)
			require.InEpsilon(t, test.wantN*1e9/test.wantRate, g.step, 1e-9)
		})
	}
}

func TestFramesThatComeAsTheyLikeGetAGridOfTheirOwn(t *testing.T) {
	base := container.TimeBase{Num: 1, Den: 1000}
	times := []int64{0, 30, 130, 160, 400, 410, 480, 700, 1000, 1010, 1100}
	g, _ := newGrid(times, base, 0, 8, nil)
	require.False(t, g.steady)
	require.InEpsilon(t, 125e6, g.step, 1e-12)
	var taken []int64
	last := g.cell(-g.frame)
	for _, at := range times {
		if cell := g.cell(float64(base.Duration(at))); cell != last {
			taken, last = append(taken, at), cell
		}
	}
	require.Equal(t, []int64{0, 130, 400, 700, 1000}, taken, "the first frame at or after 0, 125, 250…, where there is one")
}

func TestAMissingFrameDoesNotMoveTheGrid(t *testing.T) {
	base := container.TimeBase{Num: 1, Den: 25}
	g, _ := newGrid([]int64{0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12}, base, 0, 8, nil)
	require.True(t, g.steady)
	require.InEpsilon(t, 40e6, g.frame, 1e-12)
	require.InEpsilon(t, 120e6, g.step, 1e-12)
}

// TestGridGoesOnForWeeks walks a stream whose segments begin wherever they begin: neighbours stay a step apart.
func TestGridGoesOnForWeeks(t *testing.T) {
	base := container.TimeBase{Num: 1001, Den: 30000}
	g, _ := newGrid(rounded(60, 30000.0/1001, base), base, 0, 8, nil)
	for _, start := range []int64{0, 1, 7, 59, 30*3600 + 1, 30*3600*24*30 + 2} {
		last, lastFrame := g.cell(float64(base.Duration(start))-g.frame), int64(-1)
		for i := start; i < start+400; i++ {
			cell := g.cell(float64(base.Duration(i)))
			if cell == last {
				continue
			}
			if lastFrame >= 0 {
				require.Equal(t, int64(4), i-lastFrame)
			}
			require.Zero(t, i%4, "the frames taken are those of the stream's first segment")
			last, lastFrame = cell, i
		}
	}
}
