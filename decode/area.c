#include "area.h"

#include <string.h>

// The loops over a row are what takes the time; the compiler makes vector code of them, in two versions where it can choose at run
// time. All arithmetic but the last division is on integers, so both give the same.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define VECTOR __attribute__((target_clones("avx2", "default"), optimize("O3")))
#else
#define VECTOR
#endif

VECTOR static void add_row(uint16_t *restrict whole, const uint8_t *restrict row, int n) {
    for (int x = 0; x < n; x++) whole[x] += row[x];
}

VECTOR static void weigh(uint32_t *restrict sums, const uint16_t *restrict whole, const uint8_t *restrict first,
                         const uint8_t *restrict last, uint32_t w, uint32_t w_first, uint32_t w_last, int n) {
    for (int x = 0; x < n; x++) sums[x] = w * whole[x] + w_first * first[x] + w_last * last[x];
}

// Along one side, source cell i covers [i*to, (i+1)*to) and target cell j covers [j*from, (j+1)*from) of a line from*to long, so
// every overlap is a whole number.
typedef struct Cover {
    int first, last;           // source cells at the two ends; everything between is covered whole, with weight `to`
    uint32_t w_first, w_last;  // their overlaps; w_last is 0 where first == last
} Cover;

static Cover cover(int j, int from, int to) {
    int64_t begin = (int64_t)j * from, end = begin + from;
    Cover c = {(int)(begin / to), (int)((end - 1) / to), 0, 0};
    if (c.first == c.last) {
        c.w_first = from;
        return c;
    }
    c.w_first = (uint32_t)((int64_t)(c.first + 1) * to - begin);
    c.w_last = (uint32_t)(end - (int64_t)c.last * to);
    return c;
}

void area_shrink(const uint8_t *from, int from_width, int from_height, int stride, uint8_t *to, int width, int height,
                 uint16_t *whole, uint32_t *sums) {
    const double share = 1.0 / ((double)from_width * from_height);
    Cover columns[AREA_MAX_WIDTH];
    for (int x = 0; x < width; x++) columns[x] = cover(x, from_width, width);
    for (int y = 0; y < height; y++) {
        Cover rows = cover(y, from_height, height);
        memset(whole, 0, from_width * sizeof *whole);
        for (int r = rows.first + 1; r < rows.last; r++) add_row(whole, from + (int64_t)r * stride, from_width);
        weigh(sums, whole, from + (int64_t)rows.first * stride, from + (int64_t)rows.last * stride, height, rows.w_first,
              rows.w_last, from_width);
        for (int x = 0; x < width; x++) {
            const Cover column = columns[x];
            uint64_t inner = 0;
            for (int c = column.first + 1; c < column.last; c++) inner += sums[c];
            uint64_t sum = inner * width + (uint64_t)sums[column.first] * column.w_first + (uint64_t)sums[column.last] * column.w_last;
            *to++ = (uint8_t)((double)sum * share + 0.5);
        }
    }
}
