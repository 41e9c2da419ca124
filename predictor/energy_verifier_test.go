package predictor

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/nn/nntest"
	"github.com/ensue-video/ensue/stream"
)

// verifierDir is a directory with an untrained verifier of 6 channels, for the model "sha256:abc".
func verifierDir(t *testing.T, seed uint64) string {
	t.Helper()
	dir, config := t.TempDir(), VerifierConfig{Dim: 6, Width: 16, Depth: 2, Heads: 2}
	ps := nn.NewParameters(seed)
	NewVerifierNet(ps, config)
	require.NoError(t, WriteVerifier(dir, config, ps, "sha256:abc"))
	return dir
}

func openVerifier(t *testing.T, dir string, device *nn.Device) *Verifier {
	t.Helper()
	v, err := OpenVerifier(dir, "sha256:abc", device)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	return v
}

func randomTokens(random *rand.Rand, shape stream.Shape) *stream.Tokens {
	tokens := &stream.Tokens{Shape: shape, Data: make([]float32, shape.Len())}
	for i := range tokens.Data {
		tokens.Data[i] = float32(random.NormFloat64())
	}
	return tokens
}

// TestVerifierJudgesAWindow: the energy is the mean of its map, of which every token depends on what was expected, on what came and on
// what was there last, and on nothing before that.
func TestVerifierJudgesAWindow(t *testing.T) {
	device := nntest.OpenDevice(t)
	v := openVerifier(t, verifierDir(t, 3), device)
	random := rand.New(rand.NewPCG(1, 2))
	shape := stream.Shape{T: 3, H: 2, W: 4, D: 6}
	x, y, expected := randomTokens(random, shape), randomTokens(random, shape), randomTokens(random, shape).Data
	judge := func() (float64, []float32) {
		energy, tokens, err := v.Judge(t.Context(), x, y, expected)
		require.NoError(t, err)
		require.Len(t, tokens, 24)
		require.InDelta(t, mean(tokens), energy, 1e-9)
		return energy, tokens
	}
	before, tokens := judge()
	for _, token := range tokens {
		require.Positive(t, token)
	}
	x.Data[0]++ // not the last step
	same, _ := judge()
	require.Equal(t, before, same)
	for name, value := range map[string]*float32{"x": &x.Data[shape.Len()-1], "y": &y.Data[7], "expected": &expected[7]} {
		*value++
		changed, _ := judge()
		require.NotEqual(t, before, changed, name)
		*value--
	}
	last := &stream.Tokens{Shape: shape, Data: x.Data[2*shape.Step():]}
	last.T = 1
	one, _, err := v.Judge(t.Context(), last, y, expected)
	require.NoError(t, err)
	require.Equal(t, before, one)
}

func TestVerifierIsTheSameForManyGoroutines(t *testing.T) {
	v := openVerifier(t, verifierDir(t, 3), nntest.OpenDevice(t))
	random := rand.New(rand.NewPCG(5, 2))
	shape := stream.Shape{T: 2, H: 2, W: 2, D: 6}
	var group sync.WaitGroup
	for range 8 {
		x, y, expected := randomTokens(random, shape), randomTokens(random, shape), randomTokens(random, shape).Data
		_, want, err := v.Judge(t.Context(), x, y, expected)
		require.NoError(t, err)
		group.Go(func() {
			for range 5 {
				_, got, err := v.Judge(t.Context(), x, y, expected)
				if err != nil || !slices.Equal(want, got) {
					t.Errorf("judged otherwise: %v, %v instead of %v", err, got, want)
				}
			}
		})
	}
	group.Wait()
}

func TestVerifierRefusesTokensOfAnotherModel(t *testing.T) {
	v := openVerifier(t, verifierDir(t, 3), nntest.OpenDevice(t))
	random := rand.New(rand.NewPCG(5, 2))
	shape, wide := stream.Shape{T: 2, H: 2, W: 2, D: 6}, stream.Shape{T: 2, H: 2, W: 2, D: 7}
	good := randomTokens(random, shape)
	other := randomTokens(random, wide)
	for name, test := range map[string]struct {
		x, y     *stream.Tokens
		expected []float32
	}{
		"channels":   {other, other, other.Data},
		"expected":   {good, good, good.Data[1:]},
		"no past":    {&stream.Tokens{Shape: stream.Shape{H: 2, W: 2, D: 6}}, good, good.Data},
		"other grid": {randomTokens(random, stream.Shape{T: 1, H: 4, W: 1, D: 6}), good, good.Data},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := v.Judge(t.Context(), test.x, test.y, test.expected)
			failure, ok := errors.AsType[*stream.Failure](err)
			require.True(t, ok, err)
			require.Equal(t, "predict.shape", string(failure.Code))
		})
	}
}

func TestVerifierBelongsToItsModel(t *testing.T) {
	device, dir := nntest.OpenDevice(t), verifierDir(t, 3)
	require.True(t, HasVerifier(dir))
	require.False(t, HasVerifier(t.TempDir()))
	_, err := OpenVerifier(dir, "sha256:other", device)
	require.ErrorContains(t, err, "sha256:abc")
	_, err = OpenVerifier(t.TempDir(), "sha256:abc", device)
	require.ErrorIs(t, err, ErrNoVerifier)

	first, same, other := openVerifier(t, dir, device), openVerifier(t, verifierDir(t, 3), device), openVerifier(t, verifierDir(t, 4), device)
	require.Equal(t, first.Digest(), same.Digest())
	require.NotEqual(t, first.Digest(), other.Digest())

	path := filepath.Join(dir, VerifierFile)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text[:len(text)-9], 0o600))
	_, err = OpenVerifier(dir, "", device)
	require.ErrorContains(t, err, path)
}

func TestVerifierSizesThatCannotBeAreRefused(t *testing.T) {
	for name, c := range map[string]VerifierConfig{
		"no channels":   {Width: 16, Depth: 1, Heads: 2},
		"odd heads":     {Dim: 4, Width: 16, Depth: 1, Heads: 3},
		"narrow heads":  {Dim: 4, Width: 8, Depth: 1, Heads: 4},
		"endless depth": {Dim: 4, Width: 16, Depth: 1 << 20, Heads: 2},
	} {
		require.Error(t, c.Check(), name)
	}
	require.NoError(t, VerifierConfig{Dim: 4, Width: 12, Depth: 1, Heads: 2}.Check())
}

// FuzzVerifier reads what may be no verifier: an error, never a panic or memory for what cannot be.
func FuzzVerifier(f *testing.F) {
	dir, config := f.TempDir(), VerifierConfig{Dim: 2, Width: 8, Depth: 1, Heads: 1}
	ps := nn.NewParameters(1)
	NewVerifierNet(ps, config)
	require.NoError(f, WriteVerifier(dir, config, ps, "m"))
	text, err := os.ReadFile(filepath.Join(dir, VerifierFile))
	require.NoError(f, err)
	f.Add(text)
	device := nntest.OpenDevice(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := nn.ParseSafetensors(text)
		if err != nil {
			return
		}
		if v, err := ReadVerifier(s, "", device); err == nil {
			require.NoError(t, v.Close())
		}
	})
}
