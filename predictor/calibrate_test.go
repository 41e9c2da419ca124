package predictor

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// noise is energies of footage without surprises: log-normal around 0.01, each depending on the one before (AR(1)).
type noise struct {
	random             *rand.Rand
	memory, state, dev float64
}

func newNoise(memory float64, seed uint64) *noise {
	random := rand.New(rand.NewPCG(seed, 1))
	return &noise{random: random, memory: memory, state: random.NormFloat64(), dev: 0.4}
}

func (n *noise) next() float64 {
	n.state = n.memory*n.state + math.Sqrt(1-n.memory*n.memory)*n.random.NormFloat64()
	return 0.01 * math.Exp(n.dev*n.state)
}

// seasoned is a calibrator that has seen count windows of noise, a second each.
func seasoned(cfg Config, count int) *Running {
	running, past := NewRunning(cfg.Default()), newNoise(0.5, 1)
	for range count {
		running.Observe(past.next(), time.Second)
	}
	return running
}

func TestFalseAlarmsComeAtTheRateAskedFor(t *testing.T) {
	tests := []struct {
		name    string
		history int
		memory  float64
		factor  float64
	}{
		{"windows that do not depend on each other", 600, 0, 1.4},
		{"windows that remember half of the one before", 600, 0.5, 1.4},
		{"windows that remember most of it", 600, 0.8, 2},
		{"a minute of history", 60, 0, 2},
	}
	const streams, windows, alpha = 30, 3000, 1e-3
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{Calibrate: CalibrateConfig{FalseAlarmsPerDay: alpha * 86400, History: test.history}}.Default()
			require.InDelta(t, alpha, cfg.Alpha(), 1e-12)
			alarms, judged := 0, 0
			for seed := range uint64(streams) {
				running, energies := NewRunning(cfg), newNoise(test.memory, seed)
				for range windows {
					energy := energies.next()
					if judgement := running.Judge(energy); judgement.Warm {
						judged++
						if judgement.PValue < alpha {
							alarms++
						}
					}
					running.Observe(energy, time.Second)
				}
			}
			rate := float64(alarms) / float64(judged) / alpha
			t.Logf("%.2f times the rate asked for (%d windows)", rate, judged)
			require.Less(t, rate, test.factor)
			require.Greater(t, rate, 1/test.factor)
		})
	}
}

func TestAFreezeAndACutAreBothSurprising(t *testing.T) {
	running := seasoned(Config{}, 120)
	alpha := Config{}.Default().Alpha()
	for name, energy := range map[string]float64{"freeze": 0, "cut": 0.2} {
		require.Less(t, running.Judge(energy).PValue, alpha, name)
	}
	require.Greater(t, running.Judge(0.01).PValue, 0.5)
	// A third is as surprising as the threefold.
	median := running.Judge(0).Expected.Median
	require.InEpsilon(t, running.Judge(median*3).PValue, running.Judge(median/3).PValue, 0.05)
}

func TestTheBandIsWhereThePValueIsTheAlarm(t *testing.T) {
	cfg := Config{Calibrate: CalibrateConfig{FalseAlarmsPerDay: 100}}.Default()
	running := seasoned(cfg, 200)
	band := running.Judge(0.01).Expected
	require.Less(t, band.Low, band.Median)
	require.Less(t, band.Median, band.High)
	require.InEpsilon(t, 1, running.Judge(band.Median).PValue, 1e-6)
	require.InEpsilon(t, cfg.Alpha(), running.Judge(band.High).PValue, 1e-3)
	require.InEpsilon(t, cfg.Alpha(), running.Judge(band.Low).PValue, 1e-3)
}

func TestAnomaliesDoNotPoisonTheCalibration(t *testing.T) {
	for name, anomaly := range map[string]float64{"freeze": 0, "cuts": 0.3} {
		running, past := seasoned(Config{}, 120), newNoise(0.5, 2)
		before := running.Judge(0.01).Expected
		for i := range 120 { // a third of all windows in the end
			energy := past.next()
			if i%2 == 0 {
				energy = anomaly
			}
			running.Observe(energy, time.Second)
		}
		after := running.Judge(0.01)
		require.Greater(t, after.PValue, 0.1, name)
		require.InEpsilon(t, before.Median, after.Expected.Median, 0.4, name)
		require.Less(t, running.Judge(anomaly).PValue, 1e-3, name)
	}
}

