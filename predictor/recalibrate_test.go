package predictor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAnotherCalibrationGoesOnFromWhatWasLearned: a state that a scorer with a long warm-up has fed is judged at once by one with a short
// one, and as if that one had fed it itself.
func TestAnotherCalibrationGoesOnFromWhatWasLearned(t *testing.T) {
	slow := Config{Calibrate: CalibrateConfig{Warmup: time.Hour, History: 40}}.Default()
	fast := slow
	fast.Calibrate.Warmup, fast.Calibrate.History = 10*time.Second, 20
	old := &Scorer{cfg: slow}
	changed, err := old.Recalibrated(fast.Calibrate)
	require.NoError(t, err)

	state, own := old.NewState(), changed.NewState()
	for i := range 60 {
		said := Said{Energy: 0.1 + 0.01*float64(i%7), Distance: 0.1 + 0.01*float64(i%7)}
		state.Calibrator().Observe(said, time.Second)
		own.Calibrator().Observe(said, time.Second)
	}
	asked := Said{Energy: 0.5, Distance: 0.5}
	require.False(t, state.Calibrator().Judge(asked).Warm)
	require.NoError(t, changed.Adopt(state))
	require.True(t, state.Calibrator().Judge(asked).Warm)
	require.Equal(t, own.Calibrator().Judge(asked), state.Calibrator().Judge(asked))
}

func TestACalibrationThatCannotWorkIsRefused(t *testing.T) {
	old := &Scorer{cfg: Config{}.Default()}
	_, err := old.Recalibrated(CalibrateConfig{FalseAlarmsPerDay: 1, Warmup: -time.Second, History: 600})
	require.ErrorContains(t, err, "predictor.calibrate.warmup")
}
