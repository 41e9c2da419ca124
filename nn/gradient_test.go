package nn

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// gradientCase is an operation, or several, on inputs of some shapes.
type gradientCase struct {
	name   string
	shapes [][]int
	run    func(t *Tape, in []*Value) *Value
	// positive moves the inputs away from 0, for functions that are not smooth there.
	positive bool
}

func shapes(s ...[]int) [][]int { return s }

func testRotary(tokens, d int, p Pairing, tiled bool) *Rotary {
	positions := []float64{}
	for i := range tokens {
		positions = append(positions, float64(i), float64(i%3))
	}
	w := d / 2 / 2 * 2
	return NewRotary(RotaryConfig{Widths: []int{w, d - w - d%2}, Base: 100, Pairing: p, Tiled: tiled}, d, positions)
}

// squareSum is a Function for the tests: out = sum of x².
type squareSum struct{}

func (squareSum) Forward(out *tensor.Dense, in []*tensor.Dense) {
	sum := 0.0
	for _, x := range in {
		for _, v := range numbers(x) {
			sum += v * v
		}
	}
	assign(out, []float64{sum})
}

func (squareSum) Backward(_, outGrad *tensor.Dense, in, inGrad []*tensor.Dense) {
	up := numbers(outGrad)[0]
	for i, g := range inGrad {
		if g == nil {
			continue
		}
		now := numbers(g)
		next := make([]float64, len(now))
		for j, v := range numbers(in[i]) {
			next[j] = now[j] + 2*v*up
		}
		assign(g, next)
	}
}

