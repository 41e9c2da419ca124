package nn

import (
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/kernel"
	"github.com/ensue-video/ensue/nn/internal/onednn"
	"github.com/ensue-video/ensue/nn/internal/reference"
)

// Conv2d is a two-dimensional convolution, channels last: x [B, H, W, C] to [B, H', W', O].
type Conv2d struct {
	// Weight is [O, KH*KW*C]: for each output the window row by row, pixel by pixel, channel by channel.
	Weight, Bias   *Parameter
	Kernel, Stride int
	Padding        int // zeros on each side
}

// NewConv2d makes a convolution with XavierUniform weights and biases of 0, named name.weight and name.bias.
func NewConv2d(ps *Parameters, name string, in, out, kernel, stride, padding int) *Conv2d {
	return &Conv2d{
		Weight: ps.New(name+".weight", XavierUniform, out, kernel*kernel*in), Bias: ps.New(name+".bias", Zeros, out),
		Kernel: kernel, Stride: stride, Padding: padding,
	}
}

// Forward convolves x [B, H, W, C].
func (c *Conv2d) Forward(t *Tape, x *Value) *Value { return c.forward(t, x, false) }

// ForwardGELU is GELU of Forward, in one go where no gradient is wanted.
func (c *Conv2d) ForwardGELU(t *Tape, x *Value) *Value {
	if !t.gradients && x.dtype != tensor.Float64 {
		return c.forward(t, x, true)
	}
	y := c.forward(t, x, false)
	z := t.GELU(y)
	t.Release(y)
	return z
}

func (c *Conv2d) forward(t *Tape, x *Value, gelu bool) *Value {
	if x.rank != 4 {
		fail("convolving", "the input must be [B, H, W, C], it is %v", x.Shape())
	}
	if c.Kernel == 1 && c.Stride == 1 && c.Padding == 0 {
		return t.linear(x, c.Weight, c.Bias, fusion{gelu: gelu})
	}
	w := Window{Kernel: [3]int{1, c.Kernel, c.Kernel}, Stride: [3]int{1, c.Stride, c.Stride}, Padding: [3]int{0, c.Padding, c.Padding}}
	return t.convolve(x, c.Weight, c.Bias, w, gelu)
}

// Matrices are the weights that Device.Pack takes.
func (c *Conv2d) Matrices() []*Parameter { return []*Parameter{c.Weight} }

// unfoldedFloats is about how many numbers of windows are laid out at a time: what stays in a core's cache until it is multiplied.
const unfoldedFloats = 1 << 18

// convolution is one convolve. Float32 convolutions run on kernels that never lay windows out. In float64, and where oneDNN multiplies
// bfloat16, a few items' windows at a time are laid out in scratch memory. How many items that are depends on their size only, so that the
// products are always the same ones.
type convolution struct {
	unfolding

	items      int // at a time
	rows, cols int // of the windows of an item
	width      int // of the result
}

func newConvolution(x *Value, window Window, width int) convolution {
	in := [3]int{1, x.dims[1], x.dims[2]}
	c := convolution{unfolding: unfolding{Window: window, in: in, out: window.out(in), batch: x.dims[0], c: x.dims[3]}, width: width}
	c.rows, c.cols = c.out[1]*c.out[2], window.Kernel[1]*window.Kernel[2]*c.c
	c.items = max(1, unfoldedFloats/max(1, c.rows*c.cols))
	return c
}

// part is the items [first, first+batch) of a convolution.
func (c *convolution) part(first int) unfolding {
	u := c.unfolding
	u.batch = min(c.items, c.batch-first)
	return u
}

func (c *convolution) inSize() int { return c.in[1] * c.in[2] * c.c }

