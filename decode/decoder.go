package decode

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/asticode/go-astiav"

	"github.com/ensue-video/ensue/container"
	"github.com/ensue-video/ensue/stream"
)

// retain is how many bytes of released clips a decoder's own pool keeps.
const retain = 64 << 20

// Decoder turns segments into clips. Make one per worker with New and Close it; one goroutine uses it at a time.
type Decoder struct {
	config  Config
	size    Size
	fit     Fit
	pool    *Pool
	release func([]byte)
	// burden is told how many bytes more FFmpeg holds than before, held is how many.
	burden func(int64)
	held   int64
	// threads is how many threads one segment is decoded by: one, because workers already use the processors.
	threads int
	// exhaustive decodes also what no result depends on. Tests compare the two.
	exhaustive bool

	input   *container.Input
	packets container.Packets
	frame   *astiav.Frame
	painter *painter
	pinner  runtime.Pinner
	scratch []int64
	seen    []state
}

// Option changes a Decoder that is being made.
type Option func(*Decoder)

// WithPool makes the decoder take the memory of clips from a pool that others use too.
func WithPool(pool *Pool) Option { return func(d *Decoder) { d.pool = pool } }

// WithBurden has the decoder tell by how many bytes what FFmpeg holds for it grows, or shrinks: packets, which are the payload once more,
// and pictures. It is about right, and comes back to nothing after every segment.
func WithBurden(burden func(int64)) Option { return func(d *Decoder) { d.burden = burden } }

// New makes a decoder whose frames are size pixels. The error tells every setting that cannot work.
func New(config Config, size Size, options ...Option) (*Decoder, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("making a decoder: %w", err)
	}
	if size.Width <= 0 || size.Height <= 0 || size.Width > maxSide || size.Height > maxSide {
		return nil, fmt.Errorf("making a decoder: frames of %dx%d pixels; up to %dx%d are made", size.Width, size.Height, maxSide, maxSide)
	}
	d := &Decoder{config: config, size: size, threads: 1}
	for _, option := range options {
		option(d)
	}
	if err := d.fit.check(size); err != nil {
		return nil, fmt.Errorf("making a decoder: %w", err)
	}
	input, err := container.NewInput()
	if err != nil {
		return nil, fmt.Errorf("making a decoder: %w", err)
	}
	d.input, d.frame, d.painter = input, astiav.AllocFrame(), newPainter(size, d.fit)
	if d.pool == nil {
		d.pool = NewPool(retain)
	}
	d.release = d.pool.put
	return d, nil
}

// Close frees the decoder. Clips it made live on.
func (d *Decoder) Close() {
	d.packets.Free()
	d.input.Free()
	d.frame.Free()
	d.painter.Close()
}

// Decode makes a clip of the segment, which begins at offset on its stream's clock (see Timeline). The caller releases the clip.
//
// A segment shorter than a step of the sampling grid may give a clip without frames (T is 0); its Start and End are right all the
// same. Frames the decoder could not make out are counted in Dropped; it is an error only when none came out.
//
// Errors are a stream.Failure with a code of Codes, or the error of ctx when that ended first.
func (d *Decoder) Decode(ctx context.Context, segment *stream.Segment, offset time.Duration) (*stream.Clip, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("decoding segment %s: %w", segment.ID(), err)
	}
	limited, cancel := context.WithTimeout(ctx, d.config.Limits.Timeout)
	defer cancel()
	clip, err := d.decode(limited, segment, offset)
	if err != nil {
		return nil, fmt.Errorf("decoding segment %s: %w", segment.ID(), d.classify(ctx, err))
	}
	return clip, nil
}

func (d *Decoder) decode(ctx context.Context, segment *stream.Segment, offset time.Duration) (*stream.Clip, error) {
	if err := d.admit(segment); err != nil {
		return nil, err
	}
	if err := d.input.OpenBytes(ctx, segment.Payload); err != nil {
		return nil, err
	}
	defer d.hold(0)
	defer d.input.Close()
	defer d.packets.Reset()
	if width, height := d.input.Size(); int64(width)*int64(height) > d.maxPixels() {
		return nil, d.tooManyPixels(fmt.Sprintf("%dx%d", width, height))
	}
	if err := d.collect(); err != nil {
		return nil, err
	}
	if err := d.packets.TellRate(d.input, container.CodecOptions{MaxPixels: d.maxPixels(), Threads: d.threads}); err != nil {
		return nil, err
	}
	plan, err := d.plan(segment, offset)
	if err != nil {
		return nil, err
	}
	return d.run(ctx, plan)
}

