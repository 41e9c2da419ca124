package predictor

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/nn/nntest"
	"github.com/ensue-video/ensue/stream"
)

// newVJEPA2 makes the two halves of a model.
func newVJEPA2(tb testing.TB, m *model.Model, device *nn.Device, options ...encoder.VJEPA2Option) (*encoder.VJEPA2, *VJEPA2) {
	tb.Helper()
	enc, err := encoder.NewVJEPA2(m, device, options...)
	require.NoError(tb, err)
	p, err := NewVJEPA2(m, enc)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		require.NoError(tb, p.Close())
		require.NoError(tb, enc.Close())
	})
	return enc, p
}

// smallModel writes a model with vivid weights, for frames of 24×24 pixels, 3×3 places.
func smallModel(tb testing.TB, mode string, predicting bool) *model.Model {
	tb.Helper()
	c := model.Default()
	c.CropSize, c.PatchSize, c.FramesPerClip = 24, 8, 8
	c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.MLPRatio = 44, 2, 2, 2.5
	c.PredHiddenSize, c.PredNumHiddenLayers, c.PredNumAttentionHeads, c.PredNumMaskTokens = 32, 2, 2, 2
	c.Ensue.Attention = mode
	seeing, saying := nn.NewParameters(1), nn.NewParameters(2)
	encoder.NewVisionTransformer(seeing, c)
	NewMaskedTransformer(saying, c)
	all := model.Named("encoder.", seeing.All())
	if predicting {
		all = append(all, model.Named("predictor.", saying.All())...)
	}
	for i, p := range all {
		values := p.Dense().Float32s()
		for k := range values {
			values[k] += float32(math.Sin(float64((i+1)*(k+1)*(k+3)))) * 0.25
		}
	}
	dir := tb.TempDir()
	require.NoError(tb, model.Write(dir, c, all...))
	m, err := model.Open(dir)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, m.Close()) })
	return m
}

// textured is t frames of side × side pixels, 8 a second.
func textured(t, side int) *stream.Clip {
	clip := stream.NewClip(make([]byte, t*side*side*3), t, side, side, nil)
	state := uint64(1)
	for i := range clip.Frames {
		state = state*6364136223846793005 + 1442695040888963407
		clip.Frames[i] = byte(state >> 56)
	}
	clip.Step = time.Second / 8
	for i := range t {
		clip.Times = append(clip.Times, time.Duration(i)*clip.Step)
	}
	clip.End = time.Duration(t) * clip.Step
	return clip
}

// part is the frames [from, to) of a clip.
func part(clip *stream.Clip, from, to int) *stream.Clip {
	size := clip.H * clip.W * 3
	piece := stream.NewClip(clip.Frames[from*size:to*size], to-from, clip.H, clip.W, nil)
	piece.Step, piece.Times = clip.Step, clip.Times[from:to]
	piece.Start, piece.End = clip.Times[from], clip.Times[to-1]+clip.Step
	return piece
}

// videoOf are the clip's pixels, normalised: [1, T, 3, H, W].
func videoOf(c model.Config, clip *stream.Clip) encoder.Video {
	v := encoder.Video{B: 1, T: clip.T, C: 3, H: clip.H, W: clip.W}
	for t := range clip.T {
		for channel := range 3 {
			for i := channel; i < len(clip.Frame(t)); i += 3 {
				grey := float64(clip.Frame(t)[i]) / 255
				v.Data = append(v.Data, float32((grey-c.Ensue.Mean[channel])/c.Ensue.Std[channel]))
			}
		}
	}
	return v
}

