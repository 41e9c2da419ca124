package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/nn/internal/reference"
)

// eachSet runs a test for every instruction set of this machine.
func eachSet(t *testing.T, f func(t *testing.T, s Set)) {
	t.Helper()
	for level := range Levels {
		s, ok := At(level)
		if !ok {
			continue
		}
		t.Run(s.Name(), func(t *testing.T) { f(t, s) })
	}
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
	require.Len(t, got, len(want))
	scale := 1.0
	for _, v := range want {
		scale = max(scale, math.Abs(float64(v)))
	}
	for i := range want {
		if d := math.Abs(float64(want[i]) - float64(got[i])); !(d <= tolerance*scale) {
			t.Fatalf("at %d: want %v, got %v (tolerance %g)", i, want[i], got[i], tolerance*scale)
		}
	}
}

func TestLayerNormAgreesWithTheReference(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		for _, n := range []int{1, 5, 16, 33, 192, 769} {
			const rows = 37
			x, w, b, dy := randoms(1, rows*n), randoms(2, n), randoms(3, n), randoms(4, rows*n)
			for i := range x {
				x[i] += 3
			}
			for _, affine := range []bool{true, false} {
				a := Norm{Y: make([]float32, rows*n), X: x, Eps: 1e-6, N: n, Mean: make([]float32, rows), RStd: make([]float32, rows)}
				if affine {
					a.W, a.B = w, b
				}
				want := a
				want.Y, want.Mean, want.RStd = make([]float32, rows*n), make([]float32, rows), make([]float32, rows)
				s.Norm(&a)
				norm(&want)
				near(t, want.Y, a.Y, 2e-6)
				near(t, want.Mean, a.Mean, 1e-6)
				if n > 1 {
					near(t, want.RStd, a.RStd, 1e-5)
				}
				for _, accumulate := range []bool{false, true} {
					g := NormGrad{
						X: x, W: a.W, DY: dy, Mean: want.Mean, RStd: want.RStd, N: n,
						DX: randoms(5, rows*n), DW: randoms(6, n), DB: randoms(7, n),
						AccumulateX: accumulate, AccumulateW: accumulate, AccumulateB: !accumulate,
					}
					expect := g
					expect.DX, expect.DW, expect.DB = randoms(5, rows*n), randoms(6, n), randoms(7, n)
					s.NormGrad(&g)
					normGrad(&expect)
					near(t, expect.DX, g.DX, 5e-6*max(1, float64(slices.Max(want.RStd))/20))
					near(t, expect.DW, g.DW, 5e-6)
					near(t, expect.DB, g.DB, 5e-6)
				}
			}
		}
	})
}

func TestLayerNormOfAConstantRowIsItsBias(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		x := make([]float32, 48)
		for i := range x {
			x[i] = 0.1
		}
		y := make([]float32, 48)
		s.Norm(&Norm{Y: y, X: x, Eps: 1e-6, N: 48})
		near(t, make([]float32, 48), y, 1e-6)
	})
}

func TestPointwiseKernelsAgreeWithTheReference(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		for _, n := range []int{1, 7, 16, 100, 20001} {
			x, y := randoms(1, n), randoms(2, n)
			for i := range x {
				x[i] *= 4
			}
			got, want := make([]float32, n), make([]float32, n)
			s.GELU(got, x)
			reference.GELU(want, x)
			near(t, want, got, 3e-7)
			for _, accumulate := range []bool{false, true} {
				s.GELUGrad(got, x, y, accumulate)
				reference.GELUGrad(want, x, y, accumulate)
				near(t, want, got, 1e-6)
			}
			s.Add(got, x, y)
			reference.Add(want, x, y)
			near(t, want, got, 1e-7)
			s.Axpy(got, x, 0.3)
			reference.Axpy(want, x, 0.3)
			near(t, want, got, 1e-6)
			s.Lerp(got, y, 0.9)
			reference.Lerp(want, y, 0.9)
			near(t, want, got, 1e-6)
			require.InEpsilon(t, reference.SumSquares(x), s.SumSquares(x), 1e-6)
		}
	})
}

func TestGELUFarOutIsExact(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		x := []float32{-100, -20, -6, 0, 6, 20, 100}
		y := make([]float32, len(x))
		s.GELU(y, x)
		near(t, []float32{0, 0, 0, 0, 6, 20, 100}, y, 1e-7)
	})
}

