package onednn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/nn/internal/reference"
)

func newEngine(tb testing.TB) *Engine {
	tb.Helper()
	var room []float32
	e, err := New(func(n int) []float32 {
		if n+16 > len(room) {
			room = make([]float32, n+16)
		}
		return room[:n]
	})
	require.NoError(tb, err)
	tb.Cleanup(e.Close)
	return e
}

func randoms(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 0))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func near(t *testing.T, want, got []float32, tolerance float64) {
	t.Helper()
	for i := range want {
		if d := math.Abs(float64(want[i]) - float64(got[i])); !(d <= tolerance*max(1, math.Abs(float64(want[i])))) {
			t.Fatalf("at %d: want %v, got %v", i, want[i], got[i])
		}
	}
}

func expected(s Shape, x, w, bias, y []float32) []float32 {
	keep := float32(0)
	if s.Sum {
		keep = 1
	}
	if !s.Bias {
		bias = nil
	}
	out := append([]float32(nil), y...)
	reference.MatMul(out, x, w, bias, s.M, s.N, s.K, s.TransX, s.TransW, keep)
	if s.GELU {
		reference.GELU(out, out)
	}
	return out
}

var sizes = [][3]int{{1, 1, 1}, {3, 4, 5}, {7, 48, 24}, {64, 192, 192}, {130, 65, 100}, {1, 384, 96}}

func TestProductsAgreeWithTheReference(t *testing.T) {
	e := newEngine(t)
	for _, n := range sizes {
		for flags := range 32 {
			s := Shape{
				M: n[0], N: n[1], K: n[2], TransX: flags&1 != 0, TransW: flags&2 != 0, Bias: flags&4 != 0, GELU: flags&8 != 0,
				Sum: flags&16 != 0,
			}
			if s.GELU && s.Sum {
				continue // never used together
			}
			t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
				x, w, bias, y := randoms(1, s.M*s.K), randoms(2, s.K*s.N), randoms(3, s.N), randoms(4, s.M*s.N)
				want := expected(s, x, w, bias, y)
				require.NoError(t, e.MatMul(s, Buffer{Full: y}, Buffer{Full: x}, Buffer{Full: w}, bias))
				near(t, want, y, 2e-5)
			})
		}
	}
}

func TestPackedWeightsGiveTheSameProductForAnyNumberOfRows(t *testing.T) {
	e := newEngine(t)
	for _, n := range sizes {
		p, err := e.Pack(Shape{N: n[1], K: n[2], TransW: true})
		require.NoError(t, err)
		w := randoms(2, n[1]*n[2])
		require.NoError(t, e.Fill(p, w))
		for _, m := range []int{1, 2, 5, 63, 64, 65, 512, 700} {
			s := Shape{M: m, N: n[1], K: n[2], Bias: true}
			x, bias, y := randoms(1, s.M*s.K), randoms(3, s.N), make([]float32, s.M*s.N)
			require.NoError(t, e.MatMulPacked(s, Buffer{Full: y}, Buffer{Full: x}, p, bias))
			require.False(t, strings.HasPrefix(e.Implementation(s, true), "ref"), "%v runs on oneDNN's reference loops", s)
			s.TransW = true
			near(t, expected(s, x, w, bias, y), y, 2e-5)
		}
		p.Close()
	}
}

func TestTheCacheOfProductsIsBounded(t *testing.T) {
	if !Native {
		t.Skip("nothing is cached")
	}
	e := newEngine(t)
	x := randoms(1, 2*4096)
	for m := 1; m < 2100; m++ {
		s := Shape{M: m, N: 2, K: 2}
		require.NoError(t, e.MatMul(s, Buffer{Full: x[:2*m]}, Buffer{Full: x[:2*m]}, Buffer{Full: x[:4]}, nil))
	}
	require.LessOrEqual(t, e.cached(), 1024)
}

func TestAProductAllocatesNothingOnceItIsKnown(t *testing.T) {
	e := newEngine(t)
	s := Shape{M: 64, N: 48, K: 32, Bias: true}
	x, w, bias, y := randoms(1, s.M*s.K), randoms(2, s.K*s.N), randoms(3, s.N), randoms(4, s.M*s.N)
	run := func() { _ = e.MatMul(s, Buffer{Full: y}, Buffer{Full: x}, Buffer{Full: w}, bias) }
	run()
	require.Zero(t, testing.AllocsPerRun(20, run))
}
