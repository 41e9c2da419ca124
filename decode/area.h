#ifndef ENSUE_DECODE_AREA_H
#define ENSUE_DECODE_AREA_H

#include <stdint.h>

// AREA_MAX_WIDTH is the largest target width.
#define AREA_MAX_WIDTH 4096

// area_shrink averages a picture of one byte per pixel down to width by height: every target pixel is the mean of the part of the
// source it covers, rounded to nearest. Neither side may grow, and a target row may cover at most 256 whole source rows.
// sums has from_width entries of both kinds.
void area_shrink(const uint8_t *from, int from_width, int from_height, int stride, uint8_t *to, int width, int height,
                 uint16_t *whole, uint32_t *sums);

#endif
