// The parts of a gated cell that are no products (kernels.h). n is the width of the state; a range is a range of rows. What a value becomes
// depends on its column, not on its row: the end of a row goes through the same vectors.

INLINE vf sigmoid(vf x) { return 1.f / (1.f + vexp(-x)); }
INLINE vf hyperbolic(vf x) { return 1.f - 2.f / (1.f + vexp(x + x)); }

#define PART(n, i) ((n) - (i) < W ? (n) - (i) : W)
INLINE vf take(const float *p, long part) { return part == W ? load(p) : load_part(p, part, 0); }
INLINE void put(float *p, vf v, long part) {
  if (part == W)
    store(p, v);
  else
    store_part(p, v, part);
}
INLINE void gain(float *p, vf v, long part) { put(p, take(p, part) + v, part); }

// y = σ(in + hidden): the gates r and u.
static void ISA(cell_gates)(const ensue_cell *a, long first, long last) {
  const long n = a->n;
  for (long row = first; row < last; row++)
    for (long i = 0; i < 2 * n; i += W) {
      const long part = PART(2 * n, i);
      put(a->y + row * 2 * n + i, sigmoid(take(a->in + row * 3 * n + i, part) + take(a->hidden + row * 2 * n + i, part)), part);
    }
}

static void ISA(cell_gates_grad)(const ensue_cell *a, long first, long last) {
  const long n = a->n;
  for (long row = first; row < last; row++)
    for (long i = 0; i < 2 * n; i += W) {
      const long part = PART(2 * n, i);
      const vf g = take(a->gates + row * 2 * n + i, part), d = take(a->dy + row * 2 * n + i, part) * g * (1.f - g);
      if (a->din) gain(a->din + row * 3 * n + i, d, part);
      if (a->dhidden) gain(a->dhidden + row * 2 * n + i, d, part);
    }
}

// y = r h.
static void ISA(cell_reset)(const ensue_cell *a, long first, long last) {
  const long n = a->n;
  for (long row = first; row < last; row++)
    for (long i = 0; i < n; i += W) {
      const long part = PART(n, i);
      put(a->y + row * n + i, take(a->gates + row * 2 * n + i, part) * take(a->h + row * n + i, part), part);
    }
}

static void ISA(cell_reset_grad)(const ensue_cell *a, long first, long last) {
  const long n = a->n;
  for (long row = first; row < last; row++)
    for (long i = 0; i < n; i += W) {
      const long part = PART(n, i);
      const vf d = take(a->dy + row * n + i, part);
      if (a->dgates) gain(a->dgates + row * 2 * n + i, d * take(a->h + row * n + i, part), part);
      if (a->dh) gain(a->dh + row * n + i, d * take(a->gates + row * 2 * n + i, part), part);
    }
}

// y = u h + (1-u) tanh(in + hidden); the tanh is kept where kept is set.
static void ISA(cell_blend)(const ensue_cell *a, long first, long last) {
  const long n = a->n;
  for (long row = first; row < last; row++)
    for (long i = 0; i < n; i += W) {
      const long part = PART(n, i);
      const vf c = hyperbolic(take(a->in + row * 3 * n + 2 * n + i, part) + take(a->hidden + row * n + i, part));
      const vf u = take(a->gates + row * 2 * n + n + i, part);
      if (a->kept) put(a->kept + row * n + i, c, part);
      put(a->y + row * n + i, u * take(a->h + row * n + i, part) + (1.f - u) * c, part);
    }
}

static void ISA(cell_blend_grad)(const ensue_cell *a, long first, long last) {
  const long n = a->n;
  for (long row = first; row < last; row++)
    for (long i = 0; i < n; i += W) {
      const long part = PART(n, i);
      const vf d = take(a->dy + row * n + i, part), u = take(a->gates + row * 2 * n + n + i, part);
      const vf c = take(a->kept + row * n + i, part), slope = d * (1.f - u) * (1.f - c * c);
      if (a->din) gain(a->din + row * 3 * n + 2 * n + i, slope, part);
      if (a->dhidden) gain(a->dhidden + row * n + i, slope, part);
      if (a->dgates) gain(a->dgates + row * 2 * n + n + i, d * (take(a->h + row * n + i, part) - c), part);
      if (a->dh) gain(a->dh + row * n + i, d * u, part);
    }
}
