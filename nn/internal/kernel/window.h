// Convolutions: products with windows that are never laid out whole (kernels.h). The windows of neighbouring places overlap, so a tile of
// results in a row of the output reads its rows of x from a few lines of the input, a stride apart.

// Items [first, last) of x, each with zeros around it: [rows, columns, c].
static void ISA(conv_pad)(const ensue_conv *a, float *to, long first, long last) {
  const long rows = ensue_conv_extent(a, 0), columns = ensue_conv_extent(a, 1), c = a->c;
  const long left = a->before[1] > 0 ? a->before[1] : 0, begin = a->before[1] < 0 ? -a->before[1] : 0;
  const long inside = a->in[1] - begin, fit = columns - left, width = inside < fit ? inside : fit;
  for (long item = first; item < last; item++)
    for (long row = 0; row < rows; row++, to += columns * c) {
      const long at = row - a->before[0];
      if (at < 0 || at >= a->in[0] || width <= 0) {
        clear_values(to, columns * c);
        continue;
      }
      if (left) clear_values(to, left * c);
      copy_values(to + left * c, a->x + ((item * a->in[0] + at) * a->in[1] + begin) * c, width * c);
      if (left + width < columns) clear_values(to + (left + width) * c, (columns - left - width) * c);
    }
}

// Items [first, last), panels [from, to) of the weights.
static void ISA(conv)(const ensue_conv *a, float *work, long first, long last, long from, long to) {
  const long c = a->c, depth = a->kernel[1] * c, panel_floats = a->kernel[0] * depth * PV * W;
  const float *x = a->x + first * a->in[0] * a->in[1] * c;
  long line = a->in[1] * c, item = a->in[0] * line;
  if (ensue_conv_pads(a)) {
    ISA(conv_pad)(a, work, first, last);
    x = work, line = ensue_conv_extent(a, 1) * c, item = ensue_conv_extent(a, 0) * line;
  }
  const ISA(tile_walk) walk = {depth, a->kernel[0], a->stride[1] * c, line};
  const long tiles = (a->out[1] + PR - 1) / PR, width = (a->out[1] + tiles - 1) / tiles; // alike: narrow ones are slow
  for (long panel = from; panel < to; panel++) {
    const long column = panel * PV * W, cols = a->n - column < PV * W ? a->n - column : PV * W;
    const float *b = a->w + panel * panel_floats;
    const ISA(tile_end) end = {a->bias ? a->bias + column : NULL, a->sum, a->gelu};
    const char *ahead = (const char *)b, *past = (const char *)b;
    if (panel + 1 < to) ahead = (const char *)(b + panel_floats), past = (const char *)(b + 2 * panel_floats);
    for (long i = 0; i < last - first; i++)
      for (long row = 0; row < a->out[0]; row++)
        for (long at = 0; at < a->out[1]; at += width) {
          const int rows = (int)(a->out[1] - at < width ? a->out[1] - at : width);
          float *y = a->y + (first + i) * a->y_item + row * a->y_row + at * a->y_place + column;
          ISA(any_tile)(rows, cols, 0, &walk, x + i * item + row * a->stride[0] * line + at * walk.a_row, b, ahead, y, a->y_place, &end);
          ahead = ahead + 16 * depth * a->kernel[0] < past ? ahead + 16 * depth * a->kernel[0] : (const char *)b;
        }
  }
}

// Weights of the data's gradient, panels [first, last): for each place of a window, from the last to the first, and each output, c inputs.
static void ISA(conv_turn)(const ensue_conv_turn *a, long first, long last) {
  const long place = a->kernel[0] * a->kernel[1] * a->c;
  for (long panel = first; panel < last; panel++) {
    const long column = panel * PV * W, cols = a->c - column < PV * W ? a->c - column : PV * W;
    float *to = a->to + panel * a->taps[0] * a->taps[1] * a->n * PV * W;
    for (long h = 0; h < a->taps[0]; h++)
      for (long w = 0; w < a->taps[1]; w++) {
        const long at = (a->last[0] - h * a->step[0]) * a->kernel[1] + a->last[1] - w * a->step[1];
        const float *from = a->from + at * a->c + column;
        for (long o = 0; o < a->n; o++, from += place, to += PV * W) {
          copy_values(to, from, cols);
          if (cols < PV * W) clear_values(to + cols, PV * W - cols);
        }
      }
  }
}