func TestANewNormalIsAcceptedOnceItIsMostOfTheHistory(t *testing.T) {
	running := seasoned(Config{Calibrate: CalibrateConfig{History: 100}}, 100)
	require.Less(t, running.Judge(0.5).PValue, 1e-6)
	for range 60 {
		running.Observe(0.5, time.Second)
	}
	require.Greater(t, running.Judge(0.5).PValue, 0.5)
}

func TestAConstantPastDoesNotMakeAHairASurprise(t *testing.T) {
	running := NewRunning(Config{}.Default())
	for range 100 {
		running.Observe(0.01, time.Second)
	}
	require.Greater(t, running.Judge(0.0101).PValue, 0.5)
	require.Less(t, running.Judge(0.02).PValue, 1e-6)
	require.Less(t, running.Judge(0).PValue, 1e-6)
}

func TestTheWarmUpIsCountedInSecondsSeen(t *testing.T) {
	tests := []struct {
		name   string
		lasted time.Duration
		warm   int // windows until it is warm
	}{
		{"windows of a second", time.Second, 60},
		{"windows of half a second", 500 * time.Millisecond, 120},
		{"windows so long that their number decides", time.Minute, minimumHistory},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			running := NewRunning(Config{}.Default())
			for range test.warm {
				require.Equal(t, Judgement{}, running.Judge(0.01))
				running.Observe(0.01, test.lasted)
			}
			require.True(t, running.Judge(0.01).Warm)
		})
	}
}

// Invariant 6.
func TestTheHistoryIsBounded(t *testing.T) {
	running := seasoned(Config{Calibrate: CalibrateConfig{History: 50}}, 10_000)
	require.Len(t, running.recent, 50)
	require.Len(t, running.ordered, 50)
	require.LessOrEqual(t, cap(running.recent)+cap(running.ordered), 200)
	require.ElementsMatch(t, running.recent, running.ordered)
	require.True(t, slices.IsSorted(running.ordered))
}

func TestTheSpreadWalkFindsTheMedianDistance(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for n := 1; n < 60; n++ {
		values, distances := make([]float32, n), make([]float32, n)
		for i := range values {
			values[i] = float32(random.IntN(20)) // with ties
		}
		slices.Sort(values)
		center := median(values)
		for i, value := range values {
			distances[i] = max(value-center, center-value)
		}
		slices.Sort(distances)
		require.Equal(t, distances[n/2], medianDistance(values, center), "%v", values)
	}
}

// The values are those of statistical tables (two-sided).
func TestStudentsDistributionIsThatOfTheTables(t *testing.T) {
	tests := []struct{ freedom, p, t float64 }{
		{1, 0.5, 1},
		{1, 0.05, 12.7062},
		{5, 0.001, 6.8688},
		{10, 0.05, 2.2281},
		{30, 0.01, 2.7500},
		{120, 0.001, 3.3735},
		{1e6, 0.0455003, 2},
		{1e6, 5.733e-7, 5},
	}
	for _, test := range tests {
		require.InEpsilon(t, test.p, studentTails(test.t, test.freedom), 2e-4, "%v", test)
		require.InEpsilon(t, test.t, studentQuantile(test.p, test.freedom), 1e-4, "%v", test)
	}
	require.Equal(t, 1.0, studentTails(0, 10))
	for _, freedom := range []float64{7, 59, 599} { // the round trip where alarms are
		for _, p := range []float64{1e-3, 1.157e-5, 1e-8} {
			require.InEpsilon(t, p, studentTails(studentQuantile(p, freedom), freedom), 1e-6)
		}
	}
}

// Invariant 7: what is judged after a restart is what would have been judged without it.
func TestAnExportedStateJudgesTheSame(t *testing.T) {
	for _, windows := range []int{0, 5, 100, 600, 1234} {
		running, restored := seasoned(Config{}, windows), NewRunning(Config{}.Default())
		state := running.Export()
		require.LessOrEqual(t, len(state), 16+4*600)
		require.NoError(t, restored.Import(state))
		energies := newNoise(0.5, 3)
		for range 700 {
			energy := energies.next()
			require.Equal(t, running.Judge(energy), restored.Judge(energy))
			running.Observe(energy, time.Second)
			restored.Observe(energy, time.Second)
		}
		require.Equal(t, running.Export(), restored.Export())
	}
}

func TestAShorterHistoryImportsTheNewestPart(t *testing.T) {
	long := seasoned(Config{}, 500)
	short := NewRunning(Config{Calibrate: CalibrateConfig{History: 10}}.Default())
	require.NoError(t, short.Import(long.Export()))
	require.Equal(t, long.recent[490:], short.recent)
}

