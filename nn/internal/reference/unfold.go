package reference

// Unfolding are the sizes of windows that slide over [Batch, In, C]: Out of them, Kernel places each, Stride apart, the first one Padding
// places before the input.
type Unfolding struct {
	In, Out, Kernel, Stride, Padding [3]int
	Batch, C                         int
}

// Unfold lays the windows of x [Batch, In, C] out as the rows of y [Batch, Out, Kernel, C], zero where they reach out of x.
func Unfold[F Float](u Unfolding, y, x []F) {
	clear(y)
	u.runs(func(at, from, n int) { copy(y[at:at+n], x[from:from+n]) })
}

// Fold adds the rows of y to the places of dx that they came from.
func Fold[F Float](u Unfolding, dx, y []F) {
	u.runs(func(at, from, n int) {
		for i, v := range y[at : at+n] {
			dx[from+i] += v
		}
	})
}

// runs calls f for every run of places in a row that lies inside the input: n numbers at window place `at` and input place `from`. Gaps
// between runs are outside the input.
func (u *Unfolding) runs(f func(at, from, n int)) {
	at := 0
	for b := range u.Batch {
		for t := range u.Out[0] {
			for h := range u.Out[1] {
				for w := range u.Out[2] {
					for dt := range u.Kernel[0] {
						for dh := range u.Kernel[1] {
							u.run(b, t*u.Stride[0]-u.Padding[0]+dt, h*u.Stride[1]-u.Padding[1]+dh, w*u.Stride[2]-u.Padding[2], at, f)
							at += u.Kernel[2] * u.C
						}
					}
				}
			}
		}
	}
}

// run is one row of one window, cut to the input.
func (u *Unfolding) run(b, t, h, w, at int, f func(at, from, n int)) {
	if t < 0 || t >= u.In[0] || h < 0 || h >= u.In[1] {
		return
	}
	first, last := max(w, 0), min(w+u.Kernel[2], u.In[2])
	if first < last {
		from := ((b*u.In[0]+t)*u.In[1]+h)*u.In[2] + first
		f(at+(first-w)*u.C, from*u.C, (last-first)*u.C)
	}
}
