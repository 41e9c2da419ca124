package encoder

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/nn/nntest"
)

// vjepaTolerance is the fixtures' own, max-abs.
const vjepaTolerance = 1e-4

// vjepaCases are the known numbers of one of transformers' models with random weights.
type vjepaCases struct {
	*nn.Safetensors
	model  *model.Model
	device *nn.Device
}

func openCases(tb testing.TB, name string) vjepaCases {
	tb.Helper()
	dir := fixture.Shared(tb, "fixtures", name)
	cases, err := nn.OpenSafetensors(dir + "/cases.safetensors")
	require.NoError(tb, err)
	m, err := model.Open(dir)
	require.NoError(tb, err)
	device := nntest.OpenDevice(tb)
	tb.Cleanup(func() {
		require.NoError(tb, cases.Close())
		require.NoError(tb, m.Close())
	})
	return vjepaCases{cases, m, device}
}

func (c vjepaCases) transformer(tb testing.TB) *VisionTransformer {
	tb.Helper()
	config := c.model.Config()
	ps := nn.NewParametersFrom(model.Layers(c.model.Source("encoder."), config))
	v := NewVisionTransformer(ps, config)
	require.NoError(tb, ps.Err())
	return v
}

// read is a tensor of the cases.
func (c vjepaCases) read(tb testing.TB, name string, shape ...int) *tensor.Dense {
	tb.Helper()
	x, err := c.Float32(name, shape...)
	require.NoError(tb, err)
	return x
}

// video is the first frames of a tensor [B, T, C, H, W], as [B, frames, H, W, C].
func (c vjepaCases) video(tb testing.TB, name string, frames int) *tensor.Dense {
	tb.Helper()
	return channelsLast(c.read(tb, name), frames)
}

// channelsLast is the first frames of x [B, T, C, H, W], as [B, frames, H, W, C].
func channelsLast(x *tensor.Dense, frames int) *tensor.Dense {
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

func (c vjepaCases) same(t *testing.T, name string, got *nn.Value) {
	t.Helper()
	distance := apart(t, c.read(t, name).Float32s(), got.Float32s())
	t.Logf("%s: %.2g apart", name, distance)
	require.LessOrEqual(t, distance, vjepaTolerance, name)
}

func TestEveryClipIsEncodedAsTransformersDoes(t *testing.T) {
	tests := []struct {
		name, model, video string
		frames             int
		want               string
	}{
		{"eight frames, two clips", "vjepa2_tiny", "a.pixel_values_videos", 8, "a.last_hidden_state"},
		{"four frames", "vjepa2_tiny", "a.pixel_values_videos", 4, "e4.last_hidden_state"},
		{"one frame is repeated", "vjepa2_tiny", "a.pixel_values_videos", 1, "e1.last_hidden_state"},
		{"the fifth frame is dropped", "vjepa2_tiny", "a.pixel_values_videos", 5, "e5.last_hidden_state"},
		{"more frames than configured", "vjepa2_tiny", "e10.pixel_values_videos", 10, "e10.last_hidden_state"},
		{"wider than configured", "vjepa2_tiny", "f32x48.pixel_values_videos", 4, "f32x48.last_hidden_state"},
		{"larger than configured", "vjepa2_tiny", "f64x64.pixel_values_videos", 2, "f64x64.last_hidden_state"},
		{"context of the next segment", "vjepa2_tiny", "a.pixel_values_videos", 4, "d.context_tokens"},
		{"sizes that do not divide evenly", "vjepa2_rest", "a.pixel_values_videos", 6, "a.last_hidden_state"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := openCases(t, test.model)
			v := c.transformer(t)
			nntest.OnTape(t, c.device, nn.TapeConfig{}, func(tape *nn.Tape) {
				c.same(t, test.want, v.Forward(tape, tape.Input(c.video(t, test.video, test.frames))))
			})
			nntest.OnTape(t, c.device, nn.TapeConfig{Gradients: true}, func(tape *nn.Tape) {
				c.same(t, test.want, v.Forward(tape, tape.Input(c.video(t, test.video, test.frames))))
			})
		})
	}
}

