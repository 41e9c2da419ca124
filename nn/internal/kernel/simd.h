// Vectors of W floats by GCC's vector extension: the same source gives AVX-512, AVX2 and portable code. Included once for each isa_*.c,
// with W, MR, NV,
// ISA(name), VMAX, VMIN, VSQRT, LANES and the two reductions defined.

typedef float vf __attribute__((vector_size(4 * W)));
typedef int32_t vi __attribute__((vector_size(4 * W)));
typedef uint32_t vu __attribute__((vector_size(4 * W)));
typedef uint16_t vh __attribute__((vector_size(2 * W)));

#define INLINE static inline __attribute__((always_inline))

INLINE vf load(const float *p) {
  vf v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
INLINE void store(float *p, vf v) { __builtin_memcpy(p, &v, sizeof v); }
INLINE vf splat(float x) { return x - (vf){0}; }
INLINE float sum_lanes(vf v) { return SUM_LANES(v); }
INLINE float max_lanes(vf v) { return MAX_LANES(v); }

// bfloat16 is the upper half of a float32; narrowing rounds to the nearest, ties to even. A NaN stays one.
INLINE vf load_half(const uint16_t *p) {
  vh h;
  __builtin_memcpy(&h, p, sizeof h);
  return (vf)(__builtin_convertvector(h, vu) << 16);
}
INLINE void store_half(uint16_t *p, vf v) {
  vu u = (vu)v;
  vu nan = (vu)(v != v);
  vu rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  vh h = __builtin_convertvector((rounded & ~nan) | (0x7fc0u & nan), vh);
  __builtin_memcpy(p, &h, sizeof h);
}
INLINE float half_to_float(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float f;
  __builtin_memcpy(&f, &u, sizeof f);
  return f;
}
INLINE uint16_t float_to_half(float f) {
  uint32_t u;
  __builtin_memcpy(&u, &f, sizeof u);
  if (f != f) return 0x7fc0;
  return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

// e^x, relative error below 2e-7 (Cephes' expf). Below -87.3 the result stays at the smallest normal number.
INLINE vf vexp(vf x) {
  x = VMIN(VMAX(x, splat(-87.3f)), splat(88.3f));
  vf shifted = x * 1.44269504088896341f + 12582912.f; // the whole number nearest to x / ln 2 lands in the lowest bits
  vf whole = shifted - 12582912.f;
  vf r = x - whole * 0.693359375f;
  r = r - whole * -2.12194440e-4f;
  vf p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.f;
  return p * (vf)(((vi)shifted << 23) + 0x3f800000);
}

// 2^x for x <= 0 of n vectors, relative error below 3e-7 (minimax polynomial of degree 5 on [-1/2, 1/2]). Below -126 the result stays at
// the smallest normal number. The vectors go side by side: one alone would wait for itself at every step.
INLINE void vexp2_all(vf *x, const int n) {
  vf r[8], p[8];
#define EACH _Pragma("GCC unroll 8") for (int i = 0; i < n; i++)
  EACH x[i] = VMAX(x[i], splat(-126.f));
  EACH p[i] = x[i] + 12582912.f; // the whole number nearest to x lands in the lowest bits
  EACH r[i] = p[i] - 12582912.f;
  EACH r[i] = x[i] - r[i];
  EACH x[i] = (vf)((vi)p[i] << 23);
  EACH p[i] = r[i] * 1.327647197947940e-3f + 9.675541334216184e-3f;
  EACH p[i] = p[i] * r[i] + 5.550713273542589e-2f;
  EACH p[i] = p[i] * r[i] + 2.402211972384848e-1f;
  EACH p[i] = p[i] * r[i] + 6.931469670647331e-1f;
  EACH p[i] = p[i] * r[i] + 1.f;
  EACH x[i] = (vf)((vi)p[i] + (vi)x[i]);
#undef EACH
}

INLINE vf vexp2(vf x) {
  vexp2_all(&x, 1);
  return x;
}

// Orders of lanes, as constants: LANES(f, bit) is {f(bit, 0), f(bit, 1), …}.
#define FLIP(bit, k) ((k) ^ (bit))
#define UPPER(bit, k) ((k) & (bit) ? W + ((k) ^ (bit)) : (k))
#define LOWER(bit, k) ((k) & (bit) ? W + (k) : (k) ^ (bit))

INLINE void transpose_stage(vf row[W], const int bit, vi upper, vi lower) {
#pragma GCC unroll 16
  for (int i = 0; i < W; i++) {
    if (i & bit) continue;
    vf a = row[i], b = row[i + bit];
    row[i] = __builtin_shuffle(a, b, upper);
    row[i + bit] = __builtin_shuffle(a, b, lower);
  }
}

// A square of W rows of W floats, transposed: stage by stage, one bit of the row's number changes places with the same bit of the lane's.
INLINE void transpose_square(vf row[W]) {
#if W > 8
  transpose_stage(row, 8, (vi)LANES(UPPER, 8), (vi)LANES(LOWER, 8));
#endif
#if W > 4
  transpose_stage(row, 4, (vi)LANES(UPPER, 4), (vi)LANES(LOWER, 4));
#endif
  transpose_stage(row, 2, (vi)LANES(UPPER, 2), (vi)LANES(LOWER, 2));
  transpose_stage(row, 1, (vi)LANES(UPPER, 1), (vi)LANES(LOWER, 1));
}

// erf(x), the rational approximation that Eigen and XLA use (error of a few units in the last place).
INLINE vf verf(vf x) {
  x = VMIN(VMAX(x, splat(-4.f)), splat(4.f));
  vf s = x * x;
  vf a = splat(-2.72614225801306e-10f);
  a = a * s + 2.77068142495902e-08f;
  a = a * s + -2.10102402082508e-06f;
  a = a * s + -5.69250639462346e-05f;
  a = a * s + -7.34990630326855e-04f;
  a = a * s + -2.95459980854025e-03f;
  a = a * s + -1.60960333262415e-02f;
  vf b = splat(-1.45660718464996e-05f);
  b = b * s + -2.13374055278905e-04f;
  b = b * s + -1.68282697438203e-03f;
  b = b * s + -7.37332916720468e-03f;
  b = b * s + -1.42647390514189e-02f;
  vf e = x * a / b;
  return VMIN(VMAX(e, splat(-1.f)), splat(1.f));
}

// The first n < W values of p, the others `fill`: for the end of a row.
INLINE vf load_part(const float *p, long n, float fill) {
  vf v = splat(fill);
  for (long i = 0; i < n; i++) v[i] = p[i];
  return v;
}
INLINE void store_part(float *p, vf v, long n) {
  for (long i = 0; i < n; i++) p[i] = v[i];
}
