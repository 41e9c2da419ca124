package nn

import (
	"math"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/kernel"
	"github.com/ensue-video/ensue/nn/internal/reference"
)

// Mask says which keys a query sees. The zero Mask: all of them.
type Mask struct {
	// Block is the number of tokens of a frame. A token sees its own and earlier frames. 0: everything.
	Block int
	// Offset is the place of the first query among the keys, for queries that follow keys of earlier calls.
	Offset int
	// Window is how many frames a token sees, its own included. 0: all earlier ones.
	Window int
}

// AttentionConfig says how tokens attend.
type AttentionConfig struct {
	Heads int
	Mask  Mask
	// Rotary, where it is not nil, turns queries and keys. RotaryKeys, where it is not nil, turns the keys instead. Tables are for the
	// tokens of one item, which all items share, or for those of all items, item by item.
	Rotary, RotaryKeys *Rotary
	// Scale multiplies the products of queries and keys; 0: 1/sqrt(head width).
	Scale float64
}

// attentionArgs is what an attention keeps for its gradient.
type attentionArgs struct {
	config           AttentionConfig
	rotary           *Rotary
	batch, nq, nk, d int
	q, k, v, o       strided
	separate         bool // q, k and v are three values
}

// strided is a column range of a matrix.
type strided struct {
	data   unsafe.Pointer
	n      int // elements from data to the end
	stride int
	dtype  tensor.Dtype
}

func (v *Value) strided(column int) strided {
	return strided{unsafe.Add(v.data, column*int(v.dtype.Size())), v.size - column, v.last(), v.dtype}
}

func (v *Value) upstreamStrided(column int) strided { return v.gradStrided(v.grad, column) }

func (v *Value) gradStrided(at unsafe.Pointer, column int) strided {
	return strided{unsafe.Add(at, column*int(v.dtype.Size())), v.size - column, v.last(), v.dtype}
}

func at32(m strided) []float32 {
	if m.dtype != tensor.Float32 {
		return nil
	}
	return unsafe.Slice((*float32)(m.data), m.n)
}

func at64(m strided) []float64 { return unsafe.Slice((*float64)(m.data), m.n) }

func at16(m strided) []uint16 {
	if m.dtype != tensor.Uint16 {
		return nil
	}
	return unsafe.Slice((*uint16)(m.data), m.n)
}

func (m strided) kernel() kernel.Matrix {
	return kernel.Matrix{Full: at32(m), Half: at16(m), Stride: m.stride}
}

func (m strided) reference() reference.Matrix[float64] {
	return reference.Matrix[float64]{Data: at64(m), Stride: m.stride}
}

// Attend is self-attention: qkv [B, N, 3D] holds each token's query, key and value, the result is [B, N, D]. The attention matrix is
// computed in tiles and never stored (invariant 6). qkv is used up: its queries and keys are turned in place.
func (t *Tape) Attend(qkv *Value, c AttentionConfig) *Value {
	if qkv.rank != 3 || qkv.last()%3 != 0 {
		fail("attending", "queries, keys and values must be [batch, tokens, 3 width], they are %v", qkv.Shape())
	}
	width := qkv.last() / 3
	a := attentionArgs{config: c, batch: qkv.dims[0], nq: qkv.dims[1], nk: qkv.dims[1]}
	a.q, a.k, a.v = qkv.strided(0), qkv.strided(width), qkv.strided(2*width)
	return t.attend(a, width, qkv, nil, nil)
}

// AttendTo is cross-attention: queries [B, NQ, D] attend to kv [B, NK, 2D], keys and values. Both are used up where they are turned.
func (t *Tape) AttendTo(q, kv *Value, c AttentionConfig) *Value {
	if q.rank != 3 || kv.rank != 3 || q.dims[0] != kv.dims[0] || kv.last() != 2*q.last() || q.dtype != kv.dtype {
		fail("attending", "queries are %v %v, keys and values %v %v", q.dtype, q.Shape(), kv.dtype, kv.Shape())
	}
	a := attentionArgs{config: c, batch: q.dims[0], nq: q.dims[1], nk: kv.dims[1]}
	a.q, a.k, a.v = q.strided(0), kv.strided(0), kv.strided(q.last())
	return t.attend(a, q.last(), q, kv, nil)
}

