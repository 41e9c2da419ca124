//go:build cgo && linux && amd64 && !purego

#include "pixels_vector.h"

#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline, target("avx2")))

// The grey picture, its outermost pixels repeated once beyond the border. Rows begin at a multiple of 32, pixels one vector after that.
enum { BEFORE = 32, STRIDE = BEFORE + PIXELS_SIDE + 32 };
typedef struct {
  uint8_t rows[PIXELS_SIDE + 2][STRIDE];
} grey_picture;

int ensue_pixels_vector(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2");
}

// Where the 16 values of each colour lie in three times 16 bytes of R, G, B, R, …; 128 takes none.
#define N -128
static const int8_t places[3][3][16] __attribute__((aligned(16))) = {
    {{0, 3, 6, 9, 12, 15, N, N, N, N, N, N, N, N, N, N}, {N, N, N, N, N, N, 2, 5, 8, 11, 14, N, N, N, N, N}, {N, N, N, N, N, N, N, N, N, N, N, 1, 4, 7, 10, 13}},
    {{1, 4, 7, 10, 13, N, N, N, N, N, N, N, N, N, N, N}, {N, N, N, N, N, 0, 3, 6, 9, 12, 15, N, N, N, N, N}, {N, N, N, N, N, N, N, N, N, N, N, 2, 5, 8, 11, 14}},
    {{2, 5, 8, 11, 14, N, N, N, N, N, N, N, N, N, N, N}, {N, N, N, N, N, 1, 4, 7, 10, 13, N, N, N, N, N, N}, {N, N, N, N, N, N, N, N, N, N, 0, 3, 6, 9, 12, 15}},
};
#undef N

// 16 values of one colour, as 16 bits.
INLINE __m256i colour(const __m128i bytes[3], const int8_t at[3][16]) {
  __m128i v = _mm_shuffle_epi8(bytes[0], _mm_load_si128((const __m128i *)at[0]));
  v = _mm_or_si128(v, _mm_shuffle_epi8(bytes[1], _mm_load_si128((const __m128i *)at[1])));
  v = _mm_or_si128(v, _mm_shuffle_epi8(bytes[2], _mm_load_si128((const __m128i *)at[2])));
  return _mm256_cvtepu8_epi16(v);
}

INLINE uint32_t sum32(__m256i v) {
  __m128i a = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
  a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0xb1));
  return (uint32_t)_mm_cvtsi128_si32(a);
}

// The sum of 16 values below 2¹⁵.
INLINE uint32_t sum16(__m256i v) { return sum32(_mm256_madd_epi16(v, _mm256_set1_epi16(1))); }

// A patch of 16×16 pixels, drawn in grey, too. Of 16 rows, sums in 16 bits do not overflow: 16·255.
AVX2 static void count_colours(const uint8_t *frame, int top, int left, grey_picture *grey, uint32_t *out) {
  __m256i sums[3] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
  __m256i squares[3] = {sums[0], sums[0], sums[0]};
  const __m256i weights[3] = {_mm256_set1_epi16(77), _mm256_set1_epi16(150), _mm256_set1_epi16(29)};
  for (int y = top; y < top + PIXELS_PATCH; y++) {
    const __m128i *line = (const __m128i *)(frame + (y * PIXELS_SIDE + left) * 3);
    const __m128i bytes[3] = {_mm_loadu_si128(line), _mm_loadu_si128(line + 1), _mm_loadu_si128(line + 2)};
    __m256i mixed = _mm256_setzero_si256();
    for (int c = 0; c < 3; c++) {
      const __m256i v = colour(bytes, places[c]);
      sums[c] = _mm256_add_epi16(sums[c], v);
      squares[c] = _mm256_add_epi32(squares[c], _mm256_madd_epi16(v, v));
      mixed = _mm256_add_epi16(mixed, _mm256_mullo_epi16(v, weights[c])); // at most 256·255, unsigned
    }
    mixed = _mm256_srli_epi16(mixed, 8);
    const __m128i packed = _mm_packus_epi16(_mm256_castsi256_si128(mixed), _mm256_extracti128_si256(mixed, 1));
    _mm_storeu_si128((__m128i *)&grey->rows[y + 1][BEFORE + left], packed);
  }
  for (int c = 0; c < 3; c++) {
    out[c] = sum16(sums[c]);
    out[3 + c] = sum32(squares[c]);
  }
}

