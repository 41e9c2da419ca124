//go:build cgo && linux && !purego

package kernel

/*
#cgo CFLAGS: -O3 -std=gnu11 -Wall -fopenmp
#cgo LDFLAGS: -lgomp -lm
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
#cgo noescape call_unfold
#cgo nocallback call_unfold
#cgo noescape call_cell
#cgo nocallback call_cell
#cgo nocallback ensue_isa_at
#cgo nocallback ensue_set_threads
#cgo nocallback ensue_fast_bfloat16
#include "kernels.h"

// The argument structures hold pointers to Go memory, so they are filled in here and not in Go.
static void call_norm(const ensue_isa *isa, float *y, uint16_t *y16, const float *x, const float *w, const float *b, float *mean,
                      float *rstd, float eps, long rows, long n) {
  ensue_norm a = {y, y16, x, w, b, mean, rstd, eps, n};
  ensue_norm_run(isa, &a, rows);
}
static void call_norm_grad(const ensue_isa *isa, float *dx, float *dw, float *db, const float *x, const float *w, const float *dy,
                           const float *mean, const float *rstd, int add_x, int add_w, int add_b, long rows, long n) {
  ensue_norm_grad gx = {dx, x, w, dy, mean, rstd, add_x, n};
  ensue_norm_weight_grad gw = {dw, add_w == add_b ? db : 0, x, dy, mean, rstd, add_w, rows, n};
  ensue_norm_weight_grad gb = {0, db, x, dy, mean, rstd, add_b, rows, n};
  ensue_norm_grad_run(isa, dx ? &gx : 0, dw || gw.db ? &gw : 0, rows);
  if (db && !gw.db) ensue_norm_grad_run(isa, 0, &gb, rows);
}
static void call_rope(const ensue_isa *isa, float *x, uint16_t *x16, const float *cos, const float *sin, const int32_t *partner,
                      long stride, long period, long heads, long d, int backward, long tokens) {
  ensue_rope a = {x, x16, cos, sin, partner, stride, period, heads, d, backward};
  ensue_rope_run(isa, &a, tokens);
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
static void call_attention(const ensue_isa *isa, const void *q, const void *k, const void *v, void *o, float *lse, const long *n,
                           float scale, int half, float *packed, float *work) {
  ensue_attention a = shape_of(n, scale, half);
  a.q = q, a.k = k, a.v = v, a.o = o, a.lse = lse, a.packed = packed, a.work = work;
  ensue_attention_run(isa, &a);
}
static void call_attention_grad(const ensue_isa *isa, const void *q, const void *k, const void *v, void *o, float *lse, const long *n,
                                float scale, const float *dout, float *dq, float *dk, float *dv, const long *strides, int accumulate,
                                float *work) {
  ensue_attention a = shape_of(n, scale, 0);
  a.q = q, a.k = k, a.v = v, a.o = o, a.lse = lse, a.work = work;
  ensue_attention_grad g = {a, dout, dq, dk, dv, strides[0], strides[1], strides[2], strides[3], accumulate};
  ensue_attention_grad_run(isa, &g);
}
static void call_adamw(const ensue_isa *isa, float *p, float *m, float *v, const float *g, long n, float lr, float beta1, float beta2,
                       float new1, float new2, float eps, float decay, float correct1, float correct2, float grad_scale) {
  ensue_adamw a = {p, m, v, g, lr, beta1, beta2, new1, new2, eps, decay, correct1, correct2, grad_scale};
  ensue_adamw_run(isa, &a, n);
}
static void call_unfold(const ensue_isa *isa, float *y, const float *x, float *dx, const long *n) {
  ensue_unfold a = {.y = y, .dx = dx, .x = x, .batch = n[15], .c = n[16]};
  for (int i = 0; i < 3; i++)
    a.in[i] = n[i], a.out[i] = n[3 + i], a.kernel[i] = n[6 + i], a.stride[i] = n[9 + i], a.padding[i] = n[12 + i];
  if (dx)
    ensue_fold_run(isa, &a);
  else
    ensue_unfold_run(isa, &a);
}
static void call_cell(const ensue_isa *isa, int part, float *y, float *kept, const float *in, const float *hidden, const float *gates,
                      const float *h, const float *dy, float *din, float *dhidden, float *dgates, float *dh, long rows, long n) {
  ensue_cell a = {y, kept, in, hidden, gates, h, dy, din, dhidden, dgates, dh, n};
  ensue_cell_run(isa, &a, part, rows);
}
*/
import "C"

import "unsafe"

// Set is the kernels for one instruction set.
type Set struct {
	isa *C.ensue_isa
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
	s := Set{C.ensue_isa_at(C.int(level))}
	return s, s.isa != nil
}

// Name is the name of the instruction set.
func (s Set) Name() string { return C.GoString(s.isa.name) }

// FastBFloat16 tells whether the processor multiplies bfloat16 faster than float32.
func FastBFloat16() bool { return C.ensue_fast_bfloat16() != 0 }