// shape are the sizes as the kernels take them.
func (c *convolution) shape() kernel.ConvShape {
	last := func(n [3]int) [2]int { return [2]int{n[1], n[2]} }
	return kernel.ConvShape{
		In: last(c.in), Out: last(c.out), Kernel: last(c.Kernel), Stride: last(c.Stride), Before: last(c.Padding),
		Batch: c.batch, C: c.c, N: c.width, YItem: c.rows * c.width, YRow: c.out[2] * c.width, YPlace: c.width,
	}
}

// convolve slides windows over x [B, H, W, C] and maps each by w [O, KH*KW*C]: [B, H', W', O].
func (t *Tape) convolve(x *Value, w, b *Parameter, window Window, gelu bool) *Value {
	if len(w.shape) != 2 || w.shape[1] != window.Kernel[1]*window.Kernel[2]*x.last() {
		fail("convolving by "+w.Name, "the weight is %v, the input %v, the kernel %d×%d",
			w.shape, x.Shape(), window.Kernel[1], window.Kernel[2])
	}
	c := newConvolution(x, window, w.shape[0])
	y := t.alloc(x.dtype, x.dims[0], c.out[1], c.out[2], c.width)
	switch {
	case x.dtype == tensor.Float64:
		t.convolve64(y, x, w, b, c)
	case t.half && t.device.half:
		t.convolveHalf(y, x, w, b, c, gelu)
	default:
		t.device.convolve(&kernel.Conv{
			ConvShape: c.shape(), Y: elements[float32](y), X: elements[float32](x), W: t.device.ready(t.device.packed(w, t.half)),
			Bias: param[float32](b), GELU: gelu,
		})
	}
	if !t.gradients {
		return y
	}
	t.record(y, backConvolve, x)
	if !w.Frozen || b != nil && !b.Frozen {
		y.needs, y.backward = true, backConvolve
	}
	y.saved.weight, y.saved.bias, y.saved.window = w, b, window
	return y
}

func (d *Device) convolve(a *kernel.Conv) { d.kernels.Conv(a, d.inside.floats(d.kernels.ConvWork(a))) }

func (t *Tape) convolve64(y, x *Value, w, b *Parameter, c convolution) {
	convolve(t, elements[float64](y), elements[float64](x), c, func(y, cols []float64, rows int) {
		reference.MatMul(y, cols, w.Dense().Float64s(), param[float64](b), rows, c.width, c.cols, false, true, 0)
	})
}

func (t *Tape) convolveHalf(y, x *Value, w, b *Parameter, c convolution, gelu bool) {
	convolve(t, elements[float32](y), elements[float32](x), c, func(y, cols []float32, rows int) {
		shape := onednn.Shape{M: rows, N: c.width, K: c.cols, GELU: gelu}
		t.device.mapBy(w, b, true, onednn.Buffer{Full: y}, onednn.Buffer{Full: cols}, shape, extras{})
	})
}

func convolve[F floating](t *Tape, y, x []F, c convolution, multiply func(y, cols []F, rows int)) {
	for first := 0; first < c.batch; first += c.items {
		u := c.part(first)
		rows := u.batch * c.rows
		cols := unfolded(t, x[first*c.inSize():], c, u)
		multiply(y[first*c.rows*c.width:][:rows*c.width], cols, rows)
	}
}

// unfolded lays the windows of some items out, in scratch memory that is valid until the next call.
func unfolded[F floating](t *Tape, x []F, c convolution, u unfolding) []F {
	cols := scratchOf[F](t, u.batch*c.rows*c.cols)
	unfold(t, cols, x[:u.batch*c.inSize()], u)
	return cols
}

func scratchOf[F floating](t *Tape, n int) []F {
	room := t.device.inside.floats(n * int(unsafe.Sizeof(F(0))) / 4)
	return unsafe.Slice((*F)(unsafe.Pointer(unsafe.SliceData(room))), n)
}

