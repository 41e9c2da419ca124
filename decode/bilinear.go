package decode

/*
#include "bilinear.h"
*/
import "C"

import (
	"slices"
	"unsafe"
)

// side is a kernel for one side of a plane: for each target pixel, first source pixel and weights in fixed point.
//
// It is what torchvision's antialiased bilinear resize of uint8 does (PyTorch, aten/src/ATen/native/cpu/UpSampleKernel.cpp, which follows
// Pillow's Resample.c): a triangle whose half width is max(1, in/out) source pixels, weights that add up to 1 in 16-bit fixed
// point, as many bits as the largest weight leaves.
type side struct {
	span
	// extent is how much of the plane the picture covers: a chroma plane of an odd width has half a pixel that shows nothing.
	extent float64
	// low is the first source pixel that matters, reach how many from there on are looked at, which may be more than there are.
	low, reach int
	taps, bits int
	// first counts from low.
	first []int32
	// weights has taps for every target pixel; those beyond its triangle are 0.
	weights []int16
	scratch []float64
}

// taps8 is what the number of taps of a row's kernel is a multiple of: eight products are made at once.
const taps8 = 8

// set makes the kernel unless it is the same already. The number of taps becomes a multiple of group.
func (s *side) set(to span, extent float64, group int) {
	if s.span == to && s.extent == extent {
		return
	}
	s.span, s.extent = to, extent
	most, widest := 0.0, 0
	s.visit(func(i int) {
		_, weights := s.triangle(i)
		most = max(most, slices.Max(weights))
		if s.keeps(i) {
			widest = max(widest, len(weights))
		}
	})
	for s.bits = 0; s.bits < 22 && int(0.5+most*float64(int(2)<<s.bits)) < 1<<15; {
		s.bits++
	}
	s.taps = (widest + group - 1) / group * group
	s.first = slices.Grow(s.first[:0], to.keep)[:to.keep]
	s.weights = slices.Grow(s.weights[:0], to.keep*s.taps)[:to.keep*s.taps]
	s.fill()
}

// fill computes the weights.
func (s *side) fill() {
	clear(s.weights)
	for j := range s.keep {
		first, weights := s.triangle(s.begin + j)
		// Taps that only make up the number must not lie beyond the last pixel.
		shift := max(0, min(first, first+s.taps-s.from))
		if j == 0 {
			s.low = first - shift
		}
		s.first[j] = int32(first - shift - s.low)
		for k, w := range weights {
			s.weights[j*s.taps+shift+k] = int16(0.5 + w*float64(int(1)<<s.bits))
		}
	}
	s.reach = int(s.first[s.keep-1]) + s.taps
}

// manyPixels is up to what size of the whole all of its weights are looked at. PyTorch finds its number of bits so. Of a strip longer than
// this only the two ends, where weights are largest, and what is kept are looked at.
const manyPixels = 1 << 16

// visit calls f with the target pixels of the whole that decide the number of bits.
func (s *side) visit(f func(i int)) {
	for i := range s.whole {
		if s.whole <= manyPixels || i < manyPixels/4 || i >= s.whole-manyPixels/4 || s.keeps(i) {
			f(i)
		}
	}
}

// keeps says whether target pixel i is kept.
func (s *side) keeps(i int) bool { return i >= s.begin && i < s.begin+s.keep }

// triangle is the first source pixel of a target pixel of the whole, and the weights from there on. They are valid until the
// next call.
func (s *side) triangle(i int) (first int, weights []float64) {
	scale := s.extent / float64(s.whole)
	support := max(scale, 1)
	centre := scale * (float64(i) + 0.5)
	first = min(max(int(centre-support+0.5), 0), s.from-1)
	last := max(min(int(centre+support+0.5), s.from), first+1)
	s.scratch = slices.Grow(s.scratch[:0], last-first)[:last-first]
	sum := 0.0
	for k := range s.scratch {
		distance := (float64(first+k) - centre + 0.5) / support
		s.scratch[k] = max(0, 1-max(distance, -distance))
		sum += s.scratch[k]
	}
	for k := range s.scratch {
		s.scratch[k] /= sum
	}
	return first, s.scratch
}

// resampler resizes planes and keeps a cut of them. The zero value is ready; what it needs it keeps from frame to frame.
type resampler struct {
	// sides are the kernels of luma and of chroma.
	sides  [2]struct{ x, y side }
	eight  []byte
	middle []byte
}

// part is a plane and what part it has in a picture.
type part struct {
	plane
	// covers is how much of the plane, along and across, the picture covers.
	covers [2]float64
	// chroma says that it is one of the later two and may be smaller than the picture.
	chroma bool
	// deep says that it has more than 8 bits; times scale plus offset they are 8.
	deep          bool
	scale, offset float64
}

// cut writes the cut of a plane to dst, one byte per pixel.
func (r *resampler) cut(from part, c cut, dst []byte) {
	sides := &r.sides[0]
	if from.chroma {
		sides = &r.sides[1]
	}
	x, y := &sides.x, &sides.y
	c.x.from, c.y.from = from.width, from.height
	x.set(c.x, from.covers[0], taps8)
	y.set(c.y, from.covers[1], 1)
	source, stride := r.rows(&from, x, y)
	r.middle = slices.Grow(r.middle[:0], y.reach*x.keep)[:y.reach*x.keep]
	middle := (*C.uint8_t)(unsafe.SliceData(r.middle))
	C.bilinear_columns((*C.uint8_t)(source), C.int(y.reach), C.int(stride), middle, (*C.int32_t)(unsafe.SliceData(x.first)),
		(*C.int16_t)(unsafe.SliceData(x.weights)), C.int(x.keep), C.int(x.taps), C.int(x.bits))
	C.bilinear_rows(middle, C.int(x.keep), (*C.uint8_t)(unsafe.SliceData(dst)), (*C.int32_t)(unsafe.SliceData(y.first)),
		(*C.int16_t)(unsafe.SliceData(y.weights)), C.int(y.keep), C.int(y.taps), C.int(y.bits))
}

// rows are the part of the plane that matters to the two kernels, a byte per pixel: where it lies, or copied.
func (r *resampler) rows(from *part, x, y *side) (source unsafe.Pointer, stride int) {
	bytes := 1
	if from.deep {
		bytes = 2
	}
	source = unsafe.Add(from.data, y.low*from.stride+x.low*bytes)
	width := min(x.reach, from.width-x.low)
	if !from.deep && width == x.reach {
		return source, from.stride
	}
	r.eight = slices.Grow(r.eight[:0], y.reach*x.reach)[:y.reach*x.reach]
	for row := range y.reach {
		at, to := unsafe.Add(source, row*from.stride), r.eight[row*x.reach:][:x.reach]
		clear(to[width:])
		if !from.deep {
			copy(to, unsafe.Slice((*byte)(at), width))
			continue
		}
		C.bilinear_eight((*C.uint16_t)(at), (*C.uint8_t)(unsafe.SliceData(to)), C.int(width),
			C.float(from.scale), C.float(from.offset))
	}
	return unsafe.Pointer(unsafe.SliceData(r.eight)), x.reach
}
