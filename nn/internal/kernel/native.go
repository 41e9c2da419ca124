//go:build cgo && linux && !purego

package kernel

/*
#cgo CFLAGS: -O3 -std=gnu11 -Wall -pthread
#cgo LDFLAGS: -lm -pthread
#cgo noescape pack_size
#cgo nocallback pack_size
#cgo noescape work_size
#cgo nocallback work_size
#cgo noescape grad_work_size
#cgo nocallback grad_work_size
#cgo noescape call_norm
#cgo nocallback call_norm
#cgo noescape call_norm_grad
#cgo nocallback call_norm_grad
#cgo noescape call_rope
#cgo nocallback call_rope
#cgo noescape call_attention
#cgo nocallback call_attention
#cgo noescape call_attention_grad
#cgo nocallback call_attention_grad
#cgo noescape call_adamw
#cgo nocallback call_adamw
#cgo noescape ensue_gelu_run
#cgo nocallback ensue_gelu_run
#cgo noescape ensue_gelu_grad_run
#cgo nocallback ensue_gelu_grad_run
#cgo noescape ensue_column_sum_run
#cgo nocallback ensue_column_sum_run
#cgo noescape ensue_add_run
#cgo nocallback ensue_add_run
#cgo noescape ensue_axpy_run
#cgo nocallback ensue_axpy_run
#cgo noescape ensue_lerp_run
#cgo nocallback ensue_lerp_run
#cgo noescape ensue_sum_squares_run
#cgo nocallback ensue_sum_squares_run
#cgo noescape ensue_narrow_run
#cgo nocallback ensue_narrow_run
#cgo noescape ensue_widen_run
#cgo nocallback ensue_widen_run
#cgo noescape call_row_l1
#cgo nocallback call_row_l1
#cgo noescape call_pack
#cgo nocallback call_pack
#cgo noescape call_product
#cgo nocallback call_product
#cgo noescape call_unfold
#cgo nocallback call_unfold
#cgo noescape call_cell
#cgo nocallback call_cell
#cgo noescape conv_work_size
#cgo nocallback conv_work_size
#cgo noescape conv_grad_work_size
#cgo nocallback conv_grad_work_size
#cgo noescape call_conv
#cgo nocallback call_conv
#cgo noescape call_conv_grad
#cgo nocallback call_conv_grad
#cgo noescape call_conv_turn
#cgo nocallback call_conv_turn
#cgo nocallback ensue_isa_at
#cgo nocallback ensue_fast_bfloat16
#include "kernels.h"

// The argument structures hold pointers to Go memory, so they are filled in here and not in Go.
static void call_norm(ensue_set on, float *y, uint16_t *y16, const float *x, const float *w, const float *b, float *mean,
                      float *rstd, float eps, long rows, long n) {
  ensue_norm a = {y, y16, x, w, b, mean, rstd, eps, n};
  ensue_norm_run(on, &a, rows);
}
static void call_norm_grad(ensue_set on, float *dx, float *dw, float *db, const float *x, const float *w, const float *dy,
                           const float *mean, const float *rstd, int add_x, int add_w, int add_b, long rows, long n) {
  ensue_norm_grad gx = {dx, x, w, dy, mean, rstd, add_x, n};
  ensue_norm_weight_grad gw = {dw, add_w == add_b ? db : 0, x, dy, mean, rstd, add_w, rows, n};
  ensue_norm_weight_grad gb = {0, db, x, dy, mean, rstd, add_b, rows, n};
  ensue_norm_grad_run(on, dx ? &gx : 0, dw || gw.db ? &gw : 0, rows);
  if (db && !gw.db) ensue_norm_grad_run(on, 0, &gb, rows);
}
static void call_row_l1(ensue_set on, float *y, const float *a, const float *b, float *da, float *db, const float *dy, float scale,
                        int add_a, int add_b, long rows, long n) {
  ensue_row_l1 r = {y, da, db, a, b, dy, scale, add_a, add_b, n};
  ensue_row_l1_run(on, &r, rows);
}
static void call_rope(ensue_set on, float *x, uint16_t *x16, const float *cos, const float *sin, const int32_t *partner,
                      long stride, long period, long heads, long d, int backward, long tokens) {
  ensue_rope a = {x, x16, cos, sin, partner, stride, period, heads, d, backward};
  ensue_rope_run(on, &a, tokens);
}
static ensue_attention shape_of(const long *n, float scale, int half) {
  ensue_attention a = {.q_stride = n[0], .k_stride = n[1], .v_stride = n[2], .o_stride = n[3], .batch = n[4], .heads = n[5], .nq = n[6],
                       .nk = n[7], .d = n[8], .block = n[9], .offset = n[10], .window = n[11], .scale = scale, .half = half};
  return a;
}
static long pack_size(const long *n) {
  ensue_attention a = shape_of(n, 1, 0);
  return ensue_attention_pack_size(&a);
}
static long work_size(const long *n) {
  ensue_attention a = shape_of(n, 1, 0);
  return ensue_attention_work_size(&a);
}
static long grad_work_size(const long *n) {
  ensue_attention a = shape_of(n, 1, 0);
  return ensue_attention_grad_work_size(&a);
}
static void call_attention(ensue_set on, const void *q, const void *k, const void *v, void *o, float *lse, const long *n,
                           float scale, int half, float *packed, float *work) {
  ensue_attention a = shape_of(n, scale, half);
  a.q = q, a.k = k, a.v = v, a.o = o, a.lse = lse, a.packed = packed, a.work = work;
  ensue_attention_run(on, &a);
}
static void call_attention_grad(ensue_set on, const void *q, const void *k, const void *v, void *o, float *lse, const long *n,
                                float scale, const float *dout, float *dq, float *dk, float *dv, const long *strides, int accumulate,
                                float *work) {
  ensue_attention a = shape_of(n, scale, 0);
  a.q = q, a.k = k, a.v = v, a.o = o, a.lse = lse, a.work = work;
  ensue_attention_grad g = {a, dout, dq, dk, dv, strides[0], strides[1], strides[2], strides[3], accumulate};
  ensue_attention_grad_run(on, &g);
}
static void call_adamw(ensue_set on, float *p, float *m, float *v, const float *g, long n, float lr, float beta1, float beta2,
                       float new1, float new2, float eps, float decay, float correct1, float correct2, float grad_scale) {
  ensue_adamw a = {p, m, v, g, lr, beta1, beta2, new1, new2, eps, decay, correct1, correct2, grad_scale};
  ensue_adamw_run(on, &a, n);
}
static void call_pack(ensue_set on, float *to, const float *from, long k, long n, int transposed, int rows, float *sum, int add) {
  ensue_pack a = {to, from, k, n, transposed, sum, add};
  if (rows)
    ensue_pack_rows_run(on, &a);
  else
    ensue_pack_run(on, &a);
}
static void call_product(ensue_set on, float *y, const float *x, const float *w, const float *bias, long m, long n, long k, int panels,
                         int sum, int gelu, const float *residual, const float *slope, float *before) {
  ensue_product a = {x, w, bias, y, m, n, k, k, n, panels, sum, gelu, residual, slope, before};
  ensue_product_run(on, &a);
}
static void call_unfold(ensue_set on, float *y, const float *x, float *dx, const long *n) {
  ensue_unfold a = {.y = y, .dx = dx, .x = x, .batch = n[15], .c = n[16]};
  for (int i = 0; i < 3; i++)
    a.in[i] = n[i], a.out[i] = n[3 + i], a.kernel[i] = n[6 + i], a.stride[i] = n[9 + i], a.padding[i] = n[12 + i];
  if (dx)
    ensue_fold_run(on, &a);
  else
    ensue_unfold_run(on, &a);
}
static void call_cell(ensue_set on, int part, float *y, float *kept, const float *in, const float *hidden, const float *gates,
                      const float *h, const float *dy, float *din, float *dhidden, float *dgates, float *dh, long rows, long n) {
  ensue_cell a = {y, kept, in, hidden, gates, h, dy, din, dhidden, dgates, dh, n};
  ensue_cell_run(on, &a, part, rows);
}
static ensue_conv conv_of(const long *n) {
  ensue_conv a = {.batch = n[10], .c = n[11], .n = n[12], .y_item = n[13], .y_row = n[14], .y_place = n[15]};
  for (int i = 0; i < 2; i++)
    a.in[i] = n[i], a.out[i] = n[2 + i], a.kernel[i] = n[4 + i], a.stride[i] = n[6 + i], a.before[i] = n[8 + i];
  return a;
}
static ensue_conv_grad conv_grad_of(const long *n) {
  ensue_conv_grad a = {.batch = n[10], .c = n[11], .n = n[12]};
  for (int i = 0; i < 2; i++)
    a.in[i] = n[i], a.out[i] = n[2 + i], a.kernel[i] = n[4 + i], a.stride[i] = n[6 + i], a.before[i] = n[8 + i];
  return a;
}
static long conv_work_size(ensue_set on, const long *n) {
  ensue_conv a = conv_of(n);
  return ensue_conv_work_size(on, &a);
}
static long conv_grad_work_size(ensue_set on, const long *n) {
  ensue_conv_grad a = conv_grad_of(n);
  return ensue_conv_grad_work_size(on, &a);
}
static void call_conv(ensue_set on, const long *n, float *y, const float *x, const float *w, const float *bias, int sum, int gelu,
                      float *work) {
  ensue_conv a = conv_of(n);
  a.y = y, a.x = x, a.w = w, a.bias = bias, a.sum = sum, a.gelu = gelu;
  ensue_conv_run(on, &a, work);
}
static void call_conv_grad(ensue_set on, const long *n, float *dw, const float *dy, const float *x, int sum, float *work) {
  ensue_conv_grad a = conv_grad_of(n);
  a.dw = dw, a.dy = dy, a.x = x, a.sum = sum;
  ensue_conv_grad_run(on, &a, work);
}
static void call_conv_turn(ensue_set on, const long *n, float *to, const float *from) {
  ensue_conv_turn a = {.to = to, .from = from, .n = n[8], .c = n[9]};
  for (int i = 0; i < 2; i++) a.kernel[i] = n[i], a.last[i] = n[2 + i], a.step[i] = n[4 + i], a.taps[i] = n[6 + i];
  ensue_conv_turn_run(on, &a);
}
*/
import "C"