func TestEveryStepOfALayerIsTransformers(t *testing.T) {
	c := openCases(t, "vjepa2_tiny")
	v := c.transformer(t)
	const tokens, size, heads = 64, 48, 4
	nntest.OnTape(t, c.device, nn.TapeConfig{Gradients: true}, func(tape *nn.Tape) {
		x := v.Embed.Forward(tape, tape.Input(c.video(t, "a.pixel_values_videos", 8)))
		c.same(t, "g.embeddings", x)
		x = tape.Rows(tape.Reshape(x, 2, tokens, size), 0, 1)
		c.same(t, "a.item0.hidden.0", x)
		b := v.Blocks[0]
		h := b.Norm1.Forward(tape, x)
		c.same(t, "a.layer0.norm1", h)
		qkv := b.Attention.QKV.Forward(tape, h)
		for i, part := range []string{"query", "key", "value"} {
			one := tape.Columns(qkv, i*size, (i+1)*size)
			c.sameHeads(t, "a.layer0."+part, one, heads)
			if part != "value" {
				c.sameHeads(t, "a.layer0."+part+"_rope", tape.Rotate(one, v.table(tokens)), heads)
			}
		}
		c.same(t, "a.layer0.attention_heads", tape.Attend(qkv, nn.AttentionConfig{Heads: heads, Rotary: v.table(tokens)}))
		a := b.Attention.Forward(tape, h, nn.Place{Rotary: v.table(tokens)})
		c.same(t, "a.layer0.attention", a)
		x = tape.Add(x, a)
		c.same(t, "a.layer0.after_attention", x)
		h = b.Norm2.Forward(tape, x)
		c.same(t, "a.layer0.norm2", h)
		h = b.MLP.In.Forward(tape, h)
		c.same(t, "a.layer0.fc1", h)
		h = tape.GELU(h)
		c.same(t, "a.layer0.gelu", h)
		h = b.MLP.Out.Forward(tape, h)
		c.same(t, "a.layer0.fc2", h)
		x = tape.Add(x, h)
		c.same(t, "a.item0.hidden.1", x)
		for i, b := range v.Blocks[1:] {
			x = b.Forward(tape, x, nn.Place{Rotary: v.table(tokens)})
			c.same(t, []string{"a.item0.hidden.2", "a.item0.hidden.3"}[i], x)
		}
	})
}

// sameHeads compares x [1, N, D] with a tensor [heads, N, D/heads].
func (c vjepaCases) sameHeads(t *testing.T, name string, x *nn.Value, heads int) {
	t.Helper()
	tokens, size := x.Shape()[1], x.Shape()[2]
	from, width := x.Float32s(), size/heads
	to := make([]float32, 0, len(from))
	for head := range heads {
		for token := range tokens {
			to = append(to, from[token*size+head*width:][:width]...)
		}
	}
	require.LessOrEqual(t, apart(t, c.read(t, name).Float32s(), to), vjepaTolerance, name)
}

func TestPositionsAreTransformers(t *testing.T) {
	c := openCases(t, "vjepa2_tiny")
	config := model.Config{CropSize: 256, PatchSize: 16}
	for _, d := range []int{12, 22, 32, 64} {
		name := map[int]string{12: "g.rope.h12", 22: "g.rope.h22", 32: "g.rope.h32", 64: "g.rope.h64"}[d]
		numbers, err := c.Float64(name + ".ids")
		require.NoError(t, err)
		ids := []int{}
		for _, id := range numbers.Float64s() {
			ids = append(ids, int(id))
		}
		q := c.read(t, name+".q", 1, 2, len(ids), d)
		require.NoError(t, q.Reshape(2, len(ids), d)) // two heads, here as two items of one head
		nntest.OnTape(t, c.device, nn.TapeConfig{}, func(tape *nn.Tape) {
			c.same(t, name+".out", tape.Rotate(tape.Input(q), Rotary(config, d, ids)))
		})
	}
	line := nn.NewRotary(nn.RotaryConfig{Widths: []int{4}, Base: ropeBase, Tiled: true}, 4, []float64{3})
	nntest.OnTape(t, c.device, nn.TapeConfig{}, func(tape *nn.Tape) {
		c.same(t, "g.rope.line.out", tape.Rotate(tape.Input(c.read(t, "g.rope.line.x")), line))
	})
	for _, clip := range []string{"f32x48", "f64x64"} {
		want, err := c.Float64(clip + ".positions_used")
		require.NoError(t, err)
		require.Equal(t, want.Float64s(), positions(c.model.Config(), upTo(want.Shape()[0])))
	}
}

// A model with random weights learns: every parameter gets a gradient, in every attention mode.
func TestEveryParameterGetsAGradient(t *testing.T) {
	device := nntest.OpenDevice(t)
	for _, mode := range []string{model.Full, model.BlockCausal, model.Tubelet} {
		t.Run(mode, func(t *testing.T) {
			config := tinyConfig(mode)
			ps := nn.NewParameters(1)
			v := NewVisionTransformer(ps, config)
			nntest.OnTape(t, device, nn.TapeConfig{Gradients: true}, func(tape *nn.Tape) {
				pixels := tape.Floats(noise(2*8*24*24*3, 1), 2, 8, 24, 24, 3)
				y := v.Forward(tape, pixels)
				require.Equal(t, tensor.Shape{2 * 4 * 3 * 3, 44}, y.Shape())
				tape.Backward(tape.Mean(tape.Square(tape.Affine(y, 1, 0.5))))
			})
			for _, p := range ps.All() {
				require.NotNil(t, p.Grad(), p.Name)
			}
		})
	}
}

// noise is n numbers of about normal size.
func noise(n int, seed uint64) []float32 {
	state := seed*2654435769 + 1
	values := make([]float32, n)
	for i := range values {
		state = state*6364136223846793005 + 1442695040888963407
		values[i] = float32(int64(state)>>40) / (1 << 22)
	}
	return values
}
