//go:build cgo && linux && !purego

// Cuts the work of a kernel into ranges for the calling thread's OpenMP team, and picks the table of the processor.
// The ranges depend on the sizes only where the order of a sum could, so results do not change with the number of threads.
#include "isa.h"

#include <omp.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

// Work below this many values is not worth waking a thread for.
enum { SMALL = 1 << 14 };
enum { GRAIN = 1 << 12 };

const ensue_isa *ensue_isa_at(int level) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
  if (level == 2) return avx512 ? &ensue_table_avx512 : NULL;
  if (level == 1) return avx2 ? &ensue_table_avx2 : NULL;
#endif
  return level == 0 ? &ensue_table_portable : NULL;
}

int ensue_fast_bfloat16(void) {
#if defined(__x86_64__)
  unsigned a, b, c, d;
  __builtin_cpu_init();
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  if (d >> 22 & d >> 24 & 1) return 1; // AMX-BF16 and AMX-TILE
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return 0;
  // Intel's VDPBF16PS has half the throughput of its two FMA units: without AMX, float32 is the faster way.
  return (a >> 5 & 1) && __builtin_cpu_is("amd");
#else
  return 0;
#endif
}

void ensue_set_threads(int threads) { omp_set_num_threads(threads); }

static long chunks(long n, long grain) { return (n + grain - 1) / grain; }
static long least(long a, long b) { return a < b ? a : b; }

// Runs `call` for the ranges [first, last) of n, `grain` each.
#define RANGES(n, grain, worth, call)                                   \
  do {                                                                  \
    const long n_ = (n), grain_ = (grain), count_ = chunks(n_, grain_); \
    const int worth_ = (worth);                                         \
    _Pragma("omp parallel for schedule(static) if (worth_)")            \
    for (long i_ = 0; i_ < count_; i_++) {                              \
      const long first = i_ * grain_, last = least(n_, first + grain_); \
      call;                                                             \
    }                                                                   \
  } while (0)

static long rows_per_range(long n) { return n >= GRAIN ? 1 : GRAIN / (n > 0 ? n : 1); }

void ensue_norm_run(const ensue_isa *isa, const ensue_norm *a, long rows) {
  RANGES(rows, rows_per_range(a->n), rows * a->n > SMALL, isa->norm(a, first, last));
}

void ensue_norm_grad_run(const ensue_isa *isa, const ensue_norm_grad *x, const ensue_norm_weight_grad *w, long rows) {
  if (x) RANGES(rows, rows_per_range(x->n), rows * x->n > SMALL, isa->norm_grad(x, first, last));
  if (w) RANGES(w->n, 64, w->rows * w->n > SMALL, isa->norm_weight_grad(w, first, last));
}

void ensue_gelu_run(const ensue_isa *isa, float *y, const float *x, long n) {
  RANGES(n, GRAIN, n > SMALL, isa->gelu(y + first, x + first, last - first));
}

void ensue_gelu_grad_run(const ensue_isa *isa, float *dx, const float *x, const float *dy, int accumulate, long n) {
  RANGES(n, GRAIN, n > SMALL, isa->gelu_grad(dx + first, x + first, dy + first, accumulate, last - first));
}

void ensue_column_sum_run(const ensue_isa *isa, float *sum, const float *x, int accumulate, long rows, long n) {
  RANGES(n, 64, rows * n > SMALL, isa->column_sum(sum, x, accumulate, rows, n, first, last));
}

void ensue_add_run(const ensue_isa *isa, float *y, const float *a, const float *b, long n) {
  RANGES(n, GRAIN, n > SMALL, isa->add(y + first, a + first, b + first, last - first));
}

void ensue_axpy_run(const ensue_isa *isa, float *y, const float *x, float a, long n) {
  RANGES(n, GRAIN, n > SMALL, isa->axpy(y + first, x + first, a, last - first));
}

void ensue_lerp_run(const ensue_isa *isa, float *y, const float *x, float keep, long n) {
  RANGES(n, GRAIN, n > SMALL, isa->lerp(y + first, x + first, keep, last - first));
}

double ensue_sum_squares_run(const ensue_isa *isa, const float *x, long n) {
  return isa->sum_squares(x, n); // one thread: the order of the sum is the result
}

