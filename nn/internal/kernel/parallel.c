//go:build cgo && linux && !purego

// Cuts the work of a kernel into ranges for a team of threads, and picks the table of the processor.
// The ranges depend on the sizes only, so results do not change with the number of threads.
#include "isa.h"

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

static long chunks(long n, long grain) { return (n + grain - 1) / grain; }
static long least(long a, long b) { return a < b ? a : b; }
static long most(long a, long b) { return a > b ? a : b; }

// A kernel over the ranges [first, last) of n, `grain` each; a thread takes `each` of them at a time.
typedef void part(const ensue_isa *, const void *, long first, long last);
typedef struct {
  part *call;
  const ensue_isa *isa;
  const void *a;
  long n, grain, each;
} ranges;

static void take_ranges(const void *job, long item, int thread) {
  const ranges *r = job;
  (void)thread;
  const long end = least(r->n, (item + 1) * r->each * r->grain);
  for (long first = item * r->each * r->grain; first < end; first += r->grain) r->call(r->isa, r->a, first, least(end, first + r->grain));
}

// Items a thread: enough that none waits long for another at the end.
enum { SHARES = 6 };

static void run_ranges(ensue_set on, part *call, const void *a, long n, long grain, int worth) {
  ranges r = {call, on.isa, a, n, grain, 1};
  const long count = chunks(n, grain);
  r.each = most(1, count / (SHARES * ensue_team_size(on.team)));
  ensue_team_run(worth ? on.team : NULL, take_ranges, &r, chunks(count, r.each));
}

static long rows_per_range(long n) { return n >= GRAIN ? 1 : GRAIN / (n > 0 ? n : 1); }

static void norm_part(const ensue_isa *isa, const void *a, long first, long last) { isa->norm(a, first, last); }
static void norm_grad_part(const ensue_isa *isa, const void *a, long first, long last) { isa->norm_grad(a, first, last); }
static void norm_weight_grad_part(const ensue_isa *isa, const void *a, long first, long last) { isa->norm_weight_grad(a, first, last); }

void ensue_norm_run(ensue_set on, const ensue_norm *a, long rows) {
  run_ranges(on, norm_part, a, rows, rows_per_range(a->n), rows * a->n > SMALL);
}

void ensue_norm_grad_run(ensue_set on, const ensue_norm_grad *x, const ensue_norm_weight_grad *w, long rows) {
  if (x) run_ranges(on, norm_grad_part, x, rows, rows_per_range(x->n), rows * x->n > SMALL);
  if (w) run_ranges(on, norm_weight_grad_part, w, w->n, 64, w->rows * w->n > SMALL);
}

// Kernels over flat arrays.
typedef struct {
  float *y;
  uint16_t *y16;
  const float *a, *b;
  const uint16_t *a16;
  float scale;
  int accumulate;
  long rows, n;
} flat;

static void gelu_part(const ensue_isa *isa, const void *v, long first, long last) {
  const flat *f = v;
  isa->gelu(f->y + first, f->a + first, last - first);
}
static void gelu_grad_part(const ensue_isa *isa, const void *v, long first, long last) {
  const flat *f = v;
  isa->gelu_grad(f->y + first, f->a + first, f->b + first, f->accumulate, last - first);
}
static void column_sum_part(const ensue_isa *isa, const void *v, long first, long last) {
  const flat *f = v;
  isa->column_sum(f->y, f->a, f->accumulate, f->rows, f->n, first, last);
}
static void add_part(const ensue_isa *isa, const void *v, long first, long last) {
  const flat *f = v;
  isa->add(f->y + first, f->a + first, f->b + first, last - first);
}
static void axpy_part(const ensue_isa *isa, const void *v, long first, long last) {
  const flat *f = v;
  isa->axpy(f->y + first, f->a + first, f->scale, last - first);
}
static void lerp_part(const ensue_isa *isa, const void *v, long first, long last) {
  const flat *f = v;
  isa->lerp(f->y + first, f->a + first, f->scale, last - first);
}
static void narrow_part(const ensue_isa *isa, const void *v, long first, long last) {
  const flat *f = v;
  isa->narrow(f->y16 + first, f->a + first, last - first);
}
static void widen_part(const ensue_isa *isa, const void *v, long first, long last) {
  const flat *f = v;
  isa->widen(f->y + first, f->a16 + first, last - first);
}
static void run_flat(ensue_set on, part *call, const flat *f, long n) { run_ranges(on, call, f, n, GRAIN, n > SMALL); }

void ensue_gelu_run(ensue_set on, float *y, const float *x, long n) {
  run_flat(on, gelu_part, &(flat){.y = y, .a = x}, n);
}