func TestAStateThatExportDidNotWriteIsRefusedAndChangesNothing(t *testing.T) {
	good := seasoned(Config{}, 20).Export()
	tests := map[string][]byte{
		"empty":               {},
		"another format":      append([]byte{9}, good[1:]...),
		"no time":             {byte(logarithmic)},
		"a time too long":     append([]byte{byte(logarithmic)}, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1),
		"half a number":       good[:len(good)-1],
		"not a number":        append(slices.Clone(good), 0, 0, 0xc0, 0x7f),
		"an absurd energy":    append(slices.Clone(good), 0, 0, 0, 0x7f),
		"less than no energy": append(slices.Clone(good), 0, 0, 0xc8, 0xc2),
	}
	for name, state := range tests {
		t.Run(name, func(t *testing.T) {
			running := seasoned(Config{}, 70)
			before := running.Export()
			err := running.Import(state)
			failure := stream.AsFailure(err, "")
			require.Equal(t, stream.Code("predict.calibration_state"), failure.Code)
			require.True(t, failure.Permanent)
			require.Equal(t, before, running.Export())
		})
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{byte(logarithmic), 0})
	f.Add(seasoned(Config{}, 70).Export())
	f.Fuzz(func(t *testing.T, state []byte) {
		cfg := Config{Calibrate: CalibrateConfig{History: 20, Warmup: time.Nanosecond}}.Default()
		running := NewRunning(cfg)
		if running.Import(state) != nil {
			return
		}
		again := NewRunning(cfg)
		require.NoError(t, again.Import(running.Export()))
		require.Equal(t, running.Export(), again.Export())
		for _, energy := range []float64{0, 0.01, math.MaxFloat64} {
			judgement := running.Judge(energy)
			require.True(t, judgement.PValue >= 0 && judgement.PValue <= 1, "%v", judgement)
			for _, value := range []float64{judgement.Expected.Low, judgement.Expected.Median, judgement.Expected.High} {
				require.False(t, math.IsNaN(value) || math.IsInf(value, 0), "%v", judgement)
			}
			running.Observe(energy, time.Second)
		}
	})
}

// standardStream is learned energies of one stream: of either sign, each depending on the one before.
func standardStream(mean, dev float64, seed uint64) func() float64 {
	past := newNoise(0.5, seed)
	return func() float64 { return mean + dev*math.Log(past.next()/0.01)/past.dev }
}

func TestLearnedEnergiesAlarmAtTheRateAskedForWhateverTheirLevel(t *testing.T) {
	const streams, windows, alpha = 30, 3000, 1e-3
	cfg := Config{Calibrate: CalibrateConfig{FalseAlarmsPerDay: alpha * 86400}}.Default()
	alarms, judged := 0, 0
	for seed := range uint64(streams) {
		running, next := NewStandardRunning(cfg), standardStream(float64(seed)-15, 0.4+float64(seed%3), seed)
		for range windows {
			energy := next()
			if judgement := running.Judge(energy); judgement.Warm {
				judged++
				if judgement.PValue < alpha {
					alarms++
				}
			}
			running.Observe(energy, time.Second)
		}
	}
	rate := float64(alarms) / float64(judged) / alpha
	t.Logf("%.2f times the rate asked for (%d windows)", rate, judged)
	require.Less(t, rate, 1.5)
	require.Greater(t, rate, 1/1.5)
}

func TestOnlyHighLearnedEnergiesSurprise(t *testing.T) {
	cfg := Config{Calibrate: CalibrateConfig{FalseAlarmsPerDay: 100}}.Default()
	running, next := NewStandardRunning(cfg), standardStream(-2, 1, 4)
	for range 200 {
		running.Observe(next(), time.Second)
	}
	band := running.Judge(0).Expected
	require.Less(t, band.Low, band.Median)
	require.Less(t, band.Median, band.High)
	require.Negative(t, band.Median)
	require.InEpsilon(t, 0.5, running.Judge(band.Median).PValue, 1e-6)
	require.InEpsilon(t, cfg.Alpha(), running.Judge(band.High).PValue, 1e-3)
	require.Greater(t, running.Judge(band.Low-100).PValue, 0.999)
	require.Less(t, running.Judge(100).PValue, 1e-9)
}

func TestALearnedPastThatHardlyVariesDoesNotMakeAHairASurprise(t *testing.T) {
	running := NewStandardRunning(Config{}.Default())
	for range 100 {
		running.Observe(-0.3, time.Second)
	}
	require.Greater(t, running.Judge(-0.1).PValue, 0.1)
	require.Less(t, running.Judge(2).PValue, 1e-9)
}

