package reference

import "math"

// Cell are the arrays of the parts of a gated cell that are no products, on rows of a state H of N values. In [rows, 3N] is what the input
// says to the gates r and u and to the candidate, Hidden what the state says: [rows, 2N] to the gates, [rows, N] to the candidate. Gates
// [rows, 2N] are r and u. Gradients are added to; those that nobody wants are nil.
type Cell[F Float] struct {
	Y, Kept                  []F
	In, Hidden, Gates, H, DY []F
	DIn, DHidden, DGates, DH []F
	N                        int
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// ComputeGates computes y = σ(in + hidden).
func (c *Cell[F]) ComputeGates() {
	for i := range c.Y {
		row, column := i/(2*c.N), i%(2*c.N)
		c.Y[i] = F(sigmoid(float64(c.In[3*c.N*row+column]) + float64(c.Hidden[i])))
	}
}

// GatesGrad is its gradient, Gates being y.
func (c *Cell[F]) GatesGrad() {
	for i, up := range c.DY {
		row, column := i/(2*c.N), i%(2*c.N)
		d := up * c.Gates[i] * (1 - c.Gates[i])
		gain(c.DIn, 3*c.N*row+column, d)
		gain(c.DHidden, i, d)
	}
}

// Reset computes y = r h.
func (c *Cell[F]) Reset() {
	for i := range c.Y {
		c.Y[i] = c.Gates[i/c.N*2*c.N+i%c.N] * c.H[i]
	}
}

// ResetGrad is its gradient.
func (c *Cell[F]) ResetGrad() {
	for i, up := range c.DY {
		r := i/c.N*2*c.N + i%c.N
		gain(c.DGates, r, up*c.H[i])
		gain(c.DH, i, up*c.Gates[r])
	}
}

// Blend computes y = u h + (1-u) n, n = tanh(in + hidden) being kept where Kept is not nil.
func (c *Cell[F]) Blend() {
	for i := range c.Y {
		row, column := i/c.N, i%c.N
		u := float64(c.Gates[2*c.N*row+c.N+column])
		n := math.Tanh(float64(c.In[3*c.N*row+2*c.N+column]) + float64(c.Hidden[i]))
		if c.Kept != nil {
			c.Kept[i] = F(n)
		}
		c.Y[i] = F(u*float64(c.H[i]) + (1-u)*n)
	}
}

// BlendGrad is its gradient.
func (c *Cell[F]) BlendGrad() {
	for i, up := range c.DY {
		row, column := i/c.N, i%c.N
		u, n := c.Gates[2*c.N*row+c.N+column], c.Kept[i]
		slope := up * (1 - u) * (1 - n*n)
		gain(c.DIn, 3*c.N*row+2*c.N+column, slope)
		gain(c.DHidden, i, slope)
		gain(c.DGates, 2*c.N*row+c.N+column, up*(c.H[i]-n))
		gain(c.DH, i, up*u)
	}
}

func gain[F Float](to []F, at int, by F) {
	if to != nil {
		to[at] += by
	}
}
