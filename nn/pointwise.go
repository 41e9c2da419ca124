package nn

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/reference"
)

// Add is a + b. b has a's shape, or the shape of a's last axes and is then added to each of the rest (a bias, positions, one number).
func (t *Tape) Add(a, b *Value) *Value {
	y := t.binary("adding", a, b)
	switch {
	case a.dtype == tensor.Float64:
		combine(y, a, b, func(u, v float64) float64 { return u + v })
	case a.size == b.size:
		t.device.kernels.Add(elements[float32](y), elements[float32](a), elements[float32](b))
	default:
		addRepeated(elements[float32](y), elements[float32](a), elements[float32](b))
	}
	return t.record(y, backAdd, a, b)
}

func addRepeated(y, a, b []float32) {
	for first := 0; first < len(a); first += len(b) {
		row, out := a[first:first+len(b)], y[first:first+len(b)]
		for i, x := range b {
			out[i] = row[i] + x
		}
	}
}

func backAdd(t *Tape, y *Value) {
	a, b := y.in[0], y.in[1]
	t.foldInto(y, b, 1)
	t.pass(y, a)
}

// foldInto adds scale times y's gradient to the gradient of b, summing over the axes along which b was repeated.
func (t *Tape) foldInto(y, b *Value, scale float64) {
	if !b.needs {
		return
	}
	if scale == 1 && b.size == y.size {
		t.share(y, b)
		return
	}
	g := t.zeroed(b)
	if y.dtype == tensor.Float64 {
		fold(slot[float64](g), upstream[float64](y), scale)
	} else {
		fold(slot[float32](g), upstream[float32](y), float32(scale))
	}
}

func fold[F floating](to, from []F, scale F) {
	for first := 0; first < len(from); first += len(to) {
		for i := range to {
			to[i] += scale * from[first+i]
		}
	}
}

// Sub is a - b, with b repeated as in Add.
func (t *Tape) Sub(a, b *Value) *Value {
	y := t.binary("subtracting", a, b)
	combine(y, a, b, func(u, v float64) float64 { return u - v })
	return t.record(y, backSub, a, b)
}

func backSub(t *Tape, y *Value) {
	t.foldInto(y, y.in[1], -1)
	t.pass(y, y.in[0])
}

// Mul is the elementwise product, with b repeated as in Add.
func (t *Tape) Mul(a, b *Value) *Value {
	y := t.binary("multiplying", a, b)
	combine(y, a, b, func(u, v float64) float64 { return u * v })
	return t.record(y, backMul, a, b)
}

func backMul(t *Tape, y *Value) {
	t.backBinary(y, func(_, v, g float64) float64 { return g * v }, func(u, _, g float64) float64 { return g * u })
}

// Div is the elementwise quotient, with b repeated as in Add.
func (t *Tape) Div(a, b *Value) *Value {
	y := t.binary("dividing", a, b)
	combine(y, a, b, func(u, v float64) float64 { return u / v })
	return t.record(y, backDiv, a, b)
}

func backDiv(t *Tape, y *Value) {
	t.backBinary(y, func(_, v, g float64) float64 { return g / v }, func(u, v, g float64) float64 { return -g * u / (v * v) })
}

// binary checks that b is a, or its last axes, and makes the result.
func (t *Tape) binary(op string, a, b *Value) *Value {
	skip := a.rank - b.rank
	fits := skip >= 0 && a.dtype == b.dtype || b.size == 1 && a.dtype == b.dtype
	for i := 0; fits && b.size != 1 && i < b.rank; i++ {
		fits = a.dims[skip+i] == b.dims[i]
	}
	if !fits || a.dtype == tensor.Uint16 {
		fail(op, "%v %v and %v %v do not fit", a.dtype, a.Shape(), b.dtype, b.Shape())
	}
	return t.like(a)
}

func combine(y, a, b *Value, f func(u, v float64) float64) {
	if y.dtype == tensor.Float64 {
		combineOf(elements[float64](y), elements[float64](a), elements[float64](b), f)
	} else {
		combineOf(elements[float32](y), elements[float32](a), elements[float32](b), f)
	}
}

func combineOf[F floating](y, a, b []F, f func(u, v float64) float64) {
	for first := 0; first < len(a); first += len(b) {
		for i, v := range b {
			y[first+i] = F(f(float64(a[first+i]), float64(v)))
		}
	}
}

// backBinary adds da(u, v, g) to a's gradient and the sums of db(u, v, g) to b's.
func (t *Tape) backBinary(y *Value, da, db func(u, v, g float64) float64) {
	if y.dtype == tensor.Float64 {
		backBinaryOf[float64](t, y, da, db)
	} else {
		backBinaryOf[float32](t, y, da, db)
	}
}

func backBinaryOf[F floating](t *Tape, y *Value, da, db func(u, v, g float64) float64) {
	a, b := y.in[0], y.in[1]
	ua, ub, up := elements[F](a), elements[F](b), upstream[F](y)
	if a.needs {
		g := slot[F](t.zeroed(a))
		for i, x := range up {
			g[i] += F(da(float64(ua[i]), float64(ub[i%len(ub)]), float64(x)))
		}
	}
	if b.needs {
		g := slot[F](t.zeroed(b))
		for i, x := range up {
			g[i%len(ub)] += F(db(float64(ua[i]), float64(ub[i%len(ub)]), float64(x)))
		}
	}
}

// unaryKind names a function of one number.
type unaryKind int

