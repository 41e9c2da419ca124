package encoder

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ensue-video/ensue/stream"
)

const (
	patchesSide = 128
	patchesGrid = 8
)

// Patches passes pixels through: the token of a place is the pixels of its patch, RGB, row by row, as shares of 1. No learning, no
// memory, one token step per frame. What is predicted and measured with it is predicted and measured in pixels: the baseline of
// learned tokens, and the ground for optical flow.
type Patches struct {
	info  Info
	patch int
	level [256]float32
}

// NewPatches makes the encoder for frames of 128×128 pixels: a grid of 8×8 places, D = 768.
func NewPatches() *Patches {
	p, _ := NewPatchesOf(patchesSide, patchesGrid) // these divide
	return p
}

// NewPatchesOf makes the encoder for frames of side by side pixels, cut into grid by grid patches. grid must divide side.
func NewPatchesOf(side, grid int) (*Patches, error) {
	if side < 1 || grid < 1 || side%grid != 0 {
		return nil, fmt.Errorf("cutting frames of %d×%d pixels into %d×%d patches: the side must be a multiple of the grid",
			side, side, grid, grid)
	}
	p := &Patches{patch: side / grid}
	p.info = Info{
		Name: "patches", Digest: Digest("patches", "1", strconv.Itoa(side), strconv.Itoa(grid)), Width: side, Height: side,
		GridHeight: grid, GridWidth: grid, Dim: p.patch * p.patch * 3, FramesPerStep: 1,
	}
	for i := range p.level {
		p.level[i] = float32(i) / 255
	}
	return p, nil
}

// Info describes the encoder.
func (p *Patches) Info() Info { return p.info }

// NewState is empty: a token depends on its own frame only.
func (p *Patches) NewState() State { return noState{} }

// Encode makes a token step of every frame; the step's span is from its frame's time to one Step later. It fails when the frames have
// another size.
func (p *Patches) Encode(ctx context.Context, clip *stream.Clip, _ State) (*stream.Tokens, error) {
	if err := p.check(clip); err != nil {
		return nil, err
	}
	tokens := &stream.Tokens{
		Shape: stream.Shape{T: clip.T, H: p.info.GridHeight, W: p.info.GridWidth, D: p.info.Dim},
		Spans: make([]stream.Span, clip.T),
	}
	tokens.Data = make([]float32, tokens.Len())
	for t := range clip.T {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("encoding frame %d of %d: %w", t, clip.T, err)
		}
		// Invariant 5: step t is computed from frame t alone.
		p.cut(clip.Frame(t), tokens.At(t))
		tokens.Spans[t] = stream.Span{Start: clip.Times[t], End: clip.Times[t] + clip.Step}
	}
	return tokens, nil
}

func (p *Patches) check(clip *stream.Clip) error {
	if clip.T > 0 && (clip.H != p.info.Height || clip.W != p.info.Width) {
		return stream.Fail("encode", "encode.frame_size",
			"encoding frames of %d×%d pixels: patches wants %d×%d; resize them first", clip.W, clip.H, p.info.Width, p.info.Height)
	}
	if len(clip.Times) != clip.T || len(clip.Frames) < clip.T*clip.H*clip.W*3 {
		return stream.Fail("encode", "encode.clip", "encoding a clip of %d frames: it has %d times and %d bytes",
			clip.T, len(clip.Times), len(clip.Frames))
	}
	return nil
}

// cut writes the patches of one frame, [grid, grid, patch, patch, 3], to out.
func (p *Patches) cut(frame []byte, out []float32) {
	line := p.patch * 3 // of a patch
	for y := range p.info.Height {
		row := y / p.patch * p.info.GridWidth
		for column := range p.info.GridWidth {
			to := out[(row+column)*p.info.Dim+y%p.patch*line:][:line]
			for i, value := range frame[(y*p.info.GridWidth+column)*line:][:line] {
				to[i] = p.level[value]
			}
		}
	}
}
