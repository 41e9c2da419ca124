#ifndef ENSUE_DECODE_BILINEAR_H
#define ENSUE_DECODE_BILINEAR_H

#include <stdint.h>

// Resampling by weights in fixed point. A target pixel i is the sum over k < taps of the source pixel first[i] + k times
// weights[i*taps + k], divided by 2^bits, rounded half up and clipped to a byte. No sum leaves 32 bits: weights of a target
// pixel add up to 2^bits or a rounding more, and bits is at most 22.

// bilinear_columns makes each of the rows count pixels wide. taps is a multiple of 8.
void bilinear_columns(const uint8_t *from, int rows, int stride, uint8_t *to, const int32_t *first, const int16_t *weights, int count,
                      int taps, int bits);

// bilinear_rows makes count rows of a picture whose rows are width bytes and lie one after the other.
void bilinear_rows(const uint8_t *from, int width, uint8_t *to, const int32_t *first, const int16_t *weights, int count, int taps,
                   int bits);

// bilinear_eight turns n numbers of more bits into bytes: times scale plus offset, rounded half up and clipped.
void bilinear_eight(const uint16_t *from, uint8_t *to, int n, float scale, float offset);

#endif
