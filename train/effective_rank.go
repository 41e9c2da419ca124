package train

import (
	"math"

	"gonum.org/v1/gonum/mat"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// Singular values up to these fractions of the Frobenius norm count as 0.
const (
	rankZero64 = 1e-10
	rankZero32 = 1e-6
)

// EffectiveRank is how many dimensions the rows of x [N, D] really use (Roy, Vetterli 2007, "The effective rank"): with the singular values
// s of x less its column means,
//
//	p = s / sum s;  exp(-sum p log p)
//
// between 1 and min(N-1, D); 0 where all rows are equal (the paper leaves that undefined).
func EffectiveRank(x []float32, d int) float64 {
	rank, _ := effectiveRankOf(widened(x), d, rankZero32)
	return rank
}

// EffectiveRankLoss is EffectiveRank on a tape, differentiable where no singular value is 0; those that are get no gradient.
func EffectiveRankLoss(t *nn.Tape, x *nn.Value) *nn.Value {
	zero, d := rankZero64, x.Shape()[1]
	if x.Dtype() == tensor.Float32 {
		zero = rankZero32
	}
	return number{
		value: func(in [][]float64) float64 {
			rank, _ := effectiveRankOf(in[0], d, zero)
			return rank
		},
		slope: func(up float64, in, gradients [][]float64) { effectiveRankSlope(up, in[0], d, zero, gradients[0]) },
	}.apply(t, x)
}

// effectiveRankOf also returns the singular values, those that count as 0 set to 0.
func effectiveRankOf(x []float64, d int, zero float64) (rank float64, values []float64) {
	var svd mat.SVD
	values = factorise(&svd, x, d, zero, mat.SVDNone)
	return rankOf(values), values
}

// factorise returns nil when x is so large or so broken (infinite, not a number) that it cannot be done.
func factorise(svd *mat.SVD, x []float64, d int, zero float64, kind mat.SVDKind) []float64 {
	norm := 0.0
	for _, v := range x {
		norm += v * v
	}
	norm = math.Sqrt(norm)
	if math.IsNaN(norm) || math.IsInf(norm, 0) || len(x) == 0 || !svd.Factorize(centred(x, d), kind) {
		return nil
	}
	values := svd.Values(nil)
	for i, s := range values {
		if s <= zero*norm {
			values[i] = 0
		}
	}
	return values
}

// centred is x less its column means.
func centred(x []float64, d int) *mat.Dense {
	n := len(x) / d
	means := make([]float64, d)
	for i, v := range x {
		means[i%d] += v / float64(n)
	}
	c := make([]float64, len(x))
	for i, v := range x {
		c[i] = v - means[i%d]
	}
	return mat.NewDense(n, d, c)
}

func rankOf(values []float64) float64 {
	sum := 0.0
	for _, s := range values {
		sum += s
	}
	if sum == 0 {
		return 0
	}
	entropy := 0.0
	for _, s := range values {
		if s > 0 {
			entropy -= s / sum * math.Log(s/sum)
		}
	}
	return math.Exp(entropy)
}

// effectiveRankSlope uses dR/ds_k = -R (log p_k + H) / sum s, and ds_k/dx = u_k v_kᵀ; the column means take their part away again.
func effectiveRankSlope(up float64, x []float64, d int, zero float64, gradient []float64) {
	var svd mat.SVD
	values := factorise(&svd, x, d, zero, mat.SVDThin)
	rank := rankOf(values)
	if rank == 0 {
		return
	}
	sum, entropy := 0.0, math.Log(rank)
	for _, s := range values {
		sum += s
	}
	slopes := make([]float64, len(values))
	for k, s := range values {
		if s > 0 {
			slopes[k] = -up * rank * (math.Log(s/sum) + entropy) / sum
		}
	}
	var u, v, g mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	u.Apply(func(_, k int, a float64) float64 { return a * slopes[k] }, &u)
	g.Mul(&u, v.T())
	c := centred(g.RawMatrix().Data, d)
	for i, a := range c.RawMatrix().Data {
		gradient[i] += a
	}
}