var gradientCases = []gradientCase{
	{name: "add", shapes: shapes([]int{3, 4}, []int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.Add(in[0], in[1]) }},
	{name: "add a row", shapes: shapes([]int{2, 3, 4}, []int{4}), run: func(t *Tape, in []*Value) *Value { return t.Add(in[0], in[1]) }},
	{
		name: "add positions", shapes: shapes([]int{2, 3, 4}, []int{3, 4}),
		run: func(t *Tape, in []*Value) *Value { return t.Add(in[0], in[1]) },
	},
	{name: "add itself", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.Add(in[0], in[0]) }},
	{name: "sub", shapes: shapes([]int{3, 4}, []int{4}), run: func(t *Tape, in []*Value) *Value { return t.Sub(in[0], in[1]) }},
	{name: "mul", shapes: shapes([]int{3, 4}, []int{4}), run: func(t *Tape, in []*Value) *Value { return t.Mul(in[0], in[1]) }},
	{name: "mul itself", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.Mul(in[0], in[0]) }},
	{
		name: "div", shapes: shapes([]int{3, 4}, []int{4}), positive: true,
		run: func(t *Tape, in []*Value) *Value { return t.Div(in[0], in[1]) },
	},
	{name: "mul by a number", shapes: shapes([]int{3, 4}, []int{1}), run: func(t *Tape, in []*Value) *Value { return t.Mul(in[0], in[1]) }},
	{name: "affine", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.Affine(in[0], -2, 3) }},
	{name: "gelu", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.GELU(in[0]) }},
	{name: "relu", shapes: shapes([]int{3, 4}), positive: true, run: func(t *Tape, in []*Value) *Value { return t.ReLU(in[0]) }},
	{name: "sigmoid", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.Sigmoid(in[0]) }},
	{name: "tanh", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.Tanh(in[0]) }},
	{name: "softplus", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.Softplus(in[0]) }},
	{name: "exp", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.Exp(in[0]) }},
	{name: "log", shapes: shapes([]int{3, 4}), positive: true, run: func(t *Tape, in []*Value) *Value { return t.Log(in[0]) }},
	{name: "sqrt", shapes: shapes([]int{3, 4}), positive: true, run: func(t *Tape, in []*Value) *Value { return t.Sqrt(in[0]) }},
	{name: "square", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.Square(in[0]) }},
	{name: "abs", shapes: shapes([]int{3, 4}), positive: true, run: func(t *Tape, in []*Value) *Value { return t.Abs(in[0]) }},
	{name: "sum", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.Sum(in[0]) }},
	{name: "mean", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.Mean(in[0]) }},
	{name: "mean rows", shapes: shapes([]int{2, 3, 4}), run: func(t *Tape, in []*Value) *Value { return t.MeanRows(in[0]) }},
	{name: "mean last", shapes: shapes([]int{2, 3, 4}), run: func(t *Tape, in []*Value) *Value { return t.MeanLast(in[0]) }},
	{name: "normalize", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.NormalizeRows(in[0], 1e-8) }},
	{
		name: "cross-entropy", shapes: shapes([]int{3, 4}),
		run: func(t *Tape, in []*Value) *Value { return t.CrossEntropy(in[0], []int{1, 3, 0}) },
	},
	{name: "l1", shapes: shapes([]int{3, 4}, []int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.L1(in[0], in[1]) }},
	{name: "mse", shapes: shapes([]int{3, 4}, []int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.MSE(in[0], in[1]) }},
	{name: "row l1", shapes: shapes([]int{2, 3, 4}, []int{2, 3, 4}), run: func(t *Tape, in []*Value) *Value { return t.RowL1(in[0], in[1]) }},
	{name: "row l1 with itself", shapes: shapes([]int{4, 3}), run: func(t *Tape, in []*Value) *Value {
		return t.RowL1(t.Rows(in[0], 0, 2), t.Rows(in[0], 2, 4))
	}},
	{
		name: "smooth l1", shapes: shapes([]int{3, 4}, []int{3, 4}),
		run: func(t *Tape, in []*Value) *Value { return t.SmoothL1(in[0], in[1], 0.7) },
	},
	{
		name: "matmul", shapes: shapes([]int{3, 4}, []int{4, 5}),
		run: func(t *Tape, in []*Value) *Value { return t.MatMul(in[0], in[1], false, false) },
	},
	{
		name: "matmul tn", shapes: shapes([]int{4, 3}, []int{4, 5}),
		run: func(t *Tape, in []*Value) *Value { return t.MatMul(in[0], in[1], true, false) },
	},
	{
		name: "matmul nt", shapes: shapes([]int{3, 4}, []int{5, 4}),
		run: func(t *Tape, in []*Value) *Value { return t.MatMul(in[0], in[1], false, true) },
	},
	{
		name: "matmul tt", shapes: shapes([]int{4, 3}, []int{5, 4}),
		run: func(t *Tape, in []*Value) *Value { return t.MatMul(in[0], in[1], true, true) },
	},
	{name: "gram", shapes: shapes([]int{5, 3}), run: func(t *Tape, in []*Value) *Value { return t.MatMul(in[0], in[0], true, false) }},
	{name: "reshape", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.Square(t.Reshape(in[0], 2, 6)) }},
	{name: "copy", shapes: shapes([]int{3, 4}), run: func(t *Tape, in []*Value) *Value { return t.Add(t.Copy(in[0]), in[0]) }},
	{
		name: "rows", shapes: shapes([]int{5, 4}),
		run: func(t *Tape, in []*Value) *Value { return t.Mul(t.Rows(in[0], 1, 3), t.Rows(in[0], 2, 4)) },
	},
	{name: "rows of rows", shapes: shapes([]int{5, 4}), run: func(t *Tape, in []*Value) *Value {
		middle := t.Rows(in[0], 1, 4)
		return t.Add(t.Mul(t.Rows(middle, 0, 2), t.Square(t.Rows(middle, 1, 3))), t.Rows(in[0], 3, 5))
	}},
	{
		name: "columns", shapes: shapes([]int{2, 3, 5}),
		run: func(t *Tape, in []*Value) *Value { return t.Mul(t.Columns(in[0], 1, 3), t.Columns(in[0], 2, 4)) },
	},
	{
		name: "concat rows", shapes: shapes([]int{2, 4}, []int{3, 4}),
		run: func(t *Tape, in []*Value) *Value { return t.ConcatRows(in[0], in[1], in[0]) },
	},
	{
		name: "concat columns", shapes: shapes([]int{2, 4}, []int{2, 3}),
		run: func(t *Tape, in []*Value) *Value { return t.ConcatColumns(in[0], in[1], in[0]) },
	},
	{name: "gather", shapes: shapes([]int{4, 3}), run: func(t *Tape, in []*Value) *Value { return t.Gather(in[0], []int{2, 0, 2, 3}) }},
	{
		name: "gated sum", shapes: shapes([]int{2, 3, 8}, []int{2, 3, 2}, []int{2, 3, 4}),
		run: func(t *Tape, in []*Value) *Value { return t.GatedSum(in[0], in[1], in[2]) },
	},
	{
		name: "transpose", shapes: shapes([]int{4, 3}),
		run: func(t *Tape, in []*Value) *Value { return t.Add(t.Transpose(in[0]), t.Transpose(in[0])) },
	},
	{
		name: "detach", shapes: shapes([]int{4, 3}),
		run: func(t *Tape, in []*Value) *Value { return t.Add(in[0], t.Scale(t.Detach(t.Copy(in[0])), 0)) },
	},
	{name: "function", shapes: shapes([]int{4, 3}, []int{2}), run: func(t *Tape, in []*Value) *Value {
		return t.Apply(squareSum{}, tensor.Shape{1}, in[0], in[1], in[0])
	}},
	{
		name: "unfold", shapes: shapes([]int{2, 3, 4, 5, 2}),
		run: func(t *Tape, in []*Value) *Value {
			return t.Unfold(in[0], Window{Kernel: [3]int{2, 3, 3}, Stride: [3]int{1, 1, 2}, Padding: [3]int{0, 1, 2}})
		},
	},
	{name: "rotate", shapes: shapes([]int{2, 5, 12}), run: func(t *Tape, in []*Value) *Value {
		return t.Rotate(in[0], testRotary(5, 6, Neighbours, true))
	}},
	{name: "rotate halves", shapes: shapes([]int{2, 5, 16}), run: func(t *Tape, in []*Value) *Value {
		return t.Rotate(in[0], testRotary(5, 8, Halves, false))
	}},
	{name: "attend", shapes: shapes([]int{2, 6, 24}), run: func(t *Tape, in []*Value) *Value {
		return t.Attend(t.Copy(in[0]), AttentionConfig{Heads: 2, Rotary: testRotary(6, 4, Neighbours, false)})
	}},
	{name: "attend rows", shapes: shapes([]int{3, 4, 12}), run: func(t *Tape, in []*Value) *Value {
		x := t.Scale(in[0], 2)
		return t.Add(t.Attend(t.Rows(x, 0, 2), AttentionConfig{Heads: 1}), t.Attend(t.Rows(x, 1, 3), AttentionConfig{Heads: 1}))
	}},
	{name: "attend causally", shapes: shapes([]int{1, 6, 24}), run: func(t *Tape, in []*Value) *Value {
		c := AttentionConfig{Heads: 2, Mask: Mask{Block: 2, Window: 2}, Rotary: testRotary(6, 4, Halves, false)}
		return t.Attend(t.Copy(in[0]), c)
	}},
	{name: "attend twice", shapes: shapes([]int{1, 4, 12}), run: func(t *Tape, in []*Value) *Value {
		return t.Add(t.Attend(in[0], AttentionConfig{Heads: 1}), t.Attend(in[0], AttentionConfig{Heads: 2}))
	}},
	{name: "attend to", shapes: shapes([]int{2, 3, 8}, []int{2, 5, 16}), run: func(t *Tape, in []*Value) *Value {
		c := AttentionConfig{Heads: 2, Rotary: testRotary(3, 4, Neighbours, true), RotaryKeys: testRotary(5, 4, Neighbours, true)}
		return t.AttendTo(t.Copy(in[0]), t.Copy(in[1]), c)
	}},
	{name: "attend with", shapes: shapes([]int{1, 3, 8}, []int{1, 5, 8}, []int{1, 5, 8}), run: func(t *Tape, in []*Value) *Value {
		return t.AttendWith(in[0], in[1], in[2], AttentionConfig{Heads: 2})
	}},
	{name: "attend with itself", shapes: shapes([]int{1, 5, 8}), run: func(t *Tape, in []*Value) *Value {
		return t.AttendWith(in[0], in[0], in[0], AttentionConfig{Heads: 2})
	}},
}