func backConvolve(t *Tape, y *Value) {
	if y.size == 0 {
		return
	}
	if b := y.saved.bias; b != nil && !b.Frozen {
		t.backBias(y, b)
	}
	if y.dtype == tensor.Float64 {
		backConvolve64(t, y)
		return
	}
	x, w := y.in[0], y.saved.weight
	c := newConvolution(x, y.saved.window, y.last())
	if !w.Frozen {
		g := t.gradient(t.Param(w))
		t.device.convolveGrad(&kernel.ConvGrad{
			ConvShape: c.shape(), DW: slot[float32](g), DY: upstream[float32](y), X: elements[float32](x), Sum: g.add,
		})
	}
	if x.needs {
		g := t.gradient(x)
		t.device.convolveBack(w, c.shape(), slot[float32](g), upstream[float32](y), g.add)
	}
}

func (d *Device) convolveGrad(a *kernel.ConvGrad) {
	d.kernels.ConvGrad(a, d.inside.floats(d.kernels.ConvGradWork(a)))
}

// backConvolve64: dW = sum of dy^T windows, and the windows of dx = dy W.
func backConvolve64(t *Tape, y *Value) {
	x, w := y.in[0], y.saved.weight
	c := newConvolution(x, y.saved.window, y.last())
	var dw, dx target
	if !w.Frozen {
		dw = t.gradient(t.Param(w))
	}
	if x.needs {
		dx = t.zeroed(x)
	}
	for first := 0; first < c.batch; first += c.items {
		u := c.part(first)
		rows := u.batch * c.rows
		dy := unsafe.Pointer(&upstream[float64](y)[first*c.rows*c.width])
		if !w.Frozen {
			cols := unfolded(t, elements[float64](x)[first*c.inSize():], c, u)
			shape := onednn.Shape{M: c.width, N: c.cols, K: rows, TransX: true}
			t.product(dw, dy, unsafe.Pointer(&cols[0]), y.dtype, shape)
			dw.add = true
		}
		if x.needs {
			cols := scratchOf[float64](t, rows*c.cols)
			to := target{at: unsafe.Pointer(&cols[0]), n: len(cols)}
			t.product(to, dy, pointer(w.Dense()), y.dtype, onednn.Shape{M: rows, N: c.cols, K: c.width})
			foldBack(t, slot[float64](dx)[first*c.inSize():][:u.batch*c.inSize()], cols, u)
		}
	}
}

// PatchEmbed cuts a clip into tubelets and maps each to a token: x [B, T, H, W, C] to [B, T', H', W', D].
type PatchEmbed struct {
	// Weight is [D, t*p*p*C]; see TubeletWeight.
	Weight, Bias   *Parameter
	Tubelet, Patch int
}

// NewPatchEmbed makes an embedding with XavierUniform weights and biases of 0, named name.weight and name.bias.
func NewPatchEmbed(ps *Parameters, name string, channels, size, tubelet, patch int) *PatchEmbed {
	return &PatchEmbed{
		Weight: ps.New(name+".weight", XavierUniform, size, tubelet*patch*patch*channels), Bias: ps.New(name+".bias", Zeros, size),
		Tubelet: tubelet, Patch: patch,
	}
}

// Forward embeds x [B, T, H, W, C]. Frames, rows and columns that fill no whole tubelet are left out.
func (e *PatchEmbed) Forward(t *Tape, x *Value) *Value {
	size := [3]int{e.Tubelet, e.Patch, e.Patch}
	cols := t.Unfold(x, Window{Kernel: size, Stride: size})
	y := t.Linear(cols, e.Weight, e.Bias)
	t.Release(cols)
	return y
}

// Matrices are the weights that Device.Pack takes.
func (e *PatchEmbed) Matrices() []*Parameter { return []*Parameter{e.Weight} }

