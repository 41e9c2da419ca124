package container

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unsafe"

	"github.com/asticode/go-astiav"
)

// How much of a file is looked at to tell its format: from first to last bytes, doubling, as FFmpeg does. Only a score above
// sure is believed before the last look.
const (
	firstLook   = 2 << 10
	lastLook    = 1 << 20
	padding     = 32
	sure        = 25
	metadataMax = 16
)

// FFmpeg takes JPEG pictures one after another for one picture unless a file name says otherwise.
const pictures, film = "jpeg_pipe", "mjpeg"

// Input opens files, one after another. Make one per worker with NewInput and Free it; one goroutine uses it at a time.
type Input struct {
	src    *source
	guard  *guard
	bytes  *bytes.Reader
	head   []byte
	format format

	context *astiav.FormatContext
	pb      *C.AVIOContext
	track   C.Track
	codec   astiav.CodecID
	name    string // of the codec
}

// NewInput makes an Input that has nothing open.
func NewInput() (*Input, error) {
	src := &source{ctx: context.Background()}
	guard, err := newGuard(src)
	if err != nil {
		return nil, fmt.Errorf("preparing to read video: %w", err)
	}
	return &Input{src: src, guard: guard, bytes: bytes.NewReader(nil)}, nil
}

// Free closes what is open and frees the Input.
func (in *Input) Free() {
	in.Close()
	if in.guard != nil {
		in.guard.free()
		in.guard = nil
	}
}

// OpenBytes opens a file that is in memory. data must not change until Close.
func (in *Input) OpenBytes(ctx context.Context, data []byte) error {
	in.bytes.Reset(data)
	return in.Open(ctx, in.bytes)
}

// Open opens the file behind reader and finds its video track. Until Close it gives up when ctx is done or its deadline passes.
//
// Errors wrap ErrUnknown, ErrRefused, ErrBroken, ErrNoVideo, ErrCodec, ErrEncrypted, ErrReader, ErrDeadline or ctx's error.
// After an error nothing is open, but Format may be known.
func (in *Input) Open(ctx context.Context, reader io.ReadSeeker) error {
	in.end()
	*in.src = source{ctx: ctx, reader: reader}
	deadline, _ := ctx.Deadline()
	in.guard.arm(deadline)
	if err := in.open(); err != nil {
		in.Close()
		return err
	}
	return nil
}

func (in *Input) open() error {
	name, err := in.look()
	if err != nil {
		return err
	}
	known, ok := findFormat(name)
	if !ok {
		return fmt.Errorf("%w: it looks like %s", ErrRefused, name)
	}
	in.format = known
	return in.openAs(name)
}

// openAs opens the file as the format named, which is on the list.
func (in *Input) openAs(name string) error {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	var opened *C.AVFormatContext
	if code := C.open_input(&opened, &in.pb, in.guard.c, cname, ioBuffer); code < 0 {
		return in.failure(code, "opening the "+in.Format()+" file")
	}
	live.Add(1)
	in.context = wrap[astiav.FormatContext](unsafe.Pointer(opened))
	if in.format.analysed {
		if code := C.analyse(opened); code < 0 && in.stopped() {
			return in.failure(code, "analysing the "+in.Format()+" file")
		}
	}
	return in.pick(opened)
}

// complete looks for what the header lacks and a file made of its packets must have: the codec's parameter sets.
func (in *Input) complete() error {
	if in.format.analysed || in.Intra() || len(in.parameters().ExtraData()) > 0 {
		return nil
	}
	if code := C.analyse((*C.AVFormatContext)(unwrap(in.context))); code < 0 && in.stopped() {
		return in.failure(code, "analysing the "+in.Format()+" file")
	}
	return nil
}

// pick finds the video track and refuses what cannot be decoded.
func (in *Input) pick(opened *C.AVFormatContext) error {
	C.pick_video(opened, &in.track)
	if in.track.index < 0 {
		return fmt.Errorf("%w in the %s file", ErrNoVideo, in.Format())
	}
	in.codec = in.parameters().CodecID()
	in.name = in.codec.Name()
	if in.track.encrypted != 0 {
		return fmt.Errorf("%w", ErrEncrypted)
	}
	if name := in.Codec(); !slices.Contains(codecs, name) {
		return fmt.Errorf("%w: %s", ErrCodec, name)
	}
	return nil
}

// look tells the format by the first bytes.
func (in *Input) look() (string, error) {
	size, err := in.src.reader.Seek(0, io.SeekEnd)
	if err != nil {
		return "", fmt.Errorf("%w: finding the end of the file: %w", ErrReader, err)
	}
	in.src.size = size
	if size == 0 {
		return "", fmt.Errorf("%w: it is empty", ErrUnknown)
	}
	if _, err := in.src.reader.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("%w: going to the start of the file: %w", ErrReader, err)
	}
	have := 0
	for want := firstLook; ; want *= 2 {
		want := int(min(int64(want), lastLook, size))
		in.head = slices.Grow(in.head[:have], want+padding-have)[:want+padding]
		if _, err := io.ReadFull(in.src.reader, in.head[have:want]); err != nil {
			return "", fmt.Errorf("%w: reading the head of the file: %w", ErrReader, err)
		}
		have = want
		clear(in.head[want:])
		last := want == lastLook || int64(want) == size
		var score C.int
		name := C.probe((*C.uint8_t)(&in.head[0]), C.int(want), &score)
		found := C.GoString(name)
		if found == pictures { // a JPEG picture, unless another follows
			switch {
			case bytes.Contains(in.head[:want], []byte{0xff, 0xd9, 0xff, 0xd8}):
				found = film
			case !last:
				continue
			}
		}
		if name != nil && (score > sure || last && score > 0) {
			_, err := in.src.reader.Seek(0, io.SeekStart)
			if err != nil {
				return "", fmt.Errorf("%w: going back to the start of the file: %w", ErrReader, err)
			}
			return found, nil
		}
		if last {
			return "", fmt.Errorf("%w in its %d bytes (it begins with %q)", ErrUnknown, size, in.head[:min(want, metadataMax)])
		}
	}
}

