package reference

import "math"

// Mask says which keys a query sees. Block 0: all. Otherwise query i belongs to block (i+Offset)/Block and sees the keys of its own and
// earlier blocks, of Window blocks in all where Window is not 0.
type Mask struct {
	Block, Offset, Window int
}

// Keys returns the half-open range of keys that query i sees, of keys in all.
func (m Mask) Keys(i, keys int) (lo, hi int) {
	if m.Block <= 0 {
		return 0, keys
	}
	block := (i + m.Offset) / m.Block
	hi = min((block+1)*m.Block, keys)
	if m.Window > 0 && block+1 > m.Window {
		lo = min((block+1-m.Window)*m.Block, hi)
	}
	return lo, hi
}

// Matrix is a strided view of rows.
type Matrix[F Float] struct {
	Data   []F
	Stride int
}

func (m Matrix[F]) row(r, column, n int) []F {
	at := r*m.Stride + column
	return m.Data[at : at+n]
}

// Attention is softmax(Scale Q K^T) V, head by head, row by row.
type Attention[F Float] struct {
	Q, K, V, O              Matrix[F]
	LSE                     []F
	Batch, Heads, NQ, NK, D int
	Scale                   float64
	Mask                    Mask
}

// Forward fills O, and LSE where it is not nil. work holds NK values.
func (a *Attention[F]) Forward(work []F) {
	for b := range a.Batch {
		for h := range a.Heads {
			for i := range a.NQ {
				a.forwardRow(b, h, i, work)
			}
		}
	}
}

func (a *Attention[F]) forwardRow(b, h, i int, p []F) {
	q, o := a.Q.row(b*a.NQ+i, h*a.D, a.D), a.O.row(b*a.NQ+i, h*a.D, a.D)
	lo, hi := a.Mask.Keys(i, a.NK)
	top := math.Inf(-1)
	for k := lo; k < hi; k++ {
		s := a.Scale * dot(q, a.K.row(b*a.NK+k, h*a.D, a.D))
		p[k] = F(s)
		top = max(top, float64(p[k]))
	}
	sum := 0.0
	for k := lo; k < hi; k++ {
		e := math.Exp(float64(p[k]) - top)
		p[k] = F(e)
		sum += e
	}
	clear(o)
	for k := lo; k < hi; k++ {
		axpy(o, a.V.row(b*a.NK+k, h*a.D, a.D), float64(p[k])/sum)
	}
	if a.LSE != nil {
		a.LSE[(b*a.Heads+h)*a.NQ+i] = F(top + math.Log(sum))
	}
}

// Backward computes the gradients from do, with O and LSE of Forward. work holds 2 NK values.
func (a *Attention[F]) Backward(do, dq, dk, dv Matrix[F], accumulate bool, work []F) {
	for b := range a.Batch {
		for h := range a.Heads {
			if !accumulate {
				a.clearHead(dq, b*a.NQ, a.NQ, h)
				a.clearHead(dk, b*a.NK, a.NK, h)
				a.clearHead(dv, b*a.NK, a.NK, h)
			}
			for i := range a.NQ {
				a.backwardRow(do, dq, dk, dv, b, h, i, work)
			}
		}
	}
}

func (a *Attention[F]) clearHead(m Matrix[F], first, rows, h int) {
	for r := range rows {
		clear(m.row(first+r, h*a.D, a.D))
	}
}

// backwardRow: with p = exp(s - lse), dv += p do, ds = p (do.v - do.o), dq += scale ds k, dk += scale ds q.
func (a *Attention[F]) backwardRow(do, dq, dk, dv Matrix[F], b, h, i int, p []F) {
	row := b*a.NQ + i
	q, up := a.Q.row(row, h*a.D, a.D), do.row(row, h*a.D, a.D)
	delta := dot(a.O.row(row, h*a.D, a.D), up)
	lse := float64(a.LSE[(b*a.Heads+h)*a.NQ+i])
	lo, hi := a.Mask.Keys(i, a.NK)
	for k := lo; k < hi; k++ {
		key, value := a.K.row(b*a.NK+k, h*a.D, a.D), a.V.row(b*a.NK+k, h*a.D, a.D)
		weight := math.Exp(a.Scale*dot(q, key) - lse)
		ds := weight * (dot(up, value) - delta) * a.Scale
		axpy(dv.row(b*a.NK+k, h*a.D, a.D), up, weight)
		axpy(dq.row(row, h*a.D, a.D), key, ds)
		axpy(dk.row(b*a.NK+k, h*a.D, a.D), q, ds)
	}
}

func dot[F Float](a, b []F) float64 {
	s := 0.0
	for i, v := range a {
		s += float64(v) * float64(b[i])
	}
	return s
}

func axpy[F Float](y, x []F, a float64) {
	for i, v := range x {
		y[i] += F(a * float64(v))
	}
}