// SetThreads sets how many OpenMP threads the calling OS thread uses, for these kernels and for oneDNN.
func SetThreads(n int) { C.ensue_set_threads(C.int(n)) }

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
	C.call_norm(s.isa, f32(a.Y), u16(a.Y16), f32(a.X), f32(a.W), f32(a.B), f32(a.Mean), f32(a.RStd), C.float(a.Eps),
		C.long(len(a.X)/a.N), C.long(a.N))
}

// NormGrad computes LayerNorm's gradient.
func (s Set) NormGrad(a *NormGrad) {
	C.call_norm_grad(s.isa, f32(a.DX), f32(a.DW), f32(a.DB), f32(a.X), f32(a.W), f32(a.DY), f32(a.Mean), f32(a.RStd),
		flag(a.AccumulateX), flag(a.AccumulateW), flag(a.AccumulateB), C.long(len(a.X)/a.N), C.long(a.N))
}

// GELU computes y = x Phi(x).
func (s Set) GELU(y, x []float32) { C.ensue_gelu_run(s.isa, f32(y), f32(x), C.long(len(x))) }

// GELUGrad computes dx = dy (Phi(x) + x phi(x)), added to dx with accumulate.
func (s Set) GELUGrad(dx, x, dy []float32, accumulate bool) {
	C.ensue_gelu_grad_run(s.isa, f32(dx), f32(x), f32(dy), flag(accumulate), C.long(len(x)))
}

// ColumnSum sums the rows of x [rows, len(sum)] into sum, or adds them to it.
func (s Set) ColumnSum(sum, x []float32, accumulate bool) {
	C.ensue_column_sum_run(s.isa, f32(sum), f32(x), flag(accumulate), C.long(len(x)/len(sum)), C.long(len(sum)))
}

// Add computes y = a + b.
func (s Set) Add(y, a, b []float32) { C.ensue_add_run(s.isa, f32(y), f32(a), f32(b), C.long(len(y))) }

// Axpy computes y += a x.
func (s Set) Axpy(y, x []float32, a float32) {
	C.ensue_axpy_run(s.isa, f32(y), f32(x), C.float(a), C.long(len(y)))
}

// Lerp computes y = keep y + (1-keep) x.
func (s Set) Lerp(y, x []float32, keep float32) {
	C.ensue_lerp_run(s.isa, f32(y), f32(x), C.float(keep), C.long(len(y)))
}

// SumSquares returns the sum of the squares of x.
func (s Set) SumSquares(x []float32) float64 {
	return float64(C.ensue_sum_squares_run(s.isa, f32(x), C.long(len(x))))
}

// AdamW takes one step.
func (s Set) AdamW(a *AdamW) {
	C.call_adamw(s.isa, f32(a.P), f32(a.M), f32(a.V), f32(a.G), C.long(len(a.P)), C.float(a.LR), C.float(a.Beta1), C.float(a.Beta2),
		C.float(1-a.Beta1), C.float(1-a.Beta2),
		C.float(a.Eps), C.float(a.Decay), C.float(a.Correct1), C.float(a.Correct2), C.float(a.GradScale))
}

// Narrow rounds float32 to bfloat16, to the nearest, ties to even.
func (s Set) Narrow(y []uint16, x []float32) {
	C.ensue_narrow_run(s.isa, u16(y), f32(x), C.long(len(x)))
}

// Widen turns bfloat16 into float32.
func (s Set) Widen(y []float32, x []uint16) { C.ensue_widen_run(s.isa, f32(y), u16(x), C.long(len(x))) }

// Rope rotates in place.
func (s Set) Rope(a *Rope) {
	C.call_rope(s.isa, f32(a.X), u16(a.X16), f32(a.Cos), f32(a.Sin), (*C.int32_t)(unsafe.SliceData(a.Partner)), C.long(a.Stride),
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
	C.call_attention(s.isa, a.Q.pointer(), a.K.pointer(), a.V.pointer(), a.O.pointer(), f32(a.LSE), &n[0], C.float(a.Scale),
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
	C.call_attention_grad(s.isa, a.Q.pointer(), a.K.pointer(), a.V.pointer(), a.O.pointer(), f32(a.LSE), &n[0], C.float(a.Scale),
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
	C.call_unfold(s.isa, f32(a.Y), f32(a.X), nil, &n[0])
}

// Fold adds rows to the places their windows came from.
func (s Set) Fold(a *Unfold) {
	n := a.shape()
	C.call_unfold(s.isa, f32(a.Y), nil, f32(a.DX), &n[0])
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
	C.call_cell(s.isa, part, f32(a.Y), f32(a.Kept), f32(a.In), f32(a.Hidden), f32(a.Gates), f32(a.H), f32(a.DY),
		f32(a.DIn), f32(a.DHidden), f32(a.DGates), f32(a.DH), C.long(rows), C.long(a.N))
}
