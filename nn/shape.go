package nn

import (
	"unsafe"

	"gorgonia.org/tensor"
)

func (t *Tape) copyData(to, from *Value) {
	copy(to.bytes(), from.bytes())
}

// Copy is x in memory of its own.
func (t *Tape) Copy(x *Value) *Value {
	y := t.like(x)
	t.copyData(y, x)
	return t.record(y, backPass, x)
}

func backPass(t *Tape, y *Value) { t.pass(y, y.in[0]) }

// Reshape is x under another shape, on the same memory.
func (t *Tape) Reshape(x *Value, shape ...int) *Value {
	y := t.view(x, 0, shape...)
	if y.size != x.size {
		fail("reshaping", "%v does not have the elements of %v", y.Shape(), x.Shape())
	}
	return t.record(y, backPass, x)
}

// Rows are the entries [first, last) of the first axis, on the same memory.
func (t *Tape) Rows(x *Value, first, last int) *Value {
	if x.rank == 0 || first < 0 || last > x.dims[0] || first > last {
		fail("taking rows", "[%d, %d) of %v", first, last, x.Shape())
	}
	each := 0
	if x.dims[0] > 0 {
		each = x.size / x.dims[0]
	}
	dims := x.dims
	dims[0] = last - first
	y := t.view(x, first*each, dims[:x.rank]...)
	y.needs, y.saved.first = x.needs && t.gradients, first*each
	if y.needs {
		y.whole = x
	}
	return y
}

// Columns are the entries [first, last) of the last axis, copied.
func (t *Tape) Columns(x *Value, first, last int) *Value {
	if x.rank == 0 || first < 0 || last > x.last() || first > last {
		fail("taking columns", "[%d, %d) of %v", first, last, x.Shape())
	}
	dims := x.dims
	dims[x.rank-1] = last - first
	y := t.alloc(x.dtype, dims[:x.rank]...)
	if x.dtype == tensor.Float64 {
		copyColumns(elements[float64](y), 0, y.last(), elements[float64](x), first, x.last(), last-first, false)
	} else {
		copyColumns(elements[float32](y), 0, y.last(), elements[float32](x), first, x.last(), last-first, false)
	}
	t.record(y, backColumns, x)
	y.saved.first = first
	return y
}

func backColumns(t *Tape, y *Value) {
	x, first := y.in[0], y.saved.first
	g := t.zeroed(x)
	if y.dtype == tensor.Float64 {
		copyColumns(slot[float64](g), first, x.last(), upstream[float64](y), 0, y.last(), y.last(), true)
	} else {
		copyColumns(slot[float32](g), first, x.last(), upstream[float32](y), 0, y.last(), y.last(), true)
	}
}

// copyColumns copies, or adds, n columns of rows of one matrix to columns of another.
func copyColumns[F floating](to []F, toFirst, toWidth int, from []F, fromFirst, fromWidth, n int, add bool) {
	for a, b := toFirst, fromFirst; a+n <= len(to) && b+n <= len(from); a, b = a+toWidth, b+fromWidth {
		addTo(to[a:a+n], from[b:b+n], add)
	}
}

// ConcatRows joins values along the first axis; the other axes must agree.
func (t *Tape) ConcatRows(values ...*Value) *Value {
	first := values[0]
	dims := first.dims
	dims[0] = 0
	for _, v := range values {
		if v.dtype != first.dtype || v.rank != first.rank || !tensor.Shape(v.dims[1:v.rank]).Eq(tensor.Shape(first.dims[1:first.rank])) {
			fail("joining rows", "%v and %v do not fit", first.Shape(), v.Shape())
		}
		dims[0] += v.dims[0]
	}
	y := t.alloc(first.dtype, dims[:first.rank]...)
	at := y.data
	for _, v := range values {
		n := v.size * int(v.dtype.Size())
		copy(unsafe.Slice((*byte)(at), n), unsafe.Slice((*byte)(v.data), n))
		at = unsafe.Add(at, n)
	}
	return t.recordList(y, backConcatRows, values)
}

func (t *Tape) recordList(y *Value, backward func(*Tape, *Value), values []*Value) *Value {
	for _, v := range values {
		y.needs = y.needs || v.needs
	}
	y.needs = y.needs && t.gradients
	if y.needs {
		y.backward = backward
	}
	y.saved.list = append(y.saved.list[:0], values...)
	return y
}

