package decode

/*
#cgo CFLAGS: -O3
#include "area.h"
*/
import "C"

import (
	"slices"
	"unsafe"
)

// mostRows is how many source rows a target row may cover whole: 256 rows of 255 fit into 16 bits.
const mostRows = 256

// shrinker averages areas of 8-bit planes. It is OpenCV's INTER_AREA, exactly rounded and several times as fast: OpenCV goes along
// each row first, pixel by pixel, and that was a quarter of all the time of decoding. The zero value is ready.
type shrinker struct {
	whole []uint16
	sums  []uint32
}

// takes says whether shrink can do it; otherwise OpenCV does.
func (*shrinker) takes(from plane, width, height int) bool {
	return width <= C.AREA_MAX_WIDTH && from.width >= width && from.height >= height && from.height/height < mostRows
}

// shrink averages the plane into dst, which has width*height bytes.
func (s *shrinker) shrink(from plane, dst []byte, width, height int) {
	s.whole = slices.Grow(s.whole[:0], from.width)[:from.width]
	s.sums = slices.Grow(s.sums[:0], from.width)[:from.width]
	C.area_shrink((*C.uint8_t)(from.data), C.int(from.width), C.int(from.height), C.int(from.stride),
		(*C.uint8_t)(unsafe.SliceData(dst)), C.int(width), C.int(height),
		(*C.uint16_t)(unsafe.SliceData(s.whole)), (*C.uint32_t)(unsafe.SliceData(s.sums)))
}
