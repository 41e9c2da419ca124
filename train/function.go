package train

import (
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// floating are the types an objective is computed in: float32 in training, float64 where gradients are checked.
type floating interface {
	float32 | float64
}

// number is a differentiable function from arrays to one number. It sees float64 whatever the type of the arrays: objectives are small
// beside the networks under them, and sums over a batch lose digits in float32.
type number struct {
	value func(in [][]float64) float64
	// slope adds upstream times the derivative to the gradients that are not nil.
	slope func(upstream float64, in, gradients [][]float64)
}

// apply puts the function on the tape.
func (n number) apply(t *nn.Tape, in ...*nn.Value) *nn.Value {
	return t.Apply(n, tensor.Shape{1}, in...)
}

// Forward fills out, one number.
func (n number) Forward(out *tensor.Dense, in []*tensor.Dense) {
	write(out, []float64{n.value(readAll(in))})
}

// Backward adds to the gradients of the inputs.
func (n number) Backward(_, outGrad *tensor.Dense, in, inGrad []*tensor.Dense) {
	gradients := make([][]float64, len(inGrad))
	for i, g := range inGrad {
		if g != nil {
			gradients[i] = make([]float64, g.Shape().TotalSize())
		}
	}
	n.slope(read(outGrad)[0], readAll(in), gradients)
	for i, g := range inGrad {
		if g != nil {
			add(g, gradients[i])
		}
	}
}

func readAll(in []*tensor.Dense) [][]float64 {
	all := make([][]float64, len(in))
	for i, x := range in {
		all[i] = read(x)
	}
	return all
}

// read is x in float64: its own memory where it is that already.
func read(x *tensor.Dense) []float64 {
	if x.Dtype() == tensor.Float64 {
		return x.Float64s()
	}
	return widened(x.Float32s())
}

func widened(from []float32) []float64 {
	to := make([]float64, len(from))
	for i, v := range from {
		to[i] = float64(v)
	}
	return to
}

func write(to *tensor.Dense, from []float64) {
	if to.Dtype() == tensor.Float64 {
		copy(to.Float64s(), from)
		return
	}
	for i, v := range from {
		to.Float32s()[i] = float32(v)
	}
}

func add(to *tensor.Dense, from []float64) {
	if to.Dtype() == tensor.Float64 {
		for i, v := range from {
			to.Float64s()[i] += v
		}
		return
	}
	for i, v := range from {
		to.Float32s()[i] += float32(v)
	}
}
