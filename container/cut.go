package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/asticode/go-astiav"

	"github.com/ensue-video/ensue/stream"
)

// Sizes that Cut does not go beyond.
const (
	// MaxPiece is the largest piece in bytes: what lies between two key frames must fit.
	MaxPiece = 256 << 20
	// MaxWhole is the largest file in bytes that is passed on whole because it cannot be cut.
	MaxWhole = 256 << 20
	// maxPixels is the largest picture that is decoded to find out how large it is.
	maxPixels = 8192 * 8192
)

// stage is the name failures of Cut carry: cutting is what ingest does to recordings.
const stage = "ingest"

// Why a recording could not be cut.
const (
	// CodeRead: reading the recording failed; it may go better next time.
	CodeRead stream.Code = "ingest.read"
	// CodeUncuttable: the recording cannot be cut, and is too large to be passed on whole.
	CodeUncuttable stream.Code = "ingest.uncuttable"
	// CodePieceTooLarge: two key frames are too far apart.
	CodePieceTooLarge stream.Code = "ingest.piece_too_large"
)

// tolerance is how much too early a key frame may be to be cut at: containers round to a millisecond, and a cut missed by one makes
// a piece twice as long.
const tolerance = 5 * time.Millisecond

// Piece is a part of a recording that can be decoded on its own.
type Piece struct {
	// Payload is a file of its own; the receiver keeps it.
	Payload []byte
	// ContentType is its media type.
	ContentType string
	// Start is when its first frame is shown, since the first frame of the recording. Duration lasts from there to the end of its
	// last frame, by the timestamps of the recording; 0 where it has none.
	Start, Duration time.Duration
	// Index counts from 0. Last says that no other follows.
	Index int
	Last  bool
}

// Cut cuts the recording behind r on key frames, without re-encoding: each piece ends at the first key frame at or after every. Only
// the video is kept; its frames, their times, their order and how they are turned stay as they are. A recording is never in memory
// as a whole, only its current piece. name is for messages.
//
// A recording that cannot be cut (no timestamps, not recognised, damaged) is emitted whole and unchanged, as one piece without times,
// for decoding to say what is wrong with it; it must not be larger than MaxWhole.
//
// Cut returns emit's error as it is, the error of ctx, or a stream.Failure with one of the codes above.
func Cut(ctx context.Context, r io.ReadSeeker, name string, every time.Duration, emit func(Piece) error) error {
	in, err := NewInput()
	if err != nil {
		return fmt.Errorf("cutting %s: %w", name, err)
	}
	defer in.Free()
	c := &cutter{in: in, reader: r, name: name, every: every, emit: emit}
	defer c.free()
	err = c.cut(ctx)
	var failure *stream.Failure
	switch {
	case err == nil, c.emitError != nil, errors.As(err, &failure):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("cutting %s: %w", name, ctx.Err())
	case errors.Is(err, ErrReader):
		return stream.FailTransient(stage, CodeRead, "cutting %s: %w", name, err)
	}
	return stream.Fail(stage, CodeUncuttable, "cutting %s after %d pieces: %w", name, c.index, err)
}

// cutter is a recording being cut.
type cutter struct {
	in     *Input
	reader io.ReadSeeker
	name   string
	every  time.Duration
	emit   func(Piece) error

	format    string
	base      TimeBase
	piece     Packets
	coming    Packets
	scratch   []int64
	first     int64 // when the recording's first frame is shown
	begin     int64 // when the first frame of the current piece is shown, as far as it is known
	index     int
	emitError error
}

func (c *cutter) free() {
	c.piece.Free()
	c.coming.Free()
}

func (c *cutter) cut(ctx context.Context) error {
	if err := c.in.Open(ctx, c.reader); err != nil {
		return c.orWhole(ctx, err)
	}
	if c.in.format.raw {
		return c.orWhole(ctx, errors.New("it has no timestamps"))
	}
	if err := c.in.complete(); err != nil {
		return c.orWhole(ctx, err)
	}
	c.base = c.in.TimeBase()
	c.format = c.output()
	for {
		err := c.coming.Read(c.in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = c.add()
		}
		if err != nil {
			return c.orWhole(ctx, err)
		}
	}
	if len(c.piece.List) == 0 {
		return c.orWhole(ctx, errors.New("it has no frames"))
	}
	return c.orWhole(ctx, c.finish(unset, true))
}

// output is the format of the pieces.
func (c *cutter) output() string {
	if c.in.Untimed() {
		return c.in.Format() // only AVI: it has no presentation times, so its pieces have none either
	}
	if format, ok := home[c.in.Codec()]; ok {
		return format
	}
	return "matroska"
}

