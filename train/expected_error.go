package train

import (
	"math"

	"github.com/ensue-video/ensue/nn"
)

// ExpectedError teaches a model how wrong it is going to be: with the error of each row e = mean |predicted - target|, which gets no
// gradient, and the logarithm of the expected error s [N],
//
//	mean over rows of e / exp(s) + s
//
// the negative log-likelihood of a Laplace distribution of scale exp(s) (Kendall, Gal 2017, arXiv:1703.04977, §3), smallest where
// exp(s) = e.
func ExpectedError(t *nn.Tape, predicted, target, s *nn.Value) *nn.Value {
	return laplace().apply(t, s, t.RowL1(t.Detach(predicted), t.Detach(target)))
}

// laplace is the mean of e / exp(s) + s over the scales s and the errors e.
func laplace() number {
	return number{
		value: func(in [][]float64) float64 {
			sum := 0.0
			for row, s := range in[0] {
				sum += in[1][row]*math.Exp(-s) + s
			}
			return sum / float64(len(in[0]))
		},
		slope: func(up float64, in, gradients [][]float64) {
			if gradients[0] == nil {
				return
			}
			for row, s := range in[0] {
				gradients[0][row] += up * (1 - in[1][row]*math.Exp(-s)) / float64(len(in[0]))
			}
		},
	}
}
