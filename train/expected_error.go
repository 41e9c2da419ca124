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
	d := predicted.Shape()[1]
	return laplace(d).apply(t, s, t.Detach(predicted), t.Detach(target))
}

func laplace(d int) number {
	// each calls f with every row, its scale and its error.
	each := func(in [][]float64, f func(row int, s, e float64)) {
		for row, s := range in[0] {
			e := 0.0
			for i := row * d; i < (row+1)*d; i++ {
				e += math.Abs(in[1][i] - in[2][i])
			}
			f(row, s, e/float64(d))
		}
	}
	return number{
		value: func(in [][]float64) float64 {
			sum := 0.0
			each(in, func(_ int, s, e float64) { sum += e*math.Exp(-s) + s })
			return sum / float64(len(in[0]))
		},
		slope: func(up float64, in, gradients [][]float64) {
			if gradients[0] == nil {
				return
			}
			each(in, func(row int, s, e float64) { gradients[0][row] += up * (1 - e*math.Exp(-s)) / float64(len(in[0])) })
		},
	}
}
