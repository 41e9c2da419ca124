package reference

import "math"

// GELU computes y = x Phi(x), Phi the normal distribution function (Hendrycks & Gimpel 2016), with erf.
func GELU[F Float](y, x []F) {
	for i, v := range x {
		y[i] = F(0.5 * float64(v) * (1 + math.Erf(float64(v)/math.Sqrt2)))
	}
}

// GELUGrad computes dx = dy (Phi(x) + x phi(x)).
func GELUGrad[F Float](dx, x, dy []F, accumulate bool) {
	for i, v := range x {
		u := float64(v)
		slope := 0.5*(1+math.Erf(u/math.Sqrt2)) + u*math.Exp(-u*u/2)/math.Sqrt(2*math.Pi)
		d := F(float64(dy[i]) * slope)
		if accumulate {
			d += dx[i]
		}
		dx[i] = d
	}
}

// ColumnSum sums the rows of x [rows, len(sum)].
func ColumnSum[F Float](sum, x []F, accumulate bool) {
	n := len(sum)
	for c := range sum {
		total := 0.0
		for i := c; i < len(x); i += n {
			total += float64(x[i])
		}
		if accumulate {
			total += float64(sum[c])
		}
		sum[c] = F(total)
	}
}

// Add computes y = a + b.
func Add[F Float](y, a, b []F) {
	for i := range y {
		y[i] = a[i] + b[i]
	}
}

// Axpy computes y += a x.
func Axpy[F Float](y, x []F, a F) {
	for i, v := range x {
		y[i] += a * v
	}
}

// Lerp computes y = keep y + (1-keep) x.
func Lerp[F Float](y, x []F, keep F) {
	for i, v := range x {
		y[i] = keep*y[i] + (1-keep)*v
	}
}

// SumSquares returns the sum of the squares of x.
func SumSquares[F Float](x []F) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}

// AdamW are the numbers of one optimiser step; Correct1 and Correct2 are 1-beta^t.
type AdamW struct {
	LR, Beta1, Beta2, Eps, Decay  float64
	Correct1, Correct2, GradScale float64
}

// Step moves p by one step of AdamW (Loshchilov & Hutter 2019, as torch.optim.AdamW): the decay uses p before the step.
func Step[F Float](h AdamW, p, m, v, g []F) {
	for i := range p {
		grad := float64(g[i]) * h.GradScale
		first := h.Beta1*float64(m[i]) + (1-h.Beta1)*grad
		second := h.Beta2*float64(v[i]) + (1-h.Beta2)*grad*grad
		m[i], v[i] = F(first), F(second)
		p[i] = F(float64(p[i])*(1-h.LR*h.Decay) - h.LR*(first/h.Correct1)/(math.Sqrt(second/h.Correct2)+h.Eps))
	}
}

// Narrow rounds float32 to bfloat16, the upper half of its bits, to the nearest, ties to even. A NaN stays a NaN.
func Narrow(y []uint16, x []float32) {
	for i, v := range x {
		u := math.Float32bits(v)
		if v != v {
			y[i] = 0x7fc0
			continue
		}
		y[i] = uint16((u + 0x7fff + u>>16&1) >> 16)
	}
}

// Widen turns bfloat16 into float32, exactly.
func Widen(y []float32, x []uint16) {
	for i, v := range x {
		y[i] = math.Float32frombits(uint32(v) << 16)
	}
}

// RowL1 computes y = scale times the sum of |a - b| over each row of n values.
func RowL1[F Float](y, a, b []F, n int, scale float64) {
	for r := range y {
		sum := 0.0
		for i := r * n; i < (r+1)*n; i++ {
			sum += math.Abs(float64(a[i]) - float64(b[i]))
		}
		y[r] = F(sum * scale)
	}
}

// RowL1Grad computes RowL1's gradient with respect to a, whose slope at 0 is taken as 0.
func RowL1Grad[F Float](da, a, b, dy []F, n int, scale float64, accumulate bool) {
	for i, x := range a {
		d := F(0)
		switch {
		case x > b[i]:
			d = F(scale * float64(dy[i/n]))
		case x < b[i]:
			d = -F(scale * float64(dy[i/n]))
		}
		if accumulate {
			d += da[i]
		}
		da[i] = d
	}
}
