package predictor

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/stream"
)

// movie is frames of 128×128 pixels, eight a second, on which a painted square of 48 pixels moves that many pixels a frame over a
// painted background.
func movie(frames int, velocity float64) *stream.Clip {
	const side = 128
	clip := stream.NewClip(make([]byte, frames*side*side*3), frames, side, side, nil)
	clip.Step = time.Second / 8
	clip.End = time.Duration(frames) * clip.Step
	for t := range frames {
		clip.Times = append(clip.Times, time.Duration(t)*clip.Step)
		left := 4 + velocity*float64(t)
		frame := clip.Frame(t)
		for i := range side * side {
			x, y := float64(i%side), float64(i/side)
			level := 60 + 20*math.Sin(x/19)*math.Cos(y/23)
			if x >= left && x < left+48 && y >= 40 && y < 88 {
				level = 170 + 40*math.Sin((x-left)/7)*math.Cos(y/6)
			}
			frame[3*i], frame[3*i+1], frame[3*i+2] = byte(level), byte(level), byte(0.8*level)
		}
	}
	return clip
}

// pastOf is all of the clip up to that frame.
func pastOf(t *testing.T, enc encoder.Encoder, clip *stream.Clip, end int) Past {
	t.Helper()
	tokens, err := enc.Encode(t.Context(), clip, enc.NewState())
	require.NoError(t, err)
	past := Past{Tokens: tokens}
	for i := range end {
		past.Frames = append(past.Frames, clip.Frame(i))
	}
	tokens.T, tokens.Data, tokens.Spans = end, tokens.Data[:end*tokens.Step()], tokens.Spans[:end]
	return past
}

func TestBaselinesContinueARamp(t *testing.T) {
	tokens := &stream.Tokens{Shape: stream.Shape{T: 3, H: 1, W: 1, D: 2}, Data: []float32{9, 9, 1, 5, 3, 4}}
	one := &stream.Tokens{Shape: stream.Shape{T: 1, H: 1, W: 1, D: 2}, Data: []float32{3, 4}}
	tests := []struct {
		name      string
		predictor Predictor
		past      *stream.Tokens
		lead      int
		want      []float32
	}{
		{"persistence", NewPersistence(), tokens, 0, []float32{3, 4, 3, 4}},
		{"persistence, later", NewPersistence(), tokens, 7, []float32{3, 4, 3, 4}},
		{"linear", NewLinear(), tokens, 0, []float32{5, 3, 7, 2}},
		{"linear, later", NewLinear(), tokens, 2, []float32{9, 1, 11, 0}},
		{"linear after one step is persistence", NewLinear(), one, 2, []float32{3, 4, 3, 4}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out := make([]float32, 4)
			require.NoError(t, test.predictor.Expect(t.Context(), Past{Tokens: test.past}, test.lead, 2, out))
			require.Equal(t, test.want, out)
		})
	}
}

func TestKnowingTheMotionBeatsPersistence(t *testing.T) {
	enc := encoder.NewPixels()
	clip := movie(40, 1)
	seen, err := enc.Encode(t.Context(), clip, nil)
	require.NoError(t, err)
	energy := func(predictor Predictor) float64 {
		const steps = 4
		total := 0.0
		expected, energies := make([]float32, steps*seen.Step()), make([]float32, steps*seen.Places())
		for end := 4; end+steps <= clip.T; end += steps {
			require.NoError(t, predictor.Expect(t.Context(), pastOf(t, enc, clip, end), 0, steps, expected))
			EnergyMap(expected, seen.Data[end*seen.Step():(end+steps)*seen.Step()], seen.D, energies)
			total += mean(energies)
		}
		return total
	}
	persistence, linear, flow := energy(NewPersistence()), energy(NewLinear()), energy(NewFlow(enc))
	t.Logf("persistence %.4f, linear %.4f, flow %.4f", persistence, linear, flow)
	require.Less(t, linear, 0.8*persistence)
	require.Less(t, flow, 0.5*persistence)
}

func TestFlowOfAStandingPictureIsThePicture(t *testing.T) {
	enc := encoder.NewPixels()
	past := pastOf(t, enc, movie(3, 0), 3)
	last := past.Tokens.At(2)
	for name, frames := range map[string][][]byte{"three frames": past.Frames, "one frame": past.Frames[2:]} {
		out := make([]float32, 2*len(last))
		require.NoError(t, NewFlow(enc).Expect(t.Context(), Past{Tokens: past.Tokens, Frames: frames}, 5, 2, out))
		require.Equal(t, last, out[:len(last)], name)
		require.Equal(t, last, out[len(last):], name)
	}
}

func TestFlowAheadIsFlowFurtherAhead(t *testing.T) {
	enc := encoder.NewPixels()
	past := pastOf(t, enc, movie(5, 2), 5)
	step := past.Tokens.Step()
	all, late := make([]float32, 6*step), make([]float32, 2*step)
	require.NoError(t, NewFlow(enc).Expect(t.Context(), past, 0, 6, all))
	require.NoError(t, NewFlow(enc).Expect(t.Context(), past, 4, 2, late))
	require.Equal(t, all[4*step:], late)
	require.NotEqual(t, all[:step], all[step:2*step])
}

func TestFlowRefusesWhatItCannotWarp(t *testing.T) {
	enc := encoder.NewPixels()
	tests := []struct {
		name   string
		frames [][]byte
		code   stream.Code
	}{
		{"no frames", nil, "predict.no_frames"},
		{"a frame of another size", [][]byte{make([]byte, 12)}, "predict.frame_size"},
		{"an earlier frame of another size", [][]byte{make([]byte, 12), make([]byte, 128*128*3)}, "predict.frame_size"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := NewFlow(enc).Expect(t.Context(), Past{Frames: test.frames}, 0, 1, make([]float32, 64*14))
			var failure *stream.Failure
			require.ErrorAs(t, err, &failure)
			require.Equal(t, test.code, failure.Code)
		})
	}
}
