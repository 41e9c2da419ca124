package nn

import "gorgonia.org/tensor"

// Function is a differentiable operation of one's own, for what Tape lacks: an objective with a closed gradient, say. A Function that is
// kept from step to step can keep its buffers too.
type Function interface {
	// Forward fills out, whose shape was given to Apply.
	Forward(out *tensor.Dense, in []*tensor.Dense)
	// Backward adds to the gradients of the inputs; those that nobody wants are nil.
	Backward(out, outGrad *tensor.Dense, in, inGrad []*tensor.Dense)
}

// Apply runs a Function. The result has the type of the first input.
func (t *Tape) Apply(f Function, shape tensor.Shape, in ...*Value) *Value {
	y := t.alloc(in[0].dtype, shape...)
	t.recordList(y, backApply, in)
	y.saved.function = f
	for _, x := range in {
		y.saved.outs = append(y.saved.outs, x.Dense())
	}
	f.Forward(y.Dense(), y.saved.outs)
	return y
}

func backApply(t *Tape, y *Value) {
	s := &y.saved
	for _, x := range s.list {
		if !x.needs {
			s.gins = append(s.gins, nil)
			continue
		}
		g := t.zeroed(x)
		s.gins = append(s.gins, header(g.at, x.dtype, x.Shape()))
	}
	s.function.Backward(y.Dense(), header(y.grad, y.dtype, y.Shape()), s.outs, s.gins)
}
