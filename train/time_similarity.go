package train

import "github.com/ensue-video/ensue/nn"

// TimeSimilarity asks what is near in time to be alike (the temporal smoothness term of Sobal et al. 2022, "Joint embedding predictive
// architectures focus on slow features", arXiv:2211.10831): of z [B, T, D],
//
//	mean over items, steps and features of (z[:, t+1] - z[:, t])²
//
// By itself it collapses: a constant makes it 0.
func TimeSimilarity(t *nn.Tape, z *nn.Value) *nn.Value {
	s := z.Shape()
	return steps(s[0], s[1], s[2]).apply(t, z)
}

func steps(batch, length, d int) number {
	scale := 1 / float64(max(1, batch*(length-1)*d))
	// each calls f with the places of every pair of neighbours in time.
	each := func(f func(now, next int)) {
		for b := range batch {
			for i := range (length - 1) * d {
				f(b*length*d+i, b*length*d+i+d)
			}
		}
	}
	return number{
		value: func(in [][]float64) float64 {
			z, sum := in[0], 0.0
			each(func(now, next int) { sum += (z[next] - z[now]) * (z[next] - z[now]) })
			return sum * scale
		},
		slope: func(up float64, in, gradients [][]float64) {
			z, g := in[0], gradients[0]
			each(func(now, next int) {
				slope := 2 * up * scale * (z[next] - z[now])
				g[next] += slope
				g[now] -= slope
			})
		},
	}
}