// layerCases have parameters besides their inputs.
var layerCases = []struct {
	name   string
	shapes [][]int
	make   func(ps *Parameters) func(t *Tape, in []*Value) *Value
}{
	{"linear", shapes([]int{2, 3, 5}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewLinear(ps, "l", 5, 4, true)
		return func(t *Tape, in []*Value) *Value { return l.Forward(t, in[0]) }
	}},
	{"linear without bias", shapes([]int{3, 5}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewLinear(ps, "l", 5, 4, false)
		return func(t *Tape, in []*Value) *Value { return t.Add(l.Forward(t, in[0]), l.Forward(t, in[0])) }
	}},
	{"linear add", shapes([]int{3, 5}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewLinear(ps, "l", 5, 5, true)
		return func(t *Tape, in []*Value) *Value { return t.LinearAdd(in[0], in[0], l.Weight, l.Bias) }
	}},
	{"layer norm", shapes([]int{3, 5}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewLayerNorm(ps, "n", 5, 1e-5)
		return func(t *Tape, in []*Value) *Value { return l.Forward(t, in[0]) }
	}},
	{"layer norm without parameters", shapes([]int{3, 5}), func(*Parameters) func(*Tape, []*Value) *Value {
		return func(t *Tape, in []*Value) *Value { return t.LayerNorm(in[0], nil, nil, 1e-5) }
	}},
	{"mlp", shapes([]int{3, 4}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewMLP(ps, "m", 4, 8)
		return func(t *Tape, in []*Value) *Value { return l.Forward(t, in[0]) }
	}},
	{"block", shapes([]int{2, 6, 8}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewBlock(ps, "b", BlockConfig{Size: 8, Heads: 2, Hidden: 12})
		p := Place{Mask: Mask{Block: 3}, Rotary: testRotary(6, 4, Neighbours, true)}
		return func(t *Tape, in []*Value) *Value { return l.Forward(t, in[0], p) }
	}},
	{"cross block", shapes([]int{2, 3, 8}, []int{2, 5, 6}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewCrossBlock(ps, "b", BlockConfig{Size: 8, Heads: 2, Hidden: 12}, 6)
		return func(t *Tape, in []*Value) *Value { return l.Forward(t, in[0], in[1], Place{}) }
	}},
	{"conv", shapes([]int{2, 5, 6, 3}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewConv2d(ps, "c", 3, 4, 3, 2, 1)
		return func(t *Tape, in []*Value) *Value { return l.Forward(t, in[0]) }
	}},
	{"conv of one place with gelu", shapes([]int{2, 3, 2, 3}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewConv2d(ps, "c", 3, 4, 1, 1, 0)
		return func(t *Tape, in []*Value) *Value { return l.ForwardGELU(t, in[0]) }
	}},
	{"conv with gelu", shapes([]int{3, 6, 5, 2}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewConv2d(ps, "c", 2, 5, 4, 2, 1)
		return func(t *Tape, in []*Value) *Value { return l.ForwardGELU(t, in[0]) }
	}},
	{"conv gru", shapes([]int{3, 2, 2, 3, 2}, []int{2, 2, 3, 5}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewConvGRU(ps, "g", 2, 5, 3)
		return func(t *Tape, in []*Value) *Value { return l.Forward(t, in[0], in[1]) }
	}},
	{"conv gru from zeros", shapes([]int{2, 2, 2, 3, 2}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewConvGRU(ps, "", 2, 17, 3)
		return func(t *Tape, in []*Value) *Value { return l.Forward(t, in[0], nil) }
	}},
	{"patch embedding", shapes([]int{1, 5, 4, 5, 3}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewPatchEmbed(ps, "p", 3, 4, 2, 2)
		return func(t *Tape, in []*Value) *Value { return l.Forward(t, in[0]) }
	}},
	{"gru", shapes([]int{4, 2, 3}, []int{2, 5}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewGRU(ps, "g", 3, 5)
		return func(t *Tape, in []*Value) *Value { return l.Forward(t, in[0], in[1]) }
	}},
	{"gru from zeros", shapes([]int{2, 2, 3}), func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewGRU(ps, "g", 3, 5)
		return func(t *Tape, in []*Value) *Value { return l.Forward(t, in[0], nil) }
	}},
	{"embedding", nil, func(ps *Parameters) func(*Tape, []*Value) *Value {
		l := NewEmbedding(ps, "e", 4, 3)
		return func(t *Tape, _ []*Value) *Value { return l.Forward(t, []int{3, 1, 3}) }
	}},
}

