package train

import "github.com/ensue-video/ensue/nn"

// barlowEps is what batch normalisation adds to the variance.
const barlowEps = 1e-5

// PublishedBarlow is the factor of the off-diagonal term in the paper.
const PublishedBarlow = 0.0051

// BarlowTerms are the objective and what it is made of; OffDiagonal is without its factor.
type BarlowTerms struct{ Loss, OnDiagonal, OffDiagonal *nn.Value }

// BarlowTwins brings the cross-correlation of two views x, y [N, D] near the identity (Zbontar, Jing, Misra, LeCun, Deny 2021,
// arXiv:2103.03230, eq. 1–2 and algorithm 1):
//
//	c = bn(x)ᵀ bn(y) / N;  sum_i (c_ii - 1)² + λ sum_{i≠j} c²ij
//	bn(z) = (z - mean) / sqrt(var + 1e-5), biased variance, no scale and shift
//
// Gradients flow into both views and through their statistics.
func BarlowTwins(t *nn.Tape, x, y *nn.Value, lambda float64) BarlowTerms {
	n, d := x.Shape()[0], x.Shape()[1]
	c := t.Scale(t.MatMul(normalised(t, x), normalised(t, y), true, false), 1/float64(n))
	r := BarlowTerms{OnDiagonal: onDiagonal(d).apply(t, c), OffDiagonal: offDiagonal(d).apply(t, c)}
	r.Loss = weighted(t, []*nn.Value{r.OnDiagonal, r.OffDiagonal}, 1, lambda)
	return r
}

// normalised is batch normalisation without parameters.
func normalised(t *nn.Tape, z *nn.Value) *nn.Value {
	centred := t.Sub(z, t.MeanRows(z))
	return t.Div(centred, t.Sqrt(t.Affine(t.MeanRows(t.Square(centred)), 1, barlowEps)))
}

// onDiagonal is the sum of (c_ii - 1)² over the diagonal of a matrix [D, D].
func onDiagonal(d int) number {
	return number{
		value: func(in [][]float64) float64 {
			sum := 0.0
			for i := range d {
				off := in[0][i*d+i] - 1
				sum += off * off
			}
			return sum
		},
		slope: func(up float64, in, gradients [][]float64) {
			for i := range d {
				gradients[0][i*d+i] += 2 * up * (in[0][i*d+i] - 1)
			}
		},
	}
}
