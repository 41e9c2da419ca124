package train

import (
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// targetEps is the eps of the parameter-free LayerNorm that targets go through.
const targetEps = 1e-5

// TokenTarget is what a predictor's output is compared with: the tokens without their past (no gradient), through LayerNorm without
// parameters (eps 1e-5).
func TokenTarget(t *nn.Tape, tokens *nn.Value) *nn.Value {
	return t.LayerNorm(t.Detach(tokens), nil, nil, targetEps)
}

// JEPA is the objective of V-JEPA (Bardes et al. 2024, arXiv:2404.08471, eq. 1; Assran et al. 2025, "V-JEPA 2", arXiv:2506.09985, eq. 1):
//
//	mean |predicted - sg(LN(target))| over all elements
//
// target are the tokens of the target encoder, whose weights are a moving average of the online encoder's, at the places that were
// predicted: hidden by a mask, or those of the next segment. predicted is used as it is. The slope at 0 is taken as 0.
func JEPA(t *nn.Tape, predicted, target *nn.Value) *nn.Value {
	return t.L1(predicted, TokenTarget(t, target))
}

// SmoothJEPA is JEPA with the distance of Girshick 2015 (arXiv:1504.08083, eq. 3), as in the first V-JEPA code: e²/(2 beta) where
// |e| < beta, |e| - beta/2 elsewhere.
func SmoothJEPA(t *nn.Tape, predicted, target *nn.Value, beta float64) *nn.Value {
	return t.SmoothL1(predicted, TokenTarget(t, target), beta)
}

// WeightedL1 is the mean over rows of |x - y|, each row [D] with a weight of its own, divided by the mean weight:
//
//	sum_i w_i mean_c |x_ic - y_ic| / sum_i w_i
//
// x, y are [N, D]. Gradients flow into both. With equal weights it is the plain L1. Without any weight the value is 0.
func WeightedL1(t *nn.Tape, x, y *nn.Value, weights []float32) *nn.Value {
	total := 0.0
	for _, w := range weights {
		total += float64(w)
	}
	if total == 0 {
		total = 1
	}
	return t.Apply(rowsL1{weights: weights, scale: 1 / (total * float64(x.Shape()[1]))}, tensor.Shape{1}, x, y)
}

// rowsL1 is the sum of |x - y| over rows times their weights, times scale. It is the bulk of an objective's work: hence no copies.
type rowsL1 struct {
	weights []float32
	scale   float64
}

// Forward sums.
func (r rowsL1) Forward(out *tensor.Dense, in []*tensor.Dense) {
	sum := 0.0
	if out.Dtype() == tensor.Float64 {
		sum = sumRowsL1(r.weights, in[0].Float64s(), in[1].Float64s())
	} else {
		sum = sumRowsL1(r.weights, in[0].Float32s(), in[1].Float32s())
	}
	write(out, []float64{sum * r.scale})
}

// Backward adds the sign of the difference.
func (r rowsL1) Backward(_, outGrad *tensor.Dense, in, inGrad []*tensor.Dense) {
	up := read(outGrad)[0] * r.scale
	for side, g := range inGrad {
		switch {
		case g == nil:
		case g.Dtype() == tensor.Float64:
			slopeRowsL1(r.weights, in[side].Float64s(), in[1-side].Float64s(), g.Float64s(), up)
		default:
			slopeRowsL1(r.weights, in[side].Float32s(), in[1-side].Float32s(), g.Float32s(), float32(up))
		}
	}
}

func sumRowsL1[F floating](weights []float32, x, y []F) float64 {
	d, sum := len(x)/max(1, len(weights)), 0.0
	for i, w := range weights {
		if w == 0 {
			continue
		}
		row := 0.0
		b := y[i*d : (i+1)*d]
		for k, v := range x[i*d : (i+1)*d] {
			row += float64(max(v-b[k], b[k]-v))
		}
		sum += float64(w) * row
	}
	return sum
}

func slopeRowsL1[F floating](weights []float32, x, y, gradient []F, up F) {
	d := len(x) / max(1, len(weights))
	for i, w := range weights {
		if w == 0 {
			continue
		}
		step := F(w) * up
		to, b := gradient[i*d:(i+1)*d], y[i*d:(i+1)*d]
		for k, v := range x[i*d : (i+1)*d] {
			switch {
			case v > b[k]:
				to[k] += step
			case v < b[k]:
				to[k] -= step
			}
		}
	}
}
