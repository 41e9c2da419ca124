// Kernels that walk over rows or over flat arrays. Written once, compiled for each instruction set.

static void ISA(norm)(const ensue_norm *a, long first, long last) {
  const long n = a->n;
  for (long r = first; r < last; r++) {
    const float *x = a->x + r * n;
    vf s0 = {0}, s1 = {0};
    long i = 0;
    for (; i + 2 * W <= n; i += 2 * W) {
      s0 += load(x + i);
      s1 += load(x + i + W);
    }
    float sum = sum_lanes(s0 + s1);
    for (; i < n; i++) sum += x[i];
    float mean = sum / n;
    // The second sum takes out what rounding left in the first: rows with a large mean and a small variance need it.
    vf c = {0}, m = splat(mean), q = {0};
    for (i = 0; i + W <= n; i += W) c += load(x + i) - m;
    float rest = sum_lanes(c);
    for (; i < n; i++) rest += x[i] - mean;
    mean += rest / n;
    m = splat(mean);
    for (i = 0; i + W <= n; i += W) {
      vf d = load(x + i) - m;
      q += d * d;
    }
    float square = sum_lanes(q);
    for (; i < n; i++) square += (x[i] - mean) * (x[i] - mean);
    float rstd = 1.f / __builtin_sqrtf(square / n + a->eps);
    if (a->mean) a->mean[r] = mean;
    if (a->rstd) a->rstd[r] = rstd;
    for (i = 0; i + W <= n; i += W) {
      vf y = (load(x + i) - m) * rstd;
      if (a->w) y = y * load(a->w + i);
      if (a->b) y = y + load(a->b + i);
      if (a->y)
        store(a->y + r * n + i, y);
      else
        store_half(a->y16 + r * n + i, y);
    }
    for (; i < n; i++) {
      float y = (x[i] - mean) * rstd;
      if (a->w) y = y * a->w[i];
      if (a->b) y = y + a->b[i];
      if (a->y)
        a->y[r * n + i] = y;
      else
        a->y16[r * n + i] = float_to_half(y);
    }
  }
}

// With g = dy * w and h = (x - mean) * rstd: dx = rstd * (g - mean(g) - h * mean(g h)).
static void ISA(norm_grad)(const ensue_norm_grad *a, long first, long last) {
  const long n = a->n;
  for (long r = first; r < last; r++) {
    const float *x = a->x + r * n, *dy = a->dy + r * n;
    float *dx = a->dx + r * n;
    const float mean = a->mean[r], rstd = a->rstd[r];
    vf sg = {0}, sgh = {0};
    long i = 0;
    for (; i + W <= n; i += W) {
      vf g = a->w ? load(dy + i) * load(a->w + i) : load(dy + i);
      sg += g;
      sgh += g * ((load(x + i) - mean) * rstd);
    }
    float mg = sum_lanes(sg), mgh = sum_lanes(sgh);
    for (; i < n; i++) {
      float g = a->w ? dy[i] * a->w[i] : dy[i];
      mg += g;
      mgh += g * ((x[i] - mean) * rstd);
    }
    mg /= n;
    mgh /= n;
    for (i = 0; i + W <= n; i += W) {
      vf g = a->w ? load(dy + i) * load(a->w + i) : load(dy + i);
      vf d = (g - mg - (load(x + i) - mean) * rstd * mgh) * rstd;
      store(dx + i, a->accumulate ? load(dx + i) + d : d);
    }
    for (; i < n; i++) {
      float g = a->w ? dy[i] * a->w[i] : dy[i];
      float d = (g - mg - (x[i] - mean) * rstd * mgh) * rstd;
      dx[i] = a->accumulate ? dx[i] + d : d;
    }
  }
}

static void ISA(norm_weight_grad)(const ensue_norm_weight_grad *a, long first, long last) {
  const long n = a->n;
  long c = first;
  for (; c + 4 * W <= last; c += 4 * W) {
    vf sw[4] = {{0}, {0}, {0}, {0}}, sb[4] = {{0}, {0}, {0}, {0}};
    for (long r = 0; r < a->rows; r++) {
      const float mean = a->mean[r], rstd = a->rstd[r];
#pragma GCC unroll 4
      for (int j = 0; j < 4; j++) {
        vf g = load(a->dy + r * n + c + j * W);
        sb[j] += g;
        sw[j] += g * ((load(a->x + r * n + c + j * W) - mean) * rstd);
      }
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      float *dw = a->dw + c + j * W, *db = a->db + c + j * W;
      if (a->dw) store(dw, a->accumulate ? load(dw) + sw[j] : sw[j]);
      if (a->db) store(db, a->accumulate ? load(db) + sb[j] : sb[j]);
    }
  }
  for (; c + W <= last; c += W) {
    vf sw = {0}, sb = {0};
    for (long r = 0; r < a->rows; r++) {
      vf g = load(a->dy + r * n + c);
      sb += g;
      sw += g * ((load(a->x + r * n + c) - a->mean[r]) * a->rstd[r]);
    }
    if (a->dw) store(a->dw + c, a->accumulate ? load(a->dw + c) + sw : sw);
    if (a->db) store(a->db + c, a->accumulate ? load(a->db + c) + sb : sb);
  }
  for (; c < last; c++) {
    float sw = 0, sb = 0;
    for (long r = 0; r < a->rows; r++) {
      float g = a->dy[r * n + c];
      sb += g;
      sw += g * ((a->x[r * n + c] - a->mean[r]) * a->rstd[r]);
    }
    if (a->dw) a->dw[c] = a->accumulate ? a->dw[c] + sw : sw;
    if (a->db) a->db[c] = a->accumulate ? a->db[c] + sb : sb;
  }
}