void ensue_gelu_grad_run(ensue_set on, float *dx, const float *x, const float *dy, int accumulate, long n) {
  run_flat(on, gelu_grad_part, &(flat){.y = dx, .a = x, .b = dy, .accumulate = accumulate}, n);
}

void ensue_column_sum_run(ensue_set on, float *sum, const float *x, int accumulate, long rows, long n) {
  flat f = {.y = sum, .a = x, .accumulate = accumulate, .rows = rows, .n = n};
  run_ranges(on, column_sum_part, &f, n, 64, rows * n > SMALL);
}

void ensue_add_run(ensue_set on, float *y, const float *a, const float *b, long n) {
  run_flat(on, add_part, &(flat){.y = y, .a = a, .b = b}, n);
}

void ensue_axpy_run(ensue_set on, float *y, const float *x, float a, long n) {
  run_flat(on, axpy_part, &(flat){.y = y, .a = x, .scale = a}, n);
}

void ensue_lerp_run(ensue_set on, float *y, const float *x, float keep, long n) {
  run_flat(on, lerp_part, &(flat){.y = y, .a = x, .scale = keep}, n);
}

double ensue_sum_squares_run(ensue_set on, const float *x, long n) {
  return on.isa->sum_squares(x, n); // one thread: the order of the sum is the result
}

static void adamw_part(const ensue_isa *isa, const void *a, long first, long last) { isa->adamw(a, first, last); }

void ensue_adamw_run(ensue_set on, const ensue_adamw *a, long n) { run_ranges(on, adamw_part, a, n, GRAIN, n > SMALL); }

void ensue_narrow_run(ensue_set on, uint16_t *y, const float *x, long n) {
  run_flat(on, narrow_part, &(flat){.y16 = y, .a = x}, n);
}

void ensue_widen_run(ensue_set on, float *y, const uint16_t *x, long n) {
  run_flat(on, widen_part, &(flat){.y = y, .a16 = x}, n);
}

static void row_l1_part(const ensue_isa *isa, const void *a, long first, long last) { isa->row_l1(a, first, last); }
static void row_l1_grad_part(const ensue_isa *isa, const void *a, long first, long last) { isa->row_l1_grad(a, first, last); }

void ensue_row_l1_run(ensue_set on, const ensue_row_l1 *a, long rows) {
  run_ranges(on, a->y ? row_l1_part : row_l1_grad_part, a, rows, rows_per_range(a->n), rows * a->n > SMALL);
}

static void rope_part(const ensue_isa *isa, const void *a, long first, long last) { isa->rope(a, first, last); }

void ensue_rope_run(ensue_set on, const ensue_rope *a, long tokens) {
  const long n = a->heads * a->d;
  run_ranges(on, rope_part, a, tokens, rows_per_range(n), tokens * n > SMALL);
}

static void unfold_part(const ensue_isa *isa, const void *a, long first, long last) { isa->unfold(a, first, last); }
static void fold_part(const ensue_isa *isa, const void *a, long first, long last) { isa->fold(a, first, last); }

void ensue_unfold_run(ensue_set on, const ensue_unfold *a) {
  const long rows = a->batch * a->out[0] * a->out[1], window = a->kernel[0] * a->kernel[1] * a->kernel[2] * a->c;
  const long size = a->out[2] * window;
  run_ranges(on, unfold_part, a, rows, rows_per_range(size), rows * size > SMALL);
}

void ensue_fold_run(ensue_set on, const ensue_unfold *a) {
  const long size = a->in[0] * a->in[1] * a->in[2] * a->c;
  run_ranges(on, fold_part, a, a->batch, 1, a->batch * size > SMALL);
}

typedef struct {
  const ensue_cell *cell;
  int part;
} cell_job;

static void cell_part(const ensue_isa *isa, const void *v, long first, long last) {
  const cell_job *j = v;
  isa->cell[j->part](j->cell, first, last);
}

void ensue_cell_run(ensue_set on, const ensue_cell *a, int part, long rows) {
  run_ranges(on, cell_part, &(cell_job){a, part}, rows, rows_per_range(a->n), rows * a->n > SMALL);
}

static void pack_part(const ensue_isa *isa, const void *a, long first, long last) { isa->pack(a, first, last); }
static void pack_rows_part(const ensue_isa *isa, const void *a, long first, long last) { isa->pack_rows(a, first, last); }

long ensue_pack_size(const ensue_isa *isa, long k, long n) { return chunks(n, isa->tile_columns) * isa->tile_columns * k; }
long ensue_pack_rows_size(const ensue_isa *isa, long k, long m) { return chunks(m, isa->tile_rows) * isa->tile_rows * k; }

