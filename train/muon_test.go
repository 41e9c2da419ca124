package train

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/ensue-video/ensue/nn"
)

// TestMuonMovesEveryDirectionAlike: however different the singular values of a gradient are, those of the change lie near 1.
func TestMuonMovesEveryDirectionAlike(t *testing.T) {
	device, err := nn.Open(nn.Config{Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, device.Close()) }()
	for _, shape := range [][2]int{{20, 60}, {60, 20}, {32, 48}} {
		rows, columns := shape[0], shape[1]
		random := rand.New(rand.NewPCG(1, 2))
		g := make([]float32, rows*columns)
		for i := range g {
			g[i] = float32(random.NormFloat64() * math.Exp(-float64(i%columns)/20))
		}
		require.Greater(t, singularValues(t, g, rows, columns)[0], 4*singularValues(t, g, rows, columns)[min(rows, columns)-1])
		require.NoError(t, device.Run(func() error {
			m := newMuon(device, nil, 0)
			defer m.tape.Close()
			values := singularValues(t, m.orthogonal(g, rows, columns), rows, columns)
			require.Less(t, values[0], 1.3)
			require.Greater(t, values[len(values)-1], 0.5)
			return nil
		}))
	}
}

func singularValues(t *testing.T, x []float32, rows, columns int) []float64 {
	t.Helper()
	var svd mat.SVD
	require.True(t, svd.Factorize(mat.NewDense(rows, columns, widened(x)), mat.SVDNone))
	return svd.Values(nil)
}

// TestMuonLeavesToAdamWWhatIsNoMatrix: biases and narrow matrices.
func TestMuonLeavesToAdamWWhatIsNoMatrix(t *testing.T) {
	device, err := nn.Open(nn.Config{Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, device.Close()) }()
	ps := nn.NewParameters(1)
	nn.NewLinear(ps, "wide", 32, 24, true)
	nn.NewLinear(ps, "narrow", 32, 4, true)
	require.NoError(t, device.Run(func() error {
		m := newMuon(device, ps.All(), 0)
		defer m.tape.Close()
		require.Len(t, m.params, 1)
		require.Equal(t, "wide.weight", m.params[0].Name)
		return nil
	}))
}

func TestTrainingWithMuonGoesOnBitForBit(t *testing.T) {
	requireResumes(t, func(c *Config) {
		c.Optimiser.Kind, c.Model.Recurrent.Dim, c.Model.Recurrent.Hidden = Muon, 16, 16
		c.Objective.Reconstruct = ReconstructConfig{Weight: 1, Moving: 4}
	})
}

// requireResumes stops a training of six steps after three: the losses of the others are those of the same training in one go.
func requireResumes(t *testing.T, change func(c *Config)) {
	t.Helper()
	whole, stopped := tiny(t), tiny(t)
	change(&whole)
	change(&stopped)
	want, err := Run(t.Context(), whole, one())
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	options := one()
	options.Progress = func(p Progress) {
		if p.Step == 3 {
			cancel()
		}
	}
	_, err = Run(ctx, stopped, options)
	require.ErrorIs(t, err, context.Canceled)
	options = one()
	options.Resume = true
	got, err := Run(t.Context(), stopped, options)
	require.NoError(t, err)
	require.Equal(t, want.Losses[3:], got.Losses)
}
