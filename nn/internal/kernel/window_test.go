package kernel

import (
	"fmt"
	"testing"

	"github.com/ensue-video/ensue/nn/internal/reference"
)

// convCases are convolutions whose results lie densely.
func convCases() []ConvShape {
	var all []ConvShape
	for _, n := range [][8]int{ // batch, height, width, c, n, kernel, stride, before
		{1, 1, 1, 1, 1, 1, 1, 0},
		{3, 8, 8, 16, 48, 3, 1, 1},
		{2, 9, 7, 5, 6, 3, 1, 1},
		{2, 13, 16, 3, 32, 4, 2, 1},
		{2, 9, 8, 32, 50, 3, 2, 1},
		{5, 4, 21, 20, 64, 2, 1, 0},
		{1, 6, 6, 4, 7, 3, 3, 2},
		{2, 9, 9, 8, 16, 3, 1, -1},
		{1, 40, 30, 48, 20, 3, 1, 1},
	} {
		v := ConvShape{
			In: [2]int{n[1], n[2]}, Kernel: [2]int{n[5], n[5]}, Stride: [2]int{n[6], n[6]}, Before: [2]int{n[7], n[7]},
			Batch: n[0], C: n[3], N: n[4],
		}
		for i, in := range v.In {
			v.Out[i] = (in+2*n[7]-n[5])/n[6] + 1
		}
		v.YPlace, v.YRow, v.YItem = v.N, v.N*v.Out[1], v.N*v.Out[0]*v.Out[1]
		all = append(all, v)
	}
	return all
}

// convWeights are w [kernel*c, n], as they are and packed.
func convWeights(s Set, v ConvShape) (w, packed []float32) {
	k := v.Kernel[0] * v.Kernel[1] * v.C
	w = randoms(2, k*v.N)
	packed = make([]float32, s.PackSize(k, v.N))
	s.Pack(packed, w, k, v.N, false)
	return w, packed
}

func TestConvolutionsAgreeWithTheReference(t *testing.T) {
	eachTeam(t, func(t *testing.T, s Set) {
		for _, dense := range convCases() {
			for flags := range 16 {
				a := Conv{ConvShape: dense, Sum: flags&1 != 0, GELU: flags&2 != 0}
				if flags&4 != 0 {
					a.Bias = randoms(3, a.N)
				}
				if flags&8 != 0 { // every third place of every second row
					a.YPlace, a.YRow = 3*a.N, 2*3*a.N*a.Out[1]
					a.YItem = a.YRow * a.Out[0]
				}
				a.X = randoms(1, a.Batch*a.In[0]*a.In[1]*a.C)
				var w []float32
				w, a.W = convWeights(s, a.ConvShape)
				a.Y = randoms(4, a.Batch*a.YItem)
				twin := a
				twin.Y, twin.W = append([]float32(nil), a.Y...), w
				s.Conv(&a, make([]float32, s.ConvWork(&a)))
				conv(&twin)
				near(t, twin.Y, a.Y, 2e-6)
			}
		}
	})
}

func TestWeightGradientsOfConvolutionsAgreeWithTheReference(t *testing.T) {
	eachTeam(t, func(t *testing.T, s Set) {
		for _, v := range convCases() {
			for _, sum := range []bool{false, true} {
				a := ConvGrad{ConvShape: v, X: randoms(1, v.Batch*v.In[0]*v.In[1]*v.C), DY: randoms(2, v.Batch*v.YItem), Sum: sum}
				a.DW = randoms(3, v.N*v.Kernel[0]*v.Kernel[1]*v.C)
				twin := a
				twin.DW = append([]float32(nil), a.DW...)
				s.ConvGrad(&a, make([]float32, s.ConvGradWork(&a)))
				convGrad(&twin)
				near(t, twin.DW, a.DW, 2e-6)
			}
		}
	})
}

func TestTurnedWeightsAgreeWithTheReference(t *testing.T) {
	eachTeam(t, func(t *testing.T, s Set) {
		for _, turn := range []ConvTurn{
			{Kernel: [2]int{3, 3}, Last: [2]int{2, 2}, Step: [2]int{1, 1}, Taps: [2]int{3, 3}, N: 5, C: 50},
			{Kernel: [2]int{4, 3}, Last: [2]int{3, 1}, Step: [2]int{2, 2}, Taps: [2]int{2, 1}, N: 64, C: 3},
		} {
			from := randoms(1, turn.N*turn.Kernel[0]*turn.Kernel[1]*turn.C)
			k := turn.Taps[0] * turn.Taps[1] * turn.N
			plain, want, got := make([]float32, k*turn.C), make([]float32, s.PackSize(k, turn.C)), make([]float32, s.PackSize(k, turn.C))
			reference.Weights(&turn, plain, from)
			s.Pack(want, plain, k, turn.C, false)
			s.ConvTurn(&turn, got, from)
			near(t, want, got, 0)
		}
	})
}

// BenchmarkConv reports how fast a convolution and its weights' gradient are.
func BenchmarkConv(b *testing.B) {
	for _, n := range [][6]int{ // batch, side, c, n, kernel, stride
		{16, 8, 96, 192, 3, 1},
		{16, 8, 96, 96, 3, 1},
		{16, 8, 288, 48, 3, 1},
		{48, 64, 3, 32, 4, 2},
		{48, 32, 32, 48, 3, 2},
		{48, 16, 48, 64, 3, 2},
		{48, 8, 64, 64, 3, 1},
	} {
		v := ConvShape{
			In: [2]int{n[1], n[1]}, Kernel: [2]int{n[4], n[4]}, Stride: [2]int{n[5], n[5]}, Before: [2]int{1, 1}, Batch: n[0], C: n[2], N: n[3],
		}
		v.Out = [2]int{n[1] / n[5], n[1] / n[5]}
		v.YPlace, v.YRow, v.YItem = v.N, v.N*v.Out[1], v.N*v.Out[0]*v.Out[1]
		x, y := randoms(1, v.Batch*v.In[0]*v.In[1]*v.C), randoms(2, v.Batch*v.YItem)
		gflop := 2e-9 * float64(v.Batch*v.YItem) * float64(n[4]*n[4]*n[2])
		s := Best()
		b.Run(fmt.Sprint(n, "/forward"), func(b *testing.B) {
			a := Conv{ConvShape: v, X: x, Y: y}
			_, a.W = convWeights(s, v)
			work := make([]float32, s.ConvWork(&a))
			benchmarkKernel(b, gflop, func() { s.Conv(&a, work) })
		})
		b.Run(fmt.Sprint(n, "/weights"), func(b *testing.B) {
			a := ConvGrad{ConvShape: v, X: x, DY: y, DW: make([]float32, v.N*v.Kernel[0]*v.Kernel[1]*v.C)}
			work := make([]float32, s.ConvGradWork(&a))
			benchmarkKernel(b, gflop, func() { s.ConvGrad(&a, work) })
		})
	}
}

func benchmarkKernel(b *testing.B, gflop float64, run func()) {
	b.Helper()
	best := 1e9
	for b.Loop() {
		start := processorTime()
		run()
		if took := processorTime() - start; took > 0 { // the goroutine may have changed threads
			best = min(best, took)
		}
	}
	b.ReportMetric(gflop/best, "GFLOP/s")
}