// AttendWith is attention over three values: q [B, NQ, D], k and v [B, NK, D].
func (t *Tape) AttendWith(q, k, v *Value, c AttentionConfig) *Value {
	if q.rank != 3 || k.rank != 3 || !k.Shape().Eq(v.Shape()) || q.dims[0] != k.dims[0] || q.last() != k.last() {
		fail("attending", "queries are %v, keys %v, values %v", q.Shape(), k.Shape(), v.Shape())
	}
	k, v = t.distinct(k, q), t.distinct(t.distinct(v, q), k)
	a := attentionArgs{config: c, batch: q.dims[0], nq: q.dims[1], nk: k.dims[1], separate: true}
	a.q, a.k, a.v = q.strided(0), k.strided(0), v.strided(0)
	return t.attend(a, q.last(), q, k, v)
}

// distinct is v, or a copy of it where it is the same value as other: each gets its own rotation and gradient.
func (t *Tape) distinct(v, other *Value) *Value {
	if v == other {
		return t.Copy(v)
	}
	return v
}

// attend runs the forward pass. width is the width of all heads together.
func (t *Tape) attend(a attentionArgs, width int, in ...*Value) *Value {
	t.checkAttention(&a, width)
	t.rotateBoth(&a, a.q, a.k, false)
	y := t.alloc(in[0].dtype, a.batch, a.nq, width)
	a.o = y.strided(0)
	t.record(y, backAttend, in...)
	lse := a.batch * a.config.Heads * a.nq
	if y.needs {
		y.saved.buffers[0] = t.pool.get(lse * int(y.dtype.Size()))
	}
	y.saved.attention = a
	if y.dtype == tensor.Float64 {
		f := a.reference()
		if y.needs {
			f.LSE = saved[float64](y.saved.buffers[0], lse)
		}
		f.Forward(make([]float64, a.nk))
		return y
	}
	f := a.kernel()
	if y.needs {
		f.LSE = saved[float32](y.saved.buffers[0], lse)
	}
	t.device.attention(&f)
	return y
}

func (d *Device) attention(f *kernel.Attention) {
	d.kernels.Attention(f, d.inside.floats(d.kernels.AttentionWork(f, d.threads)))
}

func (t *Tape) checkAttention(a *attentionArgs, width int) {
	c := &a.config
	if c.Heads <= 0 || width%c.Heads != 0 {
		fail("attending", "%d heads do not divide a width of %d", c.Heads, width)
	}
	a.d = width / c.Heads
	if c.Scale == 0 {
		c.Scale = 1 / math.Sqrt(float64(a.d))
	}
	if c.RotaryKeys == nil {
		c.RotaryKeys = c.Rotary
	}
	if r := c.Rotary; r != nil && (r.D != a.d || r.Tokens != a.nq && r.Tokens != a.batch*a.nq) {
		fail("attending", "the rotary tables are for %d tokens and heads of %d, the queries are %d and %d", r.Tokens, r.D, a.nq, a.d)
	}
	if r := c.RotaryKeys; r != nil && (r.D != a.d || r.Tokens != a.nk && r.Tokens != a.batch*a.nk) {
		fail("attending", "the rotary tables are for %d tokens and heads of %d, the keys are %d and %d", r.Tokens, r.D, a.nk, a.d)
	}
	if m := c.Mask; m.Block < 0 || m.Offset < 0 || m.Window < 0 {
		fail("attending", "the mask %+v has a negative number", m)
	}
}

// rotateBoth turns queries and keys, or with backward their gradients, in place.
func (t *Tape) rotateBoth(a *attentionArgs, q, k strided, backward bool) {
	if r := a.config.Rotary; r != nil {
		t.rotate(q, r, a.batch*a.nq, a.config.Heads, backward)
	}
	if r := a.config.RotaryKeys; r != nil {
		t.rotate(k, r, a.batch*a.nk, a.config.Heads, backward)
	}
}

