//go:build cgo && linux && !purego

package rawdnnl

/*
#cgo CFLAGS: -O2 -std=gnu11 -fopenmp
#cgo LDFLAGS: -ldnnl -lgomp
#include <dnnl.h>
#include <omp.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

static dnnl_memory_t room(dnnl_engine_t engine, const dnnl_memory_desc_t *md) {
  dnnl_memory_t memory;
  size_t size = dnnl_memory_desc_get_size(md);
  void *data = aligned_alloc(64, (size + 127) / 64 * 64);
  if (!data) return NULL;
  for (size_t i = 0; i < size / 4; i++) ((float *)data)[i] = 0;
  return dnnl_memory_create(&memory, md, engine, data) ? NULL : memory;
}

// Seconds of the fastest of some products y [m, n] = x [m, k] w [k, n] + bias; negative where oneDNN fails.
static double fastest(long m, long n, long k, int half, int threads, int repeats) {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  dnnl_matmul_desc_t desc;
  dnnl_primitive_desc_t pd;
  dnnl_primitive_t primitive;
  dnnl_memory_desc_t x, w, b, y;
  dnnl_data_type_t type = half ? dnnl_bf16 : dnnl_f32;
  omp_set_num_threads(threads);
  dnnl_dims_t dx = {m, k}, dw = {k, n}, db = {1, n}, dy = {m, n};
  if (dnnl_engine_create(&engine, dnnl_cpu, 0) || dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) ||
      dnnl_memory_desc_init_by_tag(&x, 2, dx, type, dnnl_ab) || dnnl_memory_desc_init_by_tag(&w, 2, dw, type, dnnl_format_tag_any) ||
      dnnl_memory_desc_init_by_tag(&b, 2, db, dnnl_f32, dnnl_ab) || dnnl_memory_desc_init_by_tag(&y, 2, dy, type, dnnl_ab) ||
      dnnl_matmul_desc_init(&desc, &x, &w, &b, &y) || dnnl_primitive_desc_create(&pd, &desc, NULL, engine, NULL) ||
      dnnl_primitive_create(&primitive, pd))
    return -1;
  dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, room(engine, &x)},
                            {DNNL_ARG_WEIGHTS, room(engine, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0))},
                            {DNNL_ARG_BIAS, room(engine, &b)},
                            {DNNL_ARG_DST, room(engine, &y)}};
  double best = -1;
  for (int i = 0; i < repeats; i++) {
    double start = now();
    if (dnnl_primitive_execute(primitive, stream, 4, args) || dnnl_stream_wait(stream)) return -1;
    double took = now() - start;
    if (best < 0 || took < best) best = took;
  }
  for (int i = 0; i < 4; i++) {
    void *data;
    dnnl_memory_get_data_handle(args[i].memory, &data);
    dnnl_memory_destroy(args[i].memory);
    free(data);
  }
  dnnl_primitive_destroy(primitive);
  dnnl_primitive_desc_destroy(pd);
  dnnl_stream_destroy(stream);
  dnnl_engine_destroy(engine);
  return best;
}
*/
import "C"

import "runtime"

// Fastest returns the seconds of the fastest of some products of [m, k] and [k, n] with a bias, and whether oneDNN could.
func Fastest(m, n, k int, half bool, threads, repeats int) (float64, bool) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and its team with it
	h := C.int(0)
	if half {
		h = 1
	}
	s := float64(C.fastest(C.long(m), C.long(n), C.long(k), h, C.int(threads), C.int(repeats)))
	return s, s > 0
}