const (
	unaryAffine unaryKind = iota // floats[0] x + floats[1]
	unaryReLU
	unarySigmoid
	unaryTanh
	unarySoftplus
	unaryExp
	unaryLog
	unarySqrt
	unarySquare
	unaryAbs
)

// functions are f(x), and f'(x) where y = f(x) is known too.
func (k unaryKind) functions() (f func(x float64) float64, slope func(x, y float64) float64) {
	switch k {
	case unaryReLU:
		return func(x float64) float64 { return max(x, 0) }, func(x, _ float64) float64 { return step(x) }
	case unarySigmoid:
		return sigmoid, func(_, y float64) float64 { return y * (1 - y) }
	case unaryTanh:
		return math.Tanh, func(_, y float64) float64 { return 1 - y*y }
	case unarySoftplus:
		return softplus, func(x, _ float64) float64 { return sigmoid(x) }
	case unaryExp:
		return math.Exp, func(_, y float64) float64 { return y }
	case unaryLog:
		return math.Log, func(x, _ float64) float64 { return 1 / x }
	case unarySqrt:
		return math.Sqrt, func(_, y float64) float64 { return 0.5 / y }
	case unarySquare:
		return func(x float64) float64 { return x * x }, func(x, _ float64) float64 { return 2 * x }
	}
	return math.Abs, func(x, _ float64) float64 { return step(x) - step(-x) }
}

func step(x float64) float64 {
	if x > 0 {
		return 1
	}
	return 0
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// softplus is log(1 + e^x), without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// ReLU is max(x, 0).
func (t *Tape) ReLU(x *Value) *Value { return t.unary(x, unaryReLU) }

// Sigmoid is 1 / (1 + e^-x).
func (t *Tape) Sigmoid(x *Value) *Value { return t.unary(x, unarySigmoid) }

// Tanh is the hyperbolic tangent.
func (t *Tape) Tanh(x *Value) *Value { return t.unary(x, unaryTanh) }

// Softplus is log(1 + e^x).
func (t *Tape) Softplus(x *Value) *Value { return t.unary(x, unarySoftplus) }

// Exp is e^x.
func (t *Tape) Exp(x *Value) *Value { return t.unary(x, unaryExp) }

// Log is the natural logarithm.
func (t *Tape) Log(x *Value) *Value { return t.unary(x, unaryLog) }

// Sqrt is the square root.
func (t *Tape) Sqrt(x *Value) *Value { return t.unary(x, unarySqrt) }

// Square is x².
func (t *Tape) Square(x *Value) *Value { return t.unary(x, unarySquare) }

// Abs is |x|; its slope at 0 is taken as 0.
func (t *Tape) Abs(x *Value) *Value { return t.unary(x, unaryAbs) }

func (t *Tape) unary(x *Value, k unaryKind) *Value {
	y := t.like(x)
	f, _ := k.functions()
	if x.dtype == tensor.Float64 {
		mapTo(elements[float64](y), elements[float64](x), f)
	} else {
		mapTo(elements[float32](y), elements[float32](x), f)
	}
	t.record(y, backUnary, x)
	y.saved.kind = k
	return y
}

func mapTo[F floating](y, x []F, f func(float64) float64) {
	for i, v := range x {
		y[i] = F(f(float64(v)))
	}
}

func backUnary(t *Tape, y *Value) {
	if y.dtype == tensor.Float64 {
		backUnaryOf[float64](t, y)
	} else {
		backUnaryOf[float32](t, y)
	}
}

func backUnaryOf[F floating](t *Tape, y *Value) {
	x := y.in[0]
	_, slope := y.saved.kind.functions()
	to, up, u, v := slot[F](t.zeroed(x)), upstream[F](y), elements[F](x), elements[F](y)
	for i, g := range up {
		to[i] += F(float64(g) * slope(float64(u[i]), float64(v[i])))
	}
}

// Affine is scale x + shift, elementwise.
func (t *Tape) Affine(x *Value, scale, shift float64) *Value {
	y := t.like(x)
	if x.dtype == tensor.Float64 {
		affine(elements[float64](y), elements[float64](x), scale, shift)
	} else {
		affine(elements[float32](y), elements[float32](x), float32(scale), float32(shift))
	}
	t.record(y, backAffine, x)
	y.saved.floats[0] = scale
	return y
}

// Scale is a x.
func (t *Tape) Scale(x *Value, a float64) *Value { return t.Affine(x, a, 0) }

func affine[F floating](y, x []F, scale, shift F) {
	for i, v := range x {
		y[i] = scale*v + shift
	}
}

func backAffine(t *Tape, y *Value) { t.foldInto(y, y.in[0], y.saved.floats[0]) }

// GELU is x Phi(x), with the exact normal distribution function (erf).
func (t *Tape) GELU(x *Value) *Value {
	y := t.like(x)
	if x.dtype == tensor.Float64 {
		reference.GELU(elements[float64](y), elements[float64](x))
	} else {
		t.device.kernels.GELU(elements[float32](y), elements[float32](x))
	}
	return t.record(y, backGELU, x)
}

func backGELU(t *Tape, y *Value) {
	x := y.in[0]
	g := t.gradient(x)
	if x.dtype == tensor.Float64 {
		reference.GELUGrad(slot[float64](g), elements[float64](x), upstream[float64](y), g.add)
		return
	}
	t.device.kernels.GELUGrad(slot[float32](g), elements[float32](x), upstream[float32](y), g.add)
}
