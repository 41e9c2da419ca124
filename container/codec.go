package container

/*
#include <errno.h>
#include <libavutil/pixdesc.h>
#include "bridge.h"

// picture_bits is how many bits a pixel of the decoder's pictures takes, padding included; 12, those of most video, where it is not known.
static int picture_bits(const AVCodecContext *c) {
	const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(c->pix_fmt);
	int bits = d ? av_get_padded_bits_per_pixel(d) : 0;
	return bits > 0 ? bits : 12;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/asticode/go-astiav"
)

// CodecOptions are how a decoder is opened.
type CodecOptions struct {
	// MaxPixels is the largest picture, width times height; a larger one is refused before memory for it is taken.
	MaxPixels int64
	// Threads is how many threads decode; at least 1.
	Threads int
	// Reorder is how many pictures a picture is known to overtake (Packets.Reorder), 0 where it is not known.
	Reorder int
	// Patient makes the decoder hold back as many pictures as the standard allows, for video whose order of presentation is
	// known to nobody else.
	Patient bool
}

// Codec is a decoder of the video of an Input. Close it before the Input.
type Codec struct {
	context  *astiav.CodecContext
	c        *C.AVCodecContext
	passable bool
}

// OpenCodec opens a decoder for the video of in.
func OpenCodec(in *Input, options CodecOptions) (*Codec, error) {
	patient := C.int(0)
	if options.Patient {
		patient = 1
	}
	var code C.int
	c := C.open_codec(in.track.stream, in.guard.c, C.int64_t(options.MaxPixels), C.int(max(options.Threads, 1)),
		C.int(options.Reorder), patient, &code)
	if c == nil {
		if code == C.AVERROR_DECODER_NOT_FOUND {
			return nil, fmt.Errorf("%w: this FFmpeg has no decoder for %s", ErrCodec, in.Codec())
		}
		return nil, in.failure(code, "opening the "+in.Codec()+" decoder")
	}
	live.Add(1)
	return &Codec{
		context:  wrap[astiav.CodecContext](unsafe.Pointer(c)),
		c:        c,
		passable: slices.Contains(passable, in.Codec()),
	}, nil
}

// Close frees the decoder.
func (c *Codec) Close() {
	if c.context != nil {
		c.context.Free()
		c.context = nil
		live.Add(-1)
	}
}

// Send gives a packet to the decoder; nil tells it the end. When pass is true the picture may be left out if no other is made from
// it. It returns ErrFull when frames must be received first, and FFmpeg's error when it can do nothing with the packet.
func (c *Codec) Send(packet *astiav.Packet, pass bool) error {
	c.c.skip_frame = C.AVDISCARD_DEFAULT
	if pass && c.passable {
		c.c.skip_frame = C.AVDISCARD_NONREF
	}
	var raw *C.AVPacket
	if packet != nil {
		raw = (*C.AVPacket)(unwrap(packet))
	}
	// Not by astiav, whose errors cost an allocation for every "try again".
	code := C.avcodec_send_packet(c.c, raw)
	if code == eagain {
		return ErrFull
	}
	return codecError(code)
}

// Receive takes the next frame, in the order of presentation. It returns ErrEmpty when there is none now, ErrEnd when there will
// be none, and FFmpeg's error when a frame could not be made.
func (c *Codec) Receive(frame *astiav.Frame) error {
	return codecError(C.avcodec_receive_frame(c.c, (*C.AVFrame)(unwrap(frame))))
}

// Passes says whether Send leaves out pictures when asked to.
func (c *Codec) Passes() bool { return c.passable }

// Delay is how many pictures the decoder holds back to bring them into order.
func (c *Codec) Delay() int { return int(c.c.has_b_frames) }

// What a decoder keeps of pictures: most that the standards allow, and some that are on their way; where no picture depends on another,
// what is on its way.
const (
	mostPictures = 20
	fewPictures  = 4
)

// Holds is about how many bytes the decoder keeps in pictures, as far as it knows them by now; what the file says of their size
// stands in until it does.
func (c *Codec) Holds(in *Input) int64 {
	width, height := int64(max(c.c.coded_width, c.c.width)), int64(max(c.c.coded_height, c.c.height))
	if width <= 0 || height <= 0 {
		told, high := in.Size()
		width, height = int64(told), int64(high)
	}
	pictures := int64(mostPictures)
	switch {
	case in.Intra():
		pictures = fewPictures
	case in.Codec() == "h264" && c.c.refs > 0: // its decoder tells how many pictures the stream refers to
		pictures = int64(c.c.refs) + int64(c.c.has_b_frames) + fewPictures
	}
	return pictures * width * height * int64(C.picture_bits(c.c)) / 8
}

// Picture is the size and the pixel format of the pictures, as far as the decoder knows them.
func (c *Codec) Picture() (width, height int, format astiav.PixelFormat) {
	return c.context.Width(), c.context.Height(), c.context.PixelFormat()
}

// What Codec.Send and Codec.Receive return besides FFmpeg's errors.
var (
	// ErrFull: receive frames first.
	ErrFull = errors.New("the decoder is full")
	// ErrEmpty: send packets first.
	ErrEmpty = errors.New("the decoder has no frame")
	// ErrEnd: there are no more frames.
	ErrEnd = errors.New("the decoder is at its end")
)

// eagain is AVERROR(EAGAIN).
const eagain = -C.EAGAIN

func codecError(code C.int) error {
	switch {
	case code >= 0:
		return nil
	case code == eagain:
		return ErrEmpty
	case code == C.AVERROR_EOF:
		return ErrEnd
	}
	return astiav.Error(code)
}