// Numbers [first, last) of one line of a window that begins at column `at` of the input's row x; zero outside the input.
INLINE void ISA(window_part)(const ensue_conv_grad *a, float *to, const float *x, long at, long first, long last) {
  const long begin = at < 0 ? -at * a->c : 0, past = (a->in[1] - at) * a->c;
  const long from = first < begin ? (begin < last ? begin : last) : first, end = past < last ? (past > from ? past : from) : last;
  if (from > first) clear_values(to, from - first);
  copy_values(to + from - first, x + at * a->c + from, end - from);
  if (end < last) clear_values(to + end - first, last - end);
}

// Numbers [first, last) of one line of the windows of a row of the output, from the input's row x: PV*W apart in to.
INLINE void ISA(window_line)(const ensue_conv_grad *a, float *to, const float *x, long first, long last) {
  const long c = a->c, n = last - first, step = a->stride[1] * c, columns = a->in[1] * c;
  long at = -a->before[1] * c;
  for (long w = 0; w < a->out[1]; w++, at += step, to += PV * W) {
    const float *from = x + at + first;
    if (at + first < 0 || at + last > columns)
      ISA(window_part)(a, to, x, w * a->stride[1] - a->before[1], first, last);
    else if (n == PV * W)
#pragma GCC unroll 16
      for (long j = 0; j < PV * W; j += W) store(to + j, load(from + j));
    else
      copy_values(to, from, n);
  }
}

// The windows of rows [first, last) of the output, as far as a panel of dw has to do with them, from number `column` of a window on:
// [places][PV*W].
static void ISA(windows)(const ensue_conv_grad *a, float *to, long first, long last, long column) {
  const long run = a->kernel[1] * a->c, window = a->kernel[0] * run, end = window - column < PV * W ? window : column + PV * W;
  const long places = a->out[1] * PV * W;
  if (end - column < PV * W) clear_values(to, (last - first) * places);
  for (long line = column / run; line * run < end; line++) {
    const long from = column > line * run ? column - line * run : 0, until = end < (line + 1) * run ? end - line * run : run;
    float *at = to + line * run + from - column;
    for (long row = first; row < last; row++, at += places) {
      const long h = row % a->out[0] * a->stride[0] - a->before[0] + line;
      if (h >= 0 && h < a->in[0])
        ISA(window_line)(a, at, a->x + (row / a->out[0] * a->in[0] + h) * a->in[1] * a->c, from, until);
      else
        for (long w = 0; w < a->out[1]; w++) clear_values(at + w * PV * W, until - from);
    }
  }
}

// The outputs' gradients at places [first, last), as rows of a product: [n/PR][places][PR].
static void ISA(upstream)(const ensue_conv_grad *a, float *to, long first, long last) {
  for (long o = 0; o < a->n; o += PR) {
    const long rows = a->n - o < PR ? a->n - o : PR;
    const float *from = a->dy + first * a->n + o;
    for (long k = first; k < last; k++, from += a->n, to += PR) {
      if (rows == PR)
        __builtin_memcpy(to, from, PR * sizeof *to);
      else
        for (long i = 0; i < PR; i++) to[i] = i < rows ? from[i] : 0;
    }
  }
}

// Panels [from, to) of dw.
static void ISA(conv_grad)(const ensue_conv_grad *a, float *work, long from, long to) {
  const long window = a->kernel[0] * a->kernel[1] * a->c, rows = a->batch * a->out[0], block = ensue_conv_rows(a);
  float *left = work, *right = work + (a->n + PR - 1) / PR * PR * block * a->out[1];
  for (long row = 0; row < rows; row += block) {
    const long last = row + block < rows ? row + block : rows, depth = (last - row) * a->out[1];
    const ISA(tile_walk) walk = {depth, 1, 0, 0};
    const ISA(tile_end) end = {NULL, row > 0 || a->sum, 0};
    ISA(upstream)(a, left, row * a->out[1], last * a->out[1]);
    for (long panel = from; panel < to; panel++) {
      const long column = panel * PV * W, cols = window - column < PV * W ? window - column : PV * W;
      ISA(windows)(a, right, row, last, column);
      for (long o = 0; o < a->n; o += PR)
        ISA(any_tile)(a->n - o < PR ? (int)(a->n - o) : PR, cols, 1, &walk, left + o * depth, right, (const char *)right,
                      a->dw + o * window + column, window, &end);
    }
  }
}
