package kernel

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

var productSizes = [][3]int{
	{1, 1, 1}, {3, 4, 5}, {7, 48, 24}, {64, 192, 192}, {130, 65, 100}, {1, 384, 96}, {9, 49, 16}, {33, 130, 1030}, {25, 100, 2500},
}

// eachTeam runs a test for every instruction set, on one thread and on three.
func eachTeam(t *testing.T, f func(t *testing.T, s Set)) {
	t.Helper()
	eachSet(t, func(t *testing.T, s Set) {
		for _, threads := range []int{1, 3} {
			team, err := OpenTeam(threads)
			require.NoError(t, err)
			t.Run(fmt.Sprint(threads, " threads"), func(t *testing.T) { f(t, s.On(team)) })
			team.Close()
		}
	})
}

// packed lays out the operands of a product: x [m, k], or [k, m] with columns, and w [k, n], or [n, k] with transposed.
func packed(s Set, p *Product, x, w []float32, columns, transposed bool) {
	p.W = make([]float32, s.PackSize(p.K, p.N))
	s.Pack(p.W, w, p.K, p.N, transposed)
	p.X, p.Panels = x, columns
	if columns {
		p.X = make([]float32, s.PackRowsSize(p.K, p.M))
		s.PackRows(p.X, x, p.K, p.M, nil, false)
	}
}

func TestProductsAgreeWithTheReference(t *testing.T) {
	eachTeam(t, func(t *testing.T, s Set) {
		for _, n := range productSizes {
			x, w, bias, y := randoms(1, n[0]*n[2]), randoms(2, n[2]*n[1]), randoms(3, n[1]), randoms(4, n[0]*n[1])
			for flags := range 32 {
				p := Product{M: n[0], N: n[1], K: n[2], Sum: flags&1 != 0, GELU: flags&2 != 0}
				columns, transposed := flags&8 != 0, flags&16 != 0
				if flags&4 != 0 {
					p.Bias = bias
				}
				twin := p
				twin.Y, twin.X, twin.W, twin.Panels = append([]float32(nil), y...), x, make([]float32, len(w)), columns
				pack(twin.W, w, p.K, p.N, transposed)
				product(&twin)
				p.Y = append([]float32(nil), y...)
				packed(s, &p, x, w, columns, transposed)
				s.Product(&p)
				near(t, twin.Y, p.Y, 2e-6)
			}
		}
	})
}

// What a training step has a product do on the way: keep what GELU is of, add a residual, multiply by GELU's derivative, sum rows.
func TestProductsDoMoreOnTheWay(t *testing.T) {
	eachTeam(t, func(t *testing.T, s Set) {
		for _, n := range productSizes {
			x, w, bias, other := randoms(1, n[0]*n[2]), randoms(2, n[2]*n[1]), randoms(3, n[1]), randoms(4, n[0]*n[1])
			for _, p := range []Product{
				{GELU: true, Bias: bias, Before: make([]float32, len(other))},
				{Bias: bias, Residual: other},
				{Slope: other},
			} {
				p.M, p.N, p.K = n[0], n[1], n[2]
				twin := p
				twin.Y, twin.X, twin.W = make([]float32, len(other)), x, make([]float32, len(w))
				if p.Before != nil {
					twin.Before = make([]float32, len(other))
				}
				pack(twin.W, w, p.K, p.N, true)
				product(&twin)
				p.Y = make([]float32, len(other))
				packed(s, &p, x, w, false, true)
				s.Product(&p)
				near(t, twin.Y, p.Y, 3e-6)
				near(t, twin.Before, p.Before, 2e-6)
			}
			sums, want := randoms(5, n[0]), randoms(5, n[0])
			columns := randoms(6, n[0]*n[2])
			for _, add := range []bool{false, true} {
				s.PackRows(make([]float32, s.PackRowsSize(n[2], n[0])), columns, n[2], n[0], sums, add)
				s.ColumnSum(want, columns, add)
				require.Equal(t, want, sums, "bit for bit")
			}
		}
	})
}

// A row's bits depend neither on the rows beside it nor on the number of threads.
func TestARowOfAProductDependsOnItselfOnly(t *testing.T) {
	const m, n, k = 150, 130, 1500
	x, w := randoms(1, m*k), randoms(2, k*n)
	eachSet(t, func(t *testing.T, s Set) {
		whole := Product{Y: make([]float32, m*n), M: m, N: n, K: k}
		packed(s, &whole, x, w, false, false)
		s.Product(&whole)
		team, err := OpenTeam(3)
		require.NoError(t, err)
		defer team.Close()
		for _, rows := range [][2]int{{0, m}, {0, 1}, {7, 20}, {149, 150}} {
			part := whole
			part.M = rows[1] - rows[0]
			part.X, part.Y = x[rows[0]*k:], make([]float32, part.M*n)
			s.On(team).Product(&part)
			require.Equal(t, whole.Y[rows[0]*n:rows[1]*n], part.Y)
		}
	})
}

func BenchmarkProduct(b *testing.B) {
	for _, n := range [][3]int{{1568, 2304, 768}, {1568, 3072, 768}, {1568, 768, 3072}, {2048, 1024, 1024}, {64, 576, 192}} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := Best()
			p := Product{Y: make([]float32, n[0]*n[1]), M: n[0], N: n[1], K: n[2], Bias: randoms(3, n[1])}
			packed(s, &p, randoms(1, n[0]*n[2]), randoms(2, n[1]*n[2]), false, true)
			best := 1e9
			for b.Loop() {
				start := processorTime()
				s.Product(&p)
				best = min(best, processorTime()-start)
			}
			b.ReportMetric(2e-9*float64(n[0])*float64(n[1])*float64(n[2])/best, "GFLOP/s")
		})
	}
}
