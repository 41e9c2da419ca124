// A matrix product as one oneDNN primitive with its memory objects, so that running it is a single call.
#ifndef ENSUE_MATMUL_H
#define ENSUE_MATMUL_H

#include <dnnl.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
} ensue_dnnl;

typedef struct {
  long m, n, k;
  int trans_x, trans_w, half_x, half_w, half_y, bias, gelu, sum;
} ensue_shape;

// Weights in the layout of `md`, and how to get them there.
typedef struct {
  dnnl_memory_desc_t md;
  dnnl_memory_t memory, rows;
  dnnl_primitive_t reorder;
  void *data;
  size_t size;
} ensue_weights;

typedef struct {
  dnnl_primitive_t primitive;
  dnnl_memory_t x, w, y, bias, scratch;
  size_t scratch_size;
  const char *implementation;
} ensue_matmul;

dnnl_status_t ensue_dnnl_open(ensue_dnnl *);
void ensue_dnnl_close(ensue_dnnl *);

// Allocates weights for w [k, n] in the layout oneDNN prefers.
dnnl_status_t ensue_weights_create(ensue_dnnl *, ensue_weights *, const ensue_shape *);
// Fills them from float32 rows: [n, k] with trans_w, else [k, n].
dnnl_status_t ensue_weights_fill(ensue_dnnl *, ensue_weights *, const ensue_shape *, const float *rows);
void ensue_weights_destroy(ensue_weights *);

// Creates the product for plain weights (weights NULL) or for weights in a given layout.
dnnl_status_t ensue_matmul_create(ensue_dnnl *, ensue_matmul *, const ensue_shape *, const ensue_weights *weights);
// plain is used where weights is NULL.
dnnl_status_t ensue_matmul_run(ensue_dnnl *, ensue_matmul *, void *y, const void *x, const ensue_weights *weights, const void *plain,
                               const float *bias, void *scratch);
void ensue_matmul_destroy(ensue_matmul *);

#endif
