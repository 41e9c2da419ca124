package nn

import (
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/kernel"
	"github.com/ensue-video/ensue/nn/internal/reference"
)

// ConvGRU is a gated recurrent unit whose maps are convolutions that keep the size, * being one (Ballas et al. 2016, "Delving Deeper into
// Convolutional Networks for Learning Video Representations", §3, with u for their 1-z):
//
//	r  = σ(W_r * x + b_r + U_r * h)
//	u  = σ(W_u * x + b_u + U_u * h)
//	n  = tanh(W_n * x + b_n + U_n * (r h))
//	h' = u h + (1 - u) n
type ConvGRU struct {
	Input     *Conv2d // C to 3H: W_r, W_u, W_n
	Gates     *Conv2d // H to 2H: U_r, U_u; no bias
	Candidate *Conv2d // H to H: U_n; no bias
	Size      int     // H
}

// NewConvGRU makes the parameters name.input, name.gates and name.candidate (without "name." where name is empty), uniform in
// ±1/sqrt(numbers in a window) as PyTorch's convolutions are; the biases of u are 1, so that a new unit rather keeps than replaces, the
// others 0.
func NewConvGRU(ps *Parameters, name string, in, size, kernel int) *ConvGRU {
	if name != "" {
		name += "."
	}
	keep := func(_ tensor.Shape, values []float64, _ *rand.Rand) {
		clear(values)
		for i := size; i < 2*size; i++ {
			values[i] = 1
		}
	}
	conv := func(part string, in, out int) *Conv2d {
		bound := 1 / math.Sqrt(float64(kernel*kernel*in))
		weight := ps.New(name+part+".weight", Uniform(bound), out, kernel*kernel*in)
		return &Conv2d{Weight: weight, Kernel: kernel, Stride: 1, Padding: kernel / 2}
	}
	g := &ConvGRU{Input: conv("input", in, 3*size), Size: size}
	g.Input.Bias = ps.New(name+"input.bias", keep, 3*size)
	g.Gates, g.Candidate = conv("gates", size, 2*size), conv("candidate", size, size)
	return g
}

// Forward runs over time: x [T, B, H', W', C] and the first state h [B, H', W', H] (nil: zeros) give all states [T, B, H', W', H].
func (g *ConvGRU) Forward(t *Tape, x, h *Value) *Value {
	if x.rank != 5 {
		fail("running a ConvGRU", "the input must be [T, B, H, W, C], it is %v", x.Shape())
	}
	d := x.dims
	in := g.Says(t, t.Reshape(x, d[0]*d[1], d[2], d[3], d[4]))
	if h == nil {
		h = t.alloc(x.dtype, d[1], d[2], d[3], g.Size)
		clear(h.bytes())
	}
	states := t.scratchList()
	for i := range d[0] {
		says := t.Rows(in, i*d[1], (i+1)*d[1])
		h = g.Step(t, says, h)
		t.Release(says)
		states = append(states, h)
	}
	y := t.ConcatRows(states...)
	t.list = states[:0]
	for _, h := range states {
		t.Release(h)
	}
	t.Release(in)
	return t.Reshape(y, d[0], d[1], d[2], d[3], g.Size)
}

// Says is what inputs [N, H', W', C] say to the gates and the candidate, [N, H', W', 3H], of as many steps as one likes.
func (g *ConvGRU) Says(t *Tape, x *Value) *Value { return g.Input.Forward(t, x) }

// Step is one step: what the input says, [B, H', W', 3H], and the state h [B, H', W', H] give the next state.
func (g *ConvGRU) Step(t *Tape, says, h *Value) *Value {
	hidden := g.Gates.Forward(t, h)
	gates := t.cellGates(says, hidden)
	t.Release(hidden)
	reset := t.cellReset(gates, h)
	candidate := g.Candidate.Forward(t, reset)
	t.Release(reset)
	y := t.cellBlend(says, candidate, gates, h)
	t.Release(candidate)
	t.Release(gates)
	return y
}

// Matrices are the weights that Device.Pack takes.
func (g *ConvGRU) Matrices() []*Parameter {
	return []*Parameter{g.Input.Weight, g.Gates.Weight, g.Candidate.Weight}
}

// cellGates is σ(says + hidden): says [..., 3H], hidden [..., 2H].
func (t *Tape) cellGates(says, hidden *Value) *Value {
	y := t.like(hidden)
	t.cell(cellGates, y, cellArrays{y: y, in: says, hidden: hidden})
	return t.record(y, backCellGates, says, hidden)
}