func TestColumnSumAgreesWithTheReference(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		for _, n := range []int{1, 3, 16, 70, 193} {
			x, got, want := randoms(1, 301*n), randoms(2, n), randoms(2, n)
			for _, accumulate := range []bool{false, true} {
				s.ColumnSum(got, x, accumulate)
				reference.ColumnSum(want, x, accumulate)
				near(t, want, got, 2e-6)
			}
		}
	})
}

func TestDistancesOfRowsAgreeWithTheReference(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		for _, n := range []int{1, 16, 21, 48} {
			const rows = 700
			a := RowL1{A: randoms(1, rows*n), B: randoms(2, rows*n), Y: make([]float32, rows), N: n, Scale: 0.25}
			copy(a.B[:n], a.A)
			want := a
			want.Y = make([]float32, rows)
			s.RowL1(&a)
			rowL1(&want)
			near(t, want.Y, a.Y, 1e-6)
			for flags := range 16 {
				g := RowL1{A: a.A, B: a.B, DY: randoms(3, rows), N: n, Scale: 0.25, AddA: flags&4 != 0, AddB: flags&8 != 0}
				if flags&1 != 0 {
					g.DA = randoms(4, rows*n)
				}
				if flags&2 != 0 {
					g.DB = randoms(5, rows*n)
				}
				expect := g
				expect.DA, expect.DB = slices.Clone(g.DA), slices.Clone(g.DB)
				s.RowL1Grad(&g)
				rowL1Grad(&expect)
				near(t, expect.DA, g.DA, 1e-6)
				near(t, expect.DB, g.DB, 1e-6)
			}
		}
	})
}

func TestAdamWAgreesWithTheReference(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		const n = 20003
		a := AdamW{
			P: randoms(1, n), M: randoms(2, n), V: make([]float32, n), G: randoms(4, n),
			LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Decay: 0.05, Correct1: 0.19, Correct2: 0.002, GradScale: 0.5,
		}
		for i, v := range randoms(3, n) {
			a.V[i] = v * v
		}
		b := a
		b.P, b.M, b.V = append([]float32(nil), a.P...), append([]float32(nil), a.M...), append([]float32(nil), a.V...)
		s.AdamW(&a)
		adamw(&b)
		near(t, b.P, a.P, 1e-6)
		near(t, b.M, a.M, 1e-6)
		near(t, b.V, a.V, 1e-6)
	})
}

func TestBFloat16RoundsToNearestEven(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		x := append(randoms(1, 1000), 0, float32(math.Copysign(0, -1)), 1, 1+1.0/256, 1+3.0/256, float32(math.Inf(1)),
			float32(math.Inf(-1)), math.MaxFloat32, math.SmallestNonzeroFloat32)
		got, want := make([]uint16, len(x)), make([]uint16, len(x))
		s.Narrow(got, x)
		reference.Narrow(want, x)
		require.Equal(t, want, got)
		require.Equal(t, uint16(0x3f80), got[1003], "1+2^-8 lies between 1 and 1+2^-7: even is 1")
		require.Equal(t, uint16(0x3f82), got[1004])
		wide, again := make([]float32, len(x)), make([]uint16, len(x))
		s.Widen(wide, got)
		s.Narrow(again, wide)
		require.Equal(t, got, again)
	})
}

func TestBFloat16KeepsNaN(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		x := make([]float32, 17)
		for i := range x {
			x[i] = math.Float32frombits(0x7f800001)
		}
		h, y := make([]uint16, 17), make([]float32, 17)
		s.Narrow(h, x)
		s.Widen(y, h)
		for _, v := range y {
			require.True(t, math.IsNaN(float64(v)))
		}
	})
}

func ropeCase(partner func(j, d int) int, d int) *Rope {
	const tokens, heads, period = 9, 3, 3
	a := &Rope{
		X: randoms(1, tokens*(heads*d+5)), Cos: randoms(2, period*d), Sin: randoms(3, period*d), Partner: make([]int32, d),
		Tokens: tokens, Stride: heads*d + 5, Period: period, Heads: heads, D: d,
	}
	for j := range a.Partner {
		a.Partner[j] = int32(partner(j, d))
	}
	return a
}