void ensue_pack_run(ensue_set on, const ensue_pack *a) {
  run_ranges(on, pack_part, a, chunks(a->n, on.isa->tile_columns), 1, a->n * a->k > SMALL);
}

void ensue_pack_rows_run(ensue_set on, const ensue_pack *a) {
  run_ranges(on, pack_rows_part, a, chunks(a->n, on.isa->tile_rows), 1, a->n * a->k > SMALL);
}

// How a product is cut: blocks of rows, and groups of panels of columns.
typedef struct {
  const ensue_isa *isa;
  const ensue_product *p;
  long rows, groups, panels;
} cuts;

// Multiply-adds that are worth an item of their own.
enum { ITEM = 1 << 20 };

static cuts cut(ensue_set on, const ensue_product *p) {
  const long tile = on.isa->tile_rows, panels = chunks(p->n, on.isa->tile_columns), threads = ensue_team_size(on.team);
  const long depth = most(1, ensue_depth_block(p->k)), fit = most(tile, on.isa->cached / depth / tile * tile);
  cuts c = {on.isa, p, 0, 1, panels};
  long blocks = chunks(p->m, fit);
  c.rows = chunks(chunks(p->m, blocks), tile) * tile;
  blocks = chunks(p->m, c.rows);
  // Several items a thread, as long as each is worth the asking.
  const long wish = most(1, least(SHARES * threads, (long)((double)p->m * p->n * p->k / ITEM)));
  c.groups = least(panels, chunks(wish, blocks));
  c.panels = chunks(panels, c.groups);
  c.groups = chunks(panels, c.panels);
  return c;
}

static void product_item(const void *job, long item, int thread) {
  const cuts *c = job;
  (void)thread;
  const long row = item / c->groups * c->rows, panel = item % c->groups * c->panels;
  const long panels = chunks(c->p->n, c->isa->tile_columns);
  c->isa->product(c->p, row, least(c->p->m, row + c->rows), panel, least(panels, panel + c->panels));
}

void ensue_product_run(ensue_set on, const ensue_product *p) {
  if (p->m <= 0 || p->n <= 0) return;
  cuts c = cut(on, p);
  ensue_team_run(on.team, product_item, &c, chunks(p->m, c.rows) * c.groups);
}

// How a convolution is cut: a few items of the batch at a time, so that they stay in a core's cache; where there are fewer than threads,
// groups of panels too.
typedef struct {
  const ensue_isa *isa;
  const ensue_conv *a;
  float *work;
  long items, groups, panels, each; // each: floats of scratch memory a thread
} conv_cuts;

static conv_cuts cut_conv(ensue_set on, const ensue_conv *a) {
  const long panels = chunks(a->n, on.isa->tile_columns), threads = ensue_team_size(on.team);
  const long item = ensue_conv_pads(a) ? ensue_conv_extent(a, 0) * ensue_conv_extent(a, 1) * a->c : a->in[0] * a->in[1] * a->c;
  const double macs = (double)a->batch * a->out[0] * a->out[1] * a->n * a->kernel[0] * a->kernel[1] * a->c;
  const long wish = threads > 1 ? most(1, least(SHARES * threads, (long)(macs / ITEM))) : 1;
  const long fit = most(1, least(on.isa->cached / most(1, item), a->batch / wish));
  conv_cuts c = {on.isa, a, NULL, chunks(a->batch, chunks(a->batch, fit)), 1, panels, 0};
  c.groups = least(panels, chunks(wish, chunks(a->batch, c.items)));
  c.panels = chunks(panels, c.groups);
  c.groups = chunks(panels, c.panels);
  if (ensue_conv_pads(a)) c.each = (c.items * item + 15) / 16 * 16;
  return c;
}

static void conv_item(const void *job, long item, int thread) {
  const conv_cuts *c = job;
  const long first = item / c->groups * c->items, panel = item % c->groups * c->panels;
  const long panels = chunks(c->a->n, c->isa->tile_columns);
  c->isa->conv(c->a, c->work + thread * c->each, first, least(c->a->batch, first + c->items), panel, least(panels, panel + c->panels));
}

static int empty(const ensue_conv *a) { return a->batch <= 0 || a->n <= 0 || a->out[0] <= 0 || a->out[1] <= 0; }

long ensue_conv_work_size(ensue_set on, const ensue_conv *a) {
  return empty(a) ? 0 : ensue_team_size(on.team) * cut_conv(on, a).each;
}

void ensue_conv_run(ensue_set on, const ensue_conv *a, float *work) {
  if (empty(a)) return;
  conv_cuts c = cut_conv(on, a);
  c.work = work;
  ensue_team_run(on.team, conv_item, &c, chunks(a->batch, c.items) * c.groups);
}

static void conv_turn_part(const ensue_isa *isa, const void *a, long first, long last) { isa->conv_turn(a, first, last); }

