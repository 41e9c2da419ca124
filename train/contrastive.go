package train

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// unitEps is the shortest length a row is divided by.
const unitEps = 1e-12

// InfoNCETerms are the objective and its two directions.
type InfoNCETerms struct{ Loss, XToY, YToX *nn.Value }

// InfoNCE asks each row of x [N, D] to find its own row of y [N, D] among all of them, and the other way round (van den Oord, Li, Vinyals
// 2018, arXiv:1807.03748, eq. 4; symmetric as in CLIP):
//
//	logits = x̂ ŷᵀ / temperature; mean of the cross-entropies over rows and over columns, the diagonal being right
//
// with rows scaled to unit length. All rows equal give log N. Gradients flow into both.
func InfoNCE(t *nn.Tape, x, y *nn.Value, temperature float64) InfoNCETerms {
	logits := t.Scale(t.MatMul(t.NormalizeRows(x, unitEps), t.NormalizeRows(y, unitEps), false, true), 1/temperature)
	own := make([]int, x.Shape()[0])
	for i := range own {
		own[i] = i
	}
	r := InfoNCETerms{XToY: t.CrossEntropy(logits, own), YToX: t.CrossEntropy(t.Transpose(logits), own)}
	r.Loss = weighted(t, []*nn.Value{r.XToY, r.YToX}, 0.5, 0.5)
	return r
}

// NTXent is the normalised temperature-scaled cross-entropy of SimCLR (Chen, Kornblith, Norouzi, Hinton 2020, arXiv:2002.05709, eq. 1): of
// the 2N unit-length rows of x and y [N, D], each must find its other view among the 2N - 1 others. All rows equal give log(2N - 1).
func NTXent(t *nn.Tape, x, y *nn.Value, temperature float64) *nn.Value {
	n := x.Shape()[0]
	z := t.NormalizeRows(t.ConcatRows(x, y), unitEps)
	logits := t.Scale(t.MatMul(z, z, false, true), 1/temperature)
	partner := make([]int, 2*n)
	for i := range partner {
		partner[i] = (i + n) % (2 * n)
	}
	return t.CrossEntropy(t.Add(logits, notItself(t, logits)), partner)
}

// notItself is -∞ on the diagonal and 0 elsewhere, in the type and shape of a square matrix.
func notItself(t *nn.Tape, like *nn.Value) *nn.Value {
	n := like.Shape()[0]
	mask := make([]float64, n*n)
	for i := range n {
		mask[i*n+i] = math.Inf(-1)
	}
	dense := tensor.New(tensor.Of(like.Dtype()), tensor.WithShape(n, n))
	write(dense, mask)
	return t.Input(dense)
}

// Margin pulls pairs that are the same together and pushes others apart up to a distance (Hadsell, Chopra, LeCun 2006, "Dimensionality
// reduction by learning an invariant mapping", eq. 4, with its factors 1/2):
//
//	mean over pairs of same d²/2 + (1 - same) max(0, margin - d)²/2,  d = |x - y|
//
// x, y are [N, D], same holds 1 or 0 for each pair (the paper's Y is 1 - same). At d = 0 the slope of a pair to be parted is taken as 0.
func Margin(t *nn.Tape, x, y *nn.Value, same []float64, margin float64) *nn.Value {
	return marginOf(same, margin, x.Shape()[1]).apply(t, x, y)
}

func marginOf(same []float64, margin float64, d int) number {
	return number{
		value: func(in [][]float64) float64 {
			sum := 0.0
			for i, s := range same {
				length := distanceOf(in[0][i*d:(i+1)*d], in[1][i*d:(i+1)*d])
				short := max(0, margin-length)
				sum += (s*length*length + (1-s)*short*short) / 2
			}
			return sum / float64(len(same))
		},
		slope: func(up float64, in, gradients [][]float64) {
			for i, s := range same {
				x, y := in[0][i*d:(i+1)*d], in[1][i*d:(i+1)*d]
				length, factor := distanceOf(x, y), s
				if length > 0 {
					factor -= (1 - s) * max(0, margin-length) / length
				}
				factor *= up / float64(len(same))
				for k := range d {
					addAt(gradients[0], i*d+k, factor*(x[k]-y[k]))
					addAt(gradients[1], i*d+k, factor*(y[k]-x[k]))
				}
			}
		},
	}
}

func distanceOf(x, y []float64) float64 {
	sum := 0.0
	for k, v := range x {
		sum += (v - y[k]) * (v - y[k])
	}
	return math.Sqrt(sum)
}

// addAt adds to a gradient that somebody wants.
func addAt(gradient []float64, at int, v float64) {
	if gradient != nil {
		gradient[at] += v
	}
}
