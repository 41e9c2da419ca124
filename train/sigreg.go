package train

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// The quadrature of SIGReg: 17 points from 0 to 3.
const (
	sigregPoints = 17
	sigregStep   = 3.0 / (sigregPoints - 1)
)

// SIGReg is sketched isotropic Gaussian regularisation (Balestriero, LeCun 2025, "LeJEPA", arXiv:2511.08544, §4): the Epps–Pulley statistic
// of projections of x [N, D] on directions [D, K] of unit length, against the standard normal distribution:
//
//	p = x a;  N ∫ |mean exp(i t p) - exp(-t²/2)|² exp(-t²/2) dt, over the directions' mean
//
// by the trapezoid rule on [-3, 3]; the integrand is even, so 17 points from 0 to 3 do. Gradients flow into x only. It is large where x has
// collapsed or is spread too wide; it alone does not see every dimension (watch EffectiveRank).
func SIGReg(t *nn.Tape, x *nn.Value, directions *tensor.Dense) *nn.Value {
	return SIGRegOf(t, t.MatMul(x, t.Input(directions), false, false))
}

// SIGRegOf is SIGReg of projections [N, K] that are there already.
func SIGRegOf(t *nn.Tape, projections *nn.Value) *nn.Value {
	return eppsPulley(projections.Shape()[1]).apply(t, projections)
}

// sigregWeights are at each point t: exp(-t²/2), and the weight of the squared difference there.
func sigregWeights() (gauss, weight [sigregPoints]float64) {
	for j := range sigregPoints {
		at := float64(j) * sigregStep
		gauss[j] = math.Exp(-at * at / 2)
		weight[j] = 2 * sigregStep * gauss[j]
	}
	weight[0] /= 2
	weight[sigregPoints-1] /= 2
	return gauss, weight
}

// waves are the means of cos(t p) and sin(t p) over the rows, less the normal distribution's, at each point for each of k directions.
type waves struct{ cos, sin [][sigregPoints]float64 }

func wavesOf(projections []float64, k int, gauss [sigregPoints]float64) waves {
	w := waves{make([][sigregPoints]float64, k), make([][sigregPoints]float64, k)}
	for i, p := range projections {
		s, c := math.Sincos(sigregStep * p)
		re, im := 1.0, 0.0
		cos, sin := &w.cos[i%k], &w.sin[i%k]
		for j := range sigregPoints { // exp(i j a) = exp(i (j-1) a) exp(i a)
			cos[j] += re
			sin[j] += im
			re, im = re*c-im*s, re*s+im*c
		}
	}
	rows := float64(len(projections) / k)
	for a := range k {
		for j := range sigregPoints {
			w.cos[a][j] = w.cos[a][j]/rows - gauss[j]
			w.sin[a][j] /= rows
		}
	}
	return w
}

func eppsPulley(k int) number {
	gauss, weight := sigregWeights()
	return number{
		value: func(in [][]float64) float64 {
			w, sum := wavesOf(in[0], k, gauss), 0.0
			for a := range k {
				for j := range sigregPoints {
					sum += weight[j] * (w.cos[a][j]*w.cos[a][j] + w.sin[a][j]*w.sin[a][j])
				}
			}
			return sum * float64(len(in[0])/k) / float64(k)
		},
		slope: func(up float64, in, gradients [][]float64) {
			w := wavesOf(in[0], k, gauss)
			for i, p := range in[0] {
				s, c := math.Sincos(sigregStep * p)
				re, im, slope := 1.0, 0.0, 0.0
				cos, sin := &w.cos[i%k], &w.sin[i%k]
				for j := range sigregPoints {
					slope += weight[j] * float64(j) * (sin[j]*re - cos[j]*im)
					re, im = re*c-im*s, re*s+im*c
				}
				gradients[0][i] += up * 2 * sigregStep * slope / float64(k)
			}
		},
	}
}
