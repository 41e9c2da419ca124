//go:build !cgo || !linux || purego

package kernel

import "github.com/ensue-video/ensue/nn/internal/reference"

// Set is the kernels for one instruction set: here, the loops of package reference.
type Set struct{}

// Best returns the kernels of the widest instruction set that this processor has.
func Best() Set { return Set{} }

// Levels is how many instruction sets there are kernels for.
const Levels = 1

// At returns the kernels of one level, and whether this processor can run them.
func At(level int) (Set, bool) { return Set{}, level == 0 }

// Name is the name of the instruction set.
func (Set) Name() string { return "go" }

// FastBFloat16 tells whether the processor multiplies bfloat16 faster than float32.
func FastBFloat16() bool { return false }

// Team is nothing: these kernels use the calling goroutine.
type Team struct{}

// OpenTeam returns a team of one.
func OpenTeam(int) (*Team, error) { return &Team{}, nil }

// Close does nothing.
func (*Team) Close() {}

// On returns the same kernels.
func (s Set) On(*Team) Set { return s }

// Norm computes LayerNorm.
func (Set) Norm(a *Norm) { norm(a) }

// NormGrad computes LayerNorm's gradient.
func (Set) NormGrad(a *NormGrad) { normGrad(a) }

// GELU computes y = x Phi(x).
func (Set) GELU(y, x []float32) { reference.GELU(y, x) }

// GELUGrad computes dx = dy (Phi(x) + x phi(x)), added to dx with accumulate.
func (Set) GELUGrad(dx, x, dy []float32, accumulate bool) { reference.GELUGrad(dx, x, dy, accumulate) }

// ColumnSum sums the rows of x [rows, len(sum)] into sum, or adds them to it.
func (Set) ColumnSum(sum, x []float32, accumulate bool) { reference.ColumnSum(sum, x, accumulate) }

// Add computes y = a + b.
func (Set) Add(y, a, b []float32) { reference.Add(y, a, b) }

// Axpy computes y += a x.
func (Set) Axpy(y, x []float32, a float32) { reference.Axpy(y, x, a) }

// Lerp computes y = keep y + (1-keep) x.
func (Set) Lerp(y, x []float32, keep float32) { reference.Lerp(y, x, keep) }

// SumSquares returns the sum of the squares of x.
func (Set) SumSquares(x []float32) float64 { return reference.SumSquares(x) }

// RowL1 computes y = scale times the sum of |a - b| over each row.
func (Set) RowL1(a *RowL1) { rowL1(a) }

// RowL1Grad computes its gradients.
func (Set) RowL1Grad(a *RowL1) { rowL1Grad(a) }

// AdamW takes one step.
func (Set) AdamW(a *AdamW) { adamw(a) }

// Narrow rounds float32 to bfloat16, to the nearest, ties to even.
func (Set) Narrow(y []uint16, x []float32) { reference.Narrow(y, x) }

// Widen turns bfloat16 into float32.
func (Set) Widen(y []float32, x []uint16) { reference.Widen(y, x) }

// Rope rotates in place.
func (Set) Rope(a *Rope) { rope(a) }

// AttentionWork returns how many floats of scratch memory Attention needs with a number of threads.
func (Set) AttentionWork(a *Attention, _ int) int { return a.NK }

// Attention computes softmax(scale Q K^T) V.
func (Set) Attention(a *Attention, work []float32) { attention(a, work) }

// AttentionGradWork returns how many floats of scratch memory AttentionGrad needs with a number of threads.
func (Set) AttentionGradWork(a *Attention, _ int) int { return 2 * a.NK }

// AttentionGrad computes the gradients of Attention.
func (Set) AttentionGrad(a *AttentionGrad, work []float32) { attentionGrad(a, work) }

// Unfold lays windows out as rows.
func (Set) Unfold(a *Unfold) { unfold(a) }

// Fold adds rows to the places their windows came from.
func (Set) Fold(a *Unfold) { fold(a) }

// CellGates computes y = σ(in + hidden): the gates.
func (Set) CellGates(a *Cell) { cellGates(a) }

// CellGatesGrad adds its gradient to DIn and DHidden.
func (Set) CellGatesGrad(a *Cell) { cellGatesGrad(a) }

// CellReset computes y = r h.
func (Set) CellReset(a *Cell) { cellReset(a) }

// CellResetGrad adds its gradient to DGates and DH.
func (Set) CellResetGrad(a *Cell) { cellResetGrad(a) }

// CellBlend computes y = u h + (1-u) tanh(in + hidden), and keeps the tanh in Kept where that is not nil.
func (Set) CellBlend(a *Cell) { cellBlend(a) }

// CellBlendGrad adds its gradient to DIn, DHidden, DGates and DH.
func (Set) CellBlendGrad(a *Cell) { cellBlendGrad(a) }

// PackSize is how many floats Pack writes for weights [k, n].
func (Set) PackSize(k, n int) int { return k * n }

// Pack lays weights w [k, n] out for Product. They are stored as rows of n, or of k with transposed.
func (Set) Pack(to, w []float32, k, n int, transposed bool) { pack(to, w, k, n, transposed) }

// PackRowsSize is how many floats PackRows writes.
func (Set) PackRowsSize(k, m int) int { return k * m }

// PackRows lays x [k, m] out as the rows of a Product with Panels, which are the columns of x. Where sum is not nil it takes the sum of x's
// rows, as ColumnSum gives it.
func (Set) PackRows(to, x []float32, k, m int, sum []float32, accumulate bool) {
	copy(to, x[:k*m])
	if sum != nil {
		reference.ColumnSum(sum, x[:k*m], accumulate)
	}
}

// Product multiplies matrices.
func (Set) Product(a *Product) { product(a) }

// ConvWork is how many floats of scratch memory Conv needs.
func (Set) ConvWork(*Conv) int { return 0 }

// Conv convolves.
func (Set) Conv(a *Conv, _ []float32) { conv(a) }

// ConvGradWork is how many floats of scratch memory ConvGrad needs.
func (Set) ConvGradWork(*ConvGrad) int { return 0 }

// ConvGrad computes the gradient of a convolution's weights.
func (Set) ConvGrad(a *ConvGrad, _ []float32) { convGrad(a) }

// ConvTurn lays weights out for the gradient of a convolution's input, for Conv.
func (Set) ConvTurn(a *ConvTurn, to, from []float32) { reference.Weights(a, to, from) }
