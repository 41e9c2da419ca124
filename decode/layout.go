package decode

/*
#cgo pkg-config: libavutil
#include <libavutil/frame.h>
#include <libavutil/pixdesc.h>
*/
import "C"

import (
	"image"
	"unsafe"

	"github.com/asticode/go-astiav"
)

// plane is one component of a picture in FFmpeg's memory.
type plane struct {
	data          unsafe.Pointer
	width, height int
	// stride is the distance of two rows in bytes.
	stride int
}

// layout says how a picture lies in memory, where OpenCV can read it as it lies.
type layout struct {
	planes [3]plane
	// count is 1 for grey and 3 otherwise.
	count int
	// depth is the number of bits of a component; more than 8 take two bytes each.
	depth  int
	colour colour
	// chroma is how many times the sides of the later two planes are halved, where they are not colours.
	chroma image.Point
}

// raw is the C side of a frame.
func raw(frame *astiav.Frame) *C.AVFrame { return (*C.AVFrame)(frame.UnsafePointer()) }

// readLayout describes the frame; ok is false where its components do not lie in planes of their own with rows from top to bottom:
// such frames are converted first (fallback).
func readLayout(frame *astiav.Frame) (l layout, ok bool) {
	f := raw(frame)
	description := C.av_pix_fmt_desc_get(C.enum_AVPixelFormat(f.format))
	if description == nil || !planar(description) {
		return layout{}, false
	}
	l.depth = int(description.comp[0].depth)
	l.count = 3
	if description.nb_components < 3 {
		l.count = 1
	}
	l.colour = readColour(f, description)
	l.chroma = image.Pt(int(description.log2_chroma_w), int(description.log2_chroma_h))
	bytes := (l.depth + 7) / 8
	for i := range l.count {
		component := &description.comp[i]
		p := plane{data: unsafe.Pointer(f.data[component.plane]), stride: int(f.linesize[component.plane])}
		p.width, p.height = int(f.width), int(f.height)
		if i > 0 && !l.colour.rgb {
			p.width = ceilShift(p.width, uint(l.chroma.X))
			p.height = ceilShift(p.height, uint(l.chroma.Y))
		}
		if p.data == nil || p.stride < p.width*bytes || p.stride%bytes != 0 || int(component.depth) != l.depth {
			return layout{}, false
		}
		l.planes[i] = p
	}
	return l, true
}

// planar says that every component that matters lies in a plane of its own, as whole bytes or little-endian 16-bit words.
func planar(d *C.AVPixFmtDescriptor) bool {
	const foreign = C.AV_PIX_FMT_FLAG_PAL | C.AV_PIX_FMT_FLAG_BITSTREAM | C.AV_PIX_FMT_FLAG_HWACCEL | C.AV_PIX_FMT_FLAG_BAYER |
		C.AV_PIX_FMT_FLAG_FLOAT
	if d.flags&foreign != 0 || d.nb_components < 1 {
		return false
	}
	depth := d.comp[0].depth
	if depth < 8 || depth > 16 || depth > 8 && d.flags&C.AV_PIX_FMT_FLAG_BE != 0 {
		return false
	}
	count := 3
	if d.nb_components < 3 {
		count = 1
	}
	for i := range count {
		c := d.comp[i]
		if c.shift != 0 || c.offset != 0 || c.step != (depth+7)/8 {
			return false
		}
	}
	return true
}

// readColour tells how the frame's components become colours. Grey without a word about its range is taken as full range, as FFmpeg's
// own converter does.
func readColour(f *C.AVFrame, d *C.AVPixFmtDescriptor) colour {
	c := colour{matrix: int(f.colorspace), full: f.color_range == C.AVCOL_RANGE_JPEG}
	c.grey = d.nb_components < 3
	c.rgb = d.flags&C.AV_PIX_FMT_FLAG_RGB != 0
	switch f.format {
	case C.AV_PIX_FMT_YUVJ420P, C.AV_PIX_FMT_YUVJ422P, C.AV_PIX_FMT_YUVJ444P, C.AV_PIX_FMT_YUVJ440P, C.AV_PIX_FMT_YUVJ411P:
		c.full = true
	}
	if c.grey && f.color_range == C.AVCOL_RANGE_UNSPECIFIED {
		c.full = true
	}
	if c.matrix == matrixRGB && !c.rgb {
		c.matrix = matrixUnspecified
	}
	return c
}

// isRGB says that the frame's pixels are red, green and blue in any layout, or indices of such a palette.
func isRGB(frame *astiav.Frame) bool {
	description := C.av_pix_fmt_desc_get(C.enum_AVPixelFormat(raw(frame).format))
	return description != nil && description.flags&(C.AV_PIX_FMT_FLAG_RGB|C.AV_PIX_FMT_FLAG_PAL) != 0
}

// copyColour carries over what the converter does not.
func copyColour(to, from *astiav.Frame) {
	raw(to).colorspace, raw(to).color_range = raw(from).colorspace, raw(from).color_range
}

// timestamp is the frame's time in ticks: what its packet said, or FFmpeg's best guess.
func timestamp(frame *astiav.Frame) int64 {
	f := raw(frame)
	if f.pts != C.AV_NOPTS_VALUE {
		return int64(f.pts)
	}
	return int64(f.best_effort_timestamp)
}

// decodingTime is that of the packet the frame was made from.
func decodingTime(frame *astiav.Frame) int64 { return int64(raw(frame).pkt_dts) }

func interlaced(frame *astiav.Frame) bool { return raw(frame).interlaced_frame != 0 }

func ceilShift(v int, by uint) int { return (v + 1<<by - 1) >> by }
