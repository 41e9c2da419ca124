package encoder

import (
	"context"
	"fmt"
	"math"

	"github.com/ensue-video/ensue/stream"
)

// What Pixels computes; part of its digest.
const (
	pixelsVersion = "1"
	pixelsSide    = 128                     // frames are pixelsSide × pixelsSide
	pixelsGrid    = 8                       // places are pixelsGrid × pixelsGrid
	pixelsPatch   = pixelsSide / pixelsGrid // a place is pixelsPatch × pixelsPatch pixels
	pixelsCount   = pixelsPatch * pixelsPatch
	pixelsBins    = 8
	pixelsDim     = 3 + 3 + pixelsBins
)

// Weights of the three groups of channels, per grey level (0–255) of what they hold. The colours' is such that means are in
// [0, 1]; the other two are such that every group has the same share of the L1 distance between neighbouring frames: on the
// project's training footage (129 clips at about 8 frames/s, each clip counting the same) the shares of means, deviations and
// gradients were 53 %, 37 % and 10 % with one weight for all. TestNoGroupDominatesTheDistance holds the weights to it.
const (
	meanWeight      = 1.0 / 255
	deviationWeight = 1.4 / 255
	gradientWeight  = 5.0 / 255
)

// Pixels is the hand-made encoder: no learning, no memory, one token step per frame. It reads frames of 128×128 pixels on a
// grid of 8×8 places (patches of 16×16 pixels) and says, D = 14 numbers for each:
//
//	0–2   mean of R, G, B
//	3–5   standard deviation of R, G, B (divided by n): how much is in the patch, which neither the mean nor the edges of a
//	      soft texture tell, and what fog, defocus or a covered lens takes away
//	6–13  oriented gradients of the grey picture in 8 directions, 0°, 90°, 180°, 270°, then 45°, 135°, 225°, 315°
//	      (0° is brighter to the right, 90° brighter downwards)
//
// The gradients are signed (8 directions over 360°, where HOG for finding people uses 180°): contrast needs no forgiving
// between neighbouring moments of one camera, and the sign is what tells an object's leading edge from its trailing one.
// A gradient counts for the two directions next to it: with a ≥ b the absolute values of its two components,
// it is a−b along the nearest axis plus b√2 along the nearest diagonal, and these two lengths are its votes. So the vote moves
// smoothly with the pixels (no bin boundary that noise can cross) and needs no angle. Gradients are central differences;
// the outermost pixels repeat beyond the border.
//
// Everything up to the last scaling is integer arithmetic: the tokens are the same bit for bit on every machine, whether its vector
// instructions count or plain Go.
type Pixels struct {
	info   Info
	vector bool
}

// NewPixels makes the encoder.
func NewPixels() *Pixels {
	return &Pixels{vector: vectorPixels(), info: Info{
		Name: "pixels",
		Digest: Digest("pixels", pixelsVersion,
			fmt.Sprint(pixelsSide, pixelsGrid, pixelsBins), fmt.Sprint(meanWeight, deviationWeight, gradientWeight)),
		Width: pixelsSide, Height: pixelsSide,
		GridHeight: pixelsGrid, GridWidth: pixelsGrid, Dim: pixelsDim,
		FramesPerStep: 1,
	}}
}

// Info describes the encoder.
func (p *Pixels) Info() Info { return p.info }

// NewState is empty: a token depends on its own frame only.
func (p *Pixels) NewState() State { return noState{} }

type noState struct{}

func (noState) Reset() {}

// Encode makes a token step of every frame: `[T, 128, 128, 3]` becomes `[T, 8, 8, 14]`; the step's span is from its frame's time
// to one Step later. It fails when the frames have another size.
func (p *Pixels) Encode(ctx context.Context, clip *stream.Clip, _ State) (*stream.Tokens, error) {
	if err := p.check(clip); err != nil {
		return nil, err
	}
	tokens := &stream.Tokens{
		Shape: stream.Shape{T: clip.T, H: pixelsGrid, W: pixelsGrid, D: pixelsDim},
		Spans: make([]stream.Span, clip.T),
	}
	tokens.Data = make([]float32, tokens.Len())
	var sums pixelsSums
	for t := range clip.T {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("encoding frame %d of %d: %w", t, clip.T, err)
		}
		// Invariant 5: step t is computed from frame t alone.
		if p.vector {
			countPixelsVector(clip.Frame(t), &sums)
		} else {
			countPixels(clip.Frame(t), &sums)
		}
		sums.scale(tokens.At(t))
		tokens.Spans[t] = stream.Span{Start: clip.Times[t], End: clip.Times[t] + clip.Step}
	}
	return tokens, nil
}

func (p *Pixels) check(clip *stream.Clip) error {
	if clip.T > 0 && (clip.H != pixelsSide || clip.W != pixelsSide) {
		return stream.Fail("encode", "encode.frame_size",
			"encoding frames of %d×%d pixels: pixels wants %d×%d; resize them first", clip.W, clip.H, pixelsSide, pixelsSide)
	}
	if len(clip.Times) != clip.T || len(clip.Frames) < clip.T*clip.H*clip.W*3 {
		return stream.Fail("encode", "encode.clip", "encoding a clip of %d frames: it has %d times and %d bytes",
			clip.T, len(clip.Times), len(clip.Frames))
	}
	return nil
}

