package predictor

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

func TestTheDefaultsAreValidAndFillOnlyWhatIsOpen(t *testing.T) {
	defaults := Config{}.Default()
	require.NoError(t, defaults.Validate())
	require.Equal(t, Config{
		Model: "auto", Energy: "auto", Context: 2 * time.Second, Horizons: []time.Duration{time.Second, 2 * time.Second},
		Calibrate: CalibrateConfig{FalseAlarmsPerDay: 1, Warmup: time.Minute, History: 600},
	}, defaults)

	mine := Config{
		Model: "flow", Energy: "distance", Context: time.Second, Horizons: []time.Duration{time.Minute}, Map: true,
		Calibrate: CalibrateConfig{FalseAlarmsPerDay: 2, Warmup: time.Second, History: 9},
	}
	require.Equal(t, mine, mine.Default())
}

func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	bad := Config{
		Context: -1, Horizons: []time.Duration{2 * time.Second, time.Second},
		Calibrate: CalibrateConfig{FalseAlarmsPerDay: -1, Warmup: -1, History: 3},
	}
	err := bad.Validate()
	for _, key := range []string{
		"predictor.context", "predictor.horizons[1]", "predictor.calibrate.false_alarms_per_day",
		"predictor.calibrate.warmup", "predictor.calibrate.history",
	} {
		require.ErrorContains(t, err, key)
	}
	failure := stream.AsFailure(err, "")
	require.Equal(t, stream.Code("predict.config"), failure.Code)
	require.True(t, failure.Permanent)
}

func TestEveryMistakeIsRefused(t *testing.T) {
	tests := map[string]func(*Config){
		"no context":               func(c *Config) { c.Context = 0 },
		"no horizons":              func(c *Config) { c.Horizons = nil },
		"a horizon of nothing":     func(c *Config) { c.Horizons[0] = 0 },
		"a horizon twice":          func(c *Config) { c.Horizons[1] = c.Horizons[0] },
		"no false alarms at all":   func(c *Config) { c.Calibrate.FalseAlarmsPerDay = 0 },
		"a rate that is none":      func(c *Config) { c.Calibrate.FalseAlarmsPerDay = math.NaN() },
		"more alarms than windows": func(c *Config) { c.Calibrate.FalseAlarmsPerDay = 86400 },
		"too short a history":      func(c *Config) { c.Calibrate.History = minimumHistory - 1 },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := Config{}.Default()
			spoil(&cfg)
			require.Error(t, cfg.Validate())
		})
	}
}

func TestAlphaIsTheShareOfWindowsThatMayAlarm(t *testing.T) {
	cfg := Config{Horizons: []time.Duration{2 * time.Second}, Calibrate: CalibrateConfig{FalseAlarmsPerDay: 24}}
	require.InDelta(t, 24*2/86400.0, cfg.Alpha(), 1e-15)
}
