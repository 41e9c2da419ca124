package kernel

import "github.com/ensue-video/ensue/nn/internal/reference"

// The twins of the C kernels: the same arguments, computed by the loops of package reference. They are what the pure-Go build runs, and
// what the tests compare every instruction set with.

func norm(a *Norm) {
	y := a.Y
	if a.Y16 != nil {
		y = make([]float32, len(a.X)) // only bfloat16 without C pays for this
	}
	reference.LayerNorm(y, a.X, a.W, a.B, a.Mean, a.RStd, a.N, float64(a.Eps))
	if a.Y16 != nil {
		reference.Narrow(a.Y16, y)
	}
}

func normGrad(a *NormGrad) {
	if a.DX != nil {
		reference.LayerNormGrad(a.DX, a.X, a.W, a.DY, a.Mean, a.RStd, a.N, a.AccumulateX)
	}
	if a.DW != nil {
		reference.LayerNormWeightGrad(a.DW, a.X, a.DY, a.Mean, a.RStd, a.N, a.AccumulateW)
	}
	if a.DB != nil {
		reference.ColumnSum(a.DB, a.DY, a.AccumulateB)
	}
}

func rowL1(a *RowL1) { reference.RowL1(a.Y, a.A, a.B, a.N, float64(a.Scale)) }

func rowL1Grad(a *RowL1) {
	if a.DA != nil {
		reference.RowL1Grad(a.DA, a.A, a.B, a.DY, a.N, float64(a.Scale), a.AddA)
	}
	if a.DB != nil {
		reference.RowL1Grad(a.DB, a.B, a.A, a.DY, a.N, float64(a.Scale), a.AddB)
	}
}

func rope(a *Rope) {
	x := a.X
	if a.X16 != nil {
		x = make([]float32, len(a.X16))
		reference.Widen(x, a.X16)
	}
	r := reference.Rope[float32]{Cos: a.Cos, Sin: a.Sin, Partner: a.Partner, Stride: a.Stride, Period: a.Period, Heads: a.Heads, D: a.D}
	r.Rotate(x, a.Tokens, a.Backward)
	if a.X16 != nil {
		reference.Narrow(a.X16, x)
	}
}

func adamw(a *AdamW) {
	h := reference.AdamW{
		LR: float64(a.LR), Beta1: a.Beta1, Beta2: a.Beta2, Eps: float64(a.Eps), Decay: float64(a.Decay),
		Correct1: float64(a.Correct1), Correct2: float64(a.Correct2), GradScale: float64(a.GradScale),
	}
	reference.Step(h, a.P, a.M, a.V, a.G)
}

func (m Matrix) widened() reference.Matrix[float32] {
	if m.Half == nil {
		return reference.Matrix[float32]{Data: m.Full, Stride: m.Stride}
	}
	data := make([]float32, len(m.Half))
	reference.Widen(data, m.Half)
	return reference.Matrix[float32]{Data: data, Stride: m.Stride}
}

func (a *Attention) reference() reference.Attention[float32] {
	return reference.Attention[float32]{
		Q: a.Q.widened(), K: a.K.widened(), V: a.V.widened(), O: a.O.widened(), LSE: a.LSE,
		Batch: a.Batch, Heads: a.Heads, NQ: a.NQ, NK: a.NK, D: a.D, Scale: float64(a.Scale), Mask: a.Mask,
	}
}

func attention(a *Attention, work []float32) {
	r := a.reference()
	r.Forward(work)
	if a.O.Half != nil {
		reference.Narrow(a.O.Half, r.O.Data)
	}
}

func attentionGrad(a *AttentionGrad, work []float32) {
	r := a.reference()
	r.Backward(a.DO.widened(), a.DQ.widened(), a.DK.widened(), a.DV.widened(), a.Accumulate, work)
}

func (a *Unfold) reference() reference.Unfolding {
	return reference.Unfolding{In: a.In, Out: a.Out, Kernel: a.Kernel, Stride: a.Stride, Padding: a.Padding, Batch: a.Batch, C: a.C}
}

func unfold(a *Unfold) { reference.Unfold(a.reference(), a.Y, a.X) }
func fold(a *Unfold)   { reference.Fold(a.reference(), a.DX, a.Y) }

func conv(a *Conv) {
	reference.Convolve(&a.ConvShape, a.Y, a.X, a.W, a.Bias, a.Sum)
	if !a.GELU {
		return
	}
	for i := range a.Batch {
		for h := range a.Out[0] {
			for w := range a.Out[1] {
				to := a.Y[i*a.YItem+h*a.YRow+w*a.YPlace:][:a.N]
				reference.GELU(to, to)
			}
		}
	}
}

// Inlined into another package, a call of a generic function would move a to the heap.
//
//go:noinline
func convGrad(a *ConvGrad) { reference.ConvolveGrad(&a.ConvShape, a.DW, a.DY, a.X, a.Sum) }

func (a *Cell) reference() *reference.Cell[float32] {
	return &reference.Cell[float32]{
		Y: a.Y, Kept: a.Kept, In: a.In, Hidden: a.Hidden, Gates: a.Gates, H: a.H, DY: a.DY,
		DIn: a.DIn, DHidden: a.DHidden, DGates: a.DGates, DH: a.DH, N: a.N,
	}
}

func cellGates(a *Cell)     { a.reference().ComputeGates() }
func cellGatesGrad(a *Cell) { a.reference().GatesGrad() }
func cellReset(a *Cell)     { a.reference().Reset() }
func cellResetGrad(a *Cell) { a.reference().ResetGrad() }
func cellBlend(a *Cell)     { a.reference().Blend() }
func cellBlendGrad(a *Cell) { a.reference().BlendGrad() }

func pack(to, w []float32, k, n int, transposed bool) {
	if !transposed {
		copy(to, w[:k*n])
		return
	}
	for c := range n {
		for r := range k {
			to[r*n+c] = w[c*k+r]
		}
	}
}

// product takes weights as pack left them, and rows in panels as columns.
func product(a *Product) {
	n := a.M * a.N
	keep := float32(0)
	if a.Residual != nil {
		copy(a.Y, a.Residual[:n])
	}
	if a.Sum || a.Residual != nil {
		keep = 1
	}
	reference.MatMul(a.Y, a.X, a.W, a.Bias, a.M, a.N, a.K, a.Panels, false, keep)
	if a.Before != nil {
		copy(a.Before, a.Y[:n])
	}
	if a.GELU {
		reference.GELU(a.Y[:n], a.Y[:n])
	}
	if a.Slope != nil {
		reference.GELUGrad(a.Y[:n], a.Slope[:n], a.Y[:n], false)
	}
}
