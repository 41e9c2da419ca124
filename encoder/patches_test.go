package encoder

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// patchesClip is random frames of side by side pixels.
func patchesClip(frames, side int) *stream.Clip {
	random := rand.New(rand.NewPCG(1, 1))
	pixels := make([]byte, frames*side*side*3)
	for i := range pixels {
		pixels[i] = byte(random.IntN(256))
	}
	clip := stream.NewClip(pixels, frames, side, side, nil)
	clip.Step = time.Second / 8
	for t := range frames {
		clip.Times = append(clip.Times, time.Duration(t)*clip.Step)
	}
	return clip
}

func TestPatchesHoldEveryPixelInItsPlace(t *testing.T) {
	p, err := NewPatchesOf(12, 3)
	require.NoError(t, err)
	clip := patchesClip(2, 12)
	tokens, err := p.Encode(t.Context(), clip, p.NewState())
	require.NoError(t, err)
	require.Equal(t, stream.Shape{T: 2, H: 3, W: 3, D: 48}, tokens.Shape)
	for f := range 2 {
		for y := range 12 {
			for x := range 12 {
				for c := range 3 {
					want := float32(clip.Frame(f)[(y*12+x)*3+c]) / 255
					got := tokens.At(f)[(y/4*3+x/4)*48+(y%4*4+x%4)*3+c]
					require.Equal(t, want, got)
				}
			}
		}
	}
	require.Equal(t, stream.Span{Start: clip.Step, End: 2 * clip.Step}, tokens.Spans[1])
}

func TestPatchesRefuseOtherSizes(t *testing.T) {
	_, err := NewPatchesOf(12, 5)
	require.ErrorContains(t, err, "12")
	_, err = NewPatches().Encode(t.Context(), patchesClip(1, 64), nil)
	require.ErrorContains(t, err, "128")
	require.Equal(t, 768, NewPatches().Info().Dim)
}
