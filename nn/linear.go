package nn

import (
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/kernel"
	"github.com/ensue-video/ensue/nn/internal/onednn"
	"github.com/ensue-video/ensue/nn/internal/reference"
)

// Linear is y = x W^T + b: W [out, in], b [out].
type Linear struct {
	Weight, Bias *Parameter // Bias may be nil
}

// NewLinear makes a linear map with weights from TruncatedNormal(0.02) and biases of 0, named name.weight and name.bias.
func NewLinear(ps *Parameters, name string, in, out int, bias bool) *Linear {
	l := &Linear{Weight: ps.New(name+".weight", TruncatedNormal(0.02), out, in)}
	if bias {
		l.Bias = ps.New(name+".bias", Zeros, out)
	}
	return l
}

// Forward maps x [..., in] to [..., out].
func (l *Linear) Forward(t *Tape, x *Value) *Value { return t.Linear(x, l.Weight, l.Bias) }

// Matrices are the weights that Device.Pack takes.
func (l *Linear) Matrices() []*Parameter { return []*Parameter{l.Weight} }

// fusion is what a linear map does on top, without gradients.
type fusion struct {
	gelu     bool
	residual *Value // y = residual + …
	inPlace  bool   // y takes residual's memory
	half     bool   // y is bfloat16, where the Device multiplies that
}

// takes tells whether y is in the residual's memory.
func (f fusion) takes(t *Tape) bool { return f.residual != nil && f.inPlace && !t.gradients }

// Linear maps x [..., in] to [..., out]: y = x W^T + b. b may be nil.
func (t *Tape) Linear(x *Value, w, b *Parameter) *Value { return t.linear(x, w, b, fusion{}) }

// LinearAdd is residual + x W^T + b.
func (t *Tape) LinearAdd(residual, x *Value, w, b *Parameter) *Value {
	return t.linear(x, w, b, fusion{residual: residual})
}

func (t *Tape) linear(x *Value, w, b *Parameter, f fusion) *Value {
	out := t.checkLinear(x, w, b, f.residual)
	y := t.linearTarget(x, out, f)
	switch x.dtype {
	case tensor.Float64:
		t.linear64(y, x, w, b, f)
	default:
		t.linear32(y, x, w, b, f)
	}
	return t.recordLinear(y, x, w, b, f.residual)
}

func (t *Tape) recordLinear(y, x *Value, w, b *Parameter, residual *Value) *Value {
	if !t.gradients {
		return y
	}
	t.record(y, backLinear, x, residual)
	if !w.Frozen || b != nil && !b.Frozen {
		y.needs, y.backward = true, backLinear
	}
	y.saved.weight, y.saved.bias = w, b
	return y
}

func (t *Tape) checkLinear(x *Value, w, b *Parameter, residual *Value) (out int) {
	if len(w.shape) != 2 || x.rank == 0 || x.last() != w.shape[1] {
		fail("mapping by "+w.Name, "the weight is %v, the input %v", w.shape, x.Shape())
	}
	out = w.shape[0]
	if b != nil && b.Size() != out {
		fail("mapping by "+w.Name, "the weight is %v, the bias %v", w.shape, b.shape)
	}
	if residual != nil && (residual.rows() != x.rows() || residual.last() != out || residual.dtype == tensor.Uint16) {
		fail("mapping by "+w.Name, "the result is [%d, %d], what to add it to %v", x.rows(), out, residual.Shape())
	}
	return out
}

// linearTarget makes y, in the place of the residual where that is asked for; a float64 y holds the residual already.
func (t *Tape) linearTarget(x *Value, out int, f fusion) *Value {
	dims := x.dims
	dims[x.rank-1] = out
	if f.takes(t) {
		y := t.view(f.residual, 0, f.residual.dims[:f.residual.rank]...)
		t.Release(f.residual)
		return y
	}
	dtype := x.dtype
	if dtype == tensor.Uint16 {
		dtype = tensor.Float32
	}
	if f.half && t.half && t.device.half {
		dtype = tensor.Uint16
	}
	y := t.alloc(dtype, dims[:x.rank]...)
	if f.residual != nil && dtype == tensor.Float64 {
		copy(elements[float64](y), elements[float64](f.residual))
	}
	return y
}