func TestRopeAgreesWithTheReference(t *testing.T) {
	neighbours := func(j, d int) int {
		if j^1 < d {
			return j ^ 1
		}
		return j
	}
	halves := func(j, d int) int {
		if h := d / 2; j < 2*h {
			return (j + h) % (2 * h)
		}
		return j
	}
	eachSet(t, func(t *testing.T, s Set) {
		for name, partner := range map[string]func(j, d int) int{"neighbours": neighbours, "halves": halves} {
			for _, d := range []int{4, 12, 22, 33, 64} {
				for _, backward := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%d/%t", name, d, backward), func(t *testing.T) {
						a, b := ropeCase(partner, d), ropeCase(partner, d)
						a.Backward, b.Backward = backward, backward
						s.Rope(a)
						rope(b)
						near(t, b.X, a.X, 1e-6)
					})
				}
			}
		}
	})
}

func attentionCase(batch, heads, nq, nk, d int, mask Mask) *Attention {
	width := heads * d
	return &Attention{
		Q: Matrix{Full: randoms(1, batch*nq*(width+3)), Stride: width + 3},
		K: Matrix{Full: randoms(2, batch*nk*2*width), Stride: 2 * width},
		V: Matrix{Full: randoms(3, batch*nk*width), Stride: width}, O: Matrix{Full: make([]float32, batch*nq*width), Stride: width},
		LSE: make([]float32, batch*heads*nq), Batch: batch, Heads: heads, NQ: nq, NK: nk, D: d, Scale: 0.3, Mask: mask,
	}
}

var attentionCases = []struct {
	batch, heads, nq, nk, d int
	mask                    Mask
}{
	{1, 1, 1, 1, 4, Mask{}},
	{2, 3, 7, 7, 12, Mask{}},
	{2, 2, 130, 130, 64, Mask{}},
	{1, 2, 61, 300, 22, Mask{}},
	{2, 2, 12, 12, 12, Mask{Block: 4}},
	{1, 1, 20, 20, 8, Mask{Block: 1}},
	{1, 2, 588, 588, 32, Mask{Block: 196}},
	{1, 2, 384, 384, 32, Mask{Block: 64, Window: 2}},
	{1, 2, 64, 256, 32, Mask{Block: 64, Offset: 192}},
	{1, 1, 100, 150, 16, Mask{Block: 40, Offset: 50, Window: 2}},
}

func TestAttentionAgreesWithTheReference(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		for _, c := range attentionCases {
			t.Run(fmt.Sprint(c), func(t *testing.T) {
				a := attentionCase(c.batch, c.heads, c.nq, c.nk, c.d, c.mask)
				b := attentionCase(c.batch, c.heads, c.nq, c.nk, c.d, c.mask)
				s.Attention(a, make([]float32, s.AttentionWork(a, 16)))
				attention(b, make([]float32, b.NK))
				near(t, b.O.Full, a.O.Full, 2e-6)
				near(t, b.LSE, a.LSE, 2e-6)
			})
		}
	})
}

func TestAttentionGradientAgreesWithTheReference(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		for _, c := range attentionCases {
			for _, accumulate := range []bool{false, true} {
				t.Run(fmt.Sprint(c, accumulate), func(t *testing.T) {
					f := attentionCase(c.batch, c.heads, c.nq, c.nk, c.d, c.mask)
					attention(f, make([]float32, f.NK))
					grads := func() *AttentionGrad {
						return &AttentionGrad{
							Attention: *f, DO: Matrix{Full: randoms(9, len(f.O.Full)), Stride: f.O.Stride}, Accumulate: accumulate,
							DQ: Matrix{Full: randoms(5, len(f.Q.Full)), Stride: f.Q.Stride},
							DK: Matrix{Full: randoms(6, len(f.K.Full)), Stride: f.K.Stride},
							DV: Matrix{Full: randoms(7, len(f.V.Full)), Stride: f.V.Stride},
						}
					}
					got, want := grads(), grads()
					s.AttentionGrad(got, make([]float32, s.AttentionGradWork(f, 16)))
					attentionGrad(want, make([]float32, 2*f.NK))
					near(t, want.DQ.Full, got.DQ.Full, 5e-6)
					near(t, want.DK.Full, got.DK.Full, 5e-6)
					near(t, want.DV.Full, got.DV.Full, 5e-6)
				})
			}
		}
	})
}

