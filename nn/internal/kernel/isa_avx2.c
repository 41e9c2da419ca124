//go:build cgo && linux && !purego

// Eight floats at a time, 16 registers: tiles of 6 x 2 vectors.
#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi2")
static inline __attribute__((always_inline)) float sum8(__m256 v) {
  __m128 a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  a = _mm_add_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)));
}
static inline __attribute__((always_inline)) float max8(__m256 v) {
  __m128 a = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  a = _mm_max_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)));
}

#define W 8
#define MR 6
#define NV 2
#define PR 6
#define PV 2
// A core of Zen 2 to 4 and of client processors has half a MiB to itself, or little more.
#define CACHED (1 << 16)
#define ISA_NAME "avx2"
#define ISA(name) name##_avx2
#define VMAX(a, b) ((vf)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define VMIN(a, b) ((vf)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define VSQRT(a) ((vf)_mm256_sqrt_ps((__m256)(a)))
#define LANES(f, b) {f(b, 0), f(b, 1), f(b, 2), f(b, 3), f(b, 4), f(b, 5), f(b, 6), f(b, 7)}
#define SUM_LANES(v) sum8((__m256)(v))
#define MAX_LANES(v) max8((__m256)(v))
#include "isa_body.h"
#pragma GCC pop_options
#endif