import (
	"errors"
	"unsafe"
)

// Set is the kernels for one instruction set.
type Set struct {
	c C.ensue_set
}

// Team is threads that share the work of a kernel.
type Team struct {
	c *C.ensue_team
}

var errNoThreads = errors.New("the system has no threads or no memory for them")

// OpenTeam starts a team of some threads, the caller's own among them. One goroutine at a time may use it.
func OpenTeam(threads int) (*Team, error) {
	t := &Team{C.ensue_team_open(C.int(threads))}
	if t.c == nil {
		return nil, errNoThreads
	}
	return t, nil
}

// Close ends the team's threads.
func (t *Team) Close() {
	C.ensue_team_close(t.c)
	t.c = nil
}

// On returns the same kernels running on a team.
func (s Set) On(t *Team) Set {
	s.c.team = t.c
	return s
}

// Best returns the kernels of the widest instruction set that this processor has.
func Best() Set {
	for level := Levels - 1; ; level-- {
		if s, ok := At(level); ok {
			return s
		}
	}
}

// Levels is how many instruction sets there are kernels for.
const Levels = 3

// At returns the kernels of one level, 0 the portable ones, and whether this processor can run them.
func At(level int) (Set, bool) {
	s := Set{C.ensue_set{isa: C.ensue_isa_at(C.int(level))}}
	return s, s.c.isa != nil
}

