package predictor

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/nn/nntest"
)

// vjepaTolerance is the fixtures' own, max-abs.
const vjepaTolerance = 1e-4

// vjepaCases are the known numbers of one of transformers' models with random weights, and the model.
type vjepaCases struct {
	*nn.Safetensors
	device *nn.Device
	model  *model.Model
	seeing *encoder.VisionTransformer
	saying *MaskedTransformer
}

func openCases(tb testing.TB, name string) vjepaCases {
	tb.Helper()
	dir := fixture.Shared(tb, "fixtures", name)
	cases, err := nn.OpenSafetensors(filepath.Join(dir, "cases.safetensors"))
	require.NoError(tb, err)
	m, err := model.Open(dir)
	require.NoError(tb, err)
	c := vjepaCases{Safetensors: cases, device: nntest.OpenDevice(tb), model: m}
	tb.Cleanup(func() {
		require.NoError(tb, cases.Close())
		require.NoError(tb, m.Close())
	})
	config := m.Config()
	ps := nn.NewParametersFrom(model.Layers(m.Source("encoder."), config))
	c.seeing = encoder.NewVisionTransformer(ps, config)
	require.NoError(tb, ps.Err())
	ps = nn.NewParametersFrom(model.Layers(m.Source("predictor."), config))
	c.saying = NewMaskedTransformer(ps, config)
	require.NoError(tb, ps.Err())
	return c
}

func (c vjepaCases) read(tb testing.TB, name string) *tensor.Dense {
	tb.Helper()
	x, err := c.Float32(name)
	require.NoError(tb, err)
	return x
}

// ids are a tensor [B, n] of token ids.
func (c vjepaCases) ids(tb testing.TB, name string) [][]int {
	tb.Helper()
	x, err := c.Float64(name)
	require.NoError(tb, err)
	n := x.Shape()[x.Dims()-1]
	var lists [][]int
	for i, id := range x.Float64s() {
		if i%n == 0 {
			lists = append(lists, nil)
		}
		lists[i/n] = append(lists[i/n], int(id))
	}
	return lists
}

// frames are the first frames of a video [B, T, C, H, W], as [B, frames, H, W, C].
func (c vjepaCases) frames(tb testing.TB, name string, frames int) *tensor.Dense {
	tb.Helper()
	x := c.read(tb, name)
	s := x.Shape()
	batch, all, channels, places := s[0], s[1], s[2], s[3]*s[4]
	from, to := x.Float32s(), make([]float32, 0, batch*frames*channels*places)
	for item := range batch {
		for frame := range frames {
			at := from[(item*all+frame)*channels*places:]
			for place := range places {
				for channel := range channels {
					to = append(to, at[channel*places+place])
				}
			}
		}
	}
	return tensor.New(tensor.WithShape(batch, frames, s[3], s[4], channels), tensor.WithBacking(to))
}

// encode encodes the first frames of a video: [B, N, D].
func (c vjepaCases) encode(tb testing.TB, tape *nn.Tape, video string, frames int) *nn.Value {
	tb.Helper()
	pixels := c.frames(tb, video, frames)
	batch, size := pixels.Shape()[0], c.model.Config().HiddenSize
	x := c.seeing.Forward(tape, tape.Input(pixels))
	return tape.Reshape(x, batch, x.Shape()[0]/batch, size)
}

func (c vjepaCases) same(t *testing.T, name string, got *nn.Value) {
	t.Helper()
	distance := apart(t, c.read(t, name).Float32s(), got.Float32s())
	t.Logf("%s: %.2g apart", name, distance)
	require.LessOrEqual(t, distance, vjepaTolerance, name)
}

// apart is the largest distance of two lists of numbers.
func apart(tb testing.TB, want, got []float32) float64 {
	tb.Helper()
	require.Len(tb, got, len(want))
	most := 0.0
	for i, w := range want {
		distance := math.Abs(float64(w) - float64(got[i]))
		if math.IsNaN(distance) {
			return math.NaN()
		}
		most = max(most, distance)
	}
	return most
}

// between is from … to-1.
func between(from, to int) []int {
	ids := []int{}
	for id := from; id < to; id++ {
		ids = append(ids, id)
	}
	return ids
}

// bothKinds runs f on tapes with gradients and without: they compute differently.
func bothKinds(t *testing.T, device *nn.Device, f func(t *testing.T, tape *nn.Tape)) {
	t.Helper()
	for name, gradients := range map[string]bool{"learning": true, "not learning": false} {
		t.Run(name, func(t *testing.T) {
			nntest.OnTape(t, device, nn.TapeConfig{Gradients: gradients}, func(tape *nn.Tape) { f(t, tape) })
		})
	}
}