func backConcatRows(t *Tape, y *Value) {
	first := 0
	for _, v := range y.saved.list {
		if v.needs {
			g := t.gradient(v)
			if y.dtype == tensor.Float64 {
				addTo(slot[float64](g), upstream[float64](y)[first:first+v.size], g.add)
			} else {
				addTo(slot[float32](g), upstream[float32](y)[first:first+v.size], g.add)
			}
		}
		first += v.size
	}
}

// ConcatColumns joins values along the last axis; the other axes must agree.
func (t *Tape) ConcatColumns(values ...*Value) *Value {
	first := values[0]
	dims, width := first.dims, 0
	for _, v := range values {
		if v.dtype != first.dtype || v.rows() != first.rows() {
			fail("joining columns", "%v and %v do not fit", first.Shape(), v.Shape())
		}
		width += v.last()
	}
	dims[first.rank-1] = width
	y := t.alloc(first.dtype, dims[:first.rank]...)
	at := 0
	for _, v := range values {
		if v.dtype == tensor.Float64 {
			copyColumns(elements[float64](y), at, width, elements[float64](v), 0, v.last(), v.last(), false)
		} else {
			copyColumns(elements[float32](y), at, width, elements[float32](v), 0, v.last(), v.last(), false)
		}
		at += v.last()
	}
	return t.recordList(y, backConcatColumns, values)
}

func backConcatColumns(t *Tape, y *Value) {
	at, width := 0, y.last()
	for _, v := range y.saved.list {
		if v.needs {
			g := t.gradient(v)
			if y.dtype == tensor.Float64 {
				copyColumns(slot[float64](g), 0, v.last(), upstream[float64](y), at, width, v.last(), g.add)
			} else {
				copyColumns(slot[float32](g), 0, v.last(), upstream[float32](y), at, width, v.last(), g.add)
			}
		}
		at += v.last()
	}
}

// Gather takes rows of a matrix: x [N, ...] and ids give [len(ids), ...]. An id may come more than once. The ids are copied.
func (t *Tape) Gather(x *Value, ids []int) *Value {
	dims := x.dims
	dims[0] = len(ids)
	y := t.alloc(x.dtype, dims[:x.rank]...)
	for i, id := range ids {
		if id < 0 || id >= x.dims[0] {
			fail("gathering rows", "row %d of %v", id, x.Shape())
		}
		n := x.size / x.dims[0] * int(x.dtype.Size())
		copy(unsafe.Slice((*byte)(unsafe.Add(y.data, i*n)), n), unsafe.Slice((*byte)(unsafe.Add(x.data, id*n)), n))
	}
	t.record(y, backGather, x)
	y.saved.indices = append(y.saved.indices[:0], ids...)
	return y
}

func backGather(t *Tape, y *Value) {
	x := y.in[0]
	g, n := t.zeroed(x), x.size/x.dims[0]
	for i, id := range y.saved.indices {
		if y.dtype == tensor.Float64 {
			addTo(slot[float64](g)[id*n:(id+1)*n], upstream[float64](y)[i*n:(i+1)*n], true)
		} else {
			addTo(slot[float32](g)[id*n:(id+1)*n], upstream[float32](y)[i*n:(i+1)*n], true)
		}
	}
}

// Transpose swaps the two axes of a matrix.
func (t *Tape) Transpose(x *Value) *Value {
	if x.rank != 2 {
		fail("transposing", "%v is no matrix", x.Shape())
	}
	y := t.alloc(x.dtype, x.dims[1], x.dims[0])
	if x.dtype == tensor.Float64 {
		transpose(elements[float64](y), elements[float64](x), x.dims[1], false)
	} else {
		transpose(elements[float32](y), elements[float32](x), x.dims[1], false)
	}
	return t.record(y, backTranspose, x)
}

func transpose[F floating](y, x []F, columns int, add bool) {
	rows := len(x) / max(1, columns)
	for r := range rows {
		for c := range columns {
			v := x[r*columns+c]
			if add {
				v += y[c*rows+r]
			}
			y[c*rows+r] = v
		}
	}
}

func backTranspose(t *Tape, y *Value) {
	g := t.gradient(y.in[0])
	if y.dtype == tensor.Float64 {
		transpose(slot[float64](g), upstream[float64](y), y.dims[1], g.add)
	} else {
		transpose(slot[float32](g), upstream[float32](y), y.dims[1], g.add)
	}
}