// TubeletWeight turns PyTorch's Conv3d weight [D, C, t, p, p] into PatchEmbed's [D, t*p*p*C].
func TubeletWeight(w *tensor.Dense) *tensor.Dense {
	s := w.Shape()
	channels, rest := s[1], s[2]*s[3]*s[4]
	out := tensor.New(tensor.Of(w.Dtype()), tensor.WithShape(s[0], channels*rest))
	if w.Dtype() == tensor.Float64 {
		channelsLast(out.Float64s(), w.Float64s(), channels, rest)
	} else {
		channelsLast(out.Float32s(), w.Float32s(), channels, rest)
	}
	return out
}

func channelsLast[F floating](to, from []F, channels, rest int) {
	for first := 0; first < len(from); first += channels * rest {
		for c := range channels {
			for i := range rest {
				to[first+i*channels+c] = from[first+c*rest+i]
			}
		}
	}
}

// Window is a window that slides over the three middle axes of a value.
type Window struct {
	Kernel, Stride, Padding [3]int
}

func (w Window) out(in [3]int) (out [3]int) {
	for i := range out {
		if n := in[i] + 2*w.Padding[i] - w.Kernel[i]; n >= 0 {
			out[i] = n/w.Stride[i] + 1
		}
	}
	return out
}

// Unfold lays the windows of x [B, T, H, W, C] out as rows: [B, T', H', W', kt*kh*kw*C]. Places outside x are zero.
func (t *Tape) Unfold(x *Value, w Window) *Value {
	if x.rank != 5 {
		fail("unfolding windows", "the input must be [B, T, H, W, C], it is %v", x.Shape())
	}
	u := newUnfolding(x, w)
	y := t.alloc(x.dtype, x.dims[0], u.out[0], u.out[1], u.out[2], w.Kernel[0]*w.Kernel[1]*w.Kernel[2]*u.c)
	if x.dtype == tensor.Float64 {
		unfold(t, elements[float64](y), elements[float64](x), u)
	} else {
		unfold(t, elements[float32](y), elements[float32](x), u)
	}
	t.record(y, backUnfold, x)
	y.saved.window = w
	return y
}

func backUnfold(t *Tape, y *Value) {
	x := y.in[0]
	u := newUnfolding(x, y.saved.window)
	g := t.zeroed(x)
	if y.dtype == tensor.Float64 {
		foldBack(t, slot[float64](g), upstream[float64](y), u)
	} else {
		foldBack(t, slot[float32](g), upstream[float32](y), u)
	}
}

// unfolding are the sizes of one Unfold.
type unfolding struct {
	Window
	in, out  [3]int
	batch, c int
}

func newUnfolding(x *Value, w Window) unfolding {
	in := [3]int{x.dims[1], x.dims[2], x.dims[3]}
	return unfolding{Window: w, in: in, out: w.out(in), batch: x.dims[0], c: x.dims[4]}
}

func (u *unfolding) reference() reference.Unfolding {
	return reference.Unfolding{
		In: u.in, Out: u.out, Kernel: u.Kernel, Stride: u.Stride, Padding: u.Padding, Batch: u.batch, C: u.c,
	}
}

func (u *unfolding) kernel() kernel.Unfold {
	return kernel.Unfold{In: u.in, Out: u.out, Kernel: u.Kernel, Stride: u.Stride, Padding: u.Padding, Batch: u.batch, C: u.c}
}

func unfold[F floating](t *Tape, y, x []F, u unfolding) {
	if unsafe.Sizeof(F(0)) == 8 {
		reference.Unfold(u.reference(), y, x)
		return
	}
	k := u.kernel()
	k.Y, k.X = as32(y), as32(x)
	t.device.kernels.Unfold(&k)
}

func foldBack[F floating](t *Tape, dx, dy []F, u unfolding) {
	if unsafe.Sizeof(F(0)) == 8 {
		reference.Fold(u.reference(), dx, dy)
		return
	}
	k := u.kernel()
	k.DX, k.Y = as32(dx), as32(dy)
	t.device.kernels.Fold(&k)
}

// as32 are numbers that are float32.
func as32[F floating](x []F) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}
