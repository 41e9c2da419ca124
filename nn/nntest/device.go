package nntest

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// OpenDevice opens a device with two threads for the length of a test.
func OpenDevice(tb testing.TB) *nn.Device {
	tb.Helper()
	device, err := nn.Open(nn.Config{Threads: 2})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, device.Close()) })
	return device
}

// OnTape runs f with a fresh tape.
func OnTape(tb testing.TB, device *nn.Device, config nn.TapeConfig, f func(tape *nn.Tape)) {
	tb.Helper()
	tape := device.NewTape(config)
	require.NoError(tb, device.Run(func() error {
		defer tape.Close()
		f(tape)
		return nil
	}))
}

// Normals are n normal numbers.
func Normals(seed uint64, n int) []float64 {
	random := rand.New(rand.NewPCG(seed, 0))
	values := make([]float64, n)
	for i := range values {
		values[i] = random.NormFloat64()
	}
	return values
}

// Normal is an array of normal numbers.
func Normal(seed uint64, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(Normals(seed, tensor.Shape(shape).TotalSize())))
}