func TestAttentionInBFloat16IsAttentionOfTheRoundedNumbers(t *testing.T) {
	half := func(m Matrix) Matrix {
		h := make([]uint16, len(m.Full))
		reference.Narrow(h, m.Full)
		return Matrix{Half: h, Stride: m.Stride}
	}
	eachSet(t, func(t *testing.T, s Set) {
		a := attentionCase(2, 2, 70, 70, 24, Mask{Block: 14})
		b := *a
		a.Q, a.K, a.V, a.O = half(a.Q), half(a.K), half(a.V), half(a.O)
		for _, m := range []struct{ to, from Matrix }{{b.Q, a.Q}, {b.K, a.K}, {b.V, a.V}} {
			reference.Widen(m.to.Full, m.from.Half)
		}
		s.Attention(a, make([]float32, s.AttentionWork(a, 16)))
		attention(&b, make([]float32, b.NK))
		got := make([]float32, len(a.O.Half))
		reference.Widen(got, a.O.Half)
		near(t, b.O.Full, got, 1.0/256)
	})
}

// Invariant 3: later keys, and other queries, do not change a row by a single bit, not even when they are NaN.
func TestLaterFramesDoNotTouchEarlierOnes(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		const block, frames, d = 49, 5, 32
		whole := attentionCase(1, 2, block*frames, block*frames, d, Mask{Block: block})
		s.Attention(whole, make([]float32, s.AttentionWork(whole, 16)))
		for n := 1; n < frames; n++ {
			part := attentionCase(1, 2, block*frames, block*frames, d, Mask{Block: block})
			for _, m := range []Matrix{part.Q, part.K, part.V} {
				for i := n * block * m.Stride; i < len(m.Full); i++ {
					m.Full[i] = float32(math.NaN())
				}
			}
			s.Attention(part, make([]float32, s.AttentionWork(part, 16)))
			require.Equal(t, whole.O.Full[:n*block*2*d], part.O.Full[:n*block*2*d])
			part.NQ, part.NK = n*block, n*block
			part.Mask = Mask{Block: block}
			s.Attention(part, make([]float32, s.AttentionWork(part, 16)))
			require.Equal(t, whole.O.Full[:n*block*2*d], part.O.Full[:n*block*2*d])
		}
	})
}

func TestKernelsDoNotAllocate(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		if s.Name() == "go" {
			t.Skip("the pure-Go attention takes closures")
		}
		x, w := randoms(1, 64*192), randoms(2, 192)
		n := Norm{Y: make([]float32, len(x)), X: x, W: w, B: w, Eps: 1e-6, N: 192}
		a := attentionCase(1, 2, 70, 70, 24, Mask{})
		work := make([]float32, s.AttentionWork(a, 16))
		require.Zero(t, testing.AllocsPerRun(10, func() {
			s.Norm(&n)
			s.Attention(a, work)
			s.GELU(n.Y, x)
		}))
	})
}