// add puts the coming packet into the current piece, or begins the next one with it.
func (c *cutter) add() error {
	packet := &c.coming.List[0]
	at := packet.PTS
	if c.in.Untimed() {
		packet.PTS, at = unset, packet.DTS
	}
	if at == unset {
		return errors.New("a frame has no timestamp")
	}
	if len(c.piece.List) > 0 && packet.Key && !packet.Hidden && c.base.Duration(at-c.begin) >= c.every-tolerance {
		if err := c.finish(at, false); err != nil {
			return err
		}
	}
	if len(c.piece.List) == 0 || !packet.Hidden && at < c.begin {
		c.begin = at
	}
	c.coming.move(&c.piece)
	if c.piece.Bytes > MaxPiece {
		return stream.Fail(stage, CodePieceTooLarge, "cutting %s: there is no key frame within %d MiB", c.name, MaxPiece>>20)
	}
	return nil
}

// finish emits the current piece and empties it. next is when the next piece's key frame is shown, unset for the last piece.
func (c *cutter) finish(next int64, last bool) error {
	times, _ := c.piece.Times(c.in)
	if len(times) == 0 {
		if !last {
			return nil // nothing of it is shown: it belongs to what follows
		}
		return errors.New("none of its frames are shown")
	}
	begin, end := times[0], c.piece.End(c.in, times)
	typical := c.piece.typical(c.in, times)
	if next != unset && max(next-end, end-next) <= typical/2 {
		end = next // containers round durations; the last frame lasts until the next one
	}
	for i := range c.piece.List {
		packet := &c.piece.List[i]
		packet.Duration = c.piece.duration(packet.Duration, typical)
	}
	c.piece.trim()
	if c.index == 0 {
		if err := c.measure(); err != nil {
			return err
		}
	}
	if !c.in.Untimed() {
		c.hide(begin, typical)
		c.scratch = setDecodingTimes(c.piece.List, c.scratch)
	}
	payload, err := mux(c.in, c.piece.List, c.format, begin)
	if err != nil {
		return err
	}
	if c.index == 0 {
		c.first = begin
	}
	piece := Piece{
		Payload: payload, ContentType: contentTypes[c.format], Index: c.index, Last: last,
		Start: c.base.Duration(begin - c.first), Duration: c.base.Duration(end-c.first) - c.base.Duration(begin-c.first),
	}
	c.index++
	c.piece.Reset()
	c.emitError = c.emit(piece)
	return c.emitError
}

// measure finds the size of the pictures, and of VP9 their pixel format, where the header does not tell them and the pieces' headers
// must: it decodes until the decoder knows.
func (c *cutter) measure() error {
	parameters := c.in.parameters()
	if c.in.Codec() != "vp9" && parameters.Width() > 0 && parameters.Height() > 0 {
		return nil
	}
	codec, err := OpenCodec(c.in, CodecOptions{MaxPixels: maxPixels, Threads: 1})
	if err != nil {
		return err
	}
	defer codec.Close()
	for i := range c.piece.List {
		if err := codec.Send(c.piece.List[i].Raw, false); errors.Is(err, ErrFull) {
			break
		}
		width, height, format := codec.Picture()
		if width > 0 && height > 0 && format != astiav.PixelFormatNone {
			parameters.SetWidth(width)
			parameters.SetHeight(height)
			parameters.SetPixelFormat(format)
			return nil
		}
	}
	return errors.New("its frames have no size")
}

// hide moves pictures that an edit list cut off at the end to before the beginning, where the piece's own edit list hides them: MP4 as
// FFmpeg writes it has no other place for them.
func (c *cutter) hide(begin, typical int64) {
	if c.format == "matroska" {
		return
	}
	at := begin
	for i := range c.piece.List {
		if packet := &c.piece.List[i]; packet.Hidden {
			at = min(at, packet.PTS)
		}
	}
	for i := range c.piece.List {
		if packet := &c.piece.List[i]; packet.Hidden && packet.PTS >= begin {
			at -= typical
			packet.PTS = at
		}
	}
}

// orWhole emits the whole recording where err says that it cannot be cut and nothing was emitted yet.
func (c *cutter) orWhole(ctx context.Context, err error) error {
	if err == nil || c.index > 0 || ctx.Err() != nil || errors.Is(err, ErrReader) || errors.Is(err, ErrDeadline) {
		return err
	}
	format := c.in.format.names
	c.in.Close()
	size, seekErr := c.reader.Seek(0, io.SeekEnd)
	if seekErr == nil && size > MaxWhole {
		return stream.Fail(stage, CodeUncuttable, "cutting %s (%d MiB; up to %d are passed on whole): %w", c.name, size>>20, MaxWhole>>20, err)
	}
	if seekErr == nil {
		_, seekErr = c.reader.Seek(0, io.SeekStart)
	}
	if seekErr != nil {
		return fmt.Errorf("%w: %w", ErrReader, seekErr)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(c.reader, payload); err != nil {
		return fmt.Errorf("%w: %w", ErrReader, err)
	}
	contentType, ok := wholeTypes[format]
	if !ok {
		contentType = "application/octet-stream"
	}
	c.emitError = c.emit(Piece{Payload: payload, ContentType: contentType, Last: true})
	return c.emitError
}
