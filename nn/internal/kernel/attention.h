// Attention in tiles (Dao et al. 2022, FlashAttention; Milakov & Gimelshein 2018 for the running softmax). Written once, compiled for
// each instruction set. The result of a row depends on its own query and the keys it sees only, in the order of the keys: bit for bit
// the same whatever other rows are computed with it, and whatever later keys hold.

// c[i][j] = keep[i] * c[i][j] + sum over k of a[i*a_row + k*a_col] * b[k*b_row + j], for mr rows and nv vectors; keep NULL: start at
// zero.
INLINE void ISA(tile)(const int mr, const int nv, long depth, const float *a, long a_row, long a_col, const float *b, long b_row, float *c,
                      long c_row, const float *keep) {
  vf sum[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < mr; i++)
#pragma GCC unroll 16
    for (int j = 0; j < nv; j++) sum[i][j] = keep ? load(c + i * c_row + j * W) * keep[i] : (vf){0};
  for (long k = 0; k < depth; k++) {
    vf row[NV];
#pragma GCC unroll 16
    for (int j = 0; j < nv; j++) row[j] = load(b + k * b_row + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
      vf x = splat(a[i * a_row + k * a_col]);
#pragma GCC unroll 16
      for (int j = 0; j < nv; j++) sum[i][j] += x * row[j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < mr; i++)
#pragma GCC unroll 16
    for (int j = 0; j < nv; j++) store(c + i * c_row + j * W, sum[i][j]);
}

#define ENSUE_TILE(m, n)                                                    \
  case (m) * 8 + (n):                                                       \
    ISA(tile)(m, n, depth, a, a_row, a_col, b, b_row, c, c_row, keep);      \
    break;
#if NV == 4
#define ENSUE_TILES(m) ENSUE_TILE(m, 1) ENSUE_TILE(m, 2) ENSUE_TILE(m, 3) ENSUE_TILE(m, 4)
#else
#define ENSUE_TILES(m) ENSUE_TILE(m, 1) ENSUE_TILE(m, 2)
#endif

// A product of small matrices: cols is a multiple of W, the arrays are padded to it.
static __attribute__((noinline)) void ISA(small_product)(long rows, long cols, long depth, const float *a0, long a_row, long a_col,
                                                         const float *b0, long b_row, float *c0, long c_row, const float *keep0) {
  for (long j = 0; j < cols; j += NV * W) {
    int n = (cols - j) / W < NV ? (int)((cols - j) / W) : NV;
    for (long i = 0; i < rows; i += MR) {
      int m = rows - i < MR ? (int)(rows - i) : MR;
      const float *a = a0 + i * a_row, *b = b0 + j, *keep = keep0 ? keep0 + i : NULL;
      float *c = c0 + i * c_row + j;
      switch (m * 8 + n) {
        ENSUE_TILES(1)
        ENSUE_TILES(2)
        ENSUE_TILES(3)
        ENSUE_TILES(4)
        ENSUE_TILES(5)
        ENSUE_TILES(6)
      }
    }
  }
}
#undef ENSUE_TILE
#undef ENSUE_TILES

#define LOG2_E 1.44269504088896341f
#define LOG_2 0.69314718055994531f

INLINE long pad(long n) { return (n + ENSUE_PAD - 1) / ENSUE_PAD * ENSUE_PAD; }
INLINE long key_tiles(const ensue_attention *a) { return (a->nk + ENSUE_KEYS - 1) / ENSUE_KEYS; }

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

// The same rows transposed: tiles of ENSUE_KEYS keys, each [d][ENSUE_KEYS], so that scores are computed for W keys at a time.
static void ISA(transpose)(float *to, const void *from, int half, long offset, long stride, long rows, long d) {
  for (long t = 0; t < rows; t += ENSUE_KEYS, to += d * ENSUE_KEYS) {
    const long n = rows - t < ENSUE_KEYS ? rows - t : ENSUE_KEYS;
    for (long c = 0; c < ENSUE_KEYS; c += W) {
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
        for (int i = 0; i < W; i++) store(to + (j + i) * ENSUE_KEYS + c, square[i]);
      }
      for (; j < d; j++)
        for (long i = c; i < c + W; i++)
          to[j * ENSUE_KEYS + i] = i < n ? element(from, half, offset + (t + i) * stride + j) : 0;
    }
  }
}

// Item = batch * heads + head. Layout of its part of `packed`: keys in transposed tiles, then values in padded rows.
INLINE float *packed_item(const ensue_attention *a, long item) {
  return a->packed + item * key_tiles(a) * ENSUE_KEYS * (a->d + pad(a->d));
}

static void ISA(attention_pack)(const ensue_attention *a, long item) {
  long b = item / a->heads, h = item % a->heads;
  float *keys = packed_item(a, item), *values = keys + key_tiles(a) * ENSUE_KEYS * a->d;
  ISA(transpose)(keys, a->k, a->half, b * a->nk * a->k_stride + h * a->d, a->k_stride, a->nk, a->d);
  ISA(gather)(values, a->v, a->half, b * a->nk * a->v_stride + h * a->d, a->v_stride, 0, a->nk, a->d, 1.f);
}

// Columns of a tile that must be computed for the keys before hi.
INLINE long whole_vectors(long hi) { return (hi + W - 1) / W * W; }

// Scores of some queries with the first cols keys of a tile.
INLINE void ISA(scores)(float *s, const float *q, const float *keys, long rows, long cols, long d) {
  ISA(small_product)(rows, cols, d, q, pad(d), 1, keys, ENSUE_KEYS, s, ENSUE_KEYS, NULL);
}

// One step of the running softmax over a tile of scores, which are in units of log 2: they become 2^(s - max), columns outside [lo, hi)
// zero. shrink says by how much what was summed before must shrink.
typedef struct {
  float max[ENSUE_QUERIES_PADDED], sum[ENSUE_QUERIES_PADDED], shrink[ENSUE_QUERIES_PADDED];
} ISA(running);

static void ISA(softmax_step)(ISA(running) * run, float *scores, long rows, long lo, long hi) {
  const long cols = whole_vectors(hi);
  for (long r = 0; r < rows; r++) {
    float *s = scores + r * ENSUE_KEYS;
    for (long c = 0; c < lo; c++) s[c] = -__builtin_inff();
    for (long c = hi; c < cols; c++) s[c] = -__builtin_inff();
    vf m = load(s);
    for (long c = W; c < cols; c += W) m = VMAX(m, load(s + c));
    float top = max_lanes(m), before = run->max[r];
    run->max[r] = top > before ? top : before;
    run->shrink[r] = before - run->max[r];
  }
  // Before the first tile max is -infinity: the smallest number is left there instead of zero, times sums that are zero.
  for (long r = 0; r < rows; r += W) store(run->shrink + r, vexp2(load(run->shrink + r)));
  for (long r = 0; r < rows; r++) {
    float *s = scores + r * ENSUE_KEYS;
    const float now = run->max[r];
    vf total = {0};
    for (long c = 0; c < cols; c += W) store(s + c, vexp2(load(s + c) - now));
    for (long c = 0; c < lo; c++) s[c] = 0;
    for (long c = hi; c < cols; c++) s[c] = 0;
    for (long c = 0; c < cols; c += W) total += load(s + c);
    run->sum[r] = run->sum[r] * run->shrink[r] + sum_lanes(total);
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
  const float *keys = packed_item(a, item), *values = keys + key_tiles(a) * ENSUE_KEYS * d;
  float *q = work, *o = q + ENSUE_QUERIES * width, *p = o + ENSUE_QUERIES * width;
  ISA(running) run;
  ISA(gather)(q, a->q, a->half, b * a->nq * a->q_stride + h * d, a->q_stride, s.first, s.last, d, a->scale * LOG2_E);
  for (long r = 0; r < ENSUE_QUERIES_PADDED; r++) run.max[r] = -__builtin_inff(), run.sum[r] = 0, run.shrink[r] = 0;
  __builtin_memset(o, 0, rows * width * sizeof *o);
  for (long t = s.lo / ENSUE_KEYS; t * ENSUE_KEYS < s.hi; t++) {
    long base = t * ENSUE_KEYS;
    long lo = s.lo > base ? s.lo - base : 0, hi = s.hi - base < ENSUE_KEYS ? s.hi - base : ENSUE_KEYS;
    ISA(scores)(p, q, keys + t * ENSUE_KEYS * d, rows, whole_vectors(hi), d);
    ISA(softmax_step)(&run, p, rows, lo, hi);
    ISA(small_product)(rows, width, hi - lo, p + lo, ENSUE_KEYS, 1, values + (base + lo) * width, width, o, width, run.shrink);
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
  const long d = a->d, width = pad(d), padded = key_tiles(a) * ENSUE_KEYS;
  long b = item / a->heads, h = item % a->heads;
  float *keys_t = work, *values_t = keys_t + padded * d, *keys = values_t + padded * d;
  float *dk = keys + padded * width, *dv = dk + padded * width;
  float *q = dv + padded * width, *dout = q + ENSUE_QUERIES * width, *dq = dout + ENSUE_QUERIES * width;
  float *p = dq + ENSUE_QUERIES * width, *dp = p + ENSUE_QUERIES * ENSUE_KEYS;
  float one[ENSUE_KEYS], dot[ENSUE_QUERIES]; // ENSUE_KEYS is the larger of the two
  for (long r = 0; r < ENSUE_KEYS; r++) one[r] = 1;
  long k_at = b * a->nk * a->k_stride + h * d, v_at = b * a->nk * a->v_stride + h * d;
  ISA(transpose)(keys_t, a->k, 0, k_at, a->k_stride, a->nk, d);
  ISA(transpose)(values_t, a->v, 0, v_at, a->v_stride, a->nk, d);
  ISA(gather)(keys, a->k, 0, k_at, a->k_stride, 0, a->nk, d, 1.f);
  __builtin_memset(dk, 0, 2 * padded * width * sizeof *dk);
  const long tiles = ensue_attention_tiles(a);
  for (long tile = 0; tile < tiles; tile++) {
    const ISA(span) s = ISA(span_of)(a, tile);
    const long rows = s.last - s.first;
    if (rows <= 0) continue;
    ISA(gather)(q, a->q, 0, b * a->nq * a->q_stride + h * d, a->q_stride, s.first, s.last, d, a->scale);
    ISA(gather)(dout, g->dout, 0, b * a->nq * g->dout_stride + h * d, g->dout_stride, s.first, s.last, d, 1.f);
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
      ISA(scores)(p, q, keys_t + base * d, rows, cols, d);
      ISA(scores)(dp, dout, values_t + base * d, rows, cols, d);
      for (long r = 0; r < rows; r++) {
        const float lse = a->lse[item * a->nq + s.first + r] * LOG2_E;
        for (long c = 0; c < cols; c += W) {
          vf e = vexp2(load(p + r * ENSUE_KEYS + c) * LOG2_E - lse);
          store(p + r * ENSUE_KEYS + c, e);
          store(dp + r * ENSUE_KEYS + c, e * (load(dp + r * ENSUE_KEYS + c) - dot[r]));
        }
      }
      ISA(small_product)(rows, width, n, dp + lo, ENSUE_KEYS, 1, keys + (base + lo) * width, width, dq, width, one);
      ISA(small_product)(n, width, rows, p + lo, 1, ENSUE_KEYS, dout, width, dv + (base + lo) * width, width, one);
      ISA(small_product)(n, width, rows, dp + lo, 1, ENSUE_KEYS, q, width, dk + (base + lo) * width, width, one);
    }
    ISA(scatter)(g->dq, dq, (b * a->nq + s.first) * g->dq_stride + h * d, g->dq_stride, rows, d, a->scale, g->accumulate);
  }
  ISA(scatter)(g->dk, dk, b * a->nk * g->dk_stride + h * d, g->dk_stride, a->nk, d, 1.f, g->accumulate);
  ISA(scatter)(g->dv, dv, b * a->nk * g->dv_stride + h * d, g->dv_stride, a->nk, d, 1.f, g->accumulate);
}
