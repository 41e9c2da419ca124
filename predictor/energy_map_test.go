package predictor

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/stream"
)

// Of two steps the second one is known half as well: what is as odd in both counts a quarter there.
func TestAJointMapWeighsStepsByHowWellTheyAreKnown(t *testing.T) {
	const places = 4
	one := []float32{1, 1, 1, 5 /* mean 2 */, 3, 3, 3, 7 /* mean 4 */}
	out := make([]float32, len(one))
	JointMap([][]float32{one}, places, out)
	require.InDelta(t, 1, mean(out), 1e-6)
	require.InEpsilon(t, 4*(out[7]-out[4]), out[3]-out[0], 1e-5)
	require.InEpsilon(t, 5*out[0], out[3], 1e-5)

	// A source on another scale says as much; one that knows nothing of a step says nothing about it.
	scaled, both := make([]float32, len(one)), make([]float32, len(one))
	for i := range one {
		scaled[i] = 100 * one[i]
	}
	JointMap([][]float32{one, scaled}, places, both)
	require.InDeltaSlice(t, out, both, 1e-6)
	JointMap([][]float32{one, make([]float32, len(one))}, places, both)
	require.InDeltaSlice(t, out, both, 1e-6)
	JointMap([][]float32{make([]float32, len(one))}, places, both)
	require.Equal(t, []float32{1, 1, 1, 1, 1, 1, 1, 1}, both, "nothing is odd anywhere")
}

// TestALearnedEnergyDrawsTheMap: where it does not ensue by its sources, at the level of the tokens' distances, however the stream is cut.
func TestALearnedEnergyDrawsTheMap(t *testing.T) {
	w := newWatcher(t, time.Second)
	clip := drift(24, 1, 5)
	spoil(clip, 16, 24)
	plain, err := NewScorer(w.encoder.Info(), NewPersistence(), w.scorer.cfg, 8)
	require.NoError(t, err)
	distances := &watcher{t: t, encoder: w.encoder, scorer: plain}
	for _, segment := range []int{24, 8, 4} {
		heat, level := w.heat(clip, segment), distances.heat(clip, segment)
		require.Len(t, heat, len(level))
		own := make([]float32, WindowFrames*16)
		_, err = w.learned.Judge(t.Context(), framesOf(clip, 8, 24), clip.H, own)
		require.NoError(t, err)
		last := len(heat) - min(segment, WindowFrames)*16
		own = own[len(own)-(len(heat)-last):]
		scaleTo(mean(level[last:]), own)
		require.InEpsilonSlice(t, own, heat[last:], 2e-3, "segments of %d frames", segment)
		require.InEpsilon(t, mean(level[last:]), mean(heat[last:]), 1e-3)
		require.NotEqual(t, level[last:], heat[last:])
	}
	// A verifier draws its own, and so do tokens of other places.
	other, err := encoder.NewPatchesOf(32, 8)
	require.NoError(t, err)
	require.True(t, w.learned.Maps(w.encoder.Info()))
	require.False(t, w.learned.Maps(other.Info()))
}

// spoil puts a square of noise into some frames.
func spoil(clip *stream.Clip, from, to int) {
	for i := from; i < to; i++ {
		frame := clip.Frame(i)
		for y := range 8 {
			for x := range 8 {
				frame[3*(y*clip.W+x)] = byte(97 * (x + 3*y))
			}
		}
	}
}

// heat is the map of the last result of a clip in segments of so many frames.
func (w *watcher) heat(clip *stream.Clip, segment int) []float32 {
	w.t.Helper()
	var last *stream.Result
	state := w.scorer.NewState()
	for from := 0; from < clip.T; from += segment {
		last = w.score(state, clip, from, min(from+segment, clip.T))
	}
	require.NotNil(w.t, last.Map)
	values := make([]float32, len(last.Map.Data)/2)
	for i := range values {
		values[i] = float32(value(binary.LittleEndian.Uint16(last.Map.Data[2*i:])))
	}
	return values
}
