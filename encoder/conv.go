package encoder

import (
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
)

// convEps is the ε of the last LayerNorm, PyTorch's default.
const convEps = 1e-5

// ConvEncoder is the encoder of the family model.FamilyRecurrent: three convolutions of stride 2, a residual one, and a map of every
// place to D channels, with GELU (Hendrycks & Gimpel 2016) after each convolution; then a LayerNorm (Ba et al. 2016) without parameters
// over the channels of every place. It sees every frame alone. model.Recurrent.Tensors lists its parameters, without "encoder.".
type ConvEncoder struct {
	Conv1, Conv2, Conv3, Residual, Project *nn.Conv2d

	config model.Recurrent
	levels [3][256]float32 // what a byte of each channel becomes
}

// NewConvEncoder makes the encoder that config describes, with the parameters of ps: drawn at random, or read where ps has a source.
func NewConvEncoder(ps *nn.Parameters, config model.Config) *ConvEncoder {
	r := config.Ensue.Recurrent
	c := &ConvEncoder{
		Conv1:    nn.NewConv2d(ps, "conv1", 3, r.Widths[0], 4, 2, 1),
		Conv2:    nn.NewConv2d(ps, "conv2", r.Widths[0], r.Widths[1], 3, 2, 1),
		Conv3:    nn.NewConv2d(ps, "conv3", r.Widths[1], r.Widths[2], 3, 2, 1),
		Residual: nn.NewConv2d(ps, "residual", r.Widths[2], r.Widths[2], 3, 1, 1),
		Project:  nn.NewConv2d(ps, "project", r.Widths[2], r.Dim, 1, 1, 0),
		config:   r,
	}
	for channel := range c.levels {
		for level := range c.levels[channel] {
			value := (float64(level)/255 - config.Ensue.Mean[channel]) / config.Ensue.Std[channel]
			c.levels[channel][level] = float32(value)
		}
	}
	return c
}

// Normalize turns pixels, uint8 `[..., 3]`, into what Forward wants: (x/255 - mean) / std of their channel.
func (c *ConvEncoder) Normalize(pixels []byte, out []float32) {
	out = out[:len(pixels)]
	for i := 0; i+2 < len(pixels); i += 3 {
		out[i] = c.levels[0][pixels[i]]
		out[i+1] = c.levels[1][pixels[i+1]]
		out[i+2] = c.levels[2][pixels[i+2]]
	}
}

// Forward encodes frames, pixels `[N, S, S, 3]` as Normalize makes them, to tokens `[N, H', W', D]`.
func (c *ConvEncoder) Forward(t *nn.Tape, pixels *nn.Value) *nn.Value {
	x := c.Conv1.ForwardGELU(t, pixels)
	for _, conv := range []*nn.Conv2d{c.Conv2, c.Conv3} {
		y := conv.ForwardGELU(t, x)
		t.Release(x)
		x = y
	}
	change := c.Residual.ForwardGELU(t, x)
	sum := t.Add(x, change)
	t.Release(x)
	t.Release(change)
	y := c.Project.Forward(t, sum)
	t.Release(sum)
	tokens := t.LayerNorm(y, nil, nil, convEps)
	t.Release(y)
	return tokens
}

// Matrices are the weights that nn.Device.Pack takes.
func (c *ConvEncoder) Matrices() []*nn.Parameter {
	return []*nn.Parameter{c.Conv1.Weight, c.Conv2.Weight, c.Conv3.Weight, c.Residual.Weight, c.Project.Weight}
}
