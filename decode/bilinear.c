#include "bilinear.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define VECTOR __attribute__((target_clones("avx2", "default"), optimize("O3")))
#define SSE41 __attribute__((target("sse4.1")))
#else
#define VECTOR
#endif

static inline uint8_t clip(int32_t sum, int bits) {
    sum >>= bits;
    return sum < 0 ? 0 : sum > 255 ? 255 : (uint8_t)sum;
}

static inline int32_t half(int bits) { return (int32_t)1 << bits >> 1; }

static uint8_t column(const uint8_t *row, const int16_t *w, int taps, int bits) {
    int32_t sum = half(bits);
    for (int k = 0; k < taps; k++) sum += row[k] * w[k];
    return clip(sum, bits);
}

#ifdef SSE41

// products adds the products of 8 pixels and weights, in four sums.
SSE41 static inline __m128i products(__m128i sums, const uint8_t *row, const int16_t *w) {
    __m128i pixels = _mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)row));
    return _mm_add_epi32(sums, _mm_madd_epi16(pixels, _mm_loadu_si128((const __m128i *)w)));
}

// Four target pixels at a time, so that their sums are put together in three steps. Sums of whole numbers do not depend on the
// order: the same bytes as one by one.
SSE41 static void columns_sse41(const uint8_t *row, uint8_t *to, const int32_t *first, const int16_t *weights, int count, int taps,
                                int bits) {
    const __m128i round = _mm_set1_epi32(half(bits)), shift = _mm_cvtsi32_si128(bits);
    int i = 0;
    for (; i + 4 <= count; i += 4) {
        const uint8_t *at[4];
        const int16_t *w = weights + (int64_t)i * taps;
        for (int j = 0; j < 4; j++) at[j] = row + first[i + j];
        __m128i a = _mm_setzero_si128(), b = a, c = a, d = a;
        for (int k = 0; k < taps; k += 8) {
            a = products(a, at[0] + k, w + k);
            b = products(b, at[1] + k, w + taps + k);
            c = products(c, at[2] + k, w + 2 * taps + k);
            d = products(d, at[3] + k, w + 3 * taps + k);
        }
        __m128i sum = _mm_hadd_epi32(_mm_hadd_epi32(a, b), _mm_hadd_epi32(c, d));
        sum = _mm_sra_epi32(_mm_add_epi32(sum, round), shift);
        sum = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
        int32_t four = _mm_cvtsi128_si32(sum);
        __builtin_memcpy(to + i, &four, 4);
    }
    for (; i < count; i++) to[i] = column(row + first[i], weights + (int64_t)i * taps, taps, bits);
}

#endif

static void columns_portable(const uint8_t *row, uint8_t *to, const int32_t *first, const int16_t *weights, int count, int taps,
                             int bits) {
    for (int i = 0; i < count; i++) to[i] = column(row + first[i], weights + (int64_t)i * taps, taps, bits);
}

void bilinear_columns(const uint8_t *from, int rows, int stride, uint8_t *to, const int32_t *first, const int16_t *weights, int count,
                      int taps, int bits) {
    void (*columns)(const uint8_t *, uint8_t *, const int32_t *, const int16_t *, int, int, int) = columns_portable;
#ifdef SSE41
    if (__builtin_cpu_supports("sse4.1")) columns = columns_sse41;
#endif
    for (int r = 0; r < rows; r++) columns(from + (int64_t)r * stride, to + (int64_t)r * count, first, weights, count, taps, bits);
}

// As many sums as a few vector registers hold.
enum { BLOCK = 32 };

VECTOR static void weigh_rows(const uint8_t *restrict from, int width, uint8_t *restrict to, const int16_t *restrict w, int taps,
                              int bits) {
    int x = 0;
    for (; x + BLOCK <= width; x += BLOCK) {
        int32_t sums[BLOCK];
        for (int j = 0; j < BLOCK; j++) sums[j] = half(bits);
        for (int k = 0; k < taps; k++) {
            const uint8_t *row = from + (int64_t)k * width + x;
            for (int j = 0; j < BLOCK; j++) sums[j] += row[j] * w[k];
        }
        for (int j = 0; j < BLOCK; j++) to[x + j] = clip(sums[j], bits);
    }
    for (; x < width; x++) {
        int32_t sum = half(bits);
        for (int k = 0; k < taps; k++) sum += from[(int64_t)k * width + x] * w[k];
        to[x] = clip(sum, bits);
    }
}

void bilinear_rows(const uint8_t *from, int width, uint8_t *to, const int32_t *first, const int16_t *weights, int count, int taps,
                   int bits) {
    for (int i = 0; i < count; i++)
        weigh_rows(from + (int64_t)first[i] * width, width, to + (int64_t)i * width, weights + (int64_t)i * taps, taps, bits);
}

VECTOR void bilinear_eight(const uint16_t *from, uint8_t *to, int n, float scale, float offset) {
    for (int i = 0; i < n; i++) {
        float v = from[i] * scale + (offset + 0.5f);
        to[i] = v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
    }
}
