package encoder

import (
	"fmt"
	"sync"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
)

const (
	// ropeBase is the base of V-JEPA 2's frequencies.
	ropeBase = 10000
	// initializerRange is the deviation that weights are drawn with, transformers' initializer_range (as in nn.NewLinear).
	initializerRange = 0.02
)

// VisionTransformer is the encoder of V-JEPA 2 (Assran et al. 2025): tubelets, pre-norm blocks with a 3-D rotary position
// embedding, a last LayerNorm. Parameters have transformers' names after "encoder."; those of nn's layers that differ are told by
// model.Layers.
type VisionTransformer struct {
	Embed  *nn.PatchEmbed
	Blocks []*nn.Block
	Norm   *nn.LayerNorm

	config model.Config
	tables tableCache
}

// NewVisionTransformer makes the encoder that config describes, with the parameters of ps: drawn at random as transformers does, or
// read where ps has a source (see model.Layers).
func NewVisionTransformer(ps *nn.Parameters, config model.Config) *VisionTransformer {
	v, _ := newVisionTransformer(ps, config, func([]*nn.Parameter) error { return nil })
	return v
}

// newVisionTransformer calls made with the matrices of each layer as soon as the layer is there, and ends at its first error.
func newVisionTransformer(ps *nn.Parameters, config model.Config, made func([]*nn.Parameter) error) (*VisionTransformer, error) {
	v := &VisionTransformer{config: config, Embed: NewTubeletEmbed(ps, config)}
	if err := made(v.Embed.Matrices()); err != nil {
		return nil, err
	}
	for i := range config.NumHiddenLayers {
		block := nn.NewBlock(ps, fmt.Sprintf("layer.%d", i), nn.BlockConfig{
			Size: config.HiddenSize, Heads: config.NumAttentionHeads, Hidden: config.MLPSize(),
			Eps: config.LayerNormEps, NoBias: !config.QKVBias,
		})
		if err := made(block.Matrices()); err != nil {
			return nil, err
		}
		v.Blocks = append(v.Blocks, block)
	}
	v.Norm = nn.NewLayerNorm(ps, "layernorm", config.HiddenSize, config.LayerNormEps)
	return v, nil
}

// NewTubeletEmbed makes the first layer of a VisionTransformer alone.
func NewTubeletEmbed(ps *nn.Parameters, config model.Config) *nn.PatchEmbed {
	const name = "embeddings.patch_embeddings.proj"
	pixels := config.TubeletSize * config.PatchSize * config.PatchSize * config.InChans
	return &nn.PatchEmbed{
		Weight:  ps.New(name+".weight", nn.TruncatedNormal(initializerRange), config.HiddenSize, pixels),
		Bias:    ps.New(name+".bias", nn.Zeros, config.HiddenSize),
		Tubelet: config.TubeletSize, Patch: config.PatchSize,
	}
}

// Forward encodes clips, pixels [B, T, H, W, C], to tokens [B*T'*H'*W', D]: tubelet by tubelet, row by row. As in transformers,
// frames, rows and columns that fill no whole tubelet are left out, and a clip shorter than a tubelet is repeated. Who sees whom is
// the config's Ensue.Attention.
func (v *VisionTransformer) Forward(t *nn.Tape, pixels *nn.Value) *nn.Value {
	x := v.Embed.Forward(t, v.atLeastATubelet(t, pixels))
	s := x.Shape()
	y := t.Reshape(x, s[0], s[1]*s[2]*s[3], s[4])
	t.Release(x)
	return v.Encode(t, y, s[2]*s[3])
}

// atLeastATubelet repeats a clip of fewer frames than a tubelet has (the whole clip, as transformers does).
func (v *VisionTransformer) atLeastATubelet(t *nn.Tape, pixels *nn.Value) *nn.Value {
	s := pixels.Shape()
	if s[1] >= v.config.TubeletSize {
		return pixels
	}
	var frames []int
	for item := range s[0] {
		for range v.config.TubeletSize {
			for frame := range s[1] {
				frames = append(frames, item*s[1]+frame)
			}
		}
	}
	frame := t.Reshape(pixels, s[0]*s[1], s[2], s[3], s[4])
	return t.Reshape(t.Gather(frame, frames), s[0], s[1]*v.config.TubeletSize, s[2], s[3], s[4])
}

// Encode runs the blocks and the last LayerNorm on tubelet embeddings x [B, N, D], perFrame of them a tubelet: [B*N, D]. Without
// gradients x is used up.
func (v *VisionTransformer) Encode(t *nn.Tape, x *nn.Value, perFrame int) *nn.Value {
	s := x.Shape()
	batch, tokens, size := s[0], s[1], s[2]
	place := nn.Place{}
	switch v.config.Ensue.Attention {
	case model.Tubelet:
		frames := t.Reshape(x, batch*tokens/perFrame, perFrame, size)
		t.Release(x)
		x, place.Rotary = frames, v.table(perFrame)
	case model.BlockCausal:
		if window := Window(v.config); tokens > window*perFrame {
			return v.encodeInWindows(t, x, perFrame, window)
		}
		place = nn.Place{Mask: nn.Mask{Block: perFrame}, Rotary: v.table(tokens)}
	default:
		place.Rotary = v.table(tokens)
	}
	for _, b := range v.Blocks {
		y := b.Forward(t, x, place)
		t.Release(x)
		x = y
	}
	return v.last(t, x)
}