INLINE vf ISA(gelu_of)(vf x) { return 0.5f * x * (1.f + verf(x * 0.70710678118654752f)); }

// d/dx x Phi(x) = Phi(x) + x phi(x)
INLINE vf ISA(gelu_slope)(vf x) {
  vf cdf = 0.5f * (1.f + verf(x * 0.70710678118654752f));
  vf pdf = 0.39894228040143268f * vexp(x * x * -0.5f);
  return cdf + x * pdf;
}

static void ISA(gelu)(float *y, const float *x, long n) {
  long i = 0;
  for (; i + W <= n; i += W) store(y + i, ISA(gelu_of)(load(x + i)));
  if (i < n) store_part(y + i, ISA(gelu_of)(load_part(x + i, n - i, 0)), n - i);
}

static void ISA(gelu_grad)(float *dx, const float *x, const float *dy, int accumulate, long n) {
  long i = 0;
  for (; i + W <= n; i += W) {
    vf d = load(dy + i) * ISA(gelu_slope)(load(x + i));
    store(dx + i, accumulate ? load(dx + i) + d : d);
  }
  if (i < n) {
    long rest = n - i;
    vf d = load_part(dy + i, rest, 0) * ISA(gelu_slope)(load_part(x + i, rest, 0));
    store_part(dx + i, accumulate ? load_part(dx + i, rest, 0) + d : d, rest);
  }
}

static void ISA(column_sum)(float *sum, const float *x, int accumulate, long rows, long n, long first, long last) {
  long c = first;
  for (; c + 4 * W <= last; c += 4 * W) {
    vf s[4] = {{0}, {0}, {0}, {0}};
    for (long r = 0; r < rows; r++)
      for (int j = 0; j < 4; j++) s[j] += load(x + r * n + c + j * W);
    for (int j = 0; j < 4; j++) store(sum + c + j * W, accumulate ? load(sum + c + j * W) + s[j] : s[j]);
  }
  for (; c + W <= last; c += W) {
    vf s = {0};
    for (long r = 0; r < rows; r++) s += load(x + r * n + c);
    store(sum + c, accumulate ? load(sum + c) + s : s);
  }
  for (; c < last; c++) {
    float s = 0;
    for (long r = 0; r < rows; r++) s += x[r * n + c];
    sum[c] = accumulate ? sum[c] + s : s;
  }
}

static void ISA(add)(float *y, const float *a, const float *b, long n) {
  long i = 0;
  for (; i + W <= n; i += W) store(y + i, load(a + i) + load(b + i));
  for (; i < n; i++) y[i] = a[i] + b[i];
}

static void ISA(axpy)(float *y, const float *x, float a, long n) {
  long i = 0;
  for (; i + W <= n; i += W) store(y + i, load(y + i) + a * load(x + i));
  for (; i < n; i++) y[i] += a * x[i];
}

static void ISA(lerp)(float *y, const float *x, float keep, long n) {
  const float take = 1.f - keep;
  long i = 0;
  for (; i + W <= n; i += W) store(y + i, keep * load(y + i) + take * load(x + i));
  for (; i < n; i++) y[i] = keep * y[i] + take * x[i];
}

static double ISA(sum_squares)(const float *x, long n) {
  double total = 0;
  for (long i = 0; i < n;) { // float32 sums stay short, float64 takes the blocks
    vf s = {0};
    long end = i + 64 * W < n ? i + 64 * W : n;
    for (; i + W <= end; i += W) s += load(x + i) * load(x + i);
    double rest = 0;
    for (; i < end; i++) rest += (double)x[i] * x[i];
    for (int j = 0; j < W; j++) total += s[j];
    total += rest;
  }
  return total;
}

static void ISA(adamw)(const ensue_adamw *a, long first, long last) {
  const float keep = 1.f - a->lr * a->decay, step = a->lr / a->correct1;
  const float root = 1.f / __builtin_sqrtf(a->correct2), scale = a->grad_scale;
  long i = first;
  for (; i + W <= last; i += W) {
    vf g = load(a->g + i) * scale;
    vf m = a->beta1 * load(a->m + i) + a->new1 * g;
    vf v = a->beta2 * load(a->v + i) + a->new2 * g * g;
    store(a->m + i, m);
    store(a->v + i, v);
    store(a->p + i, load(a->p + i) * keep - step * m / (VSQRT(v) * root + a->eps));
  }
  for (; i < last; i++) {
    float g = a->g[i] * scale;
    float m = a->beta1 * a->m[i] + a->new1 * g;
    float v = a->beta2 * a->v[i] + a->new2 * g * g;
    a->m[i] = m;
    a->v[i] = v;
    a->p[i] = a->p[i] * keep - step * m / (__builtin_sqrtf(v) * root + a->eps);
  }
}