func TestTheNextSegmentIsTransformers(t *testing.T) {
	tests := []struct {
		model          string
		context, after int
	}{{"vjepa2_tiny", 4, 2}, {"vjepa2_rest", 2, 2}}
	for _, test := range tests {
		t.Run(test.model, func(t *testing.T) {
			c := openCases(t, test.model)
			_, p := newVJEPA2(t, c.model, c.device)
			x := c.read(t, "a.pixel_values_videos")
			s := x.Shape()
			next, err := p.NextSegment(t.Context(), encoder.Video{B: s[0], T: s[1], C: s[2], H: s[3], W: s[4], Data: x.Float32s()}, test.context)
			require.NoError(t, err)
			require.Equal(t, test.after, next.Expected.T)
			near := func(name string, got []float32) {
				t.Helper()
				require.LessOrEqual(t, apart(t, c.read(t, name).Float32s(), got), vjepaTolerance, name)
			}
			near("a.last_hidden_state", next.Tokens.Data)
			near("d.predicted", next.Expected.Data)
			near("d.energy_per_token", next.Energy)
			each := len(next.Energy) / s[0]
			for item, want := range c.read(t, "d.energy").Float32s() {
				require.InDelta(t, want, mean(next.Energy[item*each:(item+1)*each]), vjepaTolerance)
			}
			if test.model == "vjepa2_tiny" {
				near("d.target_normed", next.Target.Data)
				require.Greater(t, apart(t, c.read(t, "d.leaky_predicted").Float32s(), next.Expected.Data), 0.5,
					"the context must not have seen the future")
			}
		})
	}
}

// In a stream of a model with full attention, tokens are embeddings; what is made of them is transformers'.
func TestAStreamsNextSegmentIsTransformers(t *testing.T) {
	c := openCases(t, "vjepa2_tiny")
	_, p := newVJEPA2(t, c.model, c.device)
	const size = 4 * 4 * 48
	for item := range 2 {
		embeddings := c.read(t, "g.embeddings").Float32s()[item*4*size : (item+1)*4*size]
		tokens := &stream.Tokens{Shape: stream.Shape{T: 4, H: 4, W: 4, D: 48}, Data: embeddings}
		past := Past{Tokens: &stream.Tokens{Shape: stream.Shape{T: 2, H: 4, W: 4, D: 48}, Data: embeddings[:2*size]}}
		out := make([]float32, 2*size)
		require.NoError(t, p.Expect(t.Context(), past, 0, 2, out))
		require.LessOrEqual(t, apart(t, c.read(t, "d.predicted").Float32s()[item*2*size:(item+1)*2*size], out), vjepaTolerance)
		require.NoError(t, p.Target(t.Context(), tokens, 2, out))
		require.LessOrEqual(t, apart(t, c.read(t, "d.target_normed").Float32s()[item*2*size:(item+1)*2*size], out), vjepaTolerance)
	}
}

// What a scorer says of a stream is what the plain call says of its frames, in every attention and in both precisions.
func TestAStreamsEnergyIsThatOfItsFrames(t *testing.T) {
	for _, mode := range model.Attentions() {
		for _, precision := range []nn.Precision{nn.Float32, nn.BFloat16} {
			t.Run(fmt.Sprint(mode, precision), func(t *testing.T) {
				m := smallModel(t, mode, true)
				enc, p := newVJEPA2(t, m, nntest.OpenDevice(t), encoder.WithPrecision(precision))
				clip := textured(8, 24)
				next, err := p.NextSegment(t.Context(), videoOf(enc.Config(), clip), 4)
				require.NoError(t, err)

				cfg := Config{Context: time.Second / 2, Horizons: []time.Duration{time.Second / 2}}
				scorer, err := NewScorer(enc.Info(), p, cfg, 8)
				require.NoError(t, err)
				state, seen := scorer.NewState(), enc.NewState()
				var result *stream.Result
				for i := range 2 {
					piece := part(clip, 4*i, 4*i+4)
					tokens, err := enc.Encode(t.Context(), piece, seen)
					require.NoError(t, err)
					result, err = scorer.Score(t.Context(), state, &stream.Segment{Stream: "s", Sequence: int64(i)}, piece, tokens)
					require.NoError(t, err)
				}
				require.NotNil(t, result.Energy)
				require.InDelta(t, mean(next.Energy), *result.Energy, 1e-5)
				require.Greater(t, *result.Energy, 0.1)
			})
		}
	}
}