static void repeat_border(grey_picture *grey) {
  for (int y = 1; y <= PIXELS_SIDE; y++) {
    uint8_t *row = grey->rows[y] + BEFORE;
    row[-1] = row[0];
    row[PIXELS_SIDE] = row[PIXELS_SIDE - 1];
  }
  memcpy(grey->rows[0], grey->rows[1], STRIDE);
  memcpy(grey->rows[PIXELS_SIDE + 1], grey->rows[PIXELS_SIDE], STRIDE);
}

INLINE __m256i widened(const uint8_t *p) { return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p)); }

// See vote in pixels.go: along the nearest axis longer − shorter, along the nearest diagonal shorter.
AVX2 static void count_votes(const grey_picture *grey, int top, int left, uint32_t *out) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i sums[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
  for (int y = top; y < top + PIXELS_PATCH; y++) {
    const uint8_t *here = &grey->rows[y + 1][BEFORE + left];
    const __m256i across = _mm256_sub_epi16(widened(here + 1), widened(here - 1));
    const __m256i down = _mm256_sub_epi16(widened(here + STRIDE), widened(here - STRIDE));
    const __m256i wide = _mm256_abs_epi16(across), high = _mm256_abs_epi16(down);
    const __m256i to_left = _mm256_cmpgt_epi16(zero, across), up = _mm256_cmpgt_epi16(zero, down);
    const __m256i steep = _mm256_cmpgt_epi16(high, wide);
    const __m256i shorter = _mm256_min_epi16(wide, high), rest = _mm256_sub_epi16(_mm256_max_epi16(wide, high), shorter);
    const __m256i flat_rest = _mm256_andnot_si256(steep, rest), steep_rest = _mm256_and_si256(steep, rest);
    const __m256i up_shorter = _mm256_and_si256(up, shorter), down_shorter = _mm256_andnot_si256(up, shorter);
    sums[0] = _mm256_add_epi16(sums[0], _mm256_andnot_si256(to_left, flat_rest));
    sums[1] = _mm256_add_epi16(sums[1], _mm256_andnot_si256(up, steep_rest));
    sums[2] = _mm256_add_epi16(sums[2], _mm256_and_si256(to_left, flat_rest));
    sums[3] = _mm256_add_epi16(sums[3], _mm256_and_si256(up, steep_rest));
    sums[4] = _mm256_add_epi16(sums[4], _mm256_andnot_si256(to_left, down_shorter));
    sums[5] = _mm256_add_epi16(sums[5], _mm256_and_si256(to_left, down_shorter));
    sums[6] = _mm256_add_epi16(sums[6], _mm256_and_si256(to_left, up_shorter));
    sums[7] = _mm256_add_epi16(sums[7], _mm256_andnot_si256(to_left, up_shorter));
  }
  for (int bin = 0; bin < 8; bin++) out[bin] = sum16(sums[bin]);
}

void ensue_pixels_count(const uint8_t *frame, uint32_t *colours, uint32_t *votes) {
  grey_picture grey;
  for (int patch = 0; patch < PIXELS_GRID * PIXELS_GRID; patch++)
    count_colours(frame, patch / PIXELS_GRID * PIXELS_PATCH, patch % PIXELS_GRID * PIXELS_PATCH, &grey, colours + 6 * patch);
  repeat_border(&grey);
  for (int patch = 0; patch < PIXELS_GRID * PIXELS_GRID; patch++)
    count_votes(&grey, patch / PIXELS_GRID * PIXELS_PATCH, patch % PIXELS_GRID * PIXELS_PATCH, votes + 8 * patch);
}
