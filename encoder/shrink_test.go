package encoder

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

func shrunkPicture(t *testing.T, picture []byte, from, to int) []byte {
	t.Helper()
	s, err := NewShrinker(from, to)
	require.NoError(t, err)
	out := make([]byte, to*to*3)
	s.Shrink(picture, out)
	return out
}

func TestShrinkingIsTheExactMeanOfAreas(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range [][2]int{{128, 64}, {4, 3}, {30, 7}, {5, 5}, {9, 1}, {256, 96}} {
		from, to := size[0], size[1]
		picture := make([]byte, from*from*3)
		for i := range picture {
			picture[i] = byte(random.IntN(256))
		}
		got := shrunkPicture(t, picture, from, to)
		// A pixel of the result is a square of from by from parts, each a to-th of a pixel wide.
		for at := range to * to * 3 {
			x, y, c, sum := at/3%to, at/3/to, at%3, 0
			for i := range from {
				for k := range from {
					sum += int(picture[((y*from+i)/to*from+(x*from+k)/to)*3+c])
				}
			}
			require.Equal(t, byte((sum+from*from/2)/(from*from)), got[at], "%v at %d", size, at)
		}
	}
}

func TestShrinkingDoesNotMakeLarger(t *testing.T) {
	_, err := NewShrinker(4, 5)
	require.ErrorContains(t, err, "4 pixels to 5")
	_, err = NewShrinker(5000, 5)
	require.Error(t, err)
}

// TestAShrunkEncoderSaysOfLargeFramesWhatItSaysOfShrunkOnes.
func TestAShrunkEncoderSaysOfLargeFramesWhatItSaysOfShrunkOnes(t *testing.T) {
	small, err := NewPatchesOf(16, 4)
	require.NoError(t, err)
	same, err := Shrunk(small, 16)
	require.NoError(t, err)
	require.Same(t, small, same)
	made, err := Shrunk(small, 40)
	require.NoError(t, err)
	require.Same(t, small, Unshrunk(made))
	require.Same(t, small, Unshrunk(small))
	info := made.Info()
	require.Equal(t, [2]int{40, 40}, [2]int{info.Width, info.Height})
	require.NotEqual(t, small.Info().Digest, info.Digest)
	info.Width, info.Height, info.Digest = 16, 16, small.Info().Digest
	require.Equal(t, small.Info(), info)

	random := rand.New(rand.NewPCG(1, 2))
	clip := stream.NewClip(make([]byte, 3*40*40*3), 3, 40, 40, nil)
	clip.Step = time.Second
	for i := range clip.Frames {
		clip.Frames[i] = byte(random.IntN(256))
	}
	var shrunken []byte
	for i := range 3 {
		clip.Times = append(clip.Times, time.Duration(i)*clip.Step)
		shrunken = append(shrunken, shrunkPicture(t, clip.Frame(i), 40, 16)...)
	}
	piece := stream.NewClip(shrunken, 3, 16, 16, nil)
	piece.Step, piece.Times = clip.Step, clip.Times
	want, err := small.Encode(t.Context(), piece, small.NewState())
	require.NoError(t, err)
	got, err := made.Encode(t.Context(), clip, made.NewState())
	require.NoError(t, err)
	require.Equal(t, want, got)
	_, err = made.Encode(t.Context(), piece, made.NewState())
	require.ErrorContains(t, err, "patches is shown 40×40")
	_, err = Shrunk(small, 8)
	require.Error(t, err)
	require.NoError(t, Close(made))
}
