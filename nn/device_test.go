package nn

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

func TestRunReturnsWhatAnOperationFoundWrong(t *testing.T) {
	d := newDevice(t, Config{})
	tape := d.NewTape(TapeConfig{})
	defer tape.Close()
	err := d.Run(func() error {
		tape.Linear(tape.Zeros(2, 3), NewParameters(0).New("fc.weight", Zeros, 4, 5), nil)
		return nil
	})
	var e *Error
	require.ErrorAs(t, err, &e)
	require.EqualError(t, err, "mapping by fc.weight: the weight is (4, 5), the input (2, 3)")
	boom := errors.New("boom")
	require.ErrorIs(t, d.Run(func() error { return boom }), boom)
}

func TestAPanicReachesTheCaller(t *testing.T) {
	d := newDevice(t, Config{})
	require.PanicsWithValue(t, "boom", func() { _ = d.Run(func() error { panic("boom") }) })
	require.NoError(t, d.Run(func() error { return nil }), "the device still works")
}

func TestEndingTheGoroutineInsideRunEndsTheCaller(t *testing.T) {
	d := newDevice(t, Config{})
	done := make(chan bool)
	go func() {
		ended := true
		defer func() { done <- ended }()
		_ = d.Run(func() error {
			runtime.Goexit()
			return nil
		})
		ended = false
	}()
	require.True(t, <-done)
	require.NoError(t, d.Run(func() error { return nil }), "the device still works")
}

func TestOperationsOutsideRunPanic(t *testing.T) {
	d := newDevice(t, Config{})
	tape := d.NewTape(TapeConfig{})
	require.Panics(t, func() { tape.Zeros(2) })
}

func TestRunInsideRunRunsAtOnce(t *testing.T) {
	d := newDevice(t, Config{})
	depth := 0
	require.NoError(t, d.Run(func() error {
		depth++
		return d.Run(func() error {
			depth++
			return nil
		})
	}))
	require.Equal(t, 2, depth)
}

func TestAClosedDeviceSaysSo(t *testing.T) {
	d, err := Open(Config{Threads: 1})
	require.NoError(t, err)
	require.NoError(t, d.Close())
	require.ErrorIs(t, d.Run(func() error { return nil }), ErrClosed)
	require.ErrorIs(t, d.Close(), ErrClosed)
}

func TestGoroutinesTakeTurns(t *testing.T) {
	d := newDevice(t, Config{})
	e := NewEngine(d)
	a, b := dense32(1, 20, 30), dense32(2, 30, 10)
	want := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(20, 10))
	require.NoError(t, e.MatMul(a, b, want))
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 20 {
				got := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(20, 10))
				if e.MatMul(a, b, got) != nil || !got.Eq(want) {
					t.Error("a product is wrong")
				}
			}
		})
	}
	wait.Wait()
}

func TestEngineMultipliesArraysOfTensor(t *testing.T) {
	e := NewEngine(newDevice(t, Config{}))
	make32 := func(seed uint64, shape ...int) *tensor.Dense {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(dense32(seed, shape...).Float32s()), tensor.WithEngine(e))
	}
	a, b := make32(1, 5, 7), make32(2, 7, 3)
	plain := func(x *tensor.Dense) *tensor.Dense {
		return tensor.New(tensor.WithShape(x.Shape().Clone()...), tensor.WithBacking(append([]float32(nil), x.Float32s()...)))
	}
	want, err := tensor.MatMul(plain(a), plain(b))
	require.NoError(t, err)
	got, err := tensor.MatMul(a, b)
	require.NoError(t, err)
	near(t, "a b", numbers(want.(*tensor.Dense)), numbers(got.(*tensor.Dense)), 1e-6)

	c := make32(3, 7, 5)
	require.NoError(t, c.T())
	d := plain(make32(3, 7, 5))
	require.NoError(t, d.T())
	want, err = tensor.MatMul(d, plain(b))
	require.NoError(t, err)
	got, err = tensor.MatMul(c, b)
	require.NoError(t, err)
	near(t, "c^T b", numbers(want.(*tensor.Dense)), numbers(got.(*tensor.Dense)), 1e-6)

	sum, err := tensor.Add(a, a)
	require.NoError(t, err)
	require.InDelta(t, 2*a.Float32s()[3], sum.(*tensor.Dense).Float32s()[3], 1e-6)

	wide := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float64{1, 2, 3, 4}), tensor.WithEngine(e))
	product, err := tensor.MatMul(wide, wide)
	require.NoError(t, err)
	require.Equal(t, []float64{7, 10, 15, 22}, product.(*tensor.Dense).Float64s())
}

func TestRandomNumbersDependOnSeedAndNameOnly(t *testing.T) {
	a, b := NewParameters(7), NewParameters(7)
	NewLinear(b, "another", 3, 3, true)
	x, y := NewBlock(a, "block", BlockConfig{Size: 8, Heads: 2, Hidden: 8}), NewBlock(b, "block", BlockConfig{Size: 8, Heads: 2, Hidden: 8})
	require.Equal(t, x.MLP.In.Weight.Dense().Float32s(), y.MLP.In.Weight.Dense().Float32s())
	c := NewBlock(NewParameters(8), "block", BlockConfig{Size: 8, Heads: 2, Hidden: 8})
	require.NotEqual(t, x.MLP.In.Weight.Dense().Float32s(), c.MLP.In.Weight.Dense().Float32s())
	for _, v := range x.MLP.In.Weight.Dense().Float32s() {
		require.LessOrEqual(t, v, float32(0.0401))
	}
	require.Panics(t, func() { NewBlock(a, "block", BlockConfig{Size: 8, Heads: 2, Hidden: 8}) })
}