// cellReset is r h: gates [..., 2H], h [..., H].
func (t *Tape) cellReset(gates, h *Value) *Value {
	y := t.like(h)
	t.cell(cellReset, y, cellArrays{y: y, gates: gates, h: h})
	return t.record(y, backCellReset, gates, h)
}

// cellBlend is u h + (1-u) tanh(says + candidate). The tanh is kept for the gradient.
func (t *Tape) cellBlend(says, candidate, gates, h *Value) *Value {
	y := t.like(h)
	t.recordList(y, backCellBlend, []*Value{says, candidate, gates, h})
	if y.needs {
		y.saved.buffers[0] = t.pool.get(y.size * int(y.dtype.Size()))
	}
	t.cell(cellBlend, y, cellArrays{y: y, in: says, hidden: candidate, gates: gates, h: h})
	return y
}

func backCellGates(t *Tape, y *Value) {
	says, hidden := y.in[0], y.in[1]
	t.cell(cellGatesGrad, y, cellArrays{gates: y, dy: y, din: says, dhidden: hidden})
}

func backCellReset(t *Tape, y *Value) {
	gates, h := y.in[0], y.in[1]
	t.cell(cellResetGrad, y, cellArrays{gates: gates, h: h, dy: y, dgates: gates, dh: h})
}

func backCellBlend(t *Tape, y *Value) {
	l := y.saved.list
	t.cell(cellBlendGrad, y, cellArrays{
		in: l[0], hidden: l[1], gates: l[2], h: l[3], dy: y, din: l[0], dhidden: l[1], dgates: l[2], dh: l[3],
	})
}

// cellPart is one of the computations of a gated cell that are no products.
type cellPart int

const (
	cellGates cellPart = iota
	cellReset
	cellBlend
	cellGatesGrad
	cellResetGrad
	cellBlendGrad
)

// cellArrays are the values whose numbers (y … h) and gradients (dy … dh) a part reads and writes; see kernel.Cell.
type cellArrays struct {
	y, in, hidden, gates, h      *Value
	dy, din, dhidden, dgates, dh *Value
}

// cell runs a part; of is the value it computes, or whose gradient it passes on.
func (t *Tape) cell(part cellPart, of *Value, a cellArrays) {
	n := of.last()
	if part == cellGates || part == cellGatesGrad {
		n /= 2
	}
	if of.dtype == tensor.Float64 {
		c := cellOf[float64](t, of, a, n)
		runReference(part, &c)
		return
	}
	c := cellOf[float32](t, of, a, n)
	k := kernel.Cell{
		Y: c.Y, Kept: c.Kept, In: c.In, Hidden: c.Hidden, Gates: c.Gates, H: c.H, DY: c.DY,
		DIn: c.DIn, DHidden: c.DHidden, DGates: c.DGates, DH: c.DH, N: n,
	}
	runKernel(t.device.kernels, part, &k)
}

func cellOf[F floating](t *Tape, of *Value, a cellArrays, n int) reference.Cell[F] {
	c := reference.Cell[F]{
		Y: numbersOf[F](a.y), In: numbersOf[F](a.in), Hidden: numbersOf[F](a.hidden), Gates: numbersOf[F](a.gates), H: numbersOf[F](a.h),
		DIn: gradientOf[F](t, a.din), DHidden: gradientOf[F](t, a.dhidden), DGates: gradientOf[F](t, a.dgates), DH: gradientOf[F](t, a.dh),
		N: n,
	}
	if a.dy != nil {
		c.DY = upstream[F](a.dy)
	}
	if b := of.saved.buffers[0]; b != nil {
		c.Kept = saved[F](b, of.size)
	}
	return c
}

func numbersOf[F floating](v *Value) []F {
	if v == nil {
		return nil
	}
	return elements[F](v)
}

func gradientOf[F floating](t *Tape, v *Value) []F {
	if v == nil {
		return nil
	}
	return wanted[F](t, v)
}

func runReference(part cellPart, c *reference.Cell[float64]) {
	switch part {
	case cellGates:
		c.ComputeGates()
	case cellReset:
		c.Reset()
	case cellBlend:
		c.Blend()
	case cellGatesGrad:
		c.GatesGrad()
	case cellResetGrad:
		c.ResetGrad()
	case cellBlendGrad:
		c.BlendGrad()
	}
}

func runKernel(s kernel.Set, part cellPart, c *kernel.Cell) {
	switch part {
	case cellGates:
		s.CellGates(c)
	case cellReset:
		s.CellReset(c)
	case cellBlend:
		s.CellBlend(c)
	case cellGatesGrad:
		s.CellGatesGrad(c)
	case cellResetGrad:
		s.CellResetGrad(c)
	case cellBlendGrad:
		s.CellBlendGrad(c)
	}
}