// Name is the name of the instruction set.
func (s Set) Name() string { return C.GoString(s.c.isa.name) }

// FastBFloat16 tells whether the processor multiplies bfloat16 faster than float32.
func FastBFloat16() bool { return C.ensue_fast_bfloat16() != 0 }

func f32(x []float32) *C.float   { return (*C.float)(unsafe.SliceData(x)) }
func u16(x []uint16) *C.uint16_t { return (*C.uint16_t)(unsafe.SliceData(x)) }
func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// Norm computes LayerNorm.
func (s Set) Norm(a *Norm) {
	C.call_norm(s.c, f32(a.Y), u16(a.Y16), f32(a.X), f32(a.W), f32(a.B), f32(a.Mean), f32(a.RStd), C.float(a.Eps),
		C.long(len(a.X)/a.N), C.long(a.N))
}

// NormGrad computes LayerNorm's gradient.
func (s Set) NormGrad(a *NormGrad) {
	C.call_norm_grad(s.c, f32(a.DX), f32(a.DW), f32(a.DB), f32(a.X), f32(a.W), f32(a.DY), f32(a.Mean), f32(a.RStd),
		flag(a.AccumulateX), flag(a.AccumulateW), flag(a.AccumulateB), C.long(len(a.X)/a.N), C.long(a.N))
}