func TestUnfoldAndFoldAgreeWithTheReference(t *testing.T) {
	// The fifth has windows that lie wholly beside the input.
	sizes := []Unfold{
		{In: [3]int{1, 16, 16}, Kernel: [3]int{1, 4, 4}, Stride: [3]int{1, 2, 2}, Padding: [3]int{0, 1, 1}, Batch: 3, C: 3},
		{In: [3]int{1, 9, 8}, Kernel: [3]int{1, 3, 3}, Stride: [3]int{1, 1, 1}, Padding: [3]int{0, 1, 1}, Batch: 40, C: 48},
		{In: [3]int{1, 7, 5}, Kernel: [3]int{1, 3, 3}, Stride: [3]int{1, 2, 2}, Padding: [3]int{0, 1, 1}, Batch: 2, C: 21},
		{In: [3]int{5, 6, 7}, Kernel: [3]int{2, 3, 4}, Stride: [3]int{2, 1, 3}, Padding: [3]int{1, 2, 3}, Batch: 2, C: 1},
		{In: [3]int{2, 2, 2}, Kernel: [3]int{1, 5, 5}, Stride: [3]int{1, 1, 1}, Padding: [3]int{0, 4, 4}, Batch: 1, C: 2},
		{In: [3]int{4, 32, 32}, Kernel: [3]int{2, 16, 16}, Stride: [3]int{2, 16, 16}, Batch: 1, C: 3},
	}
	eachSet(t, func(t *testing.T, s Set) {
		for _, a := range sizes {
			for i := range a.Out {
				a.Out[i] = (a.In[i]+2*a.Padding[i]-a.Kernel[i])/a.Stride[i] + 1
			}
			places := a.Batch * a.In[0] * a.In[1] * a.In[2] * a.C
			rows := a.Batch * a.Out[0] * a.Out[1] * a.Out[2] * a.Kernel[0] * a.Kernel[1] * a.Kernel[2] * a.C
			want, got := a, a
			want.X, want.Y = randoms(1, places), randoms(2, rows)
			got.X, got.Y = want.X, randoms(3, rows)
			unfold(&want)
			s.Unfold(&got)
			require.Equal(t, want.Y, got.Y, "%v", a)
			want.DX, got.DX = randoms(4, places), randoms(4, places)
			fold(&want)
			s.Fold(&got)
			require.Equal(t, want.DX, got.DX, "%v", a)
		}
	})
}

func TestCellsAgreeWithTheReference(t *testing.T) {
	parts := []struct {
		name      string
		kernel    func(Set, *Cell)
		reference func(*Cell)
		wide      bool // 2N values a row
	}{
		{"gates", Set.CellGates, cellGates, true},
		{"reset", Set.CellReset, cellReset, false},
		{"blend", Set.CellBlend, cellBlend, false},
		{"gradient of gates", Set.CellGatesGrad, cellGatesGrad, true},
		{"gradient of reset", Set.CellResetGrad, cellResetGrad, false},
		{"gradient of blend", Set.CellBlendGrad, cellBlendGrad, false},
	}
	eachSet(t, func(t *testing.T, s Set) {
		for _, part := range parts {
			for _, n := range []int{1, 5, 16, 33, 96} {
				for _, wanted := range []bool{true, false} {
					const rows = 201
					width := n
					if part.wide {
						width = 2 * n
					}
					arrays := func() *Cell {
						c := &Cell{
							Y: make([]float32, rows*width), Kept: randoms(1, rows*n), In: randoms(2, rows*3*n), Hidden: randoms(3, rows*width),
							Gates: randoms(4, rows*2*n), H: randoms(5, rows*n), DY: randoms(6, rows*width), N: n,
						}
						if wanted {
							c.DIn, c.DHidden, c.DGates, c.DH = randoms(7, rows*3*n), randoms(8, rows*width), randoms(9, rows*2*n), randoms(10, rows*n)
						}
						return c
					}
					want, got := arrays(), arrays()
					part.reference(want)
					part.kernel(s, got)
					for i, pair := range [][2][]float32{
						{want.Y, got.Y},
						{want.Kept, got.Kept},
						{want.DIn, got.DIn},
						{want.DHidden, got.DHidden},
						{want.DGates, got.DGates},
						{want.DH, got.DH},
					} {
						if pair[0] != nil {
							near(t, pair[0], pair[1], 1e-6)
						} else {
							require.Nil(t, pair[1], "%s %d", part.name, i)
						}
					}
				}
			}
		}
	})
}

// Gates that are sure of themselves stay within [0, 1].
func TestGatesDoNotOverflow(t *testing.T) {
	eachSet(t, func(t *testing.T, s Set) {
		huge := []float32{1e4, -1e4, 90, -90, 0, 1e30, -1e30, 20}
		c := &Cell{Y: make([]float32, 8), In: make([]float32, 12), Hidden: huge, N: 4}
		s.CellGates(c)
		for i, want := range []float32{1, 0, 1, 0, 0.5, 1, 0, 1} {
			require.InDelta(t, want, c.Y[i], 1e-8)
		}
		b := &Cell{Y: make([]float32, 4), In: make([]float32, 12), Hidden: huge[:4], Gates: make([]float32, 8), H: make([]float32, 4), N: 4}
		s.CellBlend(b)
		require.Equal(t, []float32{1, -1, 1, -1}, b.Y)
	})
}