func (t *Tape) linear64(y, x *Value, w, b *Parameter, f fusion) {
	var bias []float64
	if b != nil {
		bias = b.Dense().Float64s()
	}
	keep := 0.0
	if f.residual != nil {
		keep = 1
	}
	out := elements[float64](y)
	reference.MatMul(out, elements[float64](x), w.Dense().Float64s(), bias, x.rows(), y.last(), x.last(), false, true, keep)
	if f.gelu {
		reference.GELU(out, out)
	}
}

func (t *Tape) linear32(y, x *Value, w, b *Parameter, f fusion) {
	s := onednn.Shape{M: x.rows(), N: y.last(), K: x.last(), GELU: f.gelu, Sum: f.residual != nil, HalfY: y.dtype == tensor.Uint16}
	var e extras
	if f.residual != nil && !f.takes(t) {
		e.residual = elements[float32](f.residual)
	}
	t.device.mapBy(w, b, t.half, y.buffer(), x.buffer(), s, e)
}

// extras are what a float32 product does on the way, see kernel.Product.
type extras struct {
	residual []float32 // added; nil with Shape.Sum: y holds it
	before   []float32 // takes what GELU is of
	slope    []float32 // GELU's derivative there multiplies the result
	sum      []float32 // takes the sum of the rows of a transposed left operand
	add      bool      // to what sum holds
}

// mapBy computes y = x W^T + b for rows x, in the precision that W is packed in for a tape.
func (d *Device) mapBy(w, b *Parameter, half bool, y, x onednn.Buffer, s onednn.Shape, e extras) {
	k := d.packed(w, half)
	var bias []float32
	if b != nil {
		bias, s.Bias = b.Dense().Float32s(), true
	}
	if k.native == nil {
		d.kernels.Product(&kernel.Product{
			Y: y.Full, X: x.Full, W: d.ready(k), Bias: bias, M: s.M, N: s.N, K: s.K, Sum: s.Sum && e.residual == nil, GELU: s.GELU,
			Residual: e.residual, Before: e.before,
		})
		return
	}
	s.HalfX, s.HalfW = true, true
	copy(y.Full, e.residual)
	if x.Half == nil {
		x = onednn.Buffer{Half: d.narrow(x.Full)}
	}
	mustFor("mapping by", w, d.dnnl.MatMulPacked(s, y, x, k.native, bias))
}

// multiply computes y (+)= a b for arrays in rows: a [m, k], or [k, m] with TransX, and b [k, n], or [n, k] with TransW.
func (d *Device) multiply(s onednn.Shape, y, a, b []float32, e extras) {
	weights := d.kernels.PackSize(s.K, s.N)
	rows := 0
	if s.TransX {
		rows = d.kernels.PackRowsSize(s.K, s.M)
	}
	room := d.operands.floats(weights + rows)
	p := kernel.Product{Y: y, X: a, W: room[:weights], M: s.M, N: s.N, K: s.K, Sum: s.Sum, Panels: s.TransX, Slope: e.slope}
	d.kernels.Pack(p.W, b, s.K, s.N, s.TransW)
	if s.TransX {
		p.X = room[weights:]
		d.kernels.PackRows(p.X, a, s.K, s.M, e.sum, e.add)
	}
	d.kernels.Product(&p)
}

// narrow turns activations into bfloat16, in scratch memory.
func (d *Device) narrow(x []float32) []uint16 {
	room := d.narrowed.floats((len(x) + 1) / 2)
	to := unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(room))), len(x))
	d.kernels.Narrow(to, x)
	return to
}

func (v *Value) buffer() onednn.Buffer {
	if v.dtype == tensor.Uint16 {
		return onednn.Buffer{Half: elements[uint16](v)}
	}
	return onednn.Buffer{Full: elements[float32](v)}
}

// backLinear: db = sum of dy, dW = dy^T x, dx = dy W, and the residual takes dy as it is.
func backLinear(t *Tape, y *Value) {
	x, w, b := y.in[0], y.saved.weight, y.saved.bias
	m, n, k := x.rows(), y.last(), x.last()
	if y.dtype == tensor.Float32 {
		t.backWeights(upstream[float32](y), elements[float32](x), m, w, b)
	} else {
		t.backWeights64(y, x, w, b)
	}
	if x.needs {
		g := t.gradient(x)
		t.product(g, y.grad, pointer(w.Dense()), x.dtype, onednn.Shape{M: m, N: k, K: n})
	}
	if residual := y.in[1]; residual != nil {
		t.pass(y, residual)
	}
}