static void ISA(narrow)(uint16_t *y, const float *x, long n) {
  long i = 0;
  for (; i + W <= n; i += W) store_half(y + i, load(x + i));
  for (; i < n; i++) y[i] = float_to_half(x[i]);
}

static void ISA(widen)(float *y, const uint16_t *x, long n) {
  long i = 0;
  for (; i + W <= n; i += W) store(y + i, load_half(x + i));
  for (; i < n; i++) y[i] = half_to_float(x[i]);
}

static void ISA(row_l1)(const ensue_row_l1 *a, long first, long last) {
  const long n = a->n;
  for (long r = first; r < last; r++) {
    const float *u = a->a + r * n, *v = a->b + r * n;
    vf s = {0};
    long i = 0;
    for (; i + W <= n; i += W) {
      vf d = load(u + i) - load(v + i);
      s += VMAX(d, -d);
    }
    float sum = sum_lanes(s);
    for (; i < n; i++) sum += __builtin_fabsf(u[i] - v[i]);
    a->y[r] = sum * a->scale;
  }
}

static void ISA(row_l1_grad)(const ensue_row_l1 *a, long first, long last) {
  const long n = a->n;
  for (long r = first; r < last; r++) {
    const float *u = a->a + r * n, *v = a->b + r * n, g = a->scale * a->dy[r];
    float *da = a->da ? a->da + r * n : NULL, *db = a->db ? a->db + r * n : NULL;
    const vi step = (vi)splat(g), back = (vi)splat(-g);
    long i = 0;
    for (; i + W <= n; i += W) {
      vf x = load(u + i), y = load(v + i);
      vi above = (vi)(x > y), below = (vi)(x < y);
      if (da) store(da + i, (vf)((step & above) | (back & below)) + (a->add_a ? load(da + i) : (vf){0}));
      if (db) store(db + i, (vf)((back & above) | (step & below)) + (a->add_b ? load(db + i) : (vf){0}));
    }
    for (; i < n; i++) {
      float d = u[i] > v[i] ? g : u[i] < v[i] ? -g : 0;
      if (da) da[i] = a->add_a ? da[i] + d : d;
      if (db) db[i] = a->add_b ? db[i] - d : -d;
    }
  }
}

// One head of one token. The rotated row goes through a small buffer, because partners read each other.
INLINE void ISA(rope_row)(const ensue_rope *a, float *x, const float *cos, const float *sin, float *buffer) {
  const long d = a->d;
  for (long j = 0; j < d; j++) {
    long p = a->partner[j];
    buffer[j] = x[j] * cos[j] + x[p] * (a->backward ? sin[p] : sin[j]);
  }
  __builtin_memcpy(x, buffer, d * sizeof *x);
}

// The common case, neighbours (2i, 2i+1): pairs are exchanged within a vector.
INLINE vf swap_neighbours(vf v) { return __builtin_shuffle(v, (vi)LANES(FLIP, 1)); }
INLINE void ISA(rope_neighbours)(const ensue_rope *a, float *x, const float *cos, const float *sin) {
  long j = 0;
  for (; j + W <= a->d; j += W) {
    vf v = load(x + j), s = load(sin + j);
    vf turn = a->backward ? swap_neighbours(s) : s;
    store(x + j, v * load(cos + j) + swap_neighbours(v) * turn);
  }
  for (; j + 1 < a->d; j += 2) {
    float u = x[j], v = x[j + 1];
    x[j] = u * cos[j] + v * (a->backward ? sin[j + 1] : sin[j]);
    x[j + 1] = v * cos[j + 1] + u * (a->backward ? sin[j] : sin[j + 1]);
  }
  if (j < a->d) x[j] *= cos[j] + sin[j]; // an odd last feature is its own partner
}

static void ISA(rope)(const ensue_rope *a, long first, long last) {
  const long d = a->d;
  float wide[ENSUE_MAX_HEAD], buffer[ENSUE_MAX_HEAD];
  int neighbours = 1;
  for (long j = 0; j < d; j++) {
    long want = (j ^ 1) < d ? (j ^ 1) : j;
    neighbours &= a->partner[j] == want;
  }
  for (long t = first; t < last; t++) {
    const float *cos = a->cos + (t % a->period) * d, *sin = a->sin + (t % a->period) * d;
    for (long h = 0; h < a->heads; h++) {
      float *x = a->x ? a->x + t * a->stride + h * d : wide;
      uint16_t *x16 = a->x16 ? a->x16 + t * a->stride + h * d : NULL;
      if (x16)
        for (long j = 0; j < d; j++) wide[j] = half_to_float(x16[j]);
      if (neighbours)
        ISA(rope_neighbours)(a, x, cos, sin);
      else
        ISA(rope_row)(a, x, cos, sin, buffer);
      if (x16)
        for (long j = 0; j < d; j++) x16[j] = float_to_half(wide[j]);
    }
  }
}
