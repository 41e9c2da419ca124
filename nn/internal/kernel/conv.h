// What convolutions do around their matrix product.

typedef float v4 __attribute__((vector_size(16)));
INLINE v4 load4(const float *p) {
  v4 v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
INLINE void store4(float *p, v4 v) { __builtin_memcpy(p, &v, sizeof v); }

// Runs are short, often shorter than a vector: whole vectors, then fours, then what is left.
#define RUN(wide, four, one)               \
  do {                                     \
    long i = 0;                            \
    for (; i + W <= n; i += W) wide;       \
    for (; i + 4 <= n; i += 4) four;       \
    if (i < n) one;                        \
    if (++i < n) one;                      \
    if (++i < n) one;                      \
  } while (0)

INLINE void copy_values(float *y, const float *x, long n) { RUN(store(y + i, load(x + i)), store4(y + i, load4(x + i)), y[i] = x[i]); }
INLINE void add_values(float *y, const float *x, long n) {
  RUN(store(y + i, load(y + i) + load(x + i)), store4(y + i, load4(y + i) + load4(x + i)), y[i] += x[i]);
}
INLINE void clear_values(float *y, long n) { RUN(store(y + i, (vf){0}), store4(y + i, (v4){0}), y[i] = 0); }

// One row of a window: kernel[2] places from column w on, of the input's row at x. Places outside the input are zero.
INLINE void unfold_run(const ensue_unfold *a, float *y, const float *x, long w) {
  const long c = a->c, from = w < 0 ? -w : 0, past = w + a->kernel[2] - a->in[2];
  long to = a->kernel[2] - (past > 0 ? past : 0);
  if (to < from) to = from;
  if (from) clear_values(y, (from < a->kernel[2] ? from : a->kernel[2]) * c);
  if (to > from) copy_values(y + from * c, x + (w + from) * c, (to - from) * c);
  if (to < a->kernel[2] && from < a->kernel[2]) clear_values(y + to * c, (a->kernel[2] - to) * c);
}

INLINE void fold_run(const ensue_unfold *a, const float *y, float *x, long w) {
  const long c = a->c, from = w < 0 ? -w : 0, past = w + a->kernel[2] - a->in[2];
  const long to = a->kernel[2] - (past > 0 ? past : 0);
  if (to > from) add_values(x + (w + from) * c, y + from * c, (to - from) * c);
}

// A range is a range of rows of windows, out[2] windows each.
static void ISA(unfold)(const ensue_unfold *a, long first, long last) {
  const long run = a->kernel[2] * a->c, window = a->kernel[0] * a->kernel[1] * run, line = a->in[2] * a->c;
  for (long row = first; row < last; row++) {
    const long h = row % a->out[1] * a->stride[1] - a->padding[1];
    const long t = row / a->out[1] % a->out[0] * a->stride[0] - a->padding[0];
    const long b = row / a->out[1] / a->out[0];
    for (long dt = 0; dt < a->kernel[0]; dt++)
      for (long dh = 0; dh < a->kernel[1]; dh++) {
        float *y = a->y + row * a->out[2] * window + (dt * a->kernel[1] + dh) * run;
        const long at = t + dt, ah = h + dh;
        const int inside = at >= 0 && at < a->in[0] && ah >= 0 && ah < a->in[1];
        const float *x = a->x + ((b * a->in[0] + at) * a->in[1] + ah) * line;
        for (long w = 0; w < a->out[2]; w++, y += window) {
          if (inside)
            unfold_run(a, y, x, w * a->stride[2] - a->padding[2]);
          else
            clear_values(y, run);
        }
      }
  }
}

// A range is a range of items of the batch: windows of one item overlap, and are added in their order.
static void ISA(fold)(const ensue_unfold *a, long first, long last) {
  const long run = a->kernel[2] * a->c, line = a->in[2] * a->c;
  const float *y = a->y + first * a->out[0] * a->out[1] * a->out[2] * a->kernel[0] * a->kernel[1] * run;
  for (long b = first; b < last; b++)
    for (long t = 0; t < a->out[0]; t++)
      for (long h = 0; h < a->out[1]; h++)
        for (long w = 0; w < a->out[2]; w++)
          for (long dt = 0; dt < a->kernel[0]; dt++)
            for (long dh = 0; dh < a->kernel[1]; dh++, y += run) {
              const long at = t * a->stride[0] - a->padding[0] + dt, ah = h * a->stride[1] - a->padding[1] + dh;
              if (at < 0 || at >= a->in[0] || ah < 0 || ah >= a->in[1]) continue;
              fold_run(a, y, a->dx + ((b * a->in[0] + at) * a->in[1] + ah) * line, w * a->stride[2] - a->padding[2]);
            }
}
