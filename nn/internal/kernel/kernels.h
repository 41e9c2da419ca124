// The kernels that oneDNN has no fused form of. Every function computes the half-open range [first, last) of its work on the calling
// thread; parallel.c cuts the work into ranges. One table of these functions exists for each instruction set (isa_*.c), compiled from the
// same source (rows.h, attention.h), so all of them agree up to rounding and the choice is made at run time.
#ifndef ENSUE_KERNELS_H
#define ENSUE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "team.h"

// Columns of keys that are worked on at a time. A multiple of the widest vector.
enum { ENSUE_KEYS = 256 };
// Rows of queries that are worked on at a time.
enum { ENSUE_QUERIES = 96 };

// LayerNorm over rows of n values. w and b may be NULL; mean and rstd (one value a row) may be NULL.
// Exactly one of y and y16 is set; y16 takes bfloat16.
typedef struct {
  float *y;
  uint16_t *y16;
  const float *x, *w, *b;
  float *mean, *rstd;
  float eps;
  long n;
} ensue_norm;

// Gradient of LayerNorm with respect to x. dx is added to when accumulate is set.
typedef struct {
  float *dx;
  const float *x, *w, *dy, *mean, *rstd;
  int accumulate;
  long n;
} ensue_norm_grad;

// Gradient of LayerNorm's w and b: a range is a range of columns, all rows are summed in order.
typedef struct {
  float *dw, *db;
  const float *x, *dy, *mean, *rstd;
  int accumulate;
  long rows, n;
} ensue_norm_weight_grad;

// y = scale times the sum of |a - b| over each row of n values, and its gradients, one of which may be NULL: da (+)= scale dy sign(a - b).
typedef struct {
  float *y, *da, *db;
  const float *a, *b, *dy;
  float scale;
  int add_a, add_b;
  long n;
} ensue_row_l1;

// Rotary position embedding in place: y[j] = x[j] cos[t][j] + x[partner[j]] sin[t][j], the sign being part of sin.
// Rows are tokens, `period` tokens share the tables again (a batch), heads of width d start at x and follow each other.
// With backward set the transposed map is applied. Exactly one of x and x16 is set.
typedef struct {
  float *x;
  uint16_t *x16;
  const float *cos, *sin;
  const int32_t *partner;
  long stride, period, heads, d;
  int backward;
} ensue_rope;

// Tiled attention. Queries, keys and values are rows with a stride; the head h starts at column h*d.
// A query at row i belongs to block (i + offset) / block and sees the keys of the blocks (that one - window, that one]; block 0: all keys;
// window 0: all earlier blocks. The scores are never stored beyond one tile.
typedef struct {
  const void *q, *k, *v; // float, or bfloat16 when half is set
  void *o;
  float *lse; // [batch, heads, nq], may be NULL
  long q_stride, k_stride, v_stride, o_stride;
  long batch, heads, nq, nk, d;
  long block, offset, window;
  float scale;
  int half;
  float *packed; // ensue_attention_pack_size floats
  float *work;   // ensue_attention_work_size floats for each thread
} ensue_attention;

// Gradient of ensue_attention (float only). dq, dk, dv have the strides of q, k, v and are overwritten, or added to with accumulate.
typedef struct {
  ensue_attention f;
  const float *dout;
  float *dq, *dk, *dv;
  long dout_stride, dq_stride, dk_stride, dv_stride;
  int accumulate;
} ensue_attention_grad;

// One AdamW step (Loshchilov & Hutter 2019, as torch.optim.AdamW). new = 1 - beta, which float32 cannot compute from a beta near 1;
// correct = 1 - beta^t.
typedef struct {
  float *p, *m, *v;
  const float *g;
  float lr, beta1, beta2, new1, new2, eps, decay, correct1, correct2, grad_scale;
} ensue_adamw;

// The windows of a convolution over x [batch, in, c] as rows of y [batch, out, kernel, c], and back: dx is added to.
typedef struct {
  float *y, *dx;
  const float *x;
  long in[3], out[3], kernel[3], stride[3], padding[3];
  long batch, c;
} ensue_unfold;

// y = x convolved: x [batch, in, c] with zeros around it; windows of kernel places, stride apart, the first of them before[] places before x;
// w [kernel, c] x [n] in the panels that ensue_pack_run makes, or ensue_conv_turn_run. The window at (i, h, w) gives the n values at
// y + i y_item + h y_row + w y_place, plus bias [n] where there is one, plus what y holds with sum, then GELU.
typedef struct {
  const float *x, *w, *bias;
  float *y;
  long in[2], out[2], kernel[2], stride[2], before[2];
  long batch, c, n, y_item, y_row, y_place;
  int sum, gelu;
} ensue_conv;

