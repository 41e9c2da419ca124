#ifndef ENSUE_ENCODER_PIXELS_VECTOR_H
#define ENSUE_ENCODER_PIXELS_VECTOR_H

#include <stdint.h>

// The sizes of Pixels (pixels.go).
enum { PIXELS_SIDE = 128, PIXELS_GRID = 8, PIXELS_PATCH = 16 };

// ensue_pixels_vector tells whether this processor can run ensue_pixels_count.
int ensue_pixels_vector(void);

// ensue_pixels_count counts in the patches of a frame of PIXELS_SIDE × PIXELS_SIDE pixels, three bytes each: of every patch, row by row,
// six sums of colours and eight of votes, as countPixels does (pixels.go).
void ensue_pixels_count(const uint8_t *frame, uint32_t *colours, uint32_t *votes);

#endif