func TestTheStateOfLearnedEnergiesIsExportedAndIsNoOther(t *testing.T) {
	cfg := Config{}.Default()
	running, next := NewStandardRunning(cfg), standardStream(-2, 1, 4)
	for range 100 {
		running.Observe(next(), time.Second)
	}
	again := NewStandardRunning(cfg)
	require.NoError(t, again.Import(running.Export()))
	require.Equal(t, running.Judge(1), again.Judge(1))
	require.ErrorContains(t, NewRunning(cfg).Import(running.Export()), "format 1")
	require.ErrorContains(t, again.Import(seasoned(cfg, 70).Export()), "format 2")
}

// learnedPast is the calibration of a stream with learned energies around -1 and distances around 0.01.
func learnedPast(cfg Config, count int) (*byLearned, func() Said) {
	learned, energy, distance := newByLearned(cfg), standardStream(-1, 1, 4), newNoise(0.5, 9)
	next := func() Said { return Said{Energy: energy(), Distance: distance.next()} }
	for range count {
		learned.Observe(next(), time.Second)
	}
	return learned, next
}

func TestALearnedEnergyIsSurprisingWhenItIsHighAndADistanceWhenItIsLow(t *testing.T) {
	cfg := Config{Calibrate: CalibrateConfig{FalseAlarmsPerDay: 100}}.Default()
	learned, _ := learnedPast(cfg, 200)
	alpha := cfg.Alpha()
	usual := learned.Judge(Said{Energy: -1, Distance: 0.01})
	require.Greater(t, usual.PValue, 0.5)
	breaks := learned.Judge(Said{Energy: 8, Distance: 0.01})
	require.Less(t, breaks.PValue, alpha)
	require.False(t, breaks.Calm)
	stalls := learned.Judge(Said{Energy: -1, Distance: 0})
	require.Less(t, stalls.PValue, alpha)
	require.True(t, stalls.Calm)
	require.True(t, learned.Judge(Said{Energy: 8, Distance: 0}).Calm, "it breaks because it stands still")
	require.Greater(t, learned.Judge(Said{Energy: -1, Distance: 10}).PValue, 0.1, "the energy tells breaks")
	require.Greater(t, learned.Judge(Said{Energy: -9, Distance: 0.01}).PValue, 0.1)
	require.InEpsilon(t, alpha, learned.Judge(Said{Energy: usual.Expected.High, Distance: 0.01}).PValue, 1e-3)
}

func TestLearnedEnergiesAndDistancesTogetherAlarmAtTheRateAskedFor(t *testing.T) {
	const alpha = 2e-3
	cfg := Config{Calibrate: CalibrateConfig{FalseAlarmsPerDay: alpha * 86400}}.Default()
	alarms, judged := 0, 0
	for seed := range uint64(20) {
		learned, energy, distance := newByLearned(cfg), standardStream(0, 1, seed), newNoise(0.5, seed+100)
		for range 3000 {
			said := Said{Energy: energy(), Distance: distance.next()}
			if judgement := learned.Judge(said); judgement.Warm {
				judged++
				if judgement.PValue < alpha {
					alarms++
				}
			}
			learned.Observe(said, time.Second)
		}
	}
	rate := float64(alarms) / float64(judged) / alpha
	t.Logf("%.2f times the rate asked for (%d windows)", rate, judged)
	require.Less(t, rate, 1.5)
	require.Greater(t, rate, 1/1.5)
}

func TestBothPartsOfALearnedCalibrationAreExported(t *testing.T) {
	cfg := Config{}.Default()
	learned, next := learnedPast(cfg, 100)
	again := newByLearned(cfg)
	require.NoError(t, again.Import(learned.Export()))
	for range 20 {
		said := next()
		require.Equal(t, learned.Judge(said), again.Judge(said))
		learned.Observe(said, time.Second)
		again.Observe(said, time.Second)
	}
	state := learned.Export()
	for name, bad := range map[string][]byte{
		"nothing": {}, "distances": seasoned(cfg, 70).Export(), "no length": {learnedFormat}, "too long": {learnedFormat, 200, 1},
		"cut": state[:len(state)-1], "exchanged": append(append([]byte{learnedFormat}, 2), state[2:]...),
	} {
		before := again.Export()
		require.Error(t, again.Import(bad), name)
		require.Equal(t, before, again.Export(), name)
	}
}