// How far the windows reach in one direction, and whether zeros are needed around x.
static inline long ensue_conv_extent(const ensue_conv *a, int i) { return (a->out[i] - 1) * a->stride[i] + a->kernel[i]; }
static inline int ensue_conv_pads(const ensue_conv *a) {
  return a->before[0] || a->before[1] || ensue_conv_extent(a, 0) > a->in[0] || ensue_conv_extent(a, 1) > a->in[1];
}

// Weights w [n, kernel, c] of a convolution, into the panels of a convolution of dy that gives dx: of every direction the places last,
// last - step, …, taps of them.
typedef struct {
  float *to;
  const float *from;
  long kernel[2], last[2], step[2], taps[2];
  long n, c;
} ensue_conv_turn;

// dw [n, kernel, c] (+)= the sum over all windows of dy [batch, out, n] times the window.
typedef struct {
  float *dw;
  const float *dy, *x;
  long in[2], out[2], kernel[2], stride[2], before[2];
  long batch, c, n;
  int sum;
} ensue_conv_grad;

// Rows of the output whose windows are laid out at a time: so many that they stay in a core's cache.
enum { ENSUE_PLACES = 256 };
static inline long ensue_conv_rows(const ensue_conv_grad *a) { return a->out[1] < ENSUE_PLACES ? ENSUE_PLACES / a->out[1] : 1; }

// The parts of a gated cell that are no products, over rows of n values: in [rows, 3n] is what the input says to the gates r and u and to the
// candidate, hidden what the state says to some of them, gates [rows, 2n] are r and u, h [rows, n] is the state, kept [rows, n] the
// candidate's tanh. Gradients are added to; those that nobody wants are NULL.
typedef struct {
  float *y, *kept;
  const float *in, *hidden, *gates, *h, *dy;
  float *din, *dhidden, *dgates, *dh;
  long n;
} ensue_cell;

// y [m, n] = x [m, k] w [k, n], plus bias [n] where there is one, plus what y holds with sum, then GELU. w lies in the panels that
// ensue_pack_run makes; x in rows, or with panels as ensue_pack_rows_run leaves it. residual, before and slope are NULL or arrays like y, of
// its rows: the first is added in the place of what y holds, the second takes what GELU is of, and the third, which goes with none of bias,
// sum and GELU, multiplies the result by GELU's derivative at its values.
typedef struct {
  const float *x, *w, *bias;
  float *y;
  long m, n, k, x_row, y_row;
  int panels, sum, gelu;
  const float *residual, *slope;
  float *before;
} ensue_product;

// Weights [k, n] into panels, from rows of n or with transposed from rows of k. As the rows of a product, x [k, n] can be summed on the way:
// sum [n] (+)= the sum of its rows.
typedef struct {
  float *to;
  const float *from;
  long k, n;
  int transposed;
  float *sum;
  int add;
} ensue_pack;

typedef struct {
  const char *name;
  void (*norm)(const ensue_norm *, long first, long last);
  void (*norm_grad)(const ensue_norm_grad *, long first, long last);
  void (*norm_weight_grad)(const ensue_norm_weight_grad *, long first, long last);
  void (*gelu)(float *y, const float *x, long n);
  void (*gelu_grad)(float *dx, const float *x, const float *dy, int accumulate, long n);
  void (*column_sum)(float *sum, const float *x, int accumulate, long rows, long n, long first, long last);
  void (*add)(float *y, const float *a, const float *b, long n);
  void (*axpy)(float *y, const float *x, float a, long n);
  void (*lerp)(float *y, const float *x, float keep, long n);
  double (*sum_squares)(const float *x, long n);
  void (*adamw)(const ensue_adamw *, long first, long last);
  void (*narrow)(uint16_t *y, const float *x, long n);
  void (*widen)(float *y, const uint16_t *x, long n);
  void (*rope)(const ensue_rope *, long first, long last);
  void (*attention_pack)(const ensue_attention *, long item);
  void (*attention_tile)(const ensue_attention *, float *work, long item, long tile);
  void (*attention_grad)(const ensue_attention_grad *, float *work, long item);
  void (*unfold)(const ensue_unfold *, long first, long last);
  void (*fold)(const ensue_unfold *, long first, long last);
  long tile_rows, tile_columns; // of a product
  long cached;                  // how many floats of x stay in a core's cache beside a panel of weights
  void (*product)(const ensue_product *, long first, long last, long from, long to);
  void (*pack)(const ensue_pack *, long first, long last);
  void (*pack_rows)(const ensue_pack *, long first, long last);
  void (*cell[6])(const ensue_cell *, long first, long last);
  void (*row_l1)(const ensue_row_l1 *, long first, long last);
  void (*row_l1_grad)(const ensue_row_l1 *, long first, long last);
  void (*conv)(const ensue_conv *, float *work, long first, long last, long from, long to);
  void (*conv_turn)(const ensue_conv_turn *, long first, long last);
  void (*conv_grad)(const ensue_conv_grad *, float *work, long from, long to);
} ensue_isa;