// evaluation is a case with numbers: inputs, upstream, and what comes out.
type evaluation struct {
	inputs []*tensor.Dense
	params *Parameters
	run    func(t *Tape, in []*Value) *Value
}

func newEvaluation(c gradientCase, dtype tensor.Dtype) *evaluation {
	e := &evaluation{run: c.run, params: NewParameters(1)}
	for i, s := range c.shapes {
		x := dense64(uint64(i+10), s...)
		if c.positive {
			for j, v := range x.Float64s() {
				x.Float64s()[j] = math.Abs(v) + 0.2
			}
		}
		if dtype == tensor.Float32 {
			x = narrowed(x)
		}
		e.inputs = append(e.inputs, x)
	}
	return e
}

// result computes y, and with gradients those of all inputs and parameters.
func (e *evaluation) result(tb testing.TB, t *Tape, gradients bool) (y []float64, grads map[string][]float64) {
	tb.Helper()
	t.Reset()
	in := []*Value{}
	for _, x := range e.inputs {
		in = append(in, t.Variable(x))
	}
	out := e.run(t, in)
	y = append([]float64(nil), numbers(out.Dense())...)
	if !gradients {
		return y, nil
	}
	up := dense64(99, out.Shape()...)
	if out.Dtype() == tensor.Float32 {
		up = narrowed(up)
	}
	e.params.ZeroGrad()
	t.BackwardFrom(out, up)
	grads = map[string][]float64{}
	for i, v := range in {
		require.NotNil(tb, v.Grad(), "input %d got no gradient", i)
		grads[fmt.Sprint("input ", i)] = numbers(v.Grad())
	}
	for _, p := range e.params.All() {
		require.NotNil(tb, p.Grad(), "%s got no gradient", p.Name)
		grads[p.Name] = numbers(p.Grad())
	}
	return y, grads
}

