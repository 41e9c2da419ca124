package encoder

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/stream"
)

// Invariant 7: a pipeline that starts again reads Warmup steps more than it needs, and goes on with the same bits.
func TestAfterItsWarmupAStreamIsWhatItWouldHaveBeen(t *testing.T) {
	const skipped = 5
	for _, test := range []struct {
		mode           string
		window, warmup int
	}{{model.Tubelet, 8, 0}, {model.Full, 8, 0}, {model.BlockCausal, 2, 0}, {model.BlockCausal, 4, 3}, {model.BlockCausal, 6, 6}} {
		t.Run(fmt.Sprintf("%s, %d frames seen", test.mode, test.window), func(t *testing.T) {
			e := newVJEPA2(t, tinyConfig(test.mode), WithContextFrames(test.window))
			require.Equal(t, test.warmup, e.Info().Warmup)
			clip := noiseFrames(40, 24, 1)
			whole, err := e.Encode(t.Context(), clip, e.NewState())
			require.NoError(t, err)
			later := stream.NewClip(clip.Frames[skipped*2*24*24*3:], clip.T-2*skipped, 24, 24, nil)
			later.Times, later.Step, later.End = clip.Times[skipped*2:], clip.Step, clip.End
			again, err := e.Encode(t.Context(), later, e.NewState())
			require.NoError(t, err)
			for step := range again.T {
				same := fmt.Sprint(whole.At(skipped+step)) == fmt.Sprint(again.At(step))
				if step >= test.warmup {
					require.True(t, same, "step %d", step)
				} else if step == 0 {
					require.False(t, same, "the first step of a stream has no past")
				}
			}
		})
	}
}
