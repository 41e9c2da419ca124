//go:build cgo && linux && amd64 && !purego

package encoder

/*
#cgo CFLAGS: -O3 -std=gnu11 -Wall
#cgo noescape ensue_pixels_count
#cgo nocallback ensue_pixels_count
#include "pixels_vector.h"
*/
import "C"

import "unsafe"

// vectorPixels tells whether this processor has the vector instructions of countPixelsVector.
func vectorPixels() bool { return C.ensue_pixels_vector() != 0 }

// countPixelsVector is countPixels, 16 pixels at a time.
func countPixelsVector(frame []byte, sums *pixelsSums) {
	frame = frame[:pixelsSide*pixelsSide*3]
	C.ensue_pixels_count((*C.uint8_t)(unsafe.SliceData(frame)),
		(*C.uint32_t)(unsafe.Pointer(&sums.colours)), (*C.uint32_t)(unsafe.Pointer(&sums.votes)))
}
