package eval

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/eval/negatives"
)

const testSide = 32

// moving is a picture of a scene: a bright box that moves to and fro, speed pixels a frame, over a gradient; shade tells scenes apart.
func moving(frame, speed int, shade byte) []byte {
	picture := make([]byte, testSide*testSide*3)
	left := (frame*speed + int(shade)) % (2 * (testSide - 8))
	left = min(left, 2*(testSide-8)-left) // to and fro
	for y := range testSide {
		for x := range testSide {
			at := (y*testSide + x) * 3
			picture[at], picture[at+1], picture[at+2] = shade, byte(3*x), byte(3*y)
			if x >= left && x < left+8 && y >= 8 && y < 20 {
				picture[at], picture[at+1], picture[at+2] = 250, 200, byte(10*(y-8))
			}
		}
	}
	return picture
}

// recording is count frames of a scene.
func recording(name string, count, speed int, shade byte) *Recording {
	return newRecording(Recording{
		Name: name, Family: name, Rate: windowRate, count: count,
		frame: func(i int) []byte { return moving(i, speed, shade) },
	}, testSide)
}

// testWindows are windows of some scenes: four that move, one that stands still, one that is too short.
func testWindows() *Windows {
	var all []*Recording
	for i := range 4 {
		all = append(all, recording(fmt.Sprint("scene", i), 48+8*i, 2+i%2, byte(40*i)))
	}
	return findWindows(append(all, recording("still", 40, 0, 20), recording("short", 12, 3, 90)), testSide)
}

func TestWindowsAreHopApartAndEvenlySpread(t *testing.T) {
	require.Equal(t, []int{0, 8, 16}, starts(32))
	require.Empty(t, starts(15))
	require.Equal(t, []int{0}, starts(16))
	many := starts(1000)
	require.Len(t, many, windowsPerClip)
	require.Equal(t, 0, many[0])
	require.Equal(t, 984, many[11])
	for i, start := range many {
		require.Zero(t, start%hop)
		require.InDelta(t, float64(i)*984/11, start, hop)
	}
}

func TestCutsAreLargeAndUnlikeWhatIsAround(t *testing.T) {
	quiet := []float64{.01, .01, .02, .01, .3, .01, .01, .02, .01}
	require.Equal(t, []bool{false, false, false, false, true, false, false, false, false}, findCuts(quiet))
	lively := []float64{.2, .3, .2, .3, .4, .3, .2, .3, .2}
	require.NotContains(t, findCuts(lively), true)
	small := []float64{.001, .001, .001, .07, .001, .001}
	require.NotContains(t, findCuts(small), true)
	require.Equal(t, []bool{true}, findCuts([]float64{.5}))
}

func TestWindowsWithCutsAreLeftOut(t *testing.T) {
	cut := newRecording(Recording{Name: "cut", Family: "cut", count: 40, frame: func(i int) []byte {
		if i < 20 {
			return moving(i, 1, 10)
		}
		bright := make([]byte, testSide*testSide*3)
		for k := range bright {
			bright[k] = 255
		}
		return bright
	}}, testSide)
	w := findWindows([]*Recording{cut}, testSide)
	require.Equal(t, 2, w.WithCuts) // those from 8 and from 16 on hold frames 19 and 20
	var kept []int
	for _, window := range w.Windows {
		kept = append(kept, window.Start)
	}
	require.Equal(t, []int{0, 24}, kept)
	require.False(t, w.Windows[0].Static)
	require.True(t, w.Windows[1].Static)
}

func TestStaticIsWhatDoesNotMoveInAllOrAfter(t *testing.T) {
	differences := make([]float64, 15)
	for i := range differences {
		differences[i] = 2.0 / 255
	}
	require.False(t, isStatic(differences))
	for i := 8; i < 15; i++ {
		differences[i] = 0.5 / 255
	}
	require.True(t, isStatic(differences), "nothing moves in Y")
}

func TestWindowsOfFootage(t *testing.T) {
	w := testWindows()
	require.Equal(t, 1, w.TooShort)
	require.Zero(t, w.WithCuts)
	require.Len(t, w.Windows, 5+6+7+8+4)
	for _, window := range w.Windows {
		require.Equal(t, w.Recordings[window.Recording].Name == "still", window.Static)
	}
}

func TestNegativesComeFromOtherFamiliesAndFarAway(t *testing.T) {
	w := testWindows()
	random := rand.New(rand.NewPCG(1, 2))
	source := w.Source(Window{Recording: 3, Start: 24}) // 72 frames; Y is 32 to 39
	require.Len(t, source.Frames, negatives.Span)
	require.Equal(t, moving(24, 3, 120), source.X()[0])
	require.Equal(t, moving(32, 3, 120), source.Y()[0])
	for range 40 {
		require.NotEqual(t, byte(120), source.Other(random)[0][0])
		far := source.Far(random)
		near := false
		for i := 17; i < 48; i++ { // frames 16 or less away from Y's beginning
			near = near || &w.Recordings[3].Frame(i)[0] == &far[0][0]
		}
		require.False(t, near)
	}
	last := w.Source(Window{Recording: 0, Start: 32}) // 48 frames
	require.Len(t, last.Frames, 16)
	require.NotNil(t, last.Far)
	alone := findWindows([]*Recording{recording("alone", 20, 2, 3)}, testSide)
	only := alone.Source(alone.Windows[0])
	require.Nil(t, only.Far)
	require.Nil(t, only.Other(random))
}

func TestGreyIsLumaAtHalfTheSize(t *testing.T) {
	picture := make([]byte, 2*2*3)
	copy(picture, []byte{255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0})
	got := grey(picture, 2, nil)
	require.Len(t, got, 1)
	require.InDelta(t, 0.25, got[0], 1e-6)
	require.InDelta(t, 0.5, difference([]float32{1, 0.25}, []float32{0.5, 0.75}), 1e-6)
}
