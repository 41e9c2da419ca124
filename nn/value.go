package nn

import (
	"slices"
	"unsafe"

	"gorgonia.org/tensor"
)

const maxRank = 6

// Value is an array on a Tape: what operations take and give (invariant 3).
type Value struct {
	tape  *Tape
	dims  [maxRank]int
	rank  int
	size  int
	dtype tensor.Dtype

	data  unsafe.Pointer
	store *buffer       // where data lies, when the tape owns it
	dense *tensor.Dense // the array of a leaf; of another value, made when asked for
	param *Parameter

	needs    bool // a gradient is wanted
	leaf     bool // the gradient stays after Backward
	grad     unsafe.Pointer
	gradAt   *buffer
	gradSet  bool
	backward func(*Tape, *Value)
	whole    *Value // of which this value is a part; its gradient is a part of the whole's
	in       [3]*Value
	saved    state
}

// state is what an operation keeps for its gradient.
type state struct {
	list       []*Value // inputs beyond the third
	weight     *Parameter
	bias       *Parameter
	buffers    [2]*buffer
	first      int // where a part, or rows of a whole, begin
	window     Window
	floats     [2]float64
	flags      [2]bool
	indices    []int
	attention  attentionArgs
	mlp        *MLP
	function   Function
	kind       unaryKind
	outs, gins []*tensor.Dense
}

// Shape is the shape of v. It must not be changed.
func (v *Value) Shape() tensor.Shape { return tensor.Shape(v.dims[:v.rank]) }

// Dtype is the type of v's elements. On a bfloat16 tape it may be tensor.Uint16: the bits of bfloat16.
func (v *Value) Dtype() tensor.Dtype { return v.dtype }

// Size is the number of elements.
func (v *Value) Size() int { return v.size }

// last is the length of the last axis.
func (v *Value) last() int { return v.dims[v.rank-1] }

// rows is how many vectors of the last axis there are.
func (v *Value) rows() int {
	if v.size == 0 {
		return 0
	}
	return v.size / v.last()
}

// Dense is v as an array, on v's own memory: it is valid as long as v is. The header is made when it is first asked for.
func (v *Value) Dense() *tensor.Dense {
	if v.dense == nil {
		v.dense = header(v.data, v.dtype, v.Shape())
	}
	return v.dense
}

// Float32s are the elements of a float32 Value, on its own memory.
func (v *Value) Float32s() []float32 {
	if v.dtype != tensor.Float32 {
		fail("reading a value", "it is %v, not float32", v.dtype)
	}
	return elements[float32](v)
}

// Float64s are the elements of a float64 Value, on its own memory.
func (v *Value) Float64s() []float64 {
	if v.dtype != tensor.Float64 {
		fail("reading a value", "it is %v, not float64", v.dtype)
	}
	return elements[float64](v)
}

// Item is the only element of v.
func (v *Value) Item() float64 {
	if v.size != 1 {
		fail("reading a number", "the value has %d elements", v.size)
	}
	if v.dtype == tensor.Float64 {
		return elements[float64](v)[0]
	}
	return float64(elements[float32](v)[0])
}

// Grad is the gradient that Backward left at an input, or nil. It is valid until the tape is reset.
func (v *Value) Grad() *tensor.Dense {
	if !v.gradSet {
		return nil
	}
	if v.param != nil {
		return v.param.Grad()
	}
	return header(v.grad, v.dtype, v.Shape())
}

// CopyTo copies v's elements, float32 or bfloat16, to float32.
func (v *Value) CopyTo(to []float32) {
	switch v.dtype {
	case tensor.Float32:
		copy(to, elements[float32](v))
	case tensor.Uint16:
		v.tape.device.kernels.Widen(to[:v.size], elements[uint16](v))
	default:
		for i, x := range elements[float64](v) {
			to[i] = float32(x)
		}
	}
}

func (v *Value) bytes() []byte { return unsafe.Slice((*byte)(v.data), v.size*int(v.dtype.Size())) }

type element interface {
	float32 | float64 | uint16
}

func elements[E element](v *Value) []E { return unsafe.Slice((*E)(v.data), v.size) }

// header makes an array of memory that is already there.
func header(data unsafe.Pointer, dtype tensor.Dtype, shape tensor.Shape) *tensor.Dense {
	shape = slices.Clone(shape)
	n := shape.TotalSize()
	switch dtype {
	case tensor.Float64:
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(unsafe.Slice((*float64)(data), n)))
	case tensor.Uint16:
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(unsafe.Slice((*uint16)(data), n)))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(unsafe.Slice((*float32)(data), n)))
}

// floats are the elements of an array that is contiguous.
func floats[F floating](d *tensor.Dense) []F {
	return unsafe.Slice((*F)(pointer(d)), d.Shape().TotalSize())
}

// pointer is where an array's elements begin.
func pointer(d *tensor.Dense) unsafe.Pointer {
	switch d.Dtype() {
	case tensor.Float32:
		return unsafe.Pointer(unsafe.SliceData(d.Float32s()))
	case tensor.Float64:
		return unsafe.Pointer(unsafe.SliceData(d.Float64s()))
	case tensor.Uint16:
		return unsafe.Pointer(unsafe.SliceData(d.Uint16s()))
	}
	fail("reading an array", "its elements are %v, possible are float32, float64 and (for bfloat16) uint16", d.Dtype())
	return nil
}