void ensue_conv_turn_run(ensue_set on, const ensue_conv_turn *a) {
  run_ranges(on, conv_turn_part, a, chunks(a->c, on.isa->tile_columns), 1, a->taps[0] * a->taps[1] * a->n * a->c > SMALL);
}

typedef struct {
  const ensue_isa *isa;
  const ensue_conv_grad *a;
  float *work;
  long total, panels, each;
} conv_grad_cuts;

static conv_grad_cuts cut_conv_grad(ensue_set on, const ensue_conv_grad *a) {
  const long threads = ensue_team_size(on.team), tile = on.isa->tile_rows, columns = on.isa->tile_columns;
  const long total = chunks(a->kernel[0] * a->kernel[1] * a->c, columns), groups = threads > 1 ? least(total, 2 * threads) : 1;
  return (conv_grad_cuts){
      on.isa, a, NULL, total, chunks(total, groups), ensue_conv_rows(a) * a->out[1] * (chunks(a->n, tile) * tile + columns),
  };
}

static void conv_grad_item(const void *job, long item, int thread) {
  const conv_grad_cuts *c = job;
  c->isa->conv_grad(c->a, c->work + thread * c->each, item * c->panels, least(c->total, (item + 1) * c->panels));
}

long ensue_conv_grad_work_size(ensue_set on, const ensue_conv_grad *a) { return ensue_team_size(on.team) * cut_conv_grad(on, a).each; }

void ensue_conv_grad_run(ensue_set on, const ensue_conv_grad *a, float *work) {
  conv_grad_cuts c = cut_conv_grad(on, a);
  c.work = work;
  ensue_team_run(on.team, conv_grad_item, &c, chunks(c.total, c.panels));
}

static long padded(long d) { return (d + ENSUE_PAD - 1) / ENSUE_PAD * ENSUE_PAD; }
long ensue_attention_tiles(const ensue_attention *a) {
  long rows = a->block > 0 ? a->block : a->nq + a->offset;
  if (a->nq <= 0) return 0;
  long head = least(rows - a->offset % rows, a->nq), per_block = chunks(rows, ENSUE_QUERIES);
  long rest = a->nq - head, whole = rest / rows;
  return chunks(head, ENSUE_QUERIES) + whole * per_block + chunks(rest - whole * rows, ENSUE_QUERIES);
}

long ensue_attention_pack_size(const ensue_attention *a) {
  return a->batch * a->heads * padded(a->nk) * (a->d + padded(a->d));
}

long ensue_attention_work_size(const ensue_attention *a) {
  return ENSUE_QUERIES * 2 * padded(a->d) + ENSUE_STRIP * ENSUE_KEYS + ENSUE_PAD;
}

long ensue_attention_grad_work_size(const ensue_attention *a) {
  return padded(a->nk) * (2 * a->d + 3 * padded(a->d)) + ENSUE_QUERIES * (5 * padded(a->d) + 2 * ENSUE_KEYS) + ENSUE_PAD;
}

typedef struct {
  const ensue_isa *isa;
  const ensue_attention *a;
  const ensue_attention_grad *g;
  long items, tiles, work;
} attention_job;

static void pack_item(const void *job, long item, int thread) {
  const attention_job *j = job;
  (void)thread;
  j->isa->attention_pack(j->a, item);
}

static void tile_item(const void *job, long item, int thread) {
  const attention_job *j = job;
  // Later tiles see more keys: start with them, so that the threads finish together.
  const long i = j->items * j->tiles - 1 - item;
  j->isa->attention_tile(j->a, j->a->work + thread * j->work, i % j->items, i / j->items);
}

void ensue_attention_run(ensue_set on, const ensue_attention *a) {
  const attention_job j = {on.isa, a, NULL, a->batch * a->heads, ensue_attention_tiles(a), ensue_attention_work_size(a)};
  ensue_team *team = j.items * a->nq * a->nk * a->d > 16 * SMALL ? on.team : NULL;
  ensue_team_run(team, pack_item, &j, j.items);
  ensue_team_run(team, tile_item, &j, j.items * j.tiles);
}

static void grad_item(const void *job, long item, int thread) {
  const attention_job *j = job;
  j->isa->attention_grad(j->g, j->a->work + thread * j->work, item);
}

void ensue_attention_grad_run(ensue_set on, const ensue_attention_grad *g) {
  const attention_job j = {on.isa, &g->f, g, g->f.batch * g->f.heads, 0, ensue_attention_grad_work_size(&g->f)};
  ensue_team_run(j.items * g->f.nq * g->f.nk * g->f.d > 16 * SMALL ? on.team : NULL, grad_item, &j, j.items);
}
