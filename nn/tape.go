package nn

import (
	"unsafe"

	"gorgonia.org/tensor"
)

// Precision is what the weights of linear maps are kept and multiplied in, on a tape without gradients.
type Precision int

// The precisions. BFloat16 keeps weights in half the memory; the residual stream, LayerNorm and the softmax stay float32.
const (
	Float32 Precision = iota
	BFloat16
)

// TapeConfig says what a Tape is for.
type TapeConfig struct {
	// Gradients records operations for Backward.
	Gradients bool
	// Precision is for tapes without gradients.
	Precision Precision
}

// Tape runs operations and, with gradients, remembers them. It owns the memory of its values and reuses it from step to step: call Reset
// before each step. A Tape is used inside its Device's Run.
type Tape struct {
	device    *Device
	gradients bool
	half      bool
	pool      pool
	values    []*Value // all that were ever made; the first n are in use
	n         int
	params    map[*Parameter]*Value
	list      []*Value // scratch for an operation that joins many values
}

// NewTape returns an empty Tape.
func (d *Device) NewTape(c TapeConfig) *Tape {
	return &Tape{
		device: d, gradients: c.Gradients, half: c.Precision == BFloat16 && !c.Gradients, params: map[*Parameter]*Value{},
	}
}

// Device is the Device that t computes on.
func (t *Tape) Device() *Device { return t.device }

// Gradients tells whether t records.
func (t *Tape) Gradients() bool { return t.gradients }

// Bytes is how much memory t has taken from the system.
func (t *Tape) Bytes() int { return t.pool.bytes }

// Reset begins a new step: values of the step before are gone, their memory is used again.
func (t *Tape) Reset() {
	for i := t.n - 1; i >= 0; i-- {
		t.drop(t.values[i])
	}
	for _, v := range t.params {
		v.gradSet = false
	}
	t.n = 0
	t.pool.settle()
}

// Close gives t's memory back to the system.
func (t *Tape) Close() {
	t.values, t.n = nil, 0
	clear(t.params)
	t.pool.close()
}

// Release says that v is not used again. Without gradients its memory serves the next operation; with gradients nothing happens.
func (t *Tape) Release(v *Value) {
	if t.gradients || v.store == nil {
		return
	}
	t.pool.put(v.store)
	v.store, v.data = nil, nil
}

// drop gives back everything that a value holds.
func (t *Tape) drop(v *Value) {
	if v.store != nil {
		t.pool.put(v.store)
		v.store = nil
	}
	t.dropGrad(v)
	for i, b := range v.saved.buffers {
		if b != nil {
			t.pool.put(b)
			v.saved.buffers[i] = nil
		}
	}
	v.data, v.dense = nil, nil
}

func (t *Tape) dropGrad(v *Value) {
	if v.gradAt != nil {
		t.pool.put(v.gradAt)
		v.gradAt = nil
	}
	v.grad, v.gradSet = nil, false
}

// next returns an unused Value without memory.
func (t *Tape) next(dtype tensor.Dtype, shape ...int) *Value {
	t.device.check()
	if t.n == len(t.values) {
		t.values = append(t.values, &Value{})
	}
	v := t.values[t.n]
	t.n++
	saved := v.saved
	*v = Value{tape: t, dtype: dtype, rank: len(shape), size: 1}
	v.saved.list, v.saved.indices = saved.list[:0], saved.indices[:0]
	v.saved.outs, v.saved.gins = saved.outs[:0], saved.gins[:0]
	if len(shape) > maxRank {
		fail("making a value", "it has %d axes, at most %d are possible", len(shape), maxRank)
	}
	for i, n := range shape {
		v.dims[i] = n
		v.size *= n
	}
	return v
}

// alloc returns a Value with memory that holds anything.
func (t *Tape) alloc(dtype tensor.Dtype, shape ...int) *Value {
	v := t.next(dtype, shape...)
	v.store = t.pool.get(v.size * int(dtype.Size()))
	v.data = v.store.pointer()
	return v
}

func (t *Tape) scratchList() []*Value {
	list := t.list[:0]
	t.list = nil // whoever has it gives it back
	return list
}

// like returns a Value of x's type and shape.
func (t *Tape) like(x *Value) *Value { return t.alloc(x.dtype, x.dims[:x.rank]...) }

// view returns a Value on x's memory.
func (t *Tape) view(x *Value, first int, shape ...int) *Value {
	v := t.next(x.dtype, shape...)
	v.data = unsafe.Add(x.data, first*int(x.dtype.Size()))
	if x.store != nil {
		v.store = x.store
		v.store.refs++
	}
	v.dense = nil
	return v
}

// record remembers how y came about, when a gradient of it is wanted.
func (t *Tape) record(y *Value, backward func(*Tape, *Value), in ...*Value) *Value {
	for i, x := range in {
		y.in[i] = x
		y.needs = y.needs || x != nil && x.needs
	}
	y.needs = y.needs && t.gradients
	if y.needs {
		y.backward = backward
	}
	return y
}

// Input puts an array on the tape, without copying it: it must stay as it is until the tape is reset.
func (t *Tape) Input(x *tensor.Dense) *Value {
	if x.RequiresIterator() || x.DataOrder().IsColMajor() {
		fail("taking an input", "the array of shape %v is not contiguous and row-major", x.Shape())
	}
	v := t.next(x.Dtype(), x.Shape()...)
	v.data, v.dense = pointer(x), x
	return v
}

// Variable is Input with a gradient, which stays after Backward.
func (t *Tape) Variable(x *tensor.Dense) *Value {
	v := t.Input(x)
	v.needs, v.leaf = t.gradients, true
	return v
}

