package nn

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/internal/fixture"
)

func TestMain(m *testing.M) { fixture.Main(m) }

// newDevice opens a Device for a test.
func newDevice(tb testing.TB, c Config) *Device {
	tb.Helper()
	if c.Threads == 0 {
		c.Threads = 2
	}
	d, err := Open(c)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, d.Close()) })
	return d
}

// onTape runs f on a Tape of a Device of its own.
func onTape(tb testing.TB, c TapeConfig, f func(t *Tape)) {
	tb.Helper()
	d := newDevice(tb, Config{})
	t := d.NewTape(c)
	defer t.Close()
	require.NoError(tb, d.Run(func() error {
		f(t)
		return nil
	}))
}

func randoms64(seed uint64, n int) []float64 {
	r := rand.New(rand.NewPCG(seed, 0))
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}

func dense64(seed uint64, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(randoms64(seed, tensor.Shape(shape).TotalSize())))
}

func dense32(seed uint64, shape ...int) *tensor.Dense {
	return narrowed(dense64(seed, shape...))
}

func narrowed(x *tensor.Dense) *tensor.Dense {
	values := make([]float32, x.Shape().TotalSize())
	for i, v := range x.Float64s() {
		values[i] = float32(v)
	}
	return tensor.New(tensor.WithShape(x.Shape().Clone()...), tensor.WithBacking(values))
}

// numbers are an array's elements in float64, copied: the tape's memory is used again.
func numbers(x *tensor.Dense) []float64 {
	switch x.Dtype() {
	case tensor.Float64:
		return append([]float64(nil), x.Float64s()...)
	case tensor.Uint16:
		out := []float64{}
		for _, v := range FromBFloat16(x.Uint16s()) {
			out = append(out, float64(v))
		}
		return out
	}
	out := []float64{}
	for _, v := range x.Float32s() {
		out = append(out, float64(v))
	}
	return out
}

// near compares as the fixtures say: |got - want| <= tolerance max(1, largest |want|).
func near(tb testing.TB, what string, want, got []float64, tolerance float64) {
	tb.Helper()
	require.Len(tb, got, len(want), what)
	scale := 1.0
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	for i := range want {
		if d := math.Abs(want[i] - got[i]); !(d <= tolerance*scale) {
			tb.Fatalf("%s at %d: want %v, got %v (off by %.2g, allowed %.2g)", what, i, want[i], got[i], d, tolerance*scale)
		}
	}
}
