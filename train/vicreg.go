package train

import (
	"math"

	"github.com/ensue-video/ensue/nn"
)

// varianceEps keeps the slope of the square root finite where a feature is constant.
const varianceEps = 1e-4

// VICRegWeights are the factors of the three terms.
type VICRegWeights struct{ Invariance, Variance, Covariance float64 }

// PublishedVICReg are the factors of the paper.
func PublishedVICReg() VICRegWeights { return VICRegWeights{25, 25, 1} }

// VICRegTerms are the objective and what it is made of; the terms are without their factors.
type VICRegTerms struct{ Loss, Invariance, Variance, Covariance *nn.Value }

// VICReg is variance-invariance-covariance regularisation (Bardes, Ponce, LeCun 2021, arXiv:2105.04906, §4.1, and the published code, which
// halves the two variance terms and not those of the covariance) of two views x, y [N, D]:
//
//	λ mean (x - y)² + μ (S(x) + S(y)) / 2 + ν (C(x) + C(y))
//	S(z) = mean over features of max(0, 1 - sqrt(var + 1e-4))
//	C(z) = sum over i ≠ j of cov²ij / D
//
// Variances and covariances are unbiased (N - 1). Gradients flow into both views.
func VICReg(t *nn.Tape, x, y *nn.Value, w VICRegWeights) VICRegTerms {
	vx, cx := Spread(t, x)
	vy, cy := Spread(t, y)
	r := VICRegTerms{Invariance: t.MSE(x, y), Variance: t.Scale(t.Add(vx, vy), 0.5), Covariance: t.Add(cx, cy)}
	r.Loss = weighted(t, []*nn.Value{r.Invariance, r.Variance, r.Covariance}, w.Invariance, w.Variance, w.Covariance)
	return r
}

// Spread are the two terms of VICReg that keep one view z [N, D] from collapsing: S(z), which a constant feature drives up, and C(z), which
// features that tell the same drive up.
func Spread(t *nn.Tape, z *nn.Value) (variance, covariance *nn.Value) {
	n, d := z.Shape()[0], z.Shape()[1]
	centred := t.Sub(z, t.MeanRows(z))
	products := t.Scale(t.MatMul(centred, centred, true, false), 1/float64(max(1, n-1)))
	return hinge(d).apply(t, products), t.Scale(offDiagonal(d).apply(t, products), 1/float64(d))
}

// hinge is the mean of max(0, 1 - sqrt(c_ii + 1e-4)) over the diagonal of a matrix [D, D].
func hinge(d int) number {
	return number{
		value: func(in [][]float64) float64 {
			sum := 0.0
			for i := range d {
				sum += max(0, 1-math.Sqrt(in[0][i*d+i]+varianceEps))
			}
			return sum / float64(d)
		},
		slope: func(up float64, in, gradients [][]float64) {
			for i := range d {
				if deviation := math.Sqrt(in[0][i*d+i] + varianceEps); deviation < 1 {
					gradients[0][i*d+i] -= up / (2 * deviation * float64(d))
				}
			}
		},
	}
}

// offDiagonal is the sum of the squares off the diagonal of a matrix [D, D].
func offDiagonal(d int) number {
	return number{
		value: func(in [][]float64) float64 {
			sum := 0.0
			for i, c := range in[0] {
				if i%(d+1) != 0 {
					sum += c * c
				}
			}
			return sum
		},
		slope: func(up float64, in, gradients [][]float64) {
			for i, c := range in[0] {
				if i%(d+1) != 0 {
					gradients[0][i] += 2 * up * c
				}
			}
		},
	}
}

// weighted is the sum of numbers times their factors.
func weighted(t *nn.Tape, terms []*nn.Value, factors ...float64) *nn.Value {
	sum := t.Scale(terms[0], factors[0])
	for i, term := range terms[1:] {
		sum = t.Add(sum, t.Scale(term, factors[i+1]))
	}
	return sum
}