// Invariant 7: asked together or one by one, the same bits.
func TestQuestionsDoNotDependOnEachOther(t *testing.T) {
	for _, mode := range model.Attentions() {
		t.Run(mode, func(t *testing.T) {
			enc, p := newVJEPA2(t, smallModel(t, mode, true), nntest.OpenDevice(t))
			tokens, err := enc.Encode(t.Context(), textured(12, 24), enc.NewState())
			require.NoError(t, err)
			past := func(from, to int) Past {
				shape := tokens.Shape
				shape.T = to - from
				return Past{Tokens: &stream.Tokens{Shape: shape, Data: tokens.Data[from*tokens.Step() : to*tokens.Step()]}}
			}
			questions := []Question{
				{Past: past(0, 3), Lead: 0, Steps: 1},
				{Past: past(0, 3), Lead: 1, Steps: 2},
				{Past: past(1, 4), Lead: 0, Steps: 3},
				{Past: past(0, 3), Lead: 4, Steps: 1},
				{Past: past(0, 2), Lead: 0, Steps: 1},
			}
			var alone [][]float32
			for i, q := range questions {
				questions[i].Out = make([]float32, q.Steps*tokens.Step())
				out := make([]float32, q.Steps*tokens.Step())
				require.NoError(t, p.Expect(t.Context(), q.Past, q.Lead, q.Steps, out))
				alone = append(alone, out)
			}
			require.NoError(t, p.ExpectEach(t.Context(), questions))
			for i, q := range questions {
				require.Equal(t, alone[i], q.Out, "question %d", i)
			}
			require.NotEqual(t, alone[0], alone[3])
		})
	}
}

func TestWithoutFullAttentionTheTargetIsTheNormalisedTokens(t *testing.T) {
	_, p := newVJEPA2(t, smallModel(t, model.Tubelet, true), nntest.OpenDevice(t))
	tokens := &stream.Tokens{Shape: stream.Shape{T: 3, H: 1, W: 1, D: 44}, Data: make([]float32, 3*44)}
	for i := range tokens.Data {
		tokens.Data[i] = float32(i%44%4) * 0.01 // 0, 0.01, 0.02, 0.03: mean 0.015, variance 0.000125
	}
	out := make([]float32, 2*44)
	require.NoError(t, p.Target(t.Context(), tokens, 1, out))
	for i, got := range out {
		require.InDelta(t, (float64(i%44%4)*0.01-0.015)/math.Sqrt(0.000125+1e-5), got, 1e-5)
	}
}

func TestAQuestionThatDoesNotFitTheModelIsRefused(t *testing.T) {
	_, p := newVJEPA2(t, smallModel(t, model.Tubelet, true), nntest.OpenDevice(t))
	good := &stream.Tokens{Shape: stream.Shape{T: 1, H: 3, W: 3, D: 44}, Data: make([]float32, 9*44)}
	narrow := &stream.Tokens{Shape: stream.Shape{T: 1, H: 3, W: 3, D: 40}, Data: make([]float32, 9*40)}
	tests := []struct {
		name   string
		tokens *stream.Tokens
		steps  int
		out    int
	}{
		{"tokens of another width", narrow, 1, 9 * 40},
		{"no steps", good, 0, 0},
		{"too little room", good, 2, 9 * 44},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := p.Expect(t.Context(), Past{Tokens: test.tokens}, 0, test.steps, make([]float32, test.out))
			var failure *stream.Failure
			require.ErrorAs(t, err, &failure)
			require.Equal(t, stream.Code("predict.shape"), failure.Code)
		})
	}
	_, err := p.NextSegment(t.Context(), encoder.Video{B: 1, T: 8, C: 3, H: 24, W: 24, Data: make([]float32, 8*3*24*24)}, 3)
	require.ErrorContains(t, err, "a context of 3 frames of 8: it must be whole tubelets of 2 frames")
	_, err = p.NextSegment(t.Context(), encoder.Video{B: 1, T: 8, C: 3, H: 24, W: 24, Data: make([]float32, 8*3*24*24)}, 8)
	require.ErrorContains(t, err, "leave at least one")
}

func TestAModelWithoutAPredictorIsRefused(t *testing.T) {
	m := smallModel(t, model.Full, false)
	enc, err := encoder.NewVJEPA2(m, nntest.OpenDevice(t))
	require.NoError(t, err)
	_, err = NewVJEPA2(m, enc)
	require.ErrorContains(t, err, "the model has none, only an encoder")
	require.NoError(t, enc.Close())
}
