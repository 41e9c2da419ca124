package reference

// Conv are the sizes of a convolution: windows of Kernel places over x [Batch, In, C], Stride apart, the first of them Before[] places
// before x. The window at (i, h, w) has its N results at i YItem + h YRow + w YPlace.
type Conv struct {
	In, Out, Kernel, Stride, Before [2]int
	Batch, C, N                     int
	YItem, YRow, YPlace             int
}

// each calls window with where every window's results are, and then place, for every place of the window that lies in x, with the same, its
// number in the window, and where it is in x.
func (v *Conv) each(window func(at int), place func(at, tap, from int)) {
	for i := range v.Batch {
		for h := range v.Out[0] {
			for w := range v.Out[1] {
				at := i*v.YItem + h*v.YRow + w*v.YPlace
				window(at)
				for dh := range v.Kernel[0] {
					for dw := range v.Kernel[1] {
						row, column := h*v.Stride[0]-v.Before[0]+dh, w*v.Stride[1]-v.Before[1]+dw
						if row >= 0 && row < v.In[0] && column >= 0 && column < v.In[1] {
							place(at, dh*v.Kernel[1]+dw, ((i*v.In[0]+row)*v.In[1]+column)*v.C)
						}
					}
				}
			}
		}
	}
}

// Convolve computes y = x convolved by w [Kernel, C, N], plus bias [N] unless it is nil, plus what y holds with sum.
func Convolve[F Float](v *Conv, y, x, w, bias []F, sum bool) {
	v.each(func(at int) {
		to := y[at : at+v.N]
		if !sum {
			clear(to)
		}
		for n, b := range bias {
			to[n] += b
		}
	}, func(at, tap, from int) {
		to := y[at : at+v.N]
		for c, a := range x[from : from+v.C] {
			for n, b := range w[(tap*v.C+c)*v.N:][:v.N] {
				to[n] += a * b
			}
		}
	})
}

// ConvolveGrad computes dw [N, Kernel, C] (+)= the sum over the windows of dy times x; dy is [Batch, Out, N].
func ConvolveGrad[F Float](v *Conv, dw, dy, x []F, sum bool) {
	if !sum {
		clear(dw)
	}
	each := v.Kernel[0] * v.Kernel[1] * v.C
	v.each(func(int) {}, func(at, tap, from int) {
		for n, g := range dy[at : at+v.N] {
			to := dw[n*each+tap*v.C:][:v.C]
			for c, a := range x[from : from+v.C] {
				to[c] += g * a
			}
		}
	})
}

// Turn says which weights of a convolution make the convolution of dy that gives dx: of every direction the places Last, Last-Step, …, Taps
// of them, of weights [N, Kernel, C].
type Turn struct {
	Kernel, Last, Step, Taps [2]int
	N, C                     int
}

// Weights writes the weights [Taps, N, C] of that convolution.
func Weights[F Float](t *Turn, to, from []F) {
	for h := range t.Taps[0] {
		for w := range t.Taps[1] {
			at := (t.Last[0]-h*t.Step[0])*t.Kernel[1] + t.Last[1] - w*t.Step[1]
			for n := range t.N {
				to = to[copy(to[:t.C], from[(n*t.Kernel[0]*t.Kernel[1]+at)*t.C:]):]
			}
		}
	}
}
