//go:build cgo && linux && !purego

// Sixteen floats at a time, 32 registers: tiles of 12 x 2 and of 8 x 3 vectors.
#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,prefer-vector-width=512")
#define W 16
#define MR 12
#define NV 2
#define PR 8
#define PV 3
#define CACHED (1 << 17)
#define ISA_NAME "avx512"
#define ISA(name) name##_avx512
#define VMAX(a, b) ((vf)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define VMIN(a, b) ((vf)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define VSQRT(a) ((vf)_mm512_sqrt_ps((__m512)(a)))
#define LANES(f, b)                                                              \
  {f(b, 0), f(b, 1), f(b, 2),  f(b, 3),  f(b, 4),  f(b, 5),  f(b, 6),  f(b, 7),  \
   f(b, 8), f(b, 9), f(b, 10), f(b, 11), f(b, 12), f(b, 13), f(b, 14), f(b, 15)}
#define SUM_LANES(v) _mm512_reduce_add_ps((__m512)(v))
#define MAX_LANES(v) _mm512_reduce_max_ps((__m512)(v))
#include "isa_body.h"
#pragma GCC pop_options
#endif