func TestEveryTokenIsPredictedFromAllAsTransformersDoes(t *testing.T) {
	tests := []struct {
		model, video string
		frames       int
		want         string
	}{
		{"vjepa2_tiny", "a.pixel_values_videos", 8, "b.predictor_last_hidden_state"},
		{"vjepa2_tiny", "a.pixel_values_videos", 4, "e4.predictor_last_hidden_state"},
		{"vjepa2_tiny", "a.pixel_values_videos", 1, "e1.predictor_last_hidden_state"},
		{"vjepa2_tiny", "a.pixel_values_videos", 5, "e5.predictor_last_hidden_state"},
		{"vjepa2_tiny", "e10.pixel_values_videos", 10, "e10.predictor_last_hidden_state"},
		{"vjepa2_tiny", "f32x48.pixel_values_videos", 4, "f32x48.predictor_last_hidden_state"},
		{"vjepa2_tiny", "f64x64.pixel_values_videos", 2, "f64x64.predictor_last_hidden_state"},
		{"vjepa2_rest", "a.pixel_values_videos", 6, "a.predictor_last_hidden_state"},
	}
	for _, test := range tests {
		t.Run(test.model+" "+test.want, func(t *testing.T) {
			c := openCases(t, test.model)
			bothKinds(t, c.device, func(t *testing.T, tape *nn.Tape) {
				tokens := c.encode(t, tape, test.video, test.frames)
				all := [][]int{between(0, tokens.Shape()[1])}
				c.same(t, test.want, c.saying.Forward(tape, tokens, all, all))
			})
		})
	}
}

func TestPartialMasksAreTransformers(t *testing.T) {
	c := openCases(t, "vjepa2_tiny")
	for _, name := range []string{"c", "c2"} {
		t.Run(name, func(t *testing.T) {
			context, target := c.ids(t, name+".context_ids"), c.ids(t, name+".target_ids")
			bothKinds(t, c.device, func(t *testing.T, tape *nn.Tape) {
				tokens := c.encode(t, tape, "a.pixel_values_videos", 8)
				c.same(t, name+".predictor_last_hidden_state", c.saying.Forward(tape, tokens, context, target))
			})
		})
	}
}

func TestEveryStepOfThePredictorIsTransformers(t *testing.T) {
	c := openCases(t, "vjepa2_tiny")
	context, target := c.ids(t, "c.context_ids")[:1], c.ids(t, "c.target_ids")[:1]
	// transformers sorts tokens by their ids before its layers.
	row := map[int]int{}
	for i, id := range append(append([]int{}, context[0]...), target[0]...) {
		row[id] = i
	}
	var order []int
	for _, id := range c.ids(t, "c.item0.sorted_ids")[0] {
		order = append(order, row[id])
	}
	nntest.OnTape(t, c.device, nn.TapeConfig{Gradients: true}, func(tape *nn.Tape) {
		tokens := c.encode(t, tape, "a.pixel_values_videos", 8)
		shown := tape.Gather(tape.Reshape(tokens, 128, 48), context[0])
		x := c.saying.join(tape, tape.Reshape(shown, 1, 24, 48), 40)
		c.same(t, "c.item0.embeddings", x)
		for i, b := range c.saying.Blocks {
			x = b.Forward(tape, x, nn.Place{Rotary: c.saying.Places(context, target)})
			c.same(t, []string{"c.item0.hidden.1", "c.item0.hidden.2"}[i], tape.Gather(tape.Reshape(x, 64, 24), order))
		}
		c.same(t, "c.item0.layernorm", tape.Gather(tape.Reshape(c.saying.Norm.Forward(tape, x), 64, 24), order))
	})
}

func TestTheNextSegmentIsPredictedFromItsContextAlone(t *testing.T) {
	tests := []struct {
		model                 string
		context, frames, grid int
	}{
		{"vjepa2_tiny", 4, 8, 16},
		{"vjepa2_rest", 2, 6, 9},
	}
	for _, test := range tests {
		t.Run(test.model, func(t *testing.T) {
			c := openCases(t, test.model)
			from, to := test.context/2*test.grid, test.frames/2*test.grid
			bothKinds(t, c.device, func(t *testing.T, tape *nn.Tape) {
				seen := c.encode(t, tape, "a.pixel_values_videos", test.context)
				predicted := c.saying.Forward(tape, seen, [][]int{between(0, from)}, [][]int{between(from, to)})
				c.same(t, "d.predicted", predicted)
				if test.model == "vjepa2_tiny" {
					leaky := c.read(t, "d.leaky_predicted").Float32s()
					require.Greater(t, apart(t, leaky, predicted.Float32s()), 0.5, "the context has seen the future")
				}
			})
		})
	}
}

// In training, every parameter gets a gradient except the mask tokens that are never used.
func TestEveryParameterOfThePredictorGetsAGradient(t *testing.T) {
	config := model.Default()
	config.CropSize, config.PatchSize, config.HiddenSize = 32, 16, 24
	config.PredHiddenSize, config.PredNumAttentionHeads, config.PredNumHiddenLayers = 24, 2, 2
	ps := nn.NewParameters(1)
	m := NewMaskedTransformer(ps, config)
	nntest.OnTape(t, nntest.OpenDevice(t), nn.TapeConfig{Gradients: true}, func(tape *nn.Tape) {
		tokens := make([]float32, 2*16*24)
		for i := range tokens {
			tokens[i] = float32(math.Sin(float64(i)))
		}
		context, target := [][]int{{0, 3, 5}, {1, 2, 9}}, [][]int{{7, 1}, {15, 15}}
		y := m.Forward(tape, tape.Floats(tokens, 2, 16, 24), context, target)
		require.Equal(t, tensor.Shape{2, 2, 24}, y.Shape())
		tape.Backward(tape.Mean(tape.Square(tape.Affine(y, 1, 0.5))))
	})
	for _, p := range ps.All() {
		require.NotNil(t, p.Grad(), p.Name)
	}
	require.NotZero(t, ps.Get("embeddings.mask_tokens").Grad().Float32s()[24])
}
