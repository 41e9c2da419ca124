package nn

import (
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/onednn"
)

// mlp is residual + W2 GELU(W1 x + b1) + b2 as one operation: GELU, its derivative, the sums of biases and the residual happen inside the
// products, none of them is a way through memory of its own. residual may be nil.
func (t *Tape) mlp(x *Value, m *MLP, residual *Value) *Value {
	hidden := t.checkLinear(x, m.In.Weight, m.In.Bias, nil)
	y := t.alloc(x.dtype, x.dims[:x.rank]...)
	inner := t.alloc(x.dtype, x.rows(), hidden)
	t.checkLinear(inner, m.Out.Weight, m.Out.Bias, residual)
	if m.Out.Weight.shape[0] != x.last() {
		fail("mapping by "+m.Out.Weight.Name, "an MLP's result has the width of its input, %d, not %d", x.last(), m.Out.Weight.shape[0])
	}
	t.record(y, backMLP, x, residual)
	for _, p := range [4]*Parameter{m.In.Weight, m.In.Bias, m.Out.Weight, m.Out.Bias} {
		if p != nil && !p.Frozen {
			y.needs, y.backward = true, backMLP
		}
	}
	s, e := onednn.Shape{M: x.rows(), N: hidden, K: x.last(), GELU: true}, extras{}
	if y.needs {
		y.saved.mlp, y.saved.buffers[0] = m, t.pool.get(inner.size*int(x.dtype.Size()))
		e.before = saved[float32](y.saved.buffers[0], inner.size)
	}
	t.device.mapBy(m.In.Weight, m.In.Bias, false, inner.buffer(), x.buffer(), s, e)
	s, e = onednn.Shape{M: x.rows(), N: y.last(), K: hidden, Sum: residual != nil}, extras{}
	if residual != nil {
		e.residual = elements[float32](residual)
	}
	t.device.mapBy(m.Out.Weight, m.Out.Bias, false, y.buffer(), inner.buffer(), s, e)
	// The hidden values are kept as y's second buffer: inner was their name only.
	y.saved.buffers[1], inner.store, inner.data = inner.store, nil, nil
	if !y.needs {
		t.pool.put(y.saved.buffers[1])
		y.saved.buffers[1] = nil
	}
	return y
}

// backMLP: the gradient of what GELU is of takes the place of the hidden values, once these are used up.
func backMLP(t *Tape, y *Value) {
	x, m, rows := y.in[0], y.saved.mlp, y.rows()
	hidden := m.In.Weight.shape[0]
	inner, before := saved[float32](y.saved.buffers[1], rows*hidden), saved[float32](y.saved.buffers[0], rows*hidden)
	dy := upstream[float32](y)
	t.backWeights(dy, inner, rows, m.Out.Weight, m.Out.Bias)
	s := onednn.Shape{M: rows, N: hidden, K: y.last()}
	t.device.multiply(s, inner, dy, m.Out.Weight.Dense().Float32s(), extras{slope: before})
	t.backWeights(inner, elements[float32](x), rows, m.In.Weight, m.In.Bias)
	if x.needs {
		g := t.gradient(x)
		s := onednn.Shape{M: rows, N: x.last(), K: hidden, Sum: g.add}
		t.device.multiply(s, slot[float32](g), inner, m.In.Weight.Dense().Float32s(), extras{})
	}
	if residual := y.in[1]; residual != nil {
		t.pass(y, residual)
	}
}

// whole tells whether the MLP can be one operation on this tape.
func (m *MLP) whole(t *Tape, x *Value) bool {
	return t.gradients && x.dtype == tensor.Float32 && m.Out.Weight.shape[0] == x.last()
}
