// Attention in tiles (Dao et al. 2022, FlashAttention; Milakov & Gimelshein 2018 for the running softmax). Written once, compiled for
// each instruction set. The result of a row depends on its own query and the keys it sees only, in the order of the keys: bit for bit
// the same whatever other rows are computed with it, and whatever later keys hold.

// What is multiplied from the right lies in panels of PANEL columns, [depth][PANEL] each: a patch walks through one in order.
#define PANEL (NV * W)

// c[i][j] = keep[i] * c[i][j] + sum over k of a(i, k) * b[k][j], for mr rows and nv vectors; keep NULL: start at zero. a(i, k) is
// a[i*a_step + k], or with columns a[i + k*a_step].
INLINE void ISA(patch)(const int mr, const int nv, const int columns, long depth, const float *a, long a_step, const float *b,
                       float *c, long c_row, const float *keep) {
  vf sum[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < mr; i++)
#pragma GCC unroll 16
    for (int j = 0; j < nv; j++) sum[i][j] = (vf){0};
#pragma GCC unroll 4
  for (long k = 0; k < depth; k++) {
    vf row[NV];
#pragma GCC unroll 16
    for (int j = 0; j < nv; j++) row[j] = load(b + k * PANEL + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
      vf x = splat(columns ? a[i + k * a_step] : a[i * a_step + k]);
#pragma GCC unroll 16
      for (int j = 0; j < nv; j++) sum[i][j] += x * row[j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < mr; i++) {
    vf x = splat(keep ? keep[i] : 0);
#pragma GCC unroll 16
    for (int j = 0; j < nv; j++) store(c + i * c_row + j * W, keep ? load(c + i * c_row + j * W) * x + sum[i][j] : sum[i][j]);
  }
}

typedef void ISA(patch_function)(long depth, const float *a, long a_step, const float *b, float *c, long c_row, const float *keep);
#define ENSUE_PATCH(mr, nv, columns)                                                                                                 \
  static __attribute__((noinline)) void ISA(patch_##mr##_##nv##_##columns)(long depth, const float *a, long a_step, const float *b, \
                                                                           float *c, long c_row, const float *keep) {              \
    ISA(patch)(mr, nv, columns, depth, a, a_step, b, c, c_row, keep);                                                               \
  }
#define ENSUE_PATCHES(mr) ENSUE_PATCH(mr, 1, 0) ENSUE_PATCH(mr, 2, 0) ENSUE_PATCH(mr, 1, 1) ENSUE_PATCH(mr, 2, 1)
#define ENSUE_NAMES(mr, columns) {ISA(patch_##mr##_1_##columns), ISA(patch_##mr##_2_##columns)}
#define ENSUE_SIX(f) f(1) f(2) f(3) f(4) f(5) f(6)
ENSUE_SIX(ENSUE_PATCHES)
#if MR == 12
ENSUE_PATCHES(7) ENSUE_PATCHES(8) ENSUE_PATCHES(9) ENSUE_PATCHES(10) ENSUE_PATCHES(11) ENSUE_PATCHES(12)
#define ENSUE_ALL(c)                                                                                                               \
  {ENSUE_NAMES(1, c), ENSUE_NAMES(2, c), ENSUE_NAMES(3, c), ENSUE_NAMES(4, c),  ENSUE_NAMES(5, c),  ENSUE_NAMES(6, c),             \
   ENSUE_NAMES(7, c), ENSUE_NAMES(8, c), ENSUE_NAMES(9, c), ENSUE_NAMES(10, c), ENSUE_NAMES(11, c), ENSUE_NAMES(12, c)}
#else
#define ENSUE_ALL(c) \
  {ENSUE_NAMES(1, c), ENSUE_NAMES(2, c), ENSUE_NAMES(3, c), ENSUE_NAMES(4, c), ENSUE_NAMES(5, c), ENSUE_NAMES(6, c)}
#endif
static ISA(patch_function) *const ISA(patches)[2][MR][NV] = {ENSUE_ALL(0), ENSUE_ALL(1)};
#undef ENSUE_PATCH
#undef ENSUE_PATCHES
#undef ENSUE_NAMES
#undef ENSUE_SIX
#undef ENSUE_ALL

// A product of small matrices: cols is a multiple of W, the arrays are padded to it. Panels of b are b_panel floats apart.
INLINE void ISA(small_product)(long rows, long cols, long depth, const float *a, long a_step, const int columns, const float *b,
                               long b_panel, float *c, long c_row, const float *keep) {
  for (long j = 0; j < cols; j += PANEL, b += b_panel) {
    const int n = (cols - j) / W < NV ? (int)((cols - j) / W) : NV;
    for (long i = 0; i < rows; i += MR) {
      const int m = rows - i < MR ? (int)(rows - i) : MR;
      ISA(patches)[columns][m - 1][n - 1](depth, a + (columns ? i : i * a_step), a_step, b, c + i * c_row + j, c_row, keep ? keep + i : NULL);
    }
  }
}

#define LOG2_E 1.44269504088896341f
#define LOG_2 0.69314718055994531f

INLINE long pad(long n) { return (n + ENSUE_PAD - 1) / ENSUE_PAD * ENSUE_PAD; }
INLINE float element(const void *p, int half, long i) { return half ? half_to_float(((const uint16_t *)p)[i]) : ((const float *)p)[i]; }

// A head's part of a row is a few cache lines, a page away from the next row's: too far for the hardware to see them coming.
enum { ROWS_AHEAD = 12 };
INLINE void fetch_row(const void *p, int half, long at, long d, const int write) {
  const char *line = (const char *)p + at * (half ? 2 : 4);
  for (const char *end = line + d * (half ? 2 : 4); line < end; line += 64) {
    if (write)
      __builtin_prefetch(line, 1);
    else
      __builtin_prefetch(line, 0);
  }
}

// Rows [first, last) of a strided matrix, one head of it, into rows of pad(d), times scale, the rest zero.
static void ISA(gather)(float *to, const void *from, int half, long offset, long stride, long first, long last, long d, float scale) {
  const long width = pad(d);
  for (long r = first; r < last; r++, to += width) {
    long at = offset + r * stride, j = 0;
    if (r + ROWS_AHEAD < last) fetch_row(from, half, at + ROWS_AHEAD * stride, d, 0);
    if (half)
      for (; j + W <= d; j += W) store(to + j, load_half((const uint16_t *)from + at + j) * scale);
    else
      for (; j + W <= d; j += W) store(to + j, load((const float *)from + at + j) * scale);
    for (; j < d; j++) to[j] = element(from, half, at + j) * scale;
    for (; j < width; j++) to[j] = 0;
  }
}

// The same rows in panels, a panel floats apart.
static void ISA(gather_panels)(float *to, long panel, const void *from, int half, long offset, long stride, long first, long last, long d,
                               float scale) {
  for (long r = first; r < last; r++, to += PANEL) {
    const long at = offset + r * stride;
    if (r + ROWS_AHEAD < last) fetch_row(from, half, at + ROWS_AHEAD * stride, d, 0);
    float *y = to;
    for (long p = 0; p < d; p += PANEL, y += panel)
      for (long j = p; j < p + PANEL; j += W) {
        if (j + W <= d)
          store(y + j - p, (half ? load_half((const uint16_t *)from + at + j) : load((const float *)from + at + j)) * scale);
        else
          for (long i = j; i < j + W; i++) y[i - p] = i < d ? element(from, half, at + i) * scale : 0;
      }
  }
}

// The same rows transposed, in panels of PANEL rows, [d][PANEL] each.
static void ISA(transpose)(float *to, const void *from, int half, long offset, long stride, long rows, long d) {
  for (long t = 0; t < rows; t += PANEL, to += d * PANEL) {
    const long n = rows - t < PANEL ? rows - t : PANEL;
    for (long c = 0; c < PANEL; c += W) {
      long j = 0;
      for (long i = c + W; i < c + 2 * W && i < rows - t; i++) fetch_row(from, half, offset + (t + i) * stride, d, 0);
      for (; c + W <= n && j + W <= d; j += W) {
        vf square[W];
#pragma GCC unroll 16
        for (int i = 0; i < W; i++) {
          long at = offset + (t + c + i) * stride + j;
          square[i] = half ? load_half((const uint16_t *)from + at) : load((const float *)from + at);
        }
        transpose_square(square);
#pragma GCC unroll 16
        for (int i = 0; i < W; i++) store(to + (j + i) * PANEL + c, square[i]);
      }
      for (; j < d; j++)
        for (long i = c; i < c + W; i++) to[j * PANEL + i] = i < n ? element(from, half, offset + (t + i) * stride + j) : 0;
    }
  }
}

// Item = batch * heads + head. Layout of its part of `packed`: keys transposed in panels, then values in panels.
INLINE float *packed_item(const ensue_attention *a, long item) { return a->packed + item * pad(a->nk) * (a->d + pad(a->d)); }

static void ISA(attention_pack)(const ensue_attention *a, long item) {
  long b = item / a->heads, h = item % a->heads;
  float *keys = packed_item(a, item), *values = keys + pad(a->nk) * a->d;
  ISA(transpose)(keys, a->k, a->half, b * a->nk * a->k_stride + h * a->d, a->k_stride, a->nk, a->d);
  ISA(gather_panels)(values, pad(a->nk) * PANEL, a->v, a->half, b * a->nk * a->v_stride + h * a->d, a->v_stride, 0, a->nk, a->d, 1.f);
}

// Columns of a tile that must be computed for the keys before hi.
INLINE long whole_vectors(long hi) { return (hi + W - 1) / W * W; }

// The running softmax of some queries: largest score and sum of exponentials so far.
typedef struct {
  float max[ENSUE_QUERIES_PADDED], sum[ENSUE_QUERIES_PADDED];
} ISA(running);

// One step of it over the scores of a strip, which are in units of log 2: they become 2^(s - max), those of columns outside [lo, hi) next
// to nothing. shrink says by how much what was summed before must shrink.
static void ISA(softmax_step)(float *max, float *sum, float *shrink, float *scores, long row, long rows, long lo, long hi) {
  const long cols = whole_vectors(hi);
  for (long r = 0; r < rows; r++) {
    float *s = scores + r * row;
    for (long c = 0; c < lo; c++) s[c] = -__builtin_inff();
    for (long c = hi; c < cols; c++) s[c] = -__builtin_inff();
    vf m = load(s), n = m;
    long c = W;
    for (; c + 2 * W <= cols; c += 2 * W) m = VMAX(m, load(s + c)), n = VMAX(n, load(s + c + W));
    if (c < cols) m = VMAX(m, load(s + c));
    float top = max_lanes(VMAX(m, n)), before = max[r];
    max[r] = top > before ? top : before;
    shrink[r] = before - max[r];
  }
  // Before the first tile max is -infinity: the smallest number is left there instead of zero, times sums that are zero.
  for (long r = 0; r < rows; r += W) store(shrink + r, vexp2(load(shrink + r)));
  for (long r = 0; r < rows; r++) {
    float *s = scores + r * row;
    const float now = max[r];
    vf total = {0};
    long c = 0;
    for (; c + 4 * W <= cols; c += 4 * W) {
      vf e[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) e[i] = load(s + c + i * W) - now;
      vexp2_all(e, 4);
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        store(s + c + i * W, e[i]);
        total += e[i];
      }
    }
    for (; c < cols; c += W) {
      vf e = vexp2(load(s + c) - now);
      store(s + c, e);
      total += e;
    }
    sum[r] = sum[r] * shrink[r] + sum_lanes(total);
  }
}

// The queries of one tile: rows [first, last), which share one block, and the keys [lo, hi) that the block sees.
typedef struct {
  long first, last, lo, hi;
} ISA(span);

INLINE ISA(span) ISA(span_of)(const ensue_attention *a, long tile) {
  ISA(span) s;
  long rows = a->block > 0 ? a->block : a->nq + a->offset;
  // Tiles never straddle a block: count the tiles of the first, perhaps cut, block and of the whole ones.
  long head = rows - a->offset % rows;
  if (head > a->nq) head = a->nq;
  long head_tiles = (head + ENSUE_QUERIES - 1) / ENSUE_QUERIES, per_block = (rows + ENSUE_QUERIES - 1) / ENSUE_QUERIES;
  long start, length, part, parts;
  if (tile < head_tiles) {
    start = 0, length = head, part = tile, parts = head_tiles;
  } else {
    long b = (tile - head_tiles) / per_block;
    start = head + b * rows;
    length = a->nq - start < rows ? a->nq - start : rows;
    parts = (length + ENSUE_QUERIES - 1) / ENSUE_QUERIES;
    part = (tile - head_tiles) % per_block;
  }
  long each = (length + parts - 1) / parts;
  each = (each + MR - 1) / MR * MR;
  s.first = start + part * each;
  s.last = s.first + each < start + length ? s.first + each : start + length;
  if (s.first > s.last) s.first = s.last;
  s.lo = 0, s.hi = a->nk;
  if (a->block > 0) {
    long block = (start + a->offset) / a->block;
    s.hi = (block + 1) * a->block < a->nk ? (block + 1) * a->block : a->nk;
    s.lo = a->window > 0 && block + 1 > a->window ? (block + 1 - a->window) * a->block : 0;
    if (s.lo > s.hi) s.lo = s.hi;
  }
  return s;
}

static void ISA(attention_tile)(const ensue_attention *a, float *work, long item, long tile) {
  const ISA(span) s = ISA(span_of)(a, tile);
  const long d = a->d, width = pad(d), rows = s.last - s.first;
  if (rows <= 0) return;
  long b = item / a->heads, h = item % a->heads;
  const long strips = (rows + MR - 1) / MR, strip = strips ? (rows + strips - 1) / strips : 0;
  const float *keys = packed_item(a, item), *values = keys + pad(a->nk) * d;
  float *q = work, *o = q + ENSUE_QUERIES * width, *p = o + ENSUE_QUERIES * width, shrink[ENSUE_PAD];
  ISA(running) run;
  ISA(gather)(q, a->q, a->half, b * a->nq * a->q_stride + h * d, a->q_stride, s.first, s.last, d, a->scale * LOG2_E);
  for (long r = 0; r < ENSUE_QUERIES_PADDED; r++) run.max[r] = -__builtin_inff(), run.sum[r] = 0;
  __builtin_memset(o, 0, rows * width * sizeof *o);
  for (long t = s.lo / ENSUE_KEYS; t * ENSUE_KEYS < s.hi; t++) {
    const long base = t * ENSUE_KEYS;
    const long lo = s.lo > base ? s.lo - base : 0, hi = s.hi - base < ENSUE_KEYS ? s.hi - base : ENSUE_KEYS;
    // Strip by strip: a strip's scores stay in the innermost cache until they are used up.
    for (long r = 0; r < rows; r += strip) {
      const long n = rows - r < strip ? rows - r : strip;
      ISA(small_product)(n, whole_vectors(hi), d, q + r * width, width, 0, keys + base * d, d * PANEL, p, ENSUE_KEYS, NULL);
      ISA(softmax_step)(run.max + r, run.sum + r, shrink, p, ENSUE_KEYS, n, lo, hi);
      ISA(small_product)(n, width, hi - lo, p + lo, ENSUE_KEYS, 0, values + (base + lo) * PANEL, pad(a->nk) * PANEL,
                         o + r * width, width, shrink);
    }
  }
  for (long r = 0; r < rows; r++) {
    float inverse = run.sum[r] > 0 ? 1.f / run.sum[r] : 0.f;
    long at = (b * a->nq + s.first + r) * a->o_stride + h * d;
    if (a->half)
      for (long j = 0; j < d; j++) ((uint16_t *)a->o)[at + j] = float_to_half(o[r * width + j] * inverse);
    else
      for (long j = 0; j < d; j++) ((float *)a->o)[at + j] = o[r * width + j] * inverse;
    if (a->lse) a->lse[item * a->nq + s.first + r] = run.max[r] * LOG_2 + __builtin_logf(run.sum[r]);
  }
}

// Scatter rows of pad(d) back to a strided head, times scale.
static void ISA(scatter)(float *to, const float *from, long offset, long stride, long rows, long d, float scale, int accumulate) {
  const long width = pad(d);
  for (long r = 0; r < rows; r++) {
    float *y = to + offset + r * stride;
    const float *x = from + r * width;
    if (r + ROWS_AHEAD < rows) fetch_row(y, 0, ROWS_AHEAD * stride, d, 1);
    long j = 0;
    for (; j + W <= d; j += W) store(y + j, accumulate ? load(y + j) + load(x + j) * scale : load(x + j) * scale);
    for (; j < d; j++) y[j] = accumulate ? y[j] + x[j] * scale : x[j] * scale;
  }
}

static void ISA(attention_grad)(const ensue_attention_grad *g, float *work, long item) {
  const ensue_attention *a = &g->f;
  const long d = a->d, width = pad(d), padded = pad(a->nk);
  long b = item / a->heads, h = item % a->heads;
  float *keys_t = work, *values_t = keys_t + padded * d, *keys = values_t + padded * d;
  float *dk = keys + padded * width, *dv = dk + padded * width;
  float *q = dv + padded * width, *dout = q + ENSUE_QUERIES * width, *dq = dout + ENSUE_QUERIES * width;
  float *q_panels = dq + ENSUE_QUERIES * width, *dout_panels = q_panels + ENSUE_QUERIES * width;
  float *p = dout_panels + ENSUE_QUERIES * width, *dp = p + ENSUE_QUERIES * ENSUE_KEYS;
  float one[ENSUE_KEYS], dot[ENSUE_QUERIES]; // ENSUE_KEYS is the larger of the two
  for (long r = 0; r < ENSUE_KEYS; r++) one[r] = 1;
  long k_at = b * a->nk * a->k_stride + h * d, v_at = b * a->nk * a->v_stride + h * d;
  ISA(transpose)(keys_t, a->k, 0, k_at, a->k_stride, a->nk, d);
  ISA(transpose)(values_t, a->v, 0, v_at, a->v_stride, a->nk, d);
  ISA(gather_panels)(keys, padded * PANEL, a->k, 0, k_at, a->k_stride, 0, a->nk, d, 1.f);
  __builtin_memset(dk, 0, 2 * padded * width * sizeof *dk);
  const long tiles = ensue_attention_tiles(a);
  for (long tile = 0; tile < tiles; tile++) {
    const ISA(span) s = ISA(span_of)(a, tile);
    const long rows = s.last - s.first;
    if (rows <= 0) continue;
    const long q_at = b * a->nq * a->q_stride + h * d, dout_at = b * a->nq * g->dout_stride + h * d;
    ISA(gather)(q, a->q, 0, q_at, a->q_stride, s.first, s.last, d, a->scale);
    ISA(gather)(dout, g->dout, 0, dout_at, g->dout_stride, s.first, s.last, d, 1.f);
    ISA(gather_panels)(q_panels, ENSUE_QUERIES * PANEL, a->q, 0, q_at, a->q_stride, s.first, s.last, d, a->scale);
    ISA(gather_panels)(dout_panels, ENSUE_QUERIES * PANEL, g->dout, 0, dout_at, g->dout_stride, s.first, s.last, d, 1.f);
    for (long r = 0; r < rows; r++) {
      const float *o = (const float *)a->o + (b * a->nq + s.first + r) * a->o_stride + h * d, *up = dout + r * width;
      if (r + ROWS_AHEAD < rows) fetch_row(o, 0, ROWS_AHEAD * a->o_stride, d, 0);
      vf sum = {0};
      long j = 0;
      for (; j + W <= d; j += W) sum += load(o + j) * load(up + j);
      dot[r] = sum_lanes(sum);
      for (; j < d; j++) dot[r] += o[j] * up[j];
    }
    __builtin_memset(dq, 0, rows * width * sizeof *dq);
    for (long t = s.lo / ENSUE_KEYS; t * ENSUE_KEYS < s.hi; t++) {
      long base = t * ENSUE_KEYS;
      long lo = s.lo > base ? s.lo - base : 0, hi = s.hi - base < ENSUE_KEYS ? s.hi - base : ENSUE_KEYS, n = hi - lo;
      const long cols = whole_vectors(hi);
      ISA(small_product)(rows, cols, d, q, width, 0, keys_t + base * d, d * PANEL, p, ENSUE_KEYS, NULL);
      ISA(small_product)(rows, cols, d, dout, width, 0, values_t + base * d, d * PANEL, dp, ENSUE_KEYS, NULL);
      for (long r = 0; r < rows; r++) {
        const float lse = a->lse[item * a->nq + s.first + r] * LOG2_E;
        for (long c = 0; c < cols; c += W) {
          vf e = vexp2(load(p + r * ENSUE_KEYS + c) * LOG2_E - lse);
          store(p + r * ENSUE_KEYS + c, e);
          store(dp + r * ENSUE_KEYS + c, e * (load(dp + r * ENSUE_KEYS + c) - dot[r]));
        }
      }
      ISA(small_product)(rows, width, n, dp + lo, ENSUE_KEYS, 0, keys + (base + lo) * PANEL, padded * PANEL, dq, width, one);
      ISA(small_product)(n, width, rows, p + lo, ENSUE_KEYS, 1, dout_panels, ENSUE_QUERIES * PANEL, dv + (base + lo) * width, width, one);
      ISA(small_product)(n, width, rows, dp + lo, ENSUE_KEYS, 1, q_panels, ENSUE_QUERIES * PANEL, dk + (base + lo) * width, width, one);
    }
    ISA(scatter)(g->dq, dq, (b * a->nq + s.first) * g->dq_stride + h * d, g->dq_stride, rows, d, a->scale, g->accumulate);
  }
  ISA(scatter)(g->dk, dk, b * a->nk * g->dk_stride + h * d, g->dk_stride, a->nk, d, 1.f, g->accumulate);
  ISA(scatter)(g->dv, dv, b * a->nk * g->dv_stride + h * d, g->dv_stride, a->nk, d, 1.f, g->accumulate);
}
