package reference

// Rope is rotary position embedding by tables: y[j] = x[j] Cos[t][j] + x[Partner[j]] Sin[t][j], the sign of the rotation being part of Sin.
// Tables are [Period, D]; token t of the data starts at t*Stride and holds Heads heads of width D.
type Rope[F Float] struct {
	Cos, Sin                 []F
	Partner                  []int32
	Stride, Period, Heads, D int
}

// Rotate rotates tokens in place; with backward it applies the transposed map. Partner must be its own inverse.
func (r Rope[F]) Rotate(x []F, tokens int, backward bool) {
	for t := range tokens {
		cos, sin := r.Cos[t%r.Period*r.D:], r.Sin[t%r.Period*r.D:]
		for h := range r.Heads {
			r.row(x[t*r.Stride+h*r.D:], cos, sin, backward)
		}
	}
}

// row rotates one head: a feature and its partner are read before either is written.
func (r Rope[F]) row(x, cos, sin []F, backward bool) {
	for j := range r.D {
		p := int(r.Partner[j])
		switch {
		case p == j:
			x[j] = x[j]*cos[j] + x[j]*sin[j]
		case p > j:
			u, v := x[j], x[p]
			forth, back := sin[j], sin[p]
			if backward {
				forth, back = back, forth
			}
			x[j], x[p] = u*cos[j]+v*forth, v*cos[p]+u*back
		}
	}
}
