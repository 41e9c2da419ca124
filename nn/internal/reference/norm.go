package reference

import "math"

// LayerNorm computes y = (x - mean) / sqrt(var + eps) * w + b over rows of n values, var being the biased variance (Ba et al. 2016).
// w, b, mean and rstd may be nil.
func LayerNorm[F Float](y, x, w, b, mean, rstd []F, n int, eps float64) {
	for r := 0; r*n < len(x); r++ {
		row, out := x[r*n:(r+1)*n], y[r*n:(r+1)*n]
		m := 0.0
		for _, v := range row {
			m += float64(v)
		}
		m /= float64(n)
		square := 0.0
		for _, v := range row {
			square += (float64(v) - m) * (float64(v) - m)
		}
		s := 1 / math.Sqrt(square/float64(n)+eps)
		for i, v := range row {
			h := (float64(v) - m) * s
			if w != nil {
				h *= float64(w[i])
			}
			if b != nil {
				h += float64(b[i])
			}
			out[i] = F(h)
		}
		if mean != nil {
			mean[r], rstd[r] = F(m), F(s)
		}
	}
}

// LayerNormGrad computes, with g = dy w and h = (x - mean) rstd: dx = rstd (g - mean(g) - h mean(g h)).
func LayerNormGrad[F Float](dx, x, w, dy, mean, rstd []F, n int, accumulate bool) {
	for r := 0; r*n < len(x); r++ {
		row, up, out := x[r*n:(r+1)*n], dy[r*n:(r+1)*n], dx[r*n:(r+1)*n]
		m, s := float64(mean[r]), float64(rstd[r])
		var sum, dot float64
		for i, v := range row {
			g := scaled(up[i], w, i)
			sum += g
			dot += g * (float64(v) - m) * s
		}
		sum /= float64(n)
		dot /= float64(n)
		for i, v := range row {
			d := (scaled(up[i], w, i) - sum - (float64(v)-m)*s*dot) * s
			if accumulate {
				d += float64(out[i])
			}
			out[i] = F(d)
		}
	}
}

func scaled[F Float](g F, w []F, i int) float64 {
	if w == nil {
		return float64(g)
	}
	return float64(g) * float64(w[i])
}

// LayerNormWeightGrad computes dw = sum over rows of dy (x - mean) rstd.
func LayerNormWeightGrad[F Float](dw, x, dy, mean, rstd []F, n int, accumulate bool) {
	for c := range n {
		sum := 0.0
		for r := 0; r*n < len(x); r++ {
			sum += float64(dy[r*n+c]) * (float64(x[r*n+c]) - float64(mean[r])) * float64(rstd[r])
		}
		if accumulate {
			sum += float64(dw[c])
		}
		dw[c] = F(sum)
	}
}
