// Products of matrices: y [m, n] (+)= x [m, k] w [k, n]. Weights lie in panels of PV vectors of columns, [k][PV*W] each, so that a tile of PR
// rows walks through one of them in order. Every element is a sum in the order of k, in one chain a block of k: its bits depend on its row
// of x and its column of w only, whatever other rows are multiplied with it, by whichever thread.

// What a tile walks through: lines of depth places, one after the other in b, a_line apart in x. Rows of x lie a_row apart.
typedef struct {
  long depth, lines, a_row, a_line;
} ISA(tile_walk);

// The sums of a tile: sum[i][j] = sum over k of a(i, k) * b[k][j]. With panels x lies in [k][PR]. ahead is fetched into the cache meanwhile.
INLINE void ISA(tile_sums)(const int mr, const int nv, const int panels, vf sum[PR][PV], const ISA(tile_walk) * walk, const float *a,
                           const float *b, const char *ahead) {
  const long depth = walk->depth, a_row = walk->a_row;
#pragma GCC unroll 16
  for (int i = 0; i < mr; i++)
#pragma GCC unroll 16
    for (int j = 0; j < nv; j++) sum[i][j] = (vf){0};
  for (long line = 0; line < walk->lines; line++, a += walk->a_line, b += depth * (PV * W), ahead += 16 * depth) {
#pragma GCC unroll 4
    for (long k = 0; k < depth; k++) {
      vf row[PV];
      if (k % 4 == 0) __builtin_prefetch(ahead + 16 * k, 0, 2);
#pragma GCC unroll 16
      for (int j = 0; j < nv; j++) row[j] = load(b + k * (PV * W) + j * W);
#pragma GCC unroll 16
      for (int i = 0; i < mr; i++) {
        vf x = splat(panels ? a[k * PR + i] : a[i * a_row + k]);
#pragma GCC unroll 16
        for (int j = 0; j < nv; j++) sum[i][j] += x * row[j];
      }
    }
  }
}

// What happens to the sums of a tile: added to what is there, to the bias, GELU. What is there lies at c + keep_at; where before_at is not 0
// the argument of GELU goes to c + before_at; where slope_at is not 0 the result is multiplied by GELU's derivative at c + slope_at.
typedef struct {
  const float *bias;
  int keep, gelu;
  ptrdiff_t keep_at, before_at, slope_at;
} ISA(tile_end);

static __attribute__((noinline)) void ISA(tile_slope)(int mr, int nv, float *c, long c_row, ptrdiff_t at) {
  for (int i = 0; i < mr; i++)
    for (int j = 0; j < nv; j++) {
      float *to = c + i * c_row + j * W;
      store(to, load(to) * ISA(gelu_slope)(load(to + at)));
    }
}

typedef void ISA(tile_function)(const ISA(tile_walk) * walk, const float *a, const float *b, const char *ahead, float *c, long c_row,
                                const ISA(tile_end) * end);

#define ENSUE_TILE(mr, nv, panels)                                                                                                  \
  static __attribute__((noinline)) void ISA(tile_##mr##_##nv##_##panels)(const ISA(tile_walk) * walk, const float *a, const float *b,\
                                                                         const char *ahead, float *c, long c_row,                   \
                                                                         const ISA(tile_end) * end) {                               \
    vf sum[PR][PV];                                                                                                                 \
    ISA(tile_sums)(mr, nv, panels, sum, walk, a, b, ahead);                                                                         \
    _Pragma("GCC unroll 16") for (int i = 0; i < mr; i++) {                                                                         \
      if (end->keep) _Pragma("GCC unroll 16") for (int j = 0; j < nv; j++) sum[i][j] += load(c + end->keep_at + i * c_row + j * W); \
      if (end->bias) _Pragma("GCC unroll 16") for (int j = 0; j < nv; j++) sum[i][j] += load(end->bias + j * W);                    \
      if (end->before_at) _Pragma("GCC unroll 16") for (int j = 0; j < nv; j++) store(c + end->before_at + i * c_row + j * W, sum[i][j]); \
      if (end->gelu) _Pragma("GCC unroll 16") for (int j = 0; j < nv; j++) sum[i][j] = ISA(gelu_of)(sum[i][j]);                     \
      _Pragma("GCC unroll 16") for (int j = 0; j < nv; j++) store(c + i * c_row + j * W, sum[i][j]);                                \
    }                                                                                                                               \
    if (end->slope_at) ISA(tile_slope)(mr, nv, c, c_row, end->slope_at);                                                            \
  }