// GELU computes y = x Phi(x).
func (s Set) GELU(y, x []float32) { C.ensue_gelu_run(s.c, f32(y), f32(x), C.long(len(x))) }

// GELUGrad computes dx = dy (Phi(x) + x phi(x)), added to dx with accumulate.
func (s Set) GELUGrad(dx, x, dy []float32, accumulate bool) {
	C.ensue_gelu_grad_run(s.c, f32(dx), f32(x), f32(dy), flag(accumulate), C.long(len(x)))
}

// ColumnSum sums the rows of x [rows, len(sum)] into sum, or adds them to it.
func (s Set) ColumnSum(sum, x []float32, accumulate bool) {
	C.ensue_column_sum_run(s.c, f32(sum), f32(x), flag(accumulate), C.long(len(x)/len(sum)), C.long(len(sum)))
}

// Add computes y = a + b.
func (s Set) Add(y, a, b []float32) { C.ensue_add_run(s.c, f32(y), f32(a), f32(b), C.long(len(y))) }

// Axpy computes y += a x.
func (s Set) Axpy(y, x []float32, a float32) {
	C.ensue_axpy_run(s.c, f32(y), f32(x), C.float(a), C.long(len(y)))
}

// Lerp computes y = keep y + (1-keep) x.
func (s Set) Lerp(y, x []float32, keep float32) {
	C.ensue_lerp_run(s.c, f32(y), f32(x), C.float(keep), C.long(len(y)))
}

// SumSquares returns the sum of the squares of x.
func (s Set) SumSquares(x []float32) float64 {
	return float64(C.ensue_sum_squares_run(s.c, f32(x), C.long(len(x))))
}

// RowL1 computes y = scale times the sum of |a - b| over each row.
func (s Set) RowL1(a *RowL1) {
	C.call_row_l1(s.c, f32(a.Y), f32(a.A), f32(a.B), nil, nil, nil, C.float(a.Scale), 0, 0, C.long(len(a.Y)), C.long(a.N))
}

// RowL1Grad computes its gradients.
func (s Set) RowL1Grad(a *RowL1) {
	C.call_row_l1(s.c, nil, f32(a.A), f32(a.B), f32(a.DA), f32(a.DB), f32(a.DY), C.float(a.Scale), flag(a.AddA), flag(a.AddB),
		C.long(len(a.DY)), C.long(a.N))
}

// AdamW takes one step.
func (s Set) AdamW(a *AdamW) {
	C.call_adamw(s.c, f32(a.P), f32(a.M), f32(a.V), f32(a.G), C.long(len(a.P)), C.float(a.LR), C.float(a.Beta1), C.float(a.Beta2),
		C.float(1-a.Beta1), C.float(1-a.Beta2),
		C.float(a.Eps), C.float(a.Decay), C.float(a.Correct1), C.float(a.Correct2), C.float(a.GradScale))
}

// Narrow rounds float32 to bfloat16, to the nearest, ties to even.
func (s Set) Narrow(y []uint16, x []float32) {
	C.ensue_narrow_run(s.c, u16(y), f32(x), C.long(len(x)))
}

// Widen turns bfloat16 into float32.
func (s Set) Widen(y []float32, x []uint16) { C.ensue_widen_run(s.c, f32(y), u16(x), C.long(len(x))) }

// Rope rotates in place.
func (s Set) Rope(a *Rope) {
	C.call_rope(s.c, f32(a.X), u16(a.X16), f32(a.Cos), f32(a.Sin), (*C.int32_t)(unsafe.SliceData(a.Partner)), C.long(a.Stride),
		C.long(a.Period), C.long(a.Heads), C.long(a.D), flag(a.Backward), C.long(a.Tokens))
}

