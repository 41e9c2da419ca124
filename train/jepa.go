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
	return t.Apply(weightedSum{weights: weights, scale: 1 / total}, tensor.Shape{1}, t.RowL1(x, y))
}

// weightedSum is the sum of numbers times their weights, times scale.
type weightedSum struct {
	weights []float32
	scale   float64
}

// Forward sums.
func (w weightedSum) Forward(out *tensor.Dense, in []*tensor.Dense) {
	sum := 0.0
	if out.Dtype() == tensor.Float64 {
		sum = sumWeighted(w.weights, in[0].Float64s())
	} else {
		sum = sumWeighted(w.weights, in[0].Float32s())
	}
	write(out, []float64{sum * w.scale})
}

// Backward adds the weights.
func (w weightedSum) Backward(_, outGrad *tensor.Dense, _, inGrad []*tensor.Dense) {
	if inGrad[0] == nil {
		return
	}
	up := read(outGrad)[0] * w.scale
	if g := inGrad[0]; g.Dtype() == tensor.Float64 {
		addWeights(g.Float64s(), w.weights, up)
	} else {
		addWeights(g.Float32s(), w.weights, float32(up))
	}
}

func sumWeighted[F floating](weights []float32, x []F) float64 {
	sum := 0.0
	for i, w := range weights {
		sum += float64(w) * float64(x[i])
	}
	return sum
}

func addWeights[F floating](to []F, weights []float32, up F) {
	for i, w := range weights {
		to[i] += F(w) * up
	}
}