#if PV == 3
#define ENSUE_TILE_ROW(mr) ENSUE_TILE(mr, 1, 0) ENSUE_TILE(mr, 2, 0) ENSUE_TILE(mr, 3, 0) \
  ENSUE_TILE(mr, 1, 1) ENSUE_TILE(mr, 2, 1) ENSUE_TILE(mr, 3, 1)
#define ENSUE_NAMES(mr, panels) {ISA(tile_##mr##_1_##panels), ISA(tile_##mr##_2_##panels), ISA(tile_##mr##_3_##panels)}
#else
#define ENSUE_TILE_ROW(mr) ENSUE_TILE(mr, 1, 0) ENSUE_TILE(mr, 2, 0) ENSUE_TILE(mr, 1, 1) ENSUE_TILE(mr, 2, 1)
#define ENSUE_NAMES(mr, panels) {ISA(tile_##mr##_1_##panels), ISA(tile_##mr##_2_##panels)}
#endif
ENSUE_TILE_ROW(1)
ENSUE_TILE_ROW(2)
ENSUE_TILE_ROW(3)
ENSUE_TILE_ROW(4)
ENSUE_TILE_ROW(5)
ENSUE_TILE_ROW(6)
#if PR == 8
ENSUE_TILE_ROW(7)
ENSUE_TILE_ROW(8)
#define ENSUE_ALL_NAMES(p)                                                                                            \
  {ENSUE_NAMES(1, p), ENSUE_NAMES(2, p), ENSUE_NAMES(3, p), ENSUE_NAMES(4, p), ENSUE_NAMES(5, p), ENSUE_NAMES(6, p), \
   ENSUE_NAMES(7, p), ENSUE_NAMES(8, p)}
#else
#define ENSUE_ALL_NAMES(p) \
  {ENSUE_NAMES(1, p), ENSUE_NAMES(2, p), ENSUE_NAMES(3, p), ENSUE_NAMES(4, p), ENSUE_NAMES(5, p), ENSUE_NAMES(6, p)}
#endif
static ISA(tile_function) *const ISA(tiles)[2][PR][PV] = {ENSUE_ALL_NAMES(0), ENSUE_ALL_NAMES(1)};
#undef ENSUE_TILE
#undef ENSUE_TILE_ROW
#undef ENSUE_NAMES
#undef ENSUE_ALL_NAMES

// A tile whose last vector reaches over the end of y's rows goes through a tile of its own.
static __attribute__((noinline)) void ISA(ragged_tile)(int rows, long cols, int panels, const ISA(tile_walk) * walk, const float *a,
                                                       const float *b, float *c, long c_row, const ISA(tile_end) * end) {
  enum { SIZE = PR * PV * W };
  float own[4 * SIZE], bias[PV * W]; // the result, what is kept, what GELU is of, where its derivative is taken
  ISA(tile_end) inner = {end->bias, end->keep, end->gelu, SIZE, end->before_at ? 2 * SIZE : 0, end->slope_at ? 3 * SIZE : 0};
  for (long j = 0; j < PV * W; j++) bias[j] = end->bias && j < cols ? end->bias[j] : 0;
  if (end->bias) inner.bias = bias;
  for (int i = 0; i < rows; i++)
    for (long j = 0; j < PV * W; j++) {
      if (end->keep) own[SIZE + i * PV * W + j] = j < cols ? c[end->keep_at + i * c_row + j] : 0;
      if (end->slope_at) own[3 * SIZE + i * PV * W + j] = j < cols ? c[end->slope_at + i * c_row + j] : 0;
    }
  ISA(tiles)[panels][rows - 1][(cols - 1) / W](walk, a, b, (const char *)b, own, PV * W, &inner);
  for (int i = 0; i < rows; i++)
    for (long j = 0; j < cols; j++) {
      c[i * c_row + j] = own[i * PV * W + j];
      if (end->before_at) c[end->before_at + i * c_row + j] = own[2 * SIZE + i * PV * W + j];
    }
}

INLINE void ISA(any_tile)(int rows, long cols, int panels, const ISA(tile_walk) * walk, const float *a, const float *b, const char *ahead,
                          float *c, long c_row, const ISA(tile_end) * end) {
  if (cols % W)
    ISA(ragged_tile)(rows, cols, panels, walk, a, b, c, c_row, end);
  else
    ISA(tiles)[panels][rows - 1][cols / W - 1](walk, a, b, ahead, c, c_row, end);
}

