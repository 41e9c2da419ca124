package nn

import "gorgonia.org/tensor"

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
func (c *Conv2d) Forward(t *Tape, x *Value) *Value {
	if x.rank != 4 {
		fail("convolving", "the input must be [B, H, W, C], it is %v", x.Shape())
	}
	w := Window{Kernel: [3]int{1, c.Kernel, c.Kernel}, Stride: [3]int{1, c.Stride, c.Stride}, Padding: [3]int{0, c.Padding, c.Padding}}
	cols := t.Unfold(t.Reshape(x, x.dims[0], 1, x.dims[1], x.dims[2], x.dims[3]), w)
	y := t.Linear(cols, c.Weight, c.Bias)
	t.Release(cols)
	return t.Reshape(y, y.dims[0], y.dims[2], y.dims[3], y.dims[4])
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
		unfold(elements[float64](y), elements[float64](x), u)
	} else {
		unfold(elements[float32](y), elements[float32](x), u)
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
		foldBack(slot[float64](g), upstream[float64](y), u)
	} else {
		foldBack(slot[float32](g), upstream[float32](y), u)
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

// runs calls f for every run of pixels in a row that lies inside the input: n numbers at window place `at` and input place `from`. Gaps
// between runs are outside the input.
func (u *unfolding) runs(f func(at, from, n int)) {
	at := 0
	for b := range u.batch {
		for t := range u.out[0] {
			for h := range u.out[1] {
				for w := range u.out[2] {
					for dt := range u.Kernel[0] {
						for dh := range u.Kernel[1] {
							u.run(b, t*u.Stride[0]-u.Padding[0]+dt, h*u.Stride[1]-u.Padding[1]+dh, w*u.Stride[2]-u.Padding[2], at, f)
							at += u.Kernel[2] * u.c
						}
					}
				}
			}
		}
	}
}

// run is one row of one window, cut to the input.
func (u *unfolding) run(b, t, h, w, at int, f func(at, from, n int)) {
	if t < 0 || t >= u.in[0] || h < 0 || h >= u.in[1] {
		return
	}
	first, last := max(w, 0), min(w+u.Kernel[2], u.in[2])
	if first < last {
		from := ((b*u.in[0]+t)*u.in[1]+h)*u.in[2] + first
		f(at+(first-w)*u.c, from*u.c, (last-first)*u.c)
	}
}

func unfold[F floating](y, x []F, u unfolding) {
	if u.Padding != [3]int{} {
		clear(y)
	}
	u.runs(func(at, from, n int) { copy(y[at:at+n], x[from:from+n]) })
}

func foldBack[F floating](dx, dy []F, u unfolding) {
	u.runs(func(at, from, n int) {
		for i, v := range dy[at : at+n] {
			dx[from+i] += v
		}
	})
}