// backBias: db = sum of dy.
func (t *Tape) backBias(y *Value, b *Parameter) {
	g := t.gradient(t.Param(b))
	if y.dtype == tensor.Float64 {
		reference.ColumnSum(slot[float64](g), upstream[float64](y), g.add)
	} else {
		t.device.kernels.ColumnSum(slot[float32](g), upstream[float32](y), g.add)
	}
}

// backWeights adds a linear map's own gradients, for m rows: db = sum of dy, on the way into dW = dy^T x.
func (t *Tape) backWeights(dy, x []float32, m int, w, b *Parameter) {
	n, k := w.shape[0], w.shape[1]
	var e extras
	if b != nil && !b.Frozen {
		g := t.gradient(t.Param(b))
		e.sum, e.add = slot[float32](g), g.add
	}
	switch {
	case !w.Frozen:
		g := t.gradient(t.Param(w))
		t.device.multiply(onednn.Shape{M: n, N: k, K: m, TransX: true, Sum: g.add}, slot[float32](g), dy, x, e)
	case e.sum != nil:
		t.device.kernels.ColumnSum(e.sum, dy, e.add)
	}
}

func (t *Tape) backWeights64(y, x *Value, w, b *Parameter) {
	if b != nil && !b.Frozen {
		t.backBias(y, b)
	}
	if !w.Frozen {
		g := t.gradient(t.Param(w))
		t.product(g, y.grad, x.data, x.dtype, onednn.Shape{M: y.last(), N: x.last(), K: x.rows(), TransX: true})
	}
}

// product computes the gradient g (+)= a b.
func (t *Tape) product(g target, a, b unsafe.Pointer, dtype tensor.Dtype, s onednn.Shape) {
	s.Sum = g.add
	if dtype == tensor.Float64 {
		keep := 0.0
		if g.add {
			keep = 1
		}
		left, right := unsafe.Slice((*float64)(a), s.M*s.K), unsafe.Slice((*float64)(b), s.K*s.N)
		reference.MatMul(slot[float64](g), left, right, nil, s.M, s.N, s.K, s.TransX, s.TransW, keep)
		return
	}
	left, right := unsafe.Slice((*float32)(a), s.M*s.K), unsafe.Slice((*float32)(b), s.K*s.N)
	t.device.multiply(s, slot[float32](g), left, right, extras{})
}

// MatMul multiplies matrices: a [m, k], or [k, m] with transA, by b [k, n], or [n, k] with transB. At most one may be transposed.
func (t *Tape) MatMul(a, b *Value, transA, transB bool) *Value {
	if a.rank != 2 || b.rank != 2 || a.dtype != b.dtype {
		fail("multiplying matrices", "they are %v %v and %v %v", a.dtype, a.Shape(), b.dtype, b.Shape())
	}
	m, k := transposed(a, transA)
	k2, n := transposed(b, transB)
	if k != k2 {
		fail("multiplying matrices", "%v and %v do not fit (transposed: %t, %t)", a.Shape(), b.Shape(), transA, transB)
	}
	y := t.alloc(a.dtype, m, n)
	t.product(target{at: y.data, n: y.size}, a.data, b.data, a.dtype, onednn.Shape{M: m, N: n, K: k, TransX: transA, TransW: transB})
	t.record(y, backMatMul, a, b)
	y.saved.flags[0], y.saved.flags[1] = transA, transB
	return y
}

func transposed(v *Value, trans bool) (rows, columns int) {
	if trans {
		return v.dims[1], v.dims[0]
	}
	return v.dims[0], v.dims[1]
}

// backMatMul: for y = a b, da = dy b^T and db = a^T dy, each transposed again where the operand was.
func backMatMul(t *Tape, y *Value) {
	a, b := y.in[0], y.in[1]
	transA, transB := y.saved.flags[0], y.saved.flags[1]
	m, n := y.dims[0], y.dims[1]
	_, k := transposed(a, transA)
	if a.needs {
		g := t.gradient(a)
		if transA {
			t.product(g, b.data, y.grad, y.dtype, onednn.Shape{M: k, N: m, K: n, TransX: transB, TransW: true})
		} else {
			t.product(g, y.grad, b.data, y.dtype, onednn.Shape{M: m, N: k, K: n, TransW: !transB})
		}
	}
	if b.needs {
		g := t.gradient(b)
		if transB {
			t.product(g, y.grad, a.data, y.dtype, onednn.Shape{M: n, N: k, K: m, TransX: true, TransW: transA})
		} else {
			t.product(g, a.data, y.grad, y.dtype, onednn.Shape{M: k, N: n, K: m, TransX: !transA})
		}
	}
}
