//go:build cgo && linux && !purego

#include "matmul.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// How many rows the layout of packed weights is asked for with. Always the same, so that the layout does not depend on who came first.
enum { PACK_ROWS = 512 };
enum { HUGE_PAGE = 1 << 21 };

#define TRY(call)                           \
  do {                                      \
    dnnl_status_t status_ = (call);         \
    if (status_ != dnnl_success) return status_; \
  } while (0)

dnnl_status_t ensue_dnnl_open(ensue_dnnl *e) {
  memset(e, 0, sizeof *e);
  TRY(dnnl_engine_create(&e->engine, dnnl_cpu, 0));
  return dnnl_stream_create(&e->stream, e->engine, dnnl_stream_default_flags);
}

void ensue_dnnl_close(ensue_dnnl *e) {
  if (e->stream) dnnl_stream_destroy(e->stream);
  if (e->engine) dnnl_engine_destroy(e->engine);
  memset(e, 0, sizeof *e);
}

static dnnl_status_t matrix(dnnl_memory_desc_t *md, long rows, long columns, int half, dnnl_format_tag_t tag) {
  dnnl_dims_t dims = {rows, columns};
  return dnnl_memory_desc_init_by_tag(md, 2, dims, half ? dnnl_bf16 : dnnl_f32, tag);
}

static dnnl_status_t fused(dnnl_primitive_attr_t *attr, const ensue_shape *s) {
  dnnl_post_ops_t ops;
  TRY(dnnl_primitive_attr_create(attr));
  TRY(dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user));
  TRY(dnnl_post_ops_create(&ops));
  if (s->sum) TRY(dnnl_post_ops_append_sum(ops, 1.f));
  if (s->gelu) TRY(dnnl_post_ops_append_eltwise(ops, 1.f, dnnl_eltwise_gelu_erf, 0.f, 0.f));
  dnnl_status_t status = dnnl_primitive_attr_set_post_ops(*attr, ops);
  dnnl_post_ops_destroy(ops);
  return status;
}

static dnnl_status_t describe(ensue_dnnl *e, dnnl_primitive_desc_t *pd, const ensue_shape *s, const dnnl_memory_desc_t *weights) {
  dnnl_memory_desc_t x, w, b, y;
  dnnl_matmul_desc_t d;
  dnnl_primitive_attr_t attr;
  TRY(matrix(&x, s->m, s->k, s->half_x, s->trans_x ? dnnl_ba : dnnl_ab));
  TRY(matrix(&y, s->m, s->n, s->half_y, dnnl_ab));
  TRY(matrix(&b, 1, s->n, 0, dnnl_ab));
  if (weights)
    w = *weights;
  else
    TRY(matrix(&w, s->k, s->n, s->half_w, s->trans_w ? dnnl_ba : dnnl_ab));
  TRY(dnnl_matmul_desc_init(&d, &x, &w, s->bias ? &b : NULL, &y));
  TRY(fused(&attr, s));
  dnnl_status_t status = dnnl_primitive_desc_create(pd, &d, attr, e->engine, NULL);
  dnnl_primitive_attr_destroy(attr);
  return status;
}

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// Large weights go on huge pages where the system has them: fewer page faults, fewer misses of the address cache.
static void *allocate(size_t size) {
  size_t align = size >= HUGE_PAGE ? HUGE_PAGE : 64;
  void *p = aligned_alloc(align, round_up(size ? size : 1, align));
#ifdef MADV_HUGEPAGE
  if (p && align == HUGE_PAGE) madvise(p, round_up(size, align), MADV_HUGEPAGE);
#endif
  return p;
}

dnnl_status_t ensue_weights_create(ensue_dnnl *e, ensue_weights *w, const ensue_shape *shape) {
  ensue_shape s = *shape;
  dnnl_memory_desc_t any;
  dnnl_primitive_desc_t pd;
  memset(w, 0, sizeof *w);
  s.m = PACK_ROWS;
  TRY(matrix(&any, s.k, s.n, s.half_w, dnnl_format_tag_any));
  TRY(describe(e, &pd, &s, &any));
  w->md = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
  dnnl_primitive_desc_destroy(pd);
  w->size = dnnl_memory_desc_get_size(&w->md);
  w->data = allocate(w->size);
  if (!w->data) return dnnl_out_of_memory;
  return dnnl_memory_create(&w->memory, &w->md, e->engine, w->data);
}

