package clips

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// vjepa2Dir is the directory of a small model with random weights, for frames of 24 by 24 pixels; with or without a predictor.
func vjepa2Dir(tb testing.TB, predicting bool) string {
	tb.Helper()
	c := model.Default()
	c.CropSize, c.PatchSize, c.FramesPerClip = 24, 8, 8
	c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads = 44, 2, 2
	c.PredHiddenSize, c.PredNumHiddenLayers, c.PredNumAttentionHeads, c.PredNumMaskTokens = 32, 2, 2, 2
	seeing, saying := nn.NewParameters(1), nn.NewParameters(2)
	encoder.NewVisionTransformer(seeing, c)
	predictor.NewMaskedTransformer(saying, c)
	all := model.Named("encoder.", seeing.All())
	if predicting {
		all = append(all, model.Named("predictor.", saying.All())...)
	}
	return written(tb, c, all)
}

// recurrentDir is the directory of a small model with a memory.
func recurrentDir(tb testing.TB) string {
	tb.Helper()
	c := model.RecurrentConfig()
	c.Ensue.Recurrent = model.Recurrent{Size: 24, Widths: [3]int{6, 8, 10}, Dim: 12, Hidden: 16, Ahead: []int{1, 2, 4}}
	seeing, saying := nn.NewParameters(1), nn.NewParameters(2)
	encoder.NewConvEncoder(seeing, c)
	predictor.NewRecurrentNet(saying, c)
	return written(tb, c, append(model.Named("encoder.", seeing.All()), model.Named("predictor.", saying.All())...))
}

// written writes a model whose weights are large enough to matter.
func written(tb testing.TB, c model.Config, all []*nn.Parameter) string {
	tb.Helper()
	random := rand.New(rand.NewPCG(7, 8))
	for _, p := range all {
		values := p.Dense().Float32s()
		for i := range values {
			values[i] += float32(random.NormFloat64()) * 0.2
		}
	}
	dir := tb.TempDir()
	require.NoError(tb, model.Write(dir, c, all...))
	return dir
}

// noise is a clip of frames of noise, 8 a second.
func noise(frames int, info Info, seed uint64) *stream.Clip {
	random := rand.New(rand.NewPCG(seed, 2))
	clip := stream.NewClip(make([]byte, frames*info.Width*info.Height*3), frames, info.Height, info.Width, nil)
	for i := range clip.Frames {
		clip.Frames[i] = byte(random.IntN(256))
	}
	clip.Step = time.Second / 8
	for i := range frames {
		clip.Times = append(clip.Times, time.Duration(i)*clip.Step)
	}
	clip.End = time.Duration(frames) * clip.Step
	return clip
}

func opening(tb testing.TB, config Config) Model {
	tb.Helper()
	config.Threads = 1
	m, err := Open(config)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, m.Close()) })
	return m
}

// everyModel is a model of every kind.
func everyModel(t *testing.T) map[string]Model {
	t.Helper()
	full := vjepa2Dir(t, true)
	return map[string]Model{
		"pixels":       opening(t, Config{Model: "pixels"}),
		"recurrent":    opening(t, Config{Model: recurrentDir(t)}),
		"full":         opening(t, Config{Model: full}),
		"block_causal": opening(t, Config{Model: full, Attention: "block_causal"}),
		"tubelet":      opening(t, Config{Model: full, Attention: "tubelet", Precision: "bf16"}),
	}
}

// TestWhatIsExpectedHasNotSeenWhatComes: frames after the context change tokens, target and energy, never what is expected.
func TestWhatIsExpectedHasNotSeenWhatComes(t *testing.T) {
	for name, m := range everyModel(t) {
		t.Run(name, func(t *testing.T) {
			const frames, context = 8, 4
			info := m.Info()
			a := noise(frames, info, 1)
			b := noise(frames, info, 2)
			copy(b.Frames, a.Frames[:context*info.Width*info.Height*3])
			one, err := m.Encode(t.Context(), a, context)
			require.NoError(t, err)
			other, err := m.Encode(t.Context(), b, context)
			require.NoError(t, err)
			require.Equal(t, one.Expected, other.Expected)
			require.NotEqual(t, one.Tokens, other.Tokens)
			require.NotEqual(t, one.Target, other.Target)
			require.NotEqual(t, one.Energy, other.Energy)
		})
	}
}