func (a *attentionArgs) kernel() kernel.Attention {
	return kernel.Attention{
		Q: a.q.kernel(), K: a.k.kernel(), V: a.v.kernel(), O: a.o.kernel(), Batch: a.batch, Heads: a.config.Heads,
		NQ: a.nq, NK: a.nk, D: a.d, Scale: float32(a.config.Scale), Mask: kernel.Mask(a.config.Mask),
	}
}

func (a *attentionArgs) reference() reference.Attention[float64] {
	return reference.Attention[float64]{
		Q: a.q.reference(), K: a.k.reference(), V: a.v.reference(), O: a.o.reference(), Batch: a.batch, Heads: a.config.Heads,
		NQ: a.nq, NK: a.nk, D: a.d, Scale: a.config.Scale, Mask: kernel.Mask(a.config.Mask),
	}
}

// backAttend computes the gradients of q, k and v into the gradients of the values that hold them, and turns them back.
func backAttend(t *Tape, y *Value) {
	a := &y.saved.attention
	in := y.in
	// A gradient that is there already would be turned along: such an input gets memory beside it, which is added afterwards.
	var beside [3]*buffer
	var at [3]unsafe.Pointer
	for i, x := range in {
		switch {
		case x == nil:
		case x.gradSet || x.whole != nil:
			beside[i] = t.pool.get(x.size * int(x.dtype.Size()))
			at[i] = beside[i].pointer()
		default:
			at[i] = t.gradientOrRoom(x)
		}
	}
	dq, dk, dv := a.gradients(in, at)
	t.attentionGrad(y, dq, dk, dv)
	t.rotateBoth(a, dq, dk, true)
	for i, x := range in {
		if beside[i] != nil {
			t.addBuffer(x, beside[i])
			t.pool.put(beside[i])
		}
		if x != nil && !x.needs {
			t.dropGrad(x)
		}
	}
}

// gradientOrRoom is memory for x's gradient, even when nobody wants it: the kernel computes all three.
func (t *Tape) gradientOrRoom(x *Value) unsafe.Pointer {
	if x.param != nil {
		fail("attending", "a parameter cannot be a query, key or value itself")
	}
	return t.gradient(x).at
}

// addBuffer adds numbers to x's gradient, where one is wanted.
func (t *Tape) addBuffer(x *Value, b *buffer) {
	if !x.needs {
		return
	}
	g := t.zeroed(x)
	if x.dtype == tensor.Float64 {
		addTo(slot[float64](g), saved[float64](b, x.size), true)
		return
	}
	t.device.kernels.Axpy(slot[float32](g), saved[float32](b, x.size), 1)
}

// gradients are the column ranges that belong to q, k and v in the gradients of the values that hold them.
func (a *attentionArgs) gradients(in [3]*Value, at [3]unsafe.Pointer) (q, k, v strided) {
	switch {
	case a.separate:
		return in[0].gradStrided(at[0], 0), in[1].gradStrided(at[1], 0), in[2].gradStrided(at[2], 0)
	case in[1] != nil:
		return in[0].gradStrided(at[0], 0), in[1].gradStrided(at[1], 0), in[1].gradStrided(at[1], in[0].last())
	}
	width := in[0].last() / 3
	return in[0].gradStrided(at[0], 0), in[0].gradStrided(at[0], width), in[0].gradStrided(at[0], 2*width)
}

func (t *Tape) attentionGrad(y *Value, dq, dk, dv strided) {
	a := &y.saved.attention
	lse := a.batch * a.config.Heads * a.nq
	if y.dtype == tensor.Float64 {
		f := a.reference()
		f.LSE = saved[float64](y.saved.buffers[0], lse)
		f.Backward(y.upstreamStrided(0).reference(), dq.reference(), dk.reference(), dv.reference(), false, make([]float64, 2*a.nk))
		return
	}
	d := t.device
	g := kernel.AttentionGrad{Attention: a.kernel(), DO: y.upstreamStrided(0).kernel(), DQ: dq.kernel(), DK: dk.kernel(), DV: dv.kernel()}
	g.LSE = saved[float32](y.saved.buffers[0], lse)
	d.kernels.AttentionGrad(&g, d.inside.floats(d.kernels.AttentionGradWork(&g.Attention, d.threads)))
}