// leaves are all arrays that have a gradient.
func (e *evaluation) leaves() map[string]*tensor.Dense {
	all := map[string]*tensor.Dense{}
	for i, x := range e.inputs {
		all[fmt.Sprint("input ", i)] = x
	}
	for _, p := range e.params.All() {
		all[p.Name] = p.Dense()
	}
	return all
}

func allGradientCases() []func(dtype tensor.Dtype) (string, *evaluation) {
	list := []func(dtype tensor.Dtype) (string, *evaluation){}
	for _, c := range gradientCases {
		list = append(list, func(dtype tensor.Dtype) (string, *evaluation) { return c.name, newEvaluation(c, dtype) })
	}
	for _, c := range layerCases {
		list = append(list, func(dtype tensor.Dtype) (string, *evaluation) {
			e := newEvaluation(gradientCase{shapes: c.shapes}, dtype)
			e.params.dtype = dtype
			e.run = c.make(e.params)
			for i, p := range e.params.All() { // larger than the usual start, so that every path matters
				assign(p.Dense(), randoms64(uint64(50+i), p.Size()))
			}
			return c.name, e
		})
	}
	return list
}

func TestGradientsAgreeWithFiniteDifferences(t *testing.T) {
	for _, makeCase := range allGradientCases() {
		name, e := makeCase(tensor.Float64)
		t.Run(name, func(t *testing.T) {
			onTape(t, TapeConfig{Gradients: true}, func(tape *Tape) {
				y, grads := e.result(t, tape, true)
				up := randoms64(99, len(y))
				for name, x := range e.leaves() {
					values := x.Float64s()
					for i, v := range values {
						const h = 1e-5
						at := func(x float64) float64 {
							values[i] = x
							y, _ := e.result(t, tape, false)
							sum := 0.0
							for j, u := range up {
								sum += y[j] * u
							}
							return sum
						}
						slope := (at(v+h) - at(v-h)) / (2 * h)
						values[i] = v
						require.InDelta(t, slope, grads[name][i], 2e-7*max(1, math.Abs(slope))*10, "%s at %d", name, i)
					}
				}
			})
		})
	}
}

func TestFloat32AgreesWithFloat64(t *testing.T) {
	for _, makeCase := range allGradientCases() {
		name, wide := makeCase(tensor.Float64)
		_, narrow := makeCase(tensor.Float32)
		t.Run(name, func(t *testing.T) {
			onTape(t, TapeConfig{Gradients: true}, func(tape *Tape) {
				want, wantGrads := wide.result(t, tape, true)
				got, gotGrads := narrow.result(t, tape, true)
				near(t, "y", want, got, 1e-5)
				for name := range wantGrads {
					near(t, name, wantGrads[name], gotGrads[name], 3e-5)
				}
			})
		})
	}
}

// What a tape without gradients fuses and reuses changes nothing but the last bits.
func TestInferenceAgreesWithTraining(t *testing.T) {
	for _, makeCase := range allGradientCases() {
		name, e := makeCase(tensor.Float32)
		t.Run(name, func(t *testing.T) {
			d := newDevice(t, Config{})
			training, inference := d.NewTape(TapeConfig{Gradients: true}), d.NewTape(TapeConfig{})
			defer training.Close()
			defer inference.Close()
			require.NoError(t, d.Run(func() error {
				want, _ := e.result(t, training, false)
				for range 3 {
					got, _ := e.result(t, inference, false)
					near(t, "y", want, got, 1e-5)
				}
				return nil
			}))
		})
	}
}