// hold says how many bytes FFmpeg holds now.
func (d *Decoder) hold(bytes int64) {
	if d.burden != nil && bytes != d.held {
		d.burden(bytes - d.held)
	}
	d.held = bytes
}

// admit checks what can be checked before anything is opened.
func (d *Decoder) admit(segment *stream.Segment) error {
	size := int64(len(segment.Payload))
	if size == 0 {
		return refuse(CodeEmpty, "the segment has no payload")
	}
	if size > d.config.Limits.Bytes {
		return refuse(CodeTooLarge, "the payload has %d bytes, decode.limits.bytes is %d", size, d.config.Limits.Bytes)
	}
	if segment.SHA256 == "" {
		return nil
	}
	digest := sha256.Sum256(segment.Payload)
	if got := hex.EncodeToString(digest[:]); !strings.EqualFold(got, segment.SHA256) {
		return refuse(CodeChecksum, "the payload's SHA-256 is %s, its sender told %s", got, segment.SHA256)
	}
	return nil
}

// collect reads every packet: the payload is in memory anyway, and the sampling grid needs all times before the first frame.
func (d *Decoder) collect() error {
	limit := d.config.Limits.Frames
	for {
		err := d.packets.Read(d.input)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if len(d.packets.List) > limit {
			return refuse(CodeTooManyFrames, "the segment has more than %d frames (decode.limits.frames)", limit)
		}
	}
	if len(d.packets.List) == 0 {
		return refuse(CodeNoFrames, "the %s file has a video track without frames%s", d.input.Format(), d.said())
	}
	return nil
}

// state is what became of a picture.
type state uint8

const (
	stateWanted state = iota // not come out yet
	stateSpare               // need not come out: it is not sampled
	stateOut                 // came out
	stateLost                // the decoder refused it although it need not come out
)

// plan is what is to be done with the pictures of a segment.
type plan struct {
	grid
	base  container.TimeBase
	times []int64 // when each picture is shown, increasing, in ticks
	// ordered: frames take the times in the order they come out; otherwise each has its own.
	ordered     bool
	offset, end time.Duration
	samples     int
}

// tau is when picture i is shown, since the stream's first frame.
func (p *plan) tau(i int) time.Duration { return p.offset + p.base.Duration(p.times[i]-p.times[0]) }

// before is the cell of the frame before the first one of the segment.
func (p *plan) before() int64 { return p.cell(float64(p.offset) - p.frame) }

// plan decides which pictures are sampled, and refuses what lasts too long.
func (d *Decoder) plan(segment *stream.Segment, offset time.Duration) (plan, error) {
	times, ordered := d.packets.Times(d.input)
	if len(times) == 0 {
		return plan{}, refuse(CodeNoFrames, "the %s file shows none of its frames", d.input.Format())
	}
	p := plan{base: d.input.TimeBase(), times: times, ordered: ordered, offset: offset}
	p.grid, d.scratch = newGrid(times, p.base, d.input.Rate(), d.config.FPS, d.scratch)
	length := p.base.Duration(d.packets.End(d.input, times) - times[0])
	if limit := d.config.Limits.Duration; length > limit {
		return plan{}, refuse(CodeTooLong, "the segment lasts %v by its timestamps, decode.limits.duration is %v", length, limit)
	}
	if told := segment.Duration; told > 0 && float64((told-length).Abs()) < p.frame {
		length = told // the sender knows when the next frame came; the container's last duration is rounded or guessed
	}
	p.end = offset + length
	d.seen = slices.Grow(d.seen[:0], len(times))[:len(times)]
	last := p.before()
	for i := range times {
		d.seen[i] = stateSpare
		if cell := p.cell(float64(p.tau(i))); cell != last {
			d.seen[i], last = stateWanted, cell
			p.samples++
		}
	}
	return p, nil
}

func (d *Decoder) maxPixels() int64 {
	return int64(d.config.Limits.Pixels.Width) * int64(d.config.Limits.Pixels.Height)
}

func (d *Decoder) tooManyPixels(what string) error {
	limit := d.config.Limits.Pixels
	return refuse(CodeTooManyPixels, "pictures of %s pixels, decode.limits.pixels is %dx%d", what, limit.Width, limit.Height)
}

// said is FFmpeg's last complaint, to be put behind a sentence.
func (d *Decoder) said() string {
	if message := d.input.Message(); message != "" {
		return ": " + message
	}
	return ""
}