func (a *Attention) shape() [12]C.long {
	return [12]C.long{
		C.long(a.Q.Stride), C.long(a.K.Stride), C.long(a.V.Stride), C.long(a.O.Stride), C.long(a.Batch), C.long(a.Heads),
		C.long(a.NQ), C.long(a.NK), C.long(a.D), C.long(a.Mask.Block), C.long(a.Mask.Offset), C.long(a.Mask.Window),
	}
}

func (m Matrix) pointer() unsafe.Pointer {
	if m.Half != nil {
		return unsafe.Pointer(unsafe.SliceData(m.Half))
	}
	return unsafe.Pointer(unsafe.SliceData(m.Full))
}

// AttentionWork returns how many floats of scratch memory Attention needs with a number of threads.
func (s Set) AttentionWork(a *Attention, threads int) int {
	n := a.shape()
	return int(C.pack_size(&n[0])) + threads*int(C.work_size(&n[0]))
}

// Attention computes softmax(scale Q K^T) V in tiles.
func (s Set) Attention(a *Attention, work []float32) {
	n := a.shape()
	pack := int(C.pack_size(&n[0]))
	C.call_attention(s.c, a.Q.pointer(), a.K.pointer(), a.V.pointer(), a.O.pointer(), f32(a.LSE), &n[0], C.float(a.Scale),
		flag(a.Q.Half != nil), f32(work), f32(work[pack:]))
}

// AttentionGradWork returns how many floats of scratch memory AttentionGrad needs with a number of threads.
func (s Set) AttentionGradWork(a *Attention, threads int) int {
	n := a.shape()
	return threads * int(C.grad_work_size(&n[0]))
}

// AttentionGrad computes the gradients of Attention.
func (s Set) AttentionGrad(a *AttentionGrad, work []float32) {
	n := a.shape()
	strides := [4]C.long{C.long(a.DO.Stride), C.long(a.DQ.Stride), C.long(a.DK.Stride), C.long(a.DV.Stride)}
	C.call_attention_grad(s.c, a.Q.pointer(), a.K.pointer(), a.V.pointer(), a.O.pointer(), f32(a.LSE), &n[0], C.float(a.Scale),
		f32(a.DO.Full), f32(a.DQ.Full), f32(a.DK.Full), f32(a.DV.Full), &strides[0], flag(a.Accumulate), f32(work))
}

func (a *Unfold) shape() [17]C.long {
	var n [17]C.long
	for i, sizes := range [5][3]int{a.In, a.Out, a.Kernel, a.Stride, a.Padding} {
		for j, size := range sizes {
			n[3*i+j] = C.long(size)
		}
	}
	n[15], n[16] = C.long(a.Batch), C.long(a.C)
	return n
}

// Unfold lays windows out as rows.
func (s Set) Unfold(a *Unfold) {
	n := a.shape()
	C.call_unfold(s.c, f32(a.Y), f32(a.X), nil, &n[0])
}

// Fold adds rows to the places their windows came from.
func (s Set) Fold(a *Unfold) {
	n := a.shape()
	C.call_unfold(s.c, f32(a.Y), nil, f32(a.DX), &n[0])
}

// CellGates computes y = σ(in + hidden): the gates.
func (s Set) CellGates(a *Cell) { s.cell(C.ENSUE_GATES, a, len(a.Y)/(2*a.N)) }

// CellGatesGrad adds its gradient to DIn and DHidden.
func (s Set) CellGatesGrad(a *Cell) { s.cell(C.ENSUE_GATES_GRAD, a, len(a.DY)/(2*a.N)) }

// CellReset computes y = r h.
func (s Set) CellReset(a *Cell) { s.cell(C.ENSUE_RESET, a, len(a.Y)/a.N) }

// CellResetGrad adds its gradient to DGates and DH.
func (s Set) CellResetGrad(a *Cell) { s.cell(C.ENSUE_RESET_GRAD, a, len(a.DY)/a.N) }

// CellBlend computes y = u h + (1-u) tanh(in + hidden), and keeps the tanh in Kept where that is not nil.
func (s Set) CellBlend(a *Cell) { s.cell(C.ENSUE_BLEND, a, len(a.Y)/a.N) }

