package nn

import (
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/kernel"
	"github.com/ensue-video/ensue/nn/internal/reference"
)

// LayerNorm is y = (x - mean) / sqrt(variance + Eps) * Weight + Bias over the last axis (Ba et al. 2016).
type LayerNorm struct {
	Weight, Bias *Parameter // both nil: without parameters
	Eps          float64
}

// NewLayerNorm makes a LayerNorm with weights 1 and biases 0, named name.weight and name.bias.
func NewLayerNorm(ps *Parameters, name string, size int, eps float64) *LayerNorm {
	return &LayerNorm{Weight: ps.New(name+".weight", Ones, size), Bias: ps.New(name+".bias", Zeros, size), Eps: eps}
}

// Forward normalises the last axis of x.
func (l *LayerNorm) Forward(t *Tape, x *Value) *Value { return t.LayerNorm(x, l.Weight, l.Bias, l.Eps) }

// LayerNorm normalises the last axis of x. w and b may be nil.
func (t *Tape) LayerNorm(x *Value, w, b *Parameter, eps float64) *Value {
	return t.layerNorm(x, w, b, eps, false)
}

// layerNorm can give bfloat16, for a matrix product that takes it.
func (t *Tape) layerNorm(x *Value, w, b *Parameter, eps float64, half bool) *Value {
	n := x.last()
	if w != nil && w.Size() != n || b != nil && b.Size() != n {
		fail("normalising", "the input is %v, the parameters have another size", x.Shape())
	}
	dtype := x.dtype
	if half && t.half && t.device.half {
		dtype = tensor.Uint16
	}
	y := t.alloc(dtype, x.dims[:x.rank]...)
	t.record(y, backLayerNorm, x)
	if t.gradients && (w != nil && !w.Frozen || b != nil && !b.Frozen) {
		y.needs, y.backward = true, backLayerNorm
	}
	y.saved.weight, y.saved.bias = w, b
	if y.needs {
		y.saved.buffers[0] = t.pool.get(x.rows() * int(dtype.Size()))
		y.saved.buffers[1] = t.pool.get(x.rows() * int(dtype.Size()))
	}
	if x.dtype == tensor.Float64 {
		mean, rstd := moments[float64](y)
		reference.LayerNorm(elements[float64](y), elements[float64](x), param[float64](w), param[float64](b), mean, rstd, n, eps)
		return y
	}
	a := kernel.Norm{X: elements[float32](x), W: param[float32](w), B: param[float32](b), Eps: float32(eps), N: n}
	a.Mean, a.RStd = moments[float32](y)
	if dtype == tensor.Uint16 {
		a.Y16 = elements[uint16](y)
	} else {
		a.Y = elements[float32](y)
	}
	t.device.kernels.Norm(&a)
	return y
}

// moments are the mean and 1/deviation of each row, kept for the gradient.
func moments[F floating](y *Value) (mean, rstd []F) {
	if y.saved.buffers[0] == nil {
		return nil, nil
	}
	return saved[F](y.saved.buffers[0], y.rows()), saved[F](y.saved.buffers[1], y.rows())
}

// param are the elements of a parameter, nil for none.
func param[F floating](p *Parameter) []F {
	if p == nil {
		return nil
	}
	return floats[F](p.Dense())
}

func backLayerNorm(t *Tape, y *Value) {
	if y.dtype == tensor.Float64 {
		backLayerNorm64(t, y)
		return
	}
	x, w, b := y.in[0], y.saved.weight, y.saved.bias
	a := kernel.NormGrad{X: elements[float32](x), W: param[float32](w), DY: upstream[float32](y), N: x.last()}
	a.Mean, a.RStd = moments[float32](y)
	if x.needs {
		g := t.gradient(x)
		a.DX, a.AccumulateX = slot[float32](g), g.add
	}
	if w != nil && !w.Frozen {
		g := t.gradient(t.Param(w))
		a.DW, a.AccumulateW = slot[float32](g), g.add
	}
	if b != nil && !b.Frozen {
		g := t.gradient(t.Param(b))
		a.DB, a.AccumulateB = slot[float32](g), g.add
	}
	t.device.kernels.NormGrad(&a)
}

func backLayerNorm64(t *Tape, y *Value) {
	x, w, b := y.in[0], y.saved.weight, y.saved.bias
	mean, rstd := moments[float64](y)
	dy, in := upstream[float64](y), elements[float64](x)
	if x.needs {
		g := t.gradient(x)
		reference.LayerNormGrad(slot[float64](g), in, param[float64](w), dy, mean, rstd, x.last(), g.add)
	}
	if w != nil && !w.Frozen {
		g := t.gradient(t.Param(w))
		reference.LayerNormWeightGrad(slot[float64](g), in, dy, mean, rstd, x.last(), g.add)
	}
	if b != nil && !b.Frozen {
		g := t.gradient(t.Param(b))
		reference.ColumnSum(slot[float64](g), dy, g.add)
	}
}