// Rows [first, last) of the panels [from, to). Tiles begin at multiples of PR.
static void ISA(product)(const ensue_product *p, long first, long last, long from, long to) {
  const long block = ensue_depth_block(p->k);
  for (long k = 0; k == 0 || k < p->k; k += block) {
    const long depth = p->k - k < block ? p->k - k : block;
    const ISA(tile_walk) walk = {depth, 1, p->x_row, 0};
    for (long panel = from; panel < to; panel++) {
      const long column = panel * PV * W, cols = p->n - column < PV * W ? p->n - column : PV * W;
      const float *b = p->w + panel * p->k * PV * W + k * PV * W;
      const int whole = k + block >= p->k;
      const ISA(tile_end) end = {
          k == 0 && p->bias ? p->bias + column : NULL, k > 0 || p->sum || p->residual, p->gelu && whole,
          k == 0 && p->residual ? p->residual - p->y : 0, whole && p->before ? p->before - p->y : 0, whole && p->slope ? p->slope - p->y : 0,
      };
      const char *ahead = (const char *)(panel + 1 < to ? b + p->k * PV * W : b);
      for (long row = first; row < last; row += PR) {
        const int rows = last - row < PR ? (int)(last - row) : PR;
        const float *a = p->panels ? p->x + row * p->k + k * PR : p->x + row * p->x_row + k;
        float *c = p->y + row * p->y_row + column;
        ISA(any_tile)(rows, cols, p->panels, &walk, a, b, ahead, c, p->y_row, &end);
        if (panel + 1 < to) ahead += 16 * depth;
      }
    }
  }
}

// Panels [first, last) of weights w [k, n], stored as rows of n, or of k with transposed.
static void ISA(pack)(const ensue_pack *p, long first, long last) {
  for (long panel = first; panel < last; panel++) {
    float *to = p->to + panel * p->k * PV * W;
    const long column = panel * PV * W, cols = p->n - column < PV * W ? p->n - column : PV * W;
    if (!p->transposed) {
      for (long k = 0; k < p->k; k++, to += PV * W) {
        const float *from = p->from + k * p->n + column;
        long j = 0;
        for (; j + W <= cols; j += W) store(to + j, load(from + j));
        for (; j < cols; j++) to[j] = from[j];
        for (; j < PV * W; j++) to[j] = 0;
      }
      continue;
    }
    for (long j = 0; j < PV * W; j += W) {
      long k = 0;
      for (; j + W <= cols && k + W <= p->k; k += W) {
        vf square[W];
#pragma GCC unroll 16
        for (int i = 0; i < W; i++) square[i] = load(p->from + (column + j + i) * p->k + k);
        transpose_square(square);
#pragma GCC unroll 16
        for (int i = 0; i < W; i++) store(to + (k + i) * PV * W + j, square[i]);
      }
      for (; k < p->k; k++)
        for (long i = j; i < j + W; i++) to[k * PV * W + i] = i < cols ? p->from[(column + i) * p->k + k] : 0;
    }
  }
}

// Panels of PR columns [first, last) of x [k, m], which become the rows of a product: [k][PR] each. Whole vectors are moved, over the end
// of a row of PR where W does not divide it, which the next row then mends: so not in the last row, nor where x ends.
static void ISA(pack_rows)(const ensue_pack *p, long first, long last) {
  enum { VECTORS = (PR + W - 1) / W };
  for (long panel = first; panel < last; panel++) {
    float *to = p->to + panel * p->k * PR, sums[VECTORS * W];
    const float *from = p->from + panel * PR;
    const long rows = p->n - panel * PR < PR ? p->n - panel * PR : PR;
    long k = 0;
    vf sum[VECTORS];
    for (int j = 0; j < VECTORS; j++) sum[j] = (vf){0};
    if (rows == PR)
      for (; k + 1 < p->k; k++, to += PR, from += p->n)
#pragma GCC unroll 4
        for (int j = 0; j < VECTORS; j++) {
          vf v = load(from + j * W);
          store(to + j * W, v);
          sum[j] += v;
        }
    for (int j = 0; j < VECTORS; j++) store(sums + j * W, sum[j]);
    for (; k < p->k; k++, to += PR, from += p->n)
      for (long i = 0; i < PR; i++) {
        to[i] = i < rows ? from[i] : 0;
        sums[i] += to[i];
      }
    if (p->sum)
      for (long i = 0; i < rows; i++) {
        float *s = p->sum + panel * PR + i;
        *s = p->add ? *s + sums[i] : sums[i];
      }
  }
}
