package nn

import (
	"math"

	"gorgonia.org/tensor"
)

// GRU is a gated recurrent unit (Cho et al. 2014) with PyTorch's parameters and gate order r, z, n:
//
//	r = σ(W_ir x + b_ir + W_hr h + b_hr)
//	z = σ(W_iz x + b_iz + W_hz h + b_hz)
//	n = tanh(W_in x + b_in + r (W_hn h + b_hn))
//	h' = (1 - z) n + z h
type GRU struct {
	Input  *Linear // [3H, I]
	Hidden *Linear // [3H, H]
	Size   int     // H
}

// NewGRU makes the parameters name.input and name.hidden, uniform in ±1/sqrt(size) as PyTorch does.
func NewGRU(ps *Parameters, name string, in, size int) *GRU {
	bound := 1 / math.Sqrt(float64(size))
	linear := func(name string, in int) *Linear {
		return &Linear{
			Weight: ps.New(name+".weight", Uniform(bound), 3*size, in), Bias: ps.New(name+".bias", Uniform(bound), 3*size),
		}
	}
	return &GRU{Input: linear(name+".input", in), Hidden: linear(name+".hidden", size), Size: size}
}

// Forward runs over time: x [T, B, I] and the first state h [B, H] (nil: zeros) give all states [T, B, H].
func (g *GRU) Forward(t *Tape, x, h *Value) *Value {
	if x.rank != 3 {
		fail("running a GRU", "the input must be [T, B, I], it is %v", x.Shape())
	}
	steps, batch := x.dims[0], x.dims[1]
	if h == nil {
		h = t.alloc(x.dtype, batch, g.Size)
		clear(h.bytes())
	}
	gates := t.Linear(x, g.Input.Weight, g.Input.Bias)
	states := t.scratchList()
	for i := range steps {
		now := t.Reshape(t.Rows(gates, i, i+1), batch, 3*g.Size)
		h = t.gruCell(now, t.Linear(h, g.Hidden.Weight, g.Hidden.Bias), h)
		states = append(states, t.Reshape(h, 1, batch, g.Size))
	}
	y := t.ConcatRows(states...)
	t.list = states[:0]
	return y
}

// Step is one step: x [B, I] and the state h [B, H] give the next state.
func (g *GRU) Step(t *Tape, x, h *Value) *Value {
	return t.gruCell(t.Linear(x, g.Input.Weight, g.Input.Bias), t.Linear(h, g.Hidden.Weight, g.Hidden.Bias), h)
}

// gruCell combines the gates of the input and of the state, [B, 3H] each, with the state [B, H]. r, z and n are kept for the gradient.
func (t *Tape) gruCell(in, hidden, h *Value) *Value {
	y := t.like(h)
	t.record(y, backGRU, in, hidden, h)
	y.saved.buffers[0] = t.pool.get(in.size * int(in.dtype.Size()))
	if h.dtype == tensor.Float64 {
		gruCell(elements[float64](y), elements[float64](in), elements[float64](hidden), elements[float64](h),
			saved[float64](y.saved.buffers[0], in.size), h.last())
	} else {
		gruCell(elements[float32](y), elements[float32](in), elements[float32](hidden), elements[float32](h),
			saved[float32](y.saved.buffers[0], in.size), h.last())
	}
	return y
}

func gruCell[F floating](y, in, hidden, h, kept []F, n int) {
	for row := 0; row*n < len(y); row++ {
		a, b, k := in[3*n*row:], hidden[3*n*row:], kept[3*n*row:]
		for i := range n {
			r := sigmoid(float64(a[i] + b[i]))
			z := sigmoid(float64(a[n+i] + b[n+i]))
			c := math.Tanh(float64(a[2*n+i]) + r*float64(b[2*n+i]))
			k[i], k[n+i], k[2*n+i] = F(r), F(z), F(c)
			y[row*n+i] = F((1-z)*c + z*float64(h[row*n+i]))
		}
	}
}

func backGRU(t *Tape, y *Value) {
	if y.dtype == tensor.Float64 {
		backGRUOf[float64](t, y)
	} else {
		backGRUOf[float32](t, y)
	}
}

func backGRUOf[F floating](t *Tape, y *Value) {
	in, hidden, h, n := y.in[0], y.in[1], y.in[2], y.last()
	up, kept, b, state := upstream[F](y), saved[F](y.saved.buffers[0], in.size), elements[F](hidden), elements[F](h)
	din, dhidden := wanted[F](t, in), wanted[F](t, hidden)
	dh := wanted[F](t, h)
	for i, g := range up {
		row, col := i/n, i%n
		at := 3*n*row + col
		r, z, c := float64(kept[at]), float64(kept[at+n]), float64(kept[at+2*n])
		dn := float64(g) * (1 - z) * (1 - c*c)
		dz := float64(g) * (float64(state[i]) - c) * z * (1 - z)
		dr := dn * float64(b[at+2*n]) * r * (1 - r)
		add3(din, at, n, dr, dz, dn)
		add3(dhidden, at, n, dr, dz, dn*r)
		if dh != nil {
			dh[i] += F(float64(g) * z)
		}
	}
}

func add3[F floating](to []F, at, n int, r, z, c float64) {
	if to != nil {
		to[at] += F(r)
		to[at+n] += F(z)
		to[at+2*n] += F(c)
	}
}

// wanted is where to add x's gradient, nil where nobody wants it.
func wanted[F floating](t *Tape, x *Value) []F {
	if !x.needs {
		return nil
	}
	return slot[F](t.zeroed(x))
}
