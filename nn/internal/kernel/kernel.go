package kernel

import "github.com/ensue-video/ensue/nn/internal/reference"

// Norm are the arguments of LayerNorm over rows of N values. W and B may be nil. Mean and RStd take one value a row, or are nil.
// One of Y (float32) and Y16 (bfloat16) is set.
type Norm struct {
	Y          []float32
	Y16        []uint16
	X, W, B    []float32
	Mean, RStd []float32
	Eps        float32
	N          int
}

// NormGrad are the arguments of LayerNorm's gradient: of DX, DW and DB those that are not nil are computed, and added to what is there
// where the flag beside them says so.
type NormGrad struct {
	DX, DW, DB                            []float32
	X, W, DY, Mean, RStd                  []float32
	N                                     int
	AccumulateX, AccumulateW, AccumulateB bool
}

// RowL1 are the arguments of the sums of |A - B| over rows of N values, times Scale: one number a row, Y. And of their gradients: DA and
// DB, of which one may be nil, for DY, added to what is there where the flag says so.
type RowL1 struct {
	Y, A, B, DA, DB, DY []float32
	Scale               float32
	AddA, AddB          bool
	N                   int
}

// Product are the arguments of y [M, N] = x [M, K] w [K, N]. W was laid out by Pack; X is rows, or with Panels was laid out by PackRows.
// Bias [N] may be nil. Sum adds what Y held before; GELU comes last. Residual, Before and Slope, of Y's shape, may be nil: the first is
// added in the place of what Y held, the second takes what GELU is of, and at the values of the third GELU's derivative multiplies the
// result (with none of Bias, Sum, Residual and GELU).
// A row of Y depends on its row of X only, bit for bit: not on M, not on the number of threads.
type Product struct {
	Y, X, W, Bias     []float32
	M, N, K           int
	Panels, Sum, GELU bool

	Residual, Before, Slope []float32
}

// Rope are the arguments of rotary position embedding, in place: y[j] = x[j] Cos[t][j] + x[Partner[j]] Sin[t][j].
// Token t of X starts at t*Stride; heads of width D follow each other from there. Tokens t and t+Period share a row of the tables.
// One of X and X16 (bfloat16) is set. Backward applies the transposed map.
type Rope struct {
	X                                []float32
	X16                              []uint16
	Cos, Sin                         []float32
	Partner                          []int32
	Tokens, Stride, Period, Heads, D int
	Backward                         bool
}

// Mask says which keys a query sees.
type Mask = reference.Mask

// Matrix is a strided view of rows: element (r, c) is at r*Stride + c of one of the slices. Half is bfloat16.
type Matrix struct {
	Full   []float32
	Half   []uint16
	Stride int
}

// Attention are the arguments of scaled dot-product attention: Batch times NQ queries, Batch times NK keys and values, Heads of width D in
// the columns. LSE [Batch, Heads, NQ] takes the logarithm of each row's sum of exponentials (for the gradient), or is nil.
// Q, K, V and O are all float32, or all bfloat16.
type Attention struct {
	Q, K, V, O              Matrix
	LSE                     []float32
	Batch, Heads, NQ, NK, D int
	Scale                   float32
	Mask                    Mask
}

// AttentionGrad are the arguments of attention's gradient. It reads the float32 Q, K, V, O and LSE of the forward pass.
type AttentionGrad struct {
	Attention
	DO         Matrix
	DQ, DK, DV Matrix
	Accumulate bool
}

// AdamW are the arguments of one step of AdamW. Correct1 and Correct2 are 1-beta^t.
type AdamW struct {
	P, M, V, G                    []float32
	Beta1, Beta2                  float64
	LR, Eps, Decay                float32
	Correct1, Correct2, GradScale float32
}

// Unfold are the arguments of Set.Unfold, which lays the windows of X [Batch, In, C] out as the rows of Y [Batch, Out, Kernel, C], zero
// where a window reaches out of X; and of Set.Fold, which adds Y's rows to the places of DX that they came from.
type Unfold struct {
	Y, X, DX                         []float32
	In, Out, Kernel, Stride, Padding [3]int
	Batch, C                         int
}

// ConvShape are the sizes of a convolution, see reference.Conv.
type ConvShape = reference.Conv

// Conv are the arguments of a convolution without laid out windows: Y = X convolved by W, plus Bias [N] unless it is nil, plus what Y holds
// with Sum, then GELU. W [Kernel, C] x [N] was laid out by Pack or ConvTurn. What a window gives depends on that window only, bit for bit.
type Conv struct {
	ConvShape
	Y, X, W, Bias []float32
	Sum, GELU     bool
}

// ConvGrad are the arguments of the gradient of a convolution's weights: DW [N, Kernel, C] = the sum over all windows of DY [Batch, Out, N]
// times the window, added to what DW holds with Sum.
type ConvGrad struct {
	ConvShape
	DW, DY, X []float32
	Sum       bool
}

// ConvTurn says which weights give the gradient of a convolution's input, see reference.Turn.
type ConvTurn = reference.Turn

// Cell are the arguments of the parts of a gated cell, on rows of a state H of N values. In [rows, 3N] is what the input says to the gates
// r and u and to the candidate, Hidden what the state says: [rows, 2N] to the gates, [rows, N] to the candidate. Gates [rows, 2N] are r
// and u. Gradients are added to; those that nobody wants are nil.
type Cell struct {
	Y, Kept                  []float32
	In, Hidden, Gates, H, DY []float32
	DIn, DHidden, DGates, DH []float32
	N                        int
}
