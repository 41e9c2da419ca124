package predictor

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/nn"
)

// world draws windows whose two observed numbers depend on one given number g: 2g ± 0.1 and g² ± 0.2 e^g.
func world(random *rand.Rand, n int, off float64) []Statistics {
	windows := make([]Statistics, n)
	for i := range windows {
		g := random.NormFloat64()
		windows[i] = Statistics{
			Observed: []float64{
				2*g + 0.1*math.Exp(g/2)*random.NormFloat64() + off,
				g*g + 0.2*math.Exp(g/2)*random.NormFloat64(),
			},
			Given: []float64{g},
		}
	}
	return windows
}

func fitted(t *testing.T) (*OneClass, *rand.Rand) {
	t.Helper()
	random := rand.New(rand.NewPCG(5, 6))
	o, err := FitOneClass(world(random, 4000, 0))
	require.NoError(t, err)
	return o, random
}

// TestOneClassFindsTheLawOfItsWorld: fresh windows have residuals of mean 0 and deviation 1, whatever the condition, and squared
// energies as χ² with two degrees of freedom.
func TestOneClassFindsTheLawOfItsWorld(t *testing.T) {
	o, random := fitted(t)
	var sum, square, energies [2]float64 // of windows with a low and a high condition
	var count [2]float64
	for _, s := range world(random, 6000, 0) {
		if math.Abs(s.Given[0]) > 2 {
			continue
		}
		side := 0
		if s.Given[0] > 0 {
			side = 1
		}
		r, err := o.Residual(s)
		require.NoError(t, err)
		e, err := o.Energy(s)
		require.NoError(t, err)
		count[side]++
		sum[side] += r[0]
		square[side] += r[0] * r[0]
		energies[side] += e * e
	}
	for side := range 2 {
		require.InDelta(t, 0, sum[side]/count[side], 0.25)
		require.InDelta(t, 1, square[side]/count[side], 0.3)
		require.InDelta(t, 2, energies[side]/count[side], 0.5)
	}
}

func TestOneClassHasTwoSides(t *testing.T) {
	o, _ := fitted(t)
	energy := func(observed float64) float64 {
		e, err := o.Energy(Statistics{Observed: []float64{observed, 0.25}, Given: []float64{0.5}})
		require.NoError(t, err)
		return e
	}
	require.Greater(t, energy(2), 3*energy(1))
	require.Greater(t, energy(0), 3*energy(1))
	require.Greater(t, o.Standard(energy(0)), o.Standard(energy(1)))
}

// TestStandardIsThatOfGenuineWindows: the energies of genuine windows have mean 0 and deviation 1 on that scale.
func TestStandardIsThatOfGenuineWindows(t *testing.T) {
	o, random := fitted(t)
	var values []float64
	for _, s := range world(random, 4000, 0) {
		e, err := o.Energy(s)
		require.NoError(t, err)
		values = append(values, o.Standard(e))
	}
	mean, deviation := moments(values)
	require.InDelta(t, 0, mean, 0.1)
	require.InDelta(t, 1, deviation, 0.1)
}

func TestOneClassRefusesWhatItCannotFit(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	_, err := FitOneClass(nil)
	require.ErrorIs(t, err, ErrTooFewWindows)
	_, err = FitOneClass(world(random, 3, 0))
	require.ErrorContains(t, err, "more than 3")
	odd := world(random, 20, 0)
	odd[7].Observed[1] = math.NaN()
	_, err = FitOneClass(odd)
	require.ErrorContains(t, err, "NaN")
	odd[7] = Statistics{Observed: []float64{1}, Given: []float64{1}}
	_, err = FitOneClass(odd)
	require.ErrorContains(t, err, "other sources")
	o, _ := fitted(t)
	_, err = o.Energy(odd[7])
	require.ErrorContains(t, err, "other sources")
}

// lessons are pairs whose negatives lie a little above or below, in the first number only.
func lessons(random *rand.Rand, n int) []Pair {
	var pairs []Pair
	for i := range n {
		kind, off := "above", 0.6
		if i%4 == 0 { // fewer of one kind than of the other
			kind, off = "below", -0.6
		}
		pairs = append(pairs, Pair{Kind: kind, Genuine: world(random, 1, 0)[0], Negative: world(random, 1, off)[0]})
	}
	return pairs
}

func headDevice(t *testing.T) *nn.Device {
	t.Helper()
	device, err := nn.Open(nn.Config{Threads: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, device.Close()) })
	return device
}

func trained(t *testing.T, device *nn.Device) (*Head, *rand.Rand) {
	t.Helper()
	o, random := fitted(t)
	h, err := FitHead(context.Background(), device, o, lessons(random, 600), world(random, 200, 0),
		HeadConfig{Nets: 2, Hidden: 16, Steps: 150, Batch: 32})
	require.NoError(t, err)
	return h, random
}

