package nn

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// convShapes are items so large that a convolution works off a few at a time.
var convShapes = []struct {
	batch, height, width, in, out, kernel, stride, padding int
}{
	{23, 16, 16, 32, 48, 3, 2, 1},
	{7, 64, 64, 3, 32, 4, 2, 1},
	{19, 8, 8, 64, 64, 3, 1, 1},
	{3, 9, 7, 5, 6, 3, 1, 1},
}

// A convolution and its gradients are those of the windows laid out all at once.
func TestConvolutionsAreProductsOfWindows(t *testing.T) {
	for _, s := range convShapes {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			onTape(t, TapeConfig{Gradients: true}, func(tape *Tape) {
				ps := NewParameters(1)
				conv := NewConv2d(ps, "c", s.in, s.out, s.kernel, s.stride, s.padding)
				x := dense32(3, s.batch, s.height, s.width, s.in)
				run := func(forward func(x *Value) *Value) [][]float64 {
					tape.Reset()
					ps.ZeroGrad()
					in := tape.Variable(x)
					y := forward(in)
					tape.BackwardFrom(y, narrowed(dense64(9, y.Shape()...)))
					all := []*tensor.Dense{y.Dense(), in.Grad(), conv.Weight.Grad(), conv.Bias.Grad()}
					var copies [][]float64
					for _, d := range all {
						copies = append(copies, slices.Clone(numbers(d)))
					}
					return copies
				}
				want := run(func(x *Value) *Value {
					d := x.Shape()
					k, p := s.kernel, s.padding
					w := Window{Kernel: [3]int{1, k, k}, Stride: [3]int{1, s.stride, s.stride}, Padding: [3]int{0, p, p}}
					y := tape.Linear(tape.Unfold(tape.Reshape(x, d[0], 1, d[1], d[2], d[3]), w), conv.Weight, conv.Bias)
					e := y.Shape()
					return tape.Reshape(y, e[0], e[2], e[3], e[4])
				})
				got := run(func(x *Value) *Value { return conv.Forward(tape, x) })
				for i, name := range []string{"y", "dx", "dw", "db"} {
					near(t, name, want[i], got[i], 1e-5)
				}
			})
		})
	}
}

// Streams are worked off together: that must not change a bit of any of them.
func TestAConvolutionOfAnItemDoesNotDependOnItsBatch(t *testing.T) {
	for _, s := range convShapes {
		for _, threads := range []int{1, 2, 3} {
			t.Run(fmt.Sprint(s, threads), func(t *testing.T) {
				d := newDevice(t, Config{Threads: threads})
				tape := d.NewTape(TapeConfig{})
				defer tape.Close()
				conv := NewConv2d(NewParameters(1), "c", s.in, s.out, s.kernel, s.stride, s.padding)
				x := dense32(3, s.batch, s.height, s.width, s.in)
				require.NoError(t, d.Run(func() error {
					all := slices.Clone(conv.ForwardGELU(tape, tape.Input(x)).Float32s())
					for first := 0; first < s.batch; first += 5 {
						for _, count := range []int{1, 2, 5} {
							tape.Reset()
							part := tape.Rows(tape.Input(x), first, min(first+count, s.batch))
							got := conv.ForwardGELU(tape, part).Float32s()
							require.Equal(t, all[first*len(all)/s.batch:][:len(got)], got, "items [%d, %d)", first, first+count)
						}
					}
					return nil
				}))
			})
		}
	}
}

func TestAConvGRUDoesNotDependOnItsBatchOrItsCutting(t *testing.T) {
	for _, threads := range []int{1, 2, 3} {
		const steps, batch, side, in, size = 9, 5, 8, 48, 96
		d := newDevice(t, Config{Threads: threads})
		tape := d.NewTape(TapeConfig{})
		gru := NewConvGRU(NewParameters(1), "g", in, size, 3)
		x := dense32(3, steps, batch, side, side, in)
		each := side * side * size
		require.NoError(t, d.Run(func() error {
			defer tape.Close()
			all := slices.Clone(gru.Forward(tape, tape.Input(x), nil).Float32s())
			for b := range batch {
				var h []float32
				for _, cut := range [][2]int{{0, 1}, {1, 3}, {3, 8}, {8, 9}} {
					tape.Reset()
					var alone []float32
					for i := cut[0]; i < cut[1]; i++ {
						alone = append(alone, x.Float32s()[(i*batch+b)*side*side*in:][:side*side*in]...)
					}
					var before *Value
					if h != nil {
						before = tape.Floats(h, 1, side, side, size)
					}
					got := gru.Forward(tape, tape.Floats(alone, cut[1]-cut[0], 1, side, side, in), before).Float32s()
					for i := range cut[1] - cut[0] {
						require.Equal(t, all[((cut[0]+i)*batch+b)*each:][:each], got[i*each:][:each], "stream %d, step %d", b, cut[0]+i)
					}
					h = slices.Clone(got[len(got)-each:])
				}
			}
			return nil
		}))
	}
}

// Invariant 4.
func TestARepeatedStepOfConvolutionsAllocatesNothing(t *testing.T) {
	d := newDevice(t, Config{Threads: 2})
	for _, gradients := range []bool{false, true} {
		tape := d.NewTape(TapeConfig{Gradients: gradients})
		ps := NewParameters(1)
		conv, gru := NewConv2d(ps, "c", 3, 8, 3, 2, 1), NewConvGRU(ps, "g", 8, 16, 3)
		x := dense32(3, 12, 16, 16, 3)
		step := func() error {
			tape.Reset()
			y := conv.ForwardGELU(tape, tape.Input(x))
			y = gru.Forward(tape, tape.Reshape(y, 4, 3, 8, 8, 8), nil)
			if gradients {
				tape.Backward(tape.Mean(tape.Square(y)))
				ps.ZeroGrad()
			}
			return nil
		}
		require.NoError(t, d.Run(step))
		require.NoError(t, d.Run(step))
		bytes := tape.Bytes()
		require.NoError(t, d.Run(func() error {
			require.LessOrEqual(t, testing.AllocsPerRun(5, func() { _ = step() }), 0.0, "gradients: %t", gradients)
			return nil
		}))
		require.Equal(t, bytes, tape.Bytes())
		require.NoError(t, d.Run(func() error { tape.Close(); return nil }))
	}
}
