package nn

import "gorgonia.org/tensor"

// GatedSum adds x, gated, to each of K vectors: change [..., K*D], gates [..., K] and x [..., D] give y [..., K*D],
//
//	y[k] = gates[k] x + change[k]
//
// gates[k] being one number.
func (t *Tape) GatedSum(change, gates, x *Value) *Value {
	k, d := gates.last(), x.last()
	if change.last() != k*d || gates.rows() != change.rows() || x.rows() != change.rows() {
		fail("adding through gates", "the sum of %v, gates %v and %v is not defined", change.Shape(), gates.Shape(), x.Shape())
	}
	y := t.like(change)
	if y.dtype == tensor.Float64 {
		gatedSum(elements[float64](y), elements[float64](change), elements[float64](gates), elements[float64](x), k, d)
	} else {
		gatedSum(elements[float32](y), elements[float32](change), elements[float32](gates), elements[float32](x), k, d)
	}
	return t.record(y, backGatedSum, change, gates, x)
}

func gatedSum[F floating](y, change, gates, x []F, k, d int) {
	for i, gate := range gates {
		from, add, to := x[i/k*d:][:d], change[i*d:][:d], y[i*d:][:d]
		for c, v := range from {
			to[c] = F(gate*v) + add[c] // the conversion keeps product and sum apart on machines that could fuse them
		}
	}
}

func backGatedSum(t *Tape, y *Value) {
	if y.dtype == tensor.Float64 {
		backGatedSumOf[float64](t, y)
	} else {
		backGatedSumOf[float32](t, y)
	}
}

func backGatedSumOf[F floating](t *Tape, y *Value) {
	change, gates, x := y.in[0], y.in[1], y.in[2]
	k, d := gates.last(), x.last()
	up, g, v := upstream[F](y), elements[F](gates), elements[F](x)
	dgates, dx := wanted[F](t, gates), wanted[F](t, x)
	for i, gate := range g {
		row, from := up[i*d:][:d], v[i/k*d:][:d]
		if dgates != nil {
			sum := F(0)
			for c, u := range row {
				sum += u * from[c]
			}
			dgates[i] += sum
		}
		if dx != nil {
			to := dx[i/k*d:][:d]
			for c, u := range row {
				to[c] += gate * u
			}
		}
	}
	t.pass(y, change)
}
