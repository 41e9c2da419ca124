//go:build cgo && linux && !purego

package main

/*
#cgo CFLAGS: -O2 -std=gnu11 -fopenmp
#cgo LDFLAGS: -lgomp
#include <omp.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

// Independent chains of multiply-adds on W floats, enough of them to fill the units.
#define CHAINS 12
#define FLOP_OF(W) (2. * CHAINS * (W))
#define DEFINE(NAME, W, TARGET)                                                    \
  __attribute__((noinline, target(TARGET))) static float NAME(long n) {            \
    typedef float vf __attribute__((vector_size(4 * (W))));                        \
    vf sum[CHAINS], x, y;                                                          \
    for (int j = 0; j < (W); j++) x[j] = 1.0001f, y[j] = 0.9999f;                  \
    for (int i = 0; i < CHAINS; i++) sum[i] = x * (float)i;                        \
    for (long k = 0; k < n; k++)                                                   \
      _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * x + y; \
    for (int i = 1; i < CHAINS; i++) sum[0] += sum[i];                             \
    return sum[0][0];                                                              \
  }

#if defined(__x86_64__)
DEFINE(chains512, 16, "avx512f,prefer-vector-width=512")
DEFINE(chains256, 8, "avx2,fma")
#endif

// GFLOP/s of float32 multiply-adds on some threads.
static double gflops(int threads, double seconds) {
  const long n = 1 << 16;
  double flop = 0, start = now(), total = 0;
  volatile float sink = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const int wide = __builtin_cpu_supports("avx512f"), middle = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (!wide && !middle) return 0;
#pragma omp parallel num_threads(threads) reduction(+ : total) private(flop)
  {
    flop = 0;
    float s = 0;
    while (now() - start < seconds) {
      s += wide ? chains512(n) : chains256(n);
      flop += (wide ? FLOP_OF(16) : FLOP_OF(8)) * n;
    }
    sink = s;
    total += flop;
  }
#endif
  (void)sink;
  return total / (now() - start) * 1e-9;
}
*/
import "C"

import "runtime"

// peak is how many GFLOP/s the processor's float32 units do on some threads: multiply-adds that never leave the registers.
func peak(threads int) float64 {
	most := make(chan float64)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and its team with it
		best := 0.0
		for range 20 { // other work on the machine only ever takes away
			best = max(best, float64(C.gflops(C.int(threads), 0.03)))
		}
		most <- best
	}()
	return <-most
}