func TestEveryModelMakesWholeClips(t *testing.T) {
	for name, m := range everyModel(t) {
		t.Run(name, func(t *testing.T) {
			info := m.Info()
			clip := noise(8, info, 3)
			made, err := m.Encode(t.Context(), clip, 4)
			require.NoError(t, err)
			s := made.Shape
			require.Equal(t, 8/info.FramesPerStep, s.T)
			require.Equal(t, 4/info.FramesPerStep, made.Context)
			require.Len(t, made.Tokens, s.Len())
			require.Len(t, made.Expected, (s.T-made.Context)*s.Step())
			require.Len(t, made.Target, (s.T-made.Context)*s.Step())
			require.Len(t, made.Energy, (s.T-made.Context)*s.Places())
			require.Len(t, made.Spans, s.T)
			require.Equal(t, stream.Span{Start: 0, End: time.Duration(info.FramesPerStep) * clip.Step}, made.Spans[0])
			require.Equal(t, clip.End, made.Spans[s.T-1].End)
			for i, energy := range made.Energy {
				sum := float32(0)
				for k := range s.D {
					sum += max(made.Expected[i*s.D+k]-made.Target[i*s.D+k], made.Target[i*s.D+k]-made.Expected[i*s.D+k])
				}
				require.InDelta(t, sum/float32(s.D), energy, 1e-4)
			}
			again, err := m.Encode(t.Context(), clip, 0)
			require.NoError(t, err)
			require.Equal(t, made.Tokens, again.Tokens, "a clip does not depend on the one before it")
			require.Nil(t, again.Expected)
			require.NotEmpty(t, info.Digest)
		})
	}
}

func TestAClipShorterThanAStepIsRepeated(t *testing.T) {
	m := opening(t, Config{Model: vjepa2Dir(t, true)})
	clip := noise(1, m.Info(), 4)
	made, err := m.Encode(t.Context(), clip, 0)
	require.NoError(t, err)
	require.Equal(t, stream.Shape{T: 1, H: 3, W: 3, D: 44}, made.Shape)
	require.Equal(t, []stream.Span{{Start: 0, End: clip.Step}}, made.Spans)
	twice := noise(2, m.Info(), 4)
	copy(twice.Frames, bytes.Repeat(clip.Frames, 2))
	want, err := m.Encode(t.Context(), twice, 0)
	require.NoError(t, err)
	require.Equal(t, want.Tokens, made.Tokens)
}

func TestAContextMustLeaveSomethingToExpect(t *testing.T) {
	with, without := opening(t, Config{Model: vjepa2Dir(t, true)}), opening(t, Config{Model: vjepa2Dir(t, false)})
	tests := []struct {
		name            string
		model           Model
		frames, context int
		want            string
	}{
		{"half a step", with, 8, 3, "3 frames of context: a step of this model is 2 frames; give a multiple of it"},
		{"all", with, 8, 8, "8 frames of context: the clip has 8, which leaves no step of 2 after them"},
		{"all but half a step", with, 9, 8, "8 frames of context: the clip has 9, which leaves no step of 2 after them"},
		{"no predictor", without, 8, 4, "4 frames of context: the model has no predictor, so nothing can be expected"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.model.Encode(t.Context(), noise(test.frames, test.model.Info(), 5), test.context)
			var failure *stream.Failure
			require.ErrorAs(t, err, &failure)
			require.Equal(t, CodeContext, failure.Code)
			require.EqualError(t, err, test.want)
			require.EqualError(t, test.model.Info().CheckContext(test.frames, test.context), test.want)
		})
	}
	require.NoError(t, with.Info().CheckContext(0, 400), "clips as long as their recordings may be long enough")
}

func TestModelsThatCannotBeUsedAreTold(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		want   string
	}{
		{"no such name", Config{Model: "vitl"}, `"vitl" is neither a directory nor one of builtin, patches, pixels`},
		{"nothing in it", Config{Model: t.TempDir()}, "config.json"},
		{"attention", Config{Model: vjepa2Dir(t, true), Attention: "some"}, `"some"`},
		{"precision", Config{Model: vjepa2Dir(t, true), Precision: "f16"}, `"f16"`},
		{"precision of what has none", Config{Model: "pixels", Precision: "bf16"}, "pixels has neither attention nor precision"},
		{"attention of what has none", Config{Model: recurrentDir(t), Attention: "full"}, "attention"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(test.config)
			require.ErrorIs(t, err, ErrOpen)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestFramesOfAnySizeButNoOtherChannels(t *testing.T) {
	m := opening(t, Config{Model: vjepa2Dir(t, true)}).(FrameModel)
	frames := func(t, c, h, w int) Frames {
		return Frames{T: t, C: c, H: h, W: w, Values: make([]float32, t*c*h*w)}
	}
	made, err := m.EncodeFrames(context.Background(), frames(4, 3, 16, 41), 0)
	require.NoError(t, err)
	require.Equal(t, stream.Shape{T: 2, H: 2, W: 5, D: 44}, made.Shape)
	require.Nil(t, made.Spans)
	_, err = m.EncodeFrames(context.Background(), frames(4, 1, 24, 24), 0)
	require.EqualError(t, err, "frames [T, C, H, W]: expected C = 3 channels (in_chans), found 1 in [4 1 24 24]")
	_, err = m.EncodeFrames(context.Background(), frames(4, 3, 24, 7), 0)
	require.EqualError(t, err, "frames [T, C, H, W]: expected H and W of a patch at least, 8 (patch_size), found [4 3 24 7]")
}