// failure is the error for FFmpeg's code: what it said last, or the reader's own failure, or that time is up.
func (in *Input) failure(code C.int, doing string) error {
	if err := in.src.ctx.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch {
	case in.src.err != nil:
		return fmt.Errorf("%s: %w: %w", doing, ErrReader, in.src.err)
	case in.stopped():
		return fmt.Errorf("%s: %w", doing, ErrDeadline)
	}
	if said := in.Message(); said != "" {
		return fmt.Errorf("%s: %w: %s", doing, ErrBroken, said)
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrBroken, astiav.Error(code))
}

// stopped says that reading ended because of the context or its deadline, not because of the file.
func (in *Input) stopped() bool {
	if in.src.ctx.Err() != nil {
		return true
	}
	deadline, ok := in.src.ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// Close closes the file. Codecs of its track must be closed before.
func (in *Input) Close() {
	in.end()
	in.bytes.Reset(nil)
}

func (in *Input) end() {
	if in.context != nil {
		opened := (*C.AVFormatContext)(unwrap(in.context))
		C.close_input(&opened, &in.pb)
		live.Add(-1)
		in.context = nil
	}
	in.track = C.Track{index: -1}
	in.src.reader, in.src.ctx = nil, context.Background()
}

// Format is the short name of the format of the file: FFmpeg's, the first where it has several.
func (in *Input) Format() string {
	name, _, _ := cutComma(in.format.names)
	return name
}

// Codec is FFmpeg's name of the video's codec.
func (in *Input) Codec() string { return in.name }

func (in *Input) parameters() *astiav.CodecParameters { return in.stream().CodecParameters() }

func (in *Input) stream() *astiav.Stream { return wrap[astiav.Stream](unsafe.Pointer(in.track.stream)) }

// Size is the picture size the file's header tells; 0, 0 where only the video itself does.
func (in *Input) Size() (width, height int) { return int(in.track.width), int(in.track.height) }

// TimeBase is the unit of the packets' times in seconds: Num/Den.
func (in *Input) TimeBase() TimeBase {
	base := in.stream().TimeBase()
	return TimeBase{Num: int64(base.Num()), Den: int64(base.Den())}
}

// Rate is the frame rate the file tells, in frames per second; 0 where it tells none. It may be wrong.
func (in *Input) Rate() float64 {
	if in.track.rate_num <= 0 || in.track.rate_den <= 0 {
		return 0
	}
	return float64(in.track.rate_num) / float64(in.track.rate_den)
}

// Matrix is the display matrix of the track (ISO/IEC 14496-12 §6.2.2, 16.16 fixed point; 2.30 in the last column), if there is one.
func (in *Input) Matrix() (matrix [9]int32, ok bool) {
	for i, v := range in.track.matrix {
		matrix[i] = int32(v)
	}
	return matrix, in.track.has_matrix != 0
}

// Untimed says that the packets' presentation times are not those of the file: Packets.FillTimes gives them one each, in the
// order in which frames come out of the decoder.
func (in *Input) Untimed() bool { return in.format.untimed }

// Intra says that no frame of the codec depends on another.
func (in *Input) Intra() bool { return slices.Contains(intra, in.Codec()) }

// Message is FFmpeg's last complaint about the file or a Codec of it; empty when there was none.
func (in *Input) Message() string { return in.guard.message() }

// Oversized says that a picture was refused because it is larger than CodecOptions.MaxPixels.
func (in *Input) Oversized() bool { return C.guard_oversized(in.guard.c) != 0 }

// Forget drops what FFmpeg said so far, so that Message tells what it says from here on.
func (in *Input) Forget() { C.guard_clear(in.guard.c) }

// Refused is how many files or addresses the Input asked for in its life and did not get.
func (in *Input) Refused() int { return int(in.guard.c.refused) }

// next reads the next packet of the video. It returns io.EOF at the end.
func (in *Input) next(packet *astiav.Packet) error {
	for {
		err := in.context.ReadFrame(packet)
		switch {
		case err == nil && packet.StreamIndex() == int(in.track.index):
			if C.packet_encrypted((*C.AVPacket)(unwrap(packet))) != 0 {
				return fmt.Errorf("%w", ErrEncrypted)
			}
			return nil
		case err == nil:
			packet.Unref()
			if in.stopped() {
				return in.failure(0, "reading packets")
			}
		case in.src.err != nil || in.stopped():
			return in.failure(0, "reading packets")
		default:
			// The end, or damage behind which a demuxer finds nothing more: what was read until here counts.
			return io.EOF
		}
	}
}