// Zeros returns a constant.
func (t *Tape) Zeros(shape ...int) *Value {
	v := t.alloc(tensor.Float32, shape...)
	clear(elements[float32](v))
	return v
}

// Floats copies numbers to the tape.
func (t *Tape) Floats(x []float32, shape ...int) *Value {
	v := t.alloc(tensor.Float32, shape...)
	if v.size != len(x) {
		fail("taking numbers", "%d numbers do not fill shape %v", len(x), v.Shape())
	}
	copy(elements[float32](v), x)
	return v
}

// Param puts a parameter on the tape. Its gradient is the parameter's own.
func (t *Tape) Param(p *Parameter) *Value {
	t.device.check()
	v, ok := t.params[p]
	if !ok {
		v = &Value{tape: t, param: p, leaf: true}
		t.params[p] = v
	}
	x := p.Dense()
	if v.dense != x {
		v.dtype, v.rank, v.size = x.Dtype(), x.Dims(), x.Shape().TotalSize()
		copy(v.dims[:], x.Shape())
		v.data, v.dense = pointer(x), x
	}
	v.needs = t.gradients && !p.Frozen
	return v
}

// Detach is x without its past: no gradient flows back through it.
func (t *Tape) Detach(x *Value) *Value { return t.view(x, 0, x.dims[:x.rank]...) }

// Backward computes the gradients of loss, a single number, with respect to all variables and parameters it depends on. Gradients of
// parameters add up until they are zeroed; call it once a step.
func (t *Tape) Backward(loss *Value) {
	if loss.size != 1 {
		fail("differentiating", "the loss has shape %v, it must be one number", loss.Shape())
	}
	if !loss.needs {
		return
	}
	setAll(loss, t.gradient(loss), 1)
	t.flow()
}

// BackwardFrom is Backward for a value of any shape, from its gradient.
func (t *Tape) BackwardFrom(y *Value, gradient *tensor.Dense) {
	if !gradient.Shape().Eq(y.Shape()) || gradient.Dtype() != y.dtype {
		fail("differentiating", "the gradient is %v %v, the value %v %v", gradient.Dtype(), gradient.Shape(), y.dtype, y.Shape())
	}
	if !y.needs {
		return
	}
	g := t.gradient(y)
	n := y.size * int(y.dtype.Size())
	copy(unsafe.Slice((*byte)(g.at), n), unsafe.Slice((*byte)(pointer(gradient)), n))
	t.flow()
}

// flow walks the tape backwards. A gradient that was passed on is given back at once: few are alive at a time.
func (t *Tape) flow() {
	t.device.check()
	for i := t.n - 1; i >= 0; i-- {
		v := t.values[i]
		if !v.gradSet || v.backward == nil {
			continue
		}
		v.backward(t, v)
		if !v.leaf {
			t.dropGrad(v)
		}
	}
}

// target is where a gradient goes; add says that something is there already.
type target struct {
	at  unsafe.Pointer
	n   int
	add bool
}

// gradient returns where the gradient of v goes.
func (t *Tape) gradient(v *Value) target {
	if v.param != nil {
		add := v.param.gradient()
		v.gradSet = true
		return target{pointer(v.param.grad), v.size, add}
	}
	if v.whole != nil {
		v.grad, v.gradSet = unsafe.Add(t.zeroed(v.whole).at, v.saved.first*int(v.dtype.Size())), true
		return target{v.grad, v.size, true}
	}
	if v.grad == nil {
		v.gradAt = t.pool.get(v.size * int(v.dtype.Size()))
		v.grad = v.gradAt.pointer()
	}
	add := v.gradSet
	v.gradSet = true
	return target{v.grad, v.size, add}
}

// zeroed is gradient for operations that can only add.
func (t *Tape) zeroed(v *Value) target {
	g := t.gradient(v)
	if !g.add {
		clear(unsafe.Slice((*byte)(g.at), g.n*int(v.dtype.Size())))
	}
	g.add = true
	return g
}

// pass hands y's whole gradient on to x, which has as many elements. The memory moves where it can; y must not use it afterwards.
func (t *Tape) pass(y, x *Value) {
	if !x.needs {
		return
	}
	if x.param == nil && x.whole == nil && !x.gradSet && y.gradAt != nil && !y.leaf {
		t.dropGrad(x)
		x.gradAt, x.grad, x.gradSet = y.gradAt, y.grad, true
		y.gradAt = nil
		return
	}
	t.share(y, x)
}

// share adds y's gradient to x's, and leaves it at y.
func (t *Tape) share(y, x *Value) {
	if !x.needs {
		return
	}
	g := t.gradient(x)
	if x.dtype == tensor.Float64 {
		addTo(slot[float64](g), upstream[float64](y), g.add)
		return
	}
	to, from := slot[float32](g), upstream[float32](y)
	if g.add {
		t.device.kernels.Axpy(to, from, 1)
	} else {
		copy(to, from)
	}
}

func addTo[F floating](to, from []F, add bool) {
	if !add {
		copy(to, from)
		return
	}
	for i, x := range from {
		to[i] += x
	}
}

type floating interface {
	float32 | float64
}

// slot are the elements of a target, upstream those of y's own gradient.
func slot[F floating](g target) []F          { return unsafe.Slice((*F)(g.at), g.n) }
func upstream[F floating](y *Value) []F      { return unsafe.Slice((*F)(y.grad), y.size) }
func saved[F floating](b *buffer, n int) []F { return unsafe.Slice((*F)(b.pointer()), n) }

func setAll(v *Value, g target, x float64) {
	if v.dtype == tensor.Float64 {
		for i := range g.n {
			slot[float64](g)[i] = x
		}
		return
	}
	for i := range g.n {
		slot[float32](g)[i] = float32(x)
	}
}