// last is the last LayerNorm of x [B, N, D]: [B*N, D].
func (v *VisionTransformer) last(t *nn.Tape, x *nn.Value) *nn.Value {
	s := x.Shape()
	y := v.Norm.Forward(t, x)
	t.Release(x)
	z := t.Reshape(y, s[0]*s[1], s[2])
	t.Release(y)
	return z
}

// Window is how many tubelets a token of a BlockCausal encoder sees, its own included.
func Window(config model.Config) int {
	frames := config.Ensue.ContextFrames
	if frames <= 0 {
		frames = config.FramesPerClip
	}
	return max(1, frames/config.TubeletSize)
}

// warmup is how many earlier tubelets a token depends on, at most: in every layer it sees a window of tokens that have each seen a window
// in the layer before.
func warmup(config model.Config) int {
	if config.Ensue.Attention != model.BlockCausal {
		return 0
	}
	return config.NumHiddenLayers * (Window(config) - 1)
}

// encodeInWindows is Encode for block-causal clips longer than the window. A token's place is counted from the beginning of the window
// that it is seen in, as in a stream (nn.Recent): V-JEPA 2's embedding is no rotation, so where the window lies would matter.
func (v *VisionTransformer) encodeInWindows(t *nn.Tape, x *nn.Value, perFrame, window int) *nn.Value {
	s := x.Shape()
	batch, tokens, size := s[0], s[1], s[2]
	for _, b := range v.Blocks {
		qkv := t.Reshape(b.Attention.QKV.Forward(t, b.Norm1.Forward(t, x)), batch*tokens, 3*size)
		var frames []*nn.Value
		for item := range batch {
			for last := perFrame; last <= tokens; last += perFrame {
				first := max(0, last-window*perFrame)
				seen := t.Rows(qkv, item*tokens+first, item*tokens+last)
				frames = append(frames, v.attendLast(t, b.Attention.Heads, seen, perFrame))
			}
		}
		o := t.Reshape(t.ConcatRows(frames...), batch, tokens, size)
		x = t.Add(x, b.Attention.Out.Forward(t, o))
		x = t.Add(x, b.MLP.Forward(t, b.Norm2.Forward(t, x)))
	}
	return v.last(t, x)
}

// attendLast lets the last n tokens of qkv [N, 3D] attend to all of them: [n, D].
func (v *VisionTransformer) attendLast(t *nn.Tape, heads int, qkv *nn.Value, n int) *nn.Value {
	all, size := qkv.Shape()[0], qkv.Shape()[1]/3
	part := func(from, i int) *nn.Value {
		return t.Reshape(t.Columns(t.Rows(qkv, from, all), i*size, (i+1)*size), 1, all-from, size)
	}
	places := v.table(all)
	o := t.AttendWith(part(all-n, 0), part(0, 1), part(0, 2), nn.AttentionConfig{
		Heads: heads, Rotary: places.Slice(all-n, all), RotaryKeys: places,
	})
	return t.Reshape(o, n, size)
}

// Matrices are the weights that nn.Device.Pack takes.
func (v *VisionTransformer) Matrices() []*nn.Parameter {
	all := v.Embed.Matrices()
	for _, b := range v.Blocks {
		all = append(all, b.Matrices()...)
	}
	return all
}

// table are the rotary tables of the tokens 0 … n-1.
func (v *VisionTransformer) table(n int) *nn.Rotary {
	return v.tables.get(n, func() *nn.Rotary {
		return Rotary(v.config, v.config.HiddenSize/v.config.NumAttentionHeads, upTo(n))
	})
}

// upTo is 0 … n-1.
func upTo(n int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	return ids
}

// Rotary are the tables of V-JEPA 2's position embedding for tokens of the given ids and heads of d features: each of frame, row and
// column turns 2*((d/3)/2) of them, with transformers' tiling (nn.RotaryConfig.Tiled).
func Rotary(config model.Config, d int, ids []int) *nn.Rotary {
	width := 2 * (d / 3 / 2)
	return nn.NewRotary(nn.RotaryConfig{
		Widths: []int{width, width, width}, Base: ropeBase, Pairing: nn.Neighbours, Tiled: true,
	}, d, positions(config, ids))
}

// positions are frame, row and column of each id. They come from the grid that the config names (CropSize / PatchSize), whatever the
// true size of the clip: transformers does so, and weights are trained with it.
func positions(config model.Config, ids []int) []float64 {
	grid := config.CropSize / config.PatchSize
	places := make([]float64, 0, 3*len(ids))
	for _, id := range ids {
		in := id % (grid * grid)
		places = append(places, float64(id/(grid*grid)), float64(in/grid), float64(in%grid))
	}
	return places
}

// tableCache keeps rotary tables by their number of tokens.
type tableCache struct {
	mu     sync.Mutex
	tables map[int]*nn.Rotary
}

// tableLimit is how many tables are kept: clips have few lengths.
const tableLimit = 16

func (c *tableCache) get(n int, make func() *nn.Rotary) *nn.Rotary {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.tables[n]
	if !ok {
		if c.tables == nil || len(c.tables) >= tableLimit {
			c.tables = map[int]*nn.Rotary{}
		}
		r = make()
		c.tables[n] = r
	}
	return r
}