// What kernels run on.
typedef struct {
  const ensue_isa *isa;
  ensue_team *team;
} ensue_set;

// The parts of a cell, forward and backward.
enum { ENSUE_GATES, ENSUE_RESET, ENSUE_BLEND, ENSUE_GATES_GRAD, ENSUE_RESET_GRAD, ENSUE_BLEND_GRAD };

// The table of a level: 0 the portable one, 1 AVX2 with FMA, 2 AVX-512; NULL where this processor cannot run it.
const ensue_isa *ensue_isa_at(int level);
// 1 where the processor multiplies bfloat16 pairs at least as fast as float32 (AMX, or AVX-512 BF16 on AMD).
int ensue_fast_bfloat16(void);

// Floats needed by an attention call.
long ensue_attention_pack_size(const ensue_attention *);
long ensue_attention_work_size(const ensue_attention *);
long ensue_attention_grad_work_size(const ensue_attention *);

// Parallel forms, on a team (NULL: the calling thread alone).
void ensue_norm_run(ensue_set, const ensue_norm *, long rows);
void ensue_norm_grad_run(ensue_set, const ensue_norm_grad *, const ensue_norm_weight_grad *, long rows);
void ensue_gelu_run(ensue_set, float *y, const float *x, long n);
void ensue_gelu_grad_run(ensue_set, float *dx, const float *x, const float *dy, int accumulate, long n);
void ensue_column_sum_run(ensue_set, float *sum, const float *x, int accumulate, long rows, long n);
void ensue_add_run(ensue_set, float *y, const float *a, const float *b, long n);
void ensue_axpy_run(ensue_set, float *y, const float *x, float a, long n);
void ensue_lerp_run(ensue_set, float *y, const float *x, float keep, long n);
double ensue_sum_squares_run(ensue_set, const float *x, long n);
void ensue_adamw_run(ensue_set, const ensue_adamw *, long n);
void ensue_narrow_run(ensue_set, uint16_t *y, const float *x, long n);
void ensue_widen_run(ensue_set, float *y, const uint16_t *x, long n);
void ensue_row_l1_run(ensue_set, const ensue_row_l1 *, long rows);
void ensue_rope_run(ensue_set, const ensue_rope *, long tokens);
void ensue_attention_run(ensue_set, const ensue_attention *);
void ensue_attention_grad_run(ensue_set, const ensue_attention_grad *);
void ensue_unfold_run(ensue_set, const ensue_unfold *);
void ensue_fold_run(ensue_set, const ensue_unfold *);
void ensue_cell_run(ensue_set, const ensue_cell *, int part, long rows);
// Floats that packed weights [k, n], or packed rows [k, m], take.
long ensue_pack_size(const ensue_isa *, long k, long n);
long ensue_pack_rows_size(const ensue_isa *, long k, long m);
void ensue_pack_run(ensue_set, const ensue_pack *);
void ensue_pack_rows_run(ensue_set, const ensue_pack *);
void ensue_product_run(ensue_set, const ensue_product *);
// Floats of scratch memory that a convolution needs, on all threads together.
long ensue_conv_work_size(ensue_set, const ensue_conv *);
long ensue_conv_grad_work_size(ensue_set, const ensue_conv_grad *);
void ensue_conv_run(ensue_set, const ensue_conv *, float *work);
void ensue_conv_turn_run(ensue_set, const ensue_conv_turn *);
void ensue_conv_grad_run(ensue_set, const ensue_conv_grad *, float *work);

#endif