// pixelsSums is what is counted in the patches of a frame, row by row.
type pixelsSums struct {
	// colours are the sums of R, G, B and the sums of their squares.
	colours [pixelsGrid * pixelsGrid][6]uint32
	// votes are those for the 8 directions; those for diagonals in units of √2.
	votes [pixelsGrid * pixelsGrid][pixelsBins]uint32
}

// scale writes the tokens of the frame, `[8, 8, 14]`.
func (s *pixelsSums) scale(out []float32) {
	const axis = gradientWeight / pixelsCount / 2 // central differences span two pixels
	for place := range s.colours {
		token := out[place*pixelsDim:][:pixelsDim]
		for channel := range 3 {
			token[channel], token[3+channel] = moments(s.colours[place][channel], s.colours[place][3+channel])
		}
		for bin := range 4 {
			token[6+bin] = float32(float64(s.votes[place][bin]) * axis)
			token[10+bin] = float32(float64(s.votes[place][4+bin]) * (axis * math.Sqrt2))
		}
	}
}

// moments is the weighted mean and standard deviation of the pixelsCount values with that sum and sum of squares.
func moments(sum, squares uint32) (mean, deviation float32) {
	// n²·variance is exact in integers: at most 256·256·255² < 2³².
	spread := pixelsCount*uint64(squares) - uint64(sum)*uint64(sum)
	return float32(float64(sum) * (meanWeight / pixelsCount)),
		float32(math.Sqrt(float64(spread)) * (deviationWeight / pixelsCount))
}

// Where a gradient's two votes go, by its octant: bit 0 is set where it points left, bit 1 where it points up, bit 2 where its
// vertical component is the larger one. Directions count from brighter-to-the-right, clockwise on the screen.
var (
	octantAxis     = [8]uint8{0, 2, 0, 2, 1, 1, 3, 3}
	octantDiagonal = [8]uint8{4, 5, 7, 6, 4, 5, 7, 6}
)

// pixelsCanvas is the grey picture of the frame being counted, kept on the stack.
type pixelsCanvas struct {
	grey [pixelsSide * pixelsSide]uint8
}

// countPixels counts in plain Go.
func countPixels(frame []byte, sums *pixelsSums) {
	var c pixelsCanvas
	frame = frame[:pixelsSide*pixelsSide*3]
	for place := range sums.colours {
		c.colours(frame, place/pixelsGrid*pixelsPatch, place%pixelsGrid*pixelsPatch, &sums.colours[place])
	}
	for place := range sums.votes {
		c.gradients(place/pixelsGrid*pixelsPatch, place%pixelsGrid*pixelsPatch, &sums.votes[place])
	}
}

// colours sums the patch at (top, left) and its squares, and draws the patch on the canvas in grey (ITU-R BT.601 weights in 256ths).
func (c *pixelsCanvas) colours(frame []byte, top, left int, out *[6]uint32) {
	var sr, sg, sb, qr, qg, qb uint32
	for y := top; y < top+pixelsPatch; y++ {
		line := frame[(y*pixelsSide+left)*3:][:pixelsPatch*3]
		grey := c.grey[y*pixelsSide+left:][:pixelsPatch]
		for x := range grey {
			r, g, b := uint32(line[0]), uint32(line[1]), uint32(line[2])
			line = line[3:]
			sr, sg, sb = sr+r, sg+g, sb+b
			qr, qg, qb = qr+r*r, qg+g*g, qb+b*b
			grey[x] = uint8((77*r + 150*g + 29*b) >> 8)
		}
	}
	*out = [6]uint32{sr, sg, sb, qr, qg, qb}
}

// gradients sums the votes of the patch at (top, left).
func (c *pixelsCanvas) gradients(top, left int, out *[pixelsBins]uint32) {
	var votes [8]uint64 // per octant: along the axis in the upper half, along the diagonal in the lower
	for y := top; y < top+pixelsPatch; y++ {
		above := c.grey[max(y-1, 0)*pixelsSide:][:pixelsSide]
		here := c.grey[y*pixelsSide:][:pixelsSide]
		below := c.grey[min(y+1, pixelsSide-1)*pixelsSide:][:pixelsSide]
		for x := left; x < left+pixelsPatch; x++ {
			across := int32(here[min(x+1, pixelsSide-1)]) - int32(here[max(x-1, 0)])
			down := int32(below[x]) - int32(above[x])
			vote(&votes, across, down)
		}
	}
	clear(out[:])
	for octant, both := range votes {
		out[octantAxis[octant]] += uint32(both >> 32)
		out[octantDiagonal[octant]] += uint32(both)
	}
}

// vote adds a gradient's votes to its octant, without a branch: which octant is next is as good as random.
func vote(votes *[8]uint64, across, down int32) {
	left, up := across>>31, down>>31
	wide, high := (across^left)-left, (down^up)-up
	steep := (wide - high) >> 31
	shorter := min(wide, high)
	longer := max(wide, high)
	octant := uint32(left&1|up&2|steep&4) & 7
	votes[octant] += uint64(longer-shorter)<<32 | uint64(shorter)
}