void ensue_adamw_run(const ensue_isa *isa, const ensue_adamw *a, long n) {
  RANGES(n, GRAIN, n > SMALL, isa->adamw(a, first, last));
}

void ensue_narrow_run(const ensue_isa *isa, uint16_t *y, const float *x, long n) {
  RANGES(n, GRAIN, n > SMALL, isa->narrow(y + first, x + first, last - first));
}

void ensue_widen_run(const ensue_isa *isa, float *y, const uint16_t *x, long n) {
  RANGES(n, GRAIN, n > SMALL, isa->widen(y + first, x + first, last - first));
}

void ensue_rope_run(const ensue_isa *isa, const ensue_rope *a, long tokens) {
  const long n = a->heads * a->d;
  RANGES(tokens, rows_per_range(n), tokens * n > SMALL, isa->rope(a, first, last));
}

void ensue_unfold_run(const ensue_isa *isa, const ensue_unfold *a) {
  const long rows = a->batch * a->out[0] * a->out[1], window = a->kernel[0] * a->kernel[1] * a->kernel[2] * a->c;
  const long size = a->out[2] * window;
  RANGES(rows, rows_per_range(size), rows * size > SMALL, isa->unfold(a, first, last));
}

void ensue_fold_run(const ensue_isa *isa, const ensue_unfold *a) {
  const long size = a->in[0] * a->in[1] * a->in[2] * a->c;
  RANGES(a->batch, 1, a->batch * size > SMALL, isa->fold(a, first, last));
}

void ensue_cell_run(const ensue_isa *isa, const ensue_cell *a, int part, long rows) {
  RANGES(rows, rows_per_range(a->n), rows * a->n > SMALL, isa->cell[part](a, first, last));
}

static long padded(long d) { return (d + ENSUE_PAD - 1) / ENSUE_PAD * ENSUE_PAD; }
static long padded_keys(const ensue_attention *a) { return (a->nk + ENSUE_KEYS - 1) / ENSUE_KEYS * ENSUE_KEYS; }

long ensue_attention_tiles(const ensue_attention *a) {
  long rows = a->block > 0 ? a->block : a->nq + a->offset;
  if (a->nq <= 0) return 0;
  long head = least(rows - a->offset % rows, a->nq), per_block = chunks(rows, ENSUE_QUERIES);
  long rest = a->nq - head, whole = rest / rows;
  return chunks(head, ENSUE_QUERIES) + whole * per_block + chunks(rest - whole * rows, ENSUE_QUERIES);
}

long ensue_attention_pack_size(const ensue_attention *a) {
  return a->batch * a->heads * padded_keys(a) * (a->d + padded(a->d));
}

long ensue_attention_work_size(const ensue_attention *a) {
  return ENSUE_QUERIES * (2 * padded(a->d) + ENSUE_KEYS) + ENSUE_PAD;
}

long ensue_attention_grad_work_size(const ensue_attention *a) {
  return padded_keys(a) * (2 * a->d + 3 * padded(a->d)) + ENSUE_QUERIES * (3 * padded(a->d) + 2 * ENSUE_KEYS) + ENSUE_PAD;
}

void ensue_attention_run(const ensue_isa *isa, const ensue_attention *a) {
  const long items = a->batch * a->heads, tiles = ensue_attention_tiles(a), work = ensue_attention_work_size(a);
  const int parallel = items * a->nq * a->nk * a->d > 16 * SMALL;
#pragma omp parallel if (parallel)
  {
    float *mine = a->work + omp_get_thread_num() * work;
#pragma omp for schedule(dynamic, 1)
    for (long i = 0; i < items; i++) isa->attention_pack(a, i);
    // Later tiles see more keys: start with them, so that the threads finish together.
#pragma omp for schedule(dynamic, 1)
    for (long i = items * tiles - 1; i >= 0; i--) isa->attention_tile(a, mine, i % items, i / items);
  }
}

void ensue_attention_grad_run(const ensue_isa *isa, const ensue_attention_grad *g) {
  const long items = g->f.batch * g->f.heads, work = ensue_attention_grad_work_size(&g->f);
  const int parallel = items * g->f.nq * g->f.nk * g->f.d > 16 * SMALL;
#pragma omp parallel for schedule(dynamic, 1) if (parallel)
  for (long i = 0; i < items; i++) isa->attention_grad(g, g->f.work + omp_get_thread_num() * work, i);
}
