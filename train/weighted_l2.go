package train

import (
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// WeightedL2 is the mean over rows of (x - y)², each row [D] with a weight of its own, divided by the mean weight:
//
//	sum_i w_i mean_c (x_ic - y_ic)² / sum_i w_i
//
// x, y are [N, D]. Gradients flow into both. Without any weight the value is 0.
func WeightedL2(t *nn.Tape, x, y *nn.Value, weights []float32) *nn.Value {
	total := 0.0
	for _, w := range weights {
		total += float64(w)
	}
	return t.Apply(rowsL2{weights: weights, scale: 1 / (max(total, 1) * float64(x.Shape()[1]))}, tensor.Shape{1}, x, y)
}

// rowsL2 is the sum of (x - y)² over rows times their weights, times scale.
type rowsL2 struct {
	weights []float32
	scale   float64
}

// Forward sums.
func (r rowsL2) Forward(out *tensor.Dense, in []*tensor.Dense) {
	sum := 0.0
	if out.Dtype() == tensor.Float64 {
		sum = sumRowsL2(r.weights, in[0].Float64s(), in[1].Float64s())
	} else {
		sum = sumRowsL2(r.weights, in[0].Float32s(), in[1].Float32s())
	}
	write(out, []float64{sum * r.scale})
}

// Backward adds twice the difference.
func (r rowsL2) Backward(_, outGrad *tensor.Dense, in, inGrad []*tensor.Dense) {
	up := 2 * read(outGrad)[0] * r.scale
	for side, g := range inGrad {
		switch {
		case g == nil:
		case g.Dtype() == tensor.Float64:
			slopeRowsL2(r.weights, in[side].Float64s(), in[1-side].Float64s(), g.Float64s(), up)
		default:
			slopeRowsL2(r.weights, in[side].Float32s(), in[1-side].Float32s(), g.Float32s(), float32(up))
		}
	}
}

func sumRowsL2[F floating](weights []float32, x, y []F) float64 {
	d, sum := len(x)/max(1, len(weights)), 0.0
	for i, w := range weights {
		if w == 0 {
			continue
		}
		row, b := 0.0, y[i*d:(i+1)*d]
		for k, v := range x[i*d : (i+1)*d] {
			row += float64((v - b[k]) * (v - b[k]))
		}
		sum += float64(w) * row
	}
	return sum
}

func slopeRowsL2[F floating](weights []float32, x, y, gradient []F, up F) {
	d := len(x) / max(1, len(weights))
	for i, w := range weights {
		if w == 0 {
			continue
		}
		to, b := gradient[i*d:(i+1)*d], y[i*d:(i+1)*d]
		for k, v := range x[i*d : (i+1)*d] {
			to[k] += F(w) * up * (v - b[k])
		}
	}
}