func TestHeadLearnsWhatDoesNotEnsue(t *testing.T) {
	h, random := trained(t, headDevice(t))
	right := 0
	for range 300 {
		genuine, err := h.Energy(world(random, 1, 0)[0])
		require.NoError(t, err)
		negative, err := h.Energy(world(random, 1, []float64{0.6, -0.6}[random.IntN(2)])[0])
		require.NoError(t, err)
		if negative > genuine {
			right++
		}
	}
	require.Greater(t, right, 270)
}

func TestHeadIsTheSameFromTheSameSeed(t *testing.T) {
	device := headDevice(t)
	a, _ := trained(t, device)
	b, _ := trained(t, device)
	require.Equal(t, a.nets, b.nets)
}

func TestHeadEndsWithItsContext(t *testing.T) {
	o, random := fitted(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := FitHead(ctx, headDevice(t), o, lessons(random, 10), world(random, 5, 0), HeadConfig{Steps: 5})
	require.ErrorIs(t, err, context.Canceled)
	_, err = FitHead(context.Background(), headDevice(t), o, nil, nil, HeadConfig{})
	require.ErrorContains(t, err, "none")
}

func TestEnergiesAreLoadedAsTheyWerePut(t *testing.T) {
	h, random := trained(t, headDevice(t))
	var file nn.TensorFile
	h.Put(&file, "energy.")
	var bytes bytes.Buffer
	require.NoError(t, file.Encode(&bytes))
	s, err := nn.ParseSafetensors(bytes.Bytes())
	require.NoError(t, err)
	loaded, err := LoadHead(s, "energy.")
	require.NoError(t, err)
	for _, window := range world(random, 20, 0.3) {
		want, err := h.Energy(window)
		require.NoError(t, err)
		got, err := loaded.Energy(window)
		require.NoError(t, err)
		require.Equal(t, h.Standard(want), loaded.Standard(got))
		one, err := h.OneClass().Energy(window)
		require.NoError(t, err)
		other, err := loaded.OneClass().Energy(window)
		require.NoError(t, err)
		require.InDelta(t, h.OneClass().Standard(one), loaded.OneClass().Standard(other), 1e-9)
	}
	_, err = LoadHead(s, "nothing.")
	require.ErrorContains(t, err, "nothing.one_class.fit")
}

func TestEnergyFilesKeepRuleAndSource(t *testing.T) {
	h, random := trained(t, headDevice(t))
	windows, digests := world(random, 10, 0.4), map[string]bool{}
	for _, rule := range Rules() {
		parts := []Part{{OneClass: h.OneClass(), Head: h}}
		if rule == RuleOneClass {
			parts[0].Head = nil
		}
		e, err := NewEnergy(parts, rule, world(random, 100, 0))
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "energy.safetensors")
		require.NoError(t, WriteEnergy(path, e, EnergyAbout{Sources: []string{SourceFlow, "other"}, Note: "a world"}))
		got, about, err := OpenEnergy(path)
		require.NoError(t, err)
		require.Equal(t, EnergyAbout{Sources: []string{SourceFlow, "other"}, Note: "a world"}, about)
		require.Equal(t, e.Digest(), got.Digest())
		digests[e.Digest()] = true
		require.Equal(t, rule, got.Rule)
		for _, window := range windows {
			want, err := e.Of(window)
			require.NoError(t, err)
			have, err := got.Of(window)
			require.NoError(t, err)
			require.InDelta(t, want, have, 1e-9)
		}
		require.ErrorContains(t, WriteEnergy(path, e, EnergyAbout{}), "which sources")
		require.ErrorContains(t, WriteEnergy(path, e, EnergyAbout{Sources: []string{SourceModel}}), "which model")
		require.ErrorContains(t, WriteEnergy(path, e, EnergyAbout{Sources: []string{"a,b"}}), "no name")
		_, err = got.WithRule(RuleMax)
		require.Equal(t, rule == RuleOneClass, err != nil)
	}
	require.Len(t, digests, len(Rules()), "another rule is another energy")
	require.InDelta(t, 0.65*2+0.35*4, RuleMix.Fuse(2, 4), 1e-12)
	require.InDelta(t, 4, RuleMax.Fuse(2, 4), 0)
	require.InDelta(t, 2, RuleHead.Fuse(2, 4), 0)
	require.InDelta(t, 4, RuleOneClass.Fuse(2, 4), 0)
	_, err := ParseRule("median")
	require.ErrorContains(t, err, "median")
}

func TestOtherFilesAreNoEnergies(t *testing.T) {
	var file nn.TensorFile
	file.Metadata = map[string]string{"format": "pt"}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	require.NoError(t, file.Write(path))
	_, _, err := OpenEnergy(path)
	require.ErrorContains(t, err, `"pt"`)
	_, _, err = OpenEnergy(filepath.Join(t.TempDir(), "missing"))
	require.ErrorContains(t, err, "missing")
}
