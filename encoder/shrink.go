package encoder

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ensue-video/ensue/stream"
)

// Shrinker makes square pictures smaller: a pixel becomes the mean of the area it covers. It computes in integers, so that it gives the
// same bits on every machine. It is read only: any number of goroutines may use it.
type Shrinker struct {
	from, to int
	// A pixel of the result is parts/unit pixels wide; weights are in units of 1/unit pixel.
	parts uint32
	areas []area
}

// area is the pixels of a line that one pixel of the result covers.
type area struct {
	first   int
	weights []uint32
}

// NewShrinker makes one for pictures of from by from pixels, RGB, that become to by to; to is from or less.
func NewShrinker(from, to int) (*Shrinker, error) {
	const widest = 4096 // so that sums fit in 32 bits: 255 × 4096² < 2³²
	if to < 1 || to > from || from > widest {
		return nil, fmt.Errorf("shrinking pictures of %d pixels to %d: they become smaller only, from %d at most", from, to, widest)
	}
	divisor := commonDivisor(from, to)
	parts, unit := from/divisor, to/divisor
	s := &Shrinker{from: from, to: to, parts: uint32(parts), areas: make([]area, to)}
	for i := range s.areas {
		begin, end := i*parts, (i+1)*parts
		a := area{first: begin / unit}
		for pixel := a.first; pixel*unit < end; pixel++ {
			a.weights = append(a.weights, uint32(min((pixel+1)*unit, end)-max(pixel*unit, begin)))
		}
		s.areas[i] = a
	}
	return s, nil
}

func commonDivisor(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// Shrink writes the picture, `[from, from, 3]`, to out, `[to, to, 3]`, rounded to the nearest.
func (s *Shrinker) Shrink(picture, out []byte) {
	if s.from == s.to {
		copy(out, picture)
		return
	}
	width := s.from * 3
	line := make([]uint32, width) // sums down the rows of one row of the result
	total := s.parts * s.parts
	for y, rows := range s.areas {
		clear(line)
		for k, weight := range rows.weights {
			row := picture[(rows.first+k)*width:][:width]
			for i, value := range row {
				line[i] += weight * uint32(value)
			}
		}
		to := out[y*s.to*3:][:s.to*3]
		for x, columns := range s.areas {
			red, green, blue := total/2, total/2, total/2
			for k, weight := range columns.weights {
				at := (columns.first + k) * 3
				red += weight * line[at]
				green += weight * line[at+1]
				blue += weight * line[at+2]
			}
			to[x*3], to[x*3+1], to[x*3+2] = byte(red/total), byte(green/total), byte(blue/total)
		}
	}
}

// shrunk is an encoder that is shown larger frames than it wants.
type shrunk struct {
	Encoder

	info     Info
	shrinker *Shrinker
}

// Shrunk lets an encoder be shown frames of side by side pixels, which are shrunk to the size it wants (Shrinker): other parts of a
// pipeline want larger ones. It is enc itself where that has this size.
func Shrunk(enc Encoder, side int) (Encoder, error) {
	info := enc.Info()
	if info.Width == side && info.Height == side {
		return enc, nil
	}
	if info.Width != info.Height {
		return nil, fmt.Errorf("shrinking frames for %s: it wants %d×%d pixels; only squares are shrunk", info.Name, info.Width, info.Height)
	}
	shrinker, err := NewShrinker(side, info.Width)
	if err != nil {
		return nil, fmt.Errorf("shrinking frames for %s: %w", info.Name, err)
	}
	info.Digest = Digest("shrunk", "1", info.Digest, strconv.Itoa(side))
	info.Width, info.Height = side, side
	return &shrunk{Encoder: enc, info: info, shrinker: shrinker}, nil
}

// Unshrunk is the encoder that Shrunk was given; any other encoder is itself.
func Unshrunk(enc Encoder) Encoder {
	if s, ok := enc.(*shrunk); ok {
		return s.Encoder
	}
	return enc
}

// Info describes the encoder with the larger frames.
func (s *shrunk) Info() Info { return s.info }

// Close closes the encoder.
func (s *shrunk) Close() error { return Close(s.Encoder) }

// Encode shrinks every frame and encodes them.
func (s *shrunk) Encode(ctx context.Context, clip *stream.Clip, state State) (*stream.Tokens, error) {
	if clip.T > 0 && (clip.H != s.info.Height || clip.W != s.info.Width) {
		return nil, stream.Fail("encode", "encode.frame_size", "encoding frames of %d×%d pixels: %s is shown %d×%d; resize them first",
			clip.W, clip.H, s.info.Name, s.info.Width, s.info.Height)
	}
	return s.Encoder.Encode(ctx, ShrinkClip(clip, s.shrinker), state)
}

// ShrinkClip is a new clip of smaller frames, on the clock of the old one.
func ShrinkClip(clip *stream.Clip, shrinker *Shrinker) *stream.Clip {
	side := shrinker.to
	small := stream.NewClip(make([]byte, clip.T*side*side*3), clip.T, side, side, nil)
	small.Times, small.Step, small.Start, small.End = clip.Times, clip.Step, clip.Start, clip.End
	for t := range clip.T {
		shrinker.Shrink(clip.Frame(t), small.Frame(t))
	}
	return small
}