// CellBlendGrad adds its gradient to DIn, DHidden, DGates and DH.
func (s Set) CellBlendGrad(a *Cell) { s.cell(C.ENSUE_BLEND_GRAD, a, len(a.DY)/a.N) }

func (s Set) cell(part C.int, a *Cell, rows int) {
	C.call_cell(s.c, part, f32(a.Y), f32(a.Kept), f32(a.In), f32(a.Hidden), f32(a.Gates), f32(a.H), f32(a.DY),
		f32(a.DIn), f32(a.DHidden), f32(a.DGates), f32(a.DH), C.long(rows), C.long(a.N))
}

// PackSize is how many floats Pack writes for weights [k, n].
func (s Set) PackSize(k, n int) int { return int(C.ensue_pack_size(s.c.isa, C.long(k), C.long(n))) }

// Pack lays weights w [k, n] out for Product. They are stored as rows of n, or of k with transposed.
func (s Set) Pack(to, w []float32, k, n int, transposed bool) {
	C.call_pack(s.c, f32(to), f32(w), C.long(k), C.long(n), flag(transposed), 0, nil, 0)
}

// PackRowsSize is how many floats PackRows writes.
func (s Set) PackRowsSize(k, m int) int {
	return int(C.ensue_pack_rows_size(s.c.isa, C.long(k), C.long(m)))
}

// PackRows lays x [k, m] out as the rows of a Product with Panels, which are the columns of x. Where sum is not nil it takes the sum of x's
// rows, as ColumnSum gives it.
func (s Set) PackRows(to, x []float32, k, m int, sum []float32, accumulate bool) {
	C.call_pack(s.c, f32(to), f32(x), C.long(k), C.long(m), 0, 1, f32(sum), flag(accumulate))
}

// Product multiplies matrices.
func (s Set) Product(a *Product) {
	C.call_product(s.c, f32(a.Y), f32(a.X), f32(a.W), f32(a.Bias), C.long(a.M), C.long(a.N), C.long(a.K), flag(a.Panels), flag(a.Sum),
		flag(a.GELU), f32(a.Residual), f32(a.Slope), f32(a.Before))
}

func convSizes(v *ConvShape) [16]C.long {
	var n [16]C.long
	for i, sizes := range [5][2]int{v.In, v.Out, v.Kernel, v.Stride, v.Before} {
		n[2*i], n[2*i+1] = C.long(sizes[0]), C.long(sizes[1])
	}
	for i, size := range [6]int{v.Batch, v.C, v.N, v.YItem, v.YRow, v.YPlace} {
		n[10+i] = C.long(size)
	}
	return n
}

// ConvWork is how many floats of scratch memory Conv needs.
func (s Set) ConvWork(a *Conv) int {
	n := convSizes(&a.ConvShape)
	return int(C.conv_work_size(s.c, &n[0]))
}

// Conv convolves.
func (s Set) Conv(a *Conv, work []float32) {
	n := convSizes(&a.ConvShape)
	C.call_conv(s.c, &n[0], f32(a.Y), f32(a.X), f32(a.W), f32(a.Bias), flag(a.Sum), flag(a.GELU), f32(work))
}

// ConvGradWork is how many floats of scratch memory ConvGrad needs.
func (s Set) ConvGradWork(a *ConvGrad) int {
	n := convSizes(&a.ConvShape)
	return int(C.conv_grad_work_size(s.c, &n[0]))
}

// ConvGrad computes the gradient of a convolution's weights.
func (s Set) ConvGrad(a *ConvGrad, work []float32) {
	n := convSizes(&a.ConvShape)
	C.call_conv_grad(s.c, &n[0], f32(a.DW), f32(a.DY), f32(a.X), flag(a.Sum), f32(work))
}

// ConvTurn lays weights out for the gradient of a convolution's input, for Conv.
func (s Set) ConvTurn(a *ConvTurn, to, from []float32) {
	var n [10]C.long
	for i, sizes := range [4][2]int{a.Kernel, a.Last, a.Step, a.Taps} {
		n[2*i], n[2*i+1] = C.long(sizes[0]), C.long(sizes[1])
	}
	n[8], n[9] = C.long(a.N), C.long(a.C)
	C.call_conv_turn(s.c, &n[0], f32(to), f32(from))
}