// The reordering from plain rows is prepared once: in training it runs at every step.
static dnnl_status_t prepare_fill(ensue_dnnl *e, ensue_weights *w, const ensue_shape *s) {
  dnnl_memory_desc_t plain;
  dnnl_primitive_desc_t pd;
  TRY(matrix(&plain, s->k, s->n, 0, s->trans_w ? dnnl_ba : dnnl_ab));
  if (!w->rows) TRY(dnnl_memory_create(&w->rows, &plain, e->engine, DNNL_MEMORY_NONE));
  TRY(dnnl_reorder_primitive_desc_create(&pd, &plain, e->engine, &w->md, e->engine, NULL));
  dnnl_status_t status = dnnl_primitive_create(&w->reorder, pd);
  dnnl_primitive_desc_destroy(pd);
  return status;
}

dnnl_status_t ensue_weights_fill(ensue_dnnl *e, ensue_weights *w, const ensue_shape *s, const float *rows) {
  if (!w->reorder) TRY(prepare_fill(e, w, s));
  TRY(dnnl_memory_set_data_handle(w->rows, (void *)rows));
  dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, w->rows}, {DNNL_ARG_TO, w->memory}};
  TRY(dnnl_primitive_execute(w->reorder, e->stream, 2, args));
  return dnnl_stream_wait(e->stream);
}

void ensue_weights_destroy(ensue_weights *w) {
  if (w->reorder) dnnl_primitive_destroy(w->reorder);
  if (w->rows) dnnl_memory_destroy(w->rows);
  if (w->memory) dnnl_memory_destroy(w->memory);
  free(w->data);
  memset(w, 0, sizeof *w);
}

static dnnl_status_t place(dnnl_memory_t *memory, dnnl_primitive_desc_t pd, dnnl_query_t what, ensue_dnnl *e) {
  return dnnl_memory_create(memory, dnnl_primitive_desc_query_md(pd, what, 0), e->engine, DNNL_MEMORY_NONE);
}

dnnl_status_t ensue_matmul_create(ensue_dnnl *e, ensue_matmul *p, const ensue_shape *s, const ensue_weights *weights) {
  dnnl_primitive_desc_t pd;
  dnnl_memory_desc_t bias;
  memset(p, 0, sizeof *p);
  TRY(describe(e, &pd, s, weights ? &weights->md : NULL));
  p->scratch_size = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
  dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &p->implementation);
  dnnl_status_t status = dnnl_primitive_create(&p->primitive, pd);
  if (status == dnnl_success) status = place(&p->x, pd, dnnl_query_src_md, e);
  if (status == dnnl_success) status = place(&p->y, pd, dnnl_query_dst_md, e);
  if (status == dnnl_success) status = place(&p->scratch, pd, dnnl_query_scratchpad_md, e);
  if (status == dnnl_success && !weights) status = place(&p->w, pd, dnnl_query_weights_md, e);
  if (status == dnnl_success && s->bias) {
    status = matrix(&bias, 1, s->n, 0, dnnl_ab);
    if (status == dnnl_success) status = dnnl_memory_create(&p->bias, &bias, e->engine, DNNL_MEMORY_NONE);
  }
  dnnl_primitive_desc_destroy(pd);
  if (status != dnnl_success) ensue_matmul_destroy(p);
  return status;
}

dnnl_status_t ensue_matmul_run(ensue_dnnl *e, ensue_matmul *p, void *y, const void *x, const ensue_weights *weights, const void *plain,
                               const float *bias, void *scratch) {
  dnnl_exec_arg_t args[5] = {{DNNL_ARG_SRC, p->x},
                             {DNNL_ARG_WEIGHTS, weights ? weights->memory : p->w},
                             {DNNL_ARG_DST, p->y},
                             {DNNL_ARG_SCRATCHPAD, p->scratch},
                             {DNNL_ARG_BIAS, p->bias}};
  TRY(dnnl_memory_set_data_handle(p->x, (void *)x));
  TRY(dnnl_memory_set_data_handle(p->y, y));
  TRY(dnnl_memory_set_data_handle(p->scratch, scratch));
  if (!weights) TRY(dnnl_memory_set_data_handle(p->w, (void *)plain));
  if (p->bias) TRY(dnnl_memory_set_data_handle(p->bias, (void *)bias));
  TRY(dnnl_primitive_execute(p->primitive, e->stream, p->bias ? 5 : 4, args));
  return dnnl_stream_wait(e->stream);
}

void ensue_matmul_destroy(ensue_matmul *p) {
  if (p->primitive) dnnl_primitive_destroy(p->primitive);
  dnnl_memory_t all[] = {p->x, p->w, p->y, p->bias, p->scratch};
  for (int i = 0; i < 5; i++)
    if (all[i]) dnnl_memory_destroy(all[i]);
  memset(p, 0, sizeof *p);
}
