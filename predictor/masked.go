package predictor

import (
	"fmt"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
)

// maskToken is the mask token that transformers uses, of pred_num_mask_tokens: the number counts round.
const maskToken = 1

// MaskedTransformer is the predictor of V-JEPA 2 (Assran et al. 2025): it maps the tokens it is shown to a narrower width, adds a
// mask token for every place it is asked about, lets all attend to each other and maps the mask tokens back. Parameters have
// transformers' names after "predictor."; those of nn's layers that differ are told by model.Layers.
type MaskedTransformer struct {
	Embed      *nn.Linear
	MaskTokens *nn.Parameter // [M, 1, 1, width]
	Blocks     []*nn.Block
	Norm       *nn.LayerNorm
	Out        *nn.Linear

	config model.Config
}

// NewMaskedTransformer makes the predictor that config describes, with the parameters of ps: drawn at random as transformers does,
// or read where ps has a source (see model.Layers).
func NewMaskedTransformer(ps *nn.Parameters, config model.Config) *MaskedTransformer {
	width := config.PredHiddenSize
	m := &MaskedTransformer{
		config: config, Embed: nn.NewLinear(ps, "embeddings.predictor_embeddings", config.HiddenSize, width, true),
		MaskTokens: ps.New("embeddings.mask_tokens", nn.Zeros, config.PredNumMaskTokens, 1, 1, width),
	}
	for i := range config.PredNumHiddenLayers {
		m.Blocks = append(m.Blocks, nn.NewBlock(ps, fmt.Sprintf("layer.%d", i), nn.BlockConfig{
			Size: width, Heads: config.PredNumAttentionHeads, Hidden: config.PredMLPSize(),
			Eps: config.LayerNormEps, NoBias: !config.QKVBias,
		}))
	}
	m.Norm = nn.NewLayerNorm(ps, "layernorm", width, config.LayerNormEps)
	m.Out = nn.NewLinear(ps, "proj", width, config.HiddenSize, true)
	return m
}

// Forward predicts the tokens of the target ids from those of the context ids: tokens [B, N, D] and n targets an item give
// [B, n, D], a row for each target in the order of its ids. The i-th list of ids belongs to the i-th item; one list alone belongs to
// all. Ids may be in any order, repeated, in both lists or in none; context ids are also the rows of tokens, target ids may lie
// beyond them.
func (m *MaskedTransformer) Forward(t *nn.Tape, tokens *nn.Value, context, target [][]int) *nn.Value {
	s := tokens.Shape()
	batch, rows := s[0], s[1]
	shown := make([]int, 0, batch*len(context[0]))
	for item := range batch {
		for _, id := range pick(context, item) {
			shown = append(shown, item*rows+id)
		}
	}
	seen := t.Gather(t.Reshape(tokens, batch*rows, s[2]), shown)
	return m.Predict(t, t.Reshape(seen, batch, len(context[0]), s[2]), len(target[0]), m.Places(context, target))
}

// Places are the tables that Predict takes: of the context ids, then of the target ids, item by item.
func (m *MaskedTransformer) Places(context, target [][]int) *nn.Rotary {
	var ids []int
	for item := range max(len(context), len(target)) {
		ids = append(append(ids, pick(context, item)...), pick(target, item)...)
	}
	return encoder.Rotary(m.config, m.config.PredHiddenSize/m.config.PredNumAttentionHeads, ids)
}

func pick(lists [][]int, item int) []int {
	if len(lists) == 1 {
		return lists[0]
	}
	return lists[item]
}

// Predict predicts n tokens an item from context tokens [B, m, D]: [B, n, D]. places are the tables of the context's and the
// targets' places, of all items alike [m+n] or item by item [B*(m+n)].
func (m *MaskedTransformer) Predict(t *nn.Tape, context *nn.Value, n int, places *nn.Rotary) *nn.Value {
	x := m.join(t, context, n)
	for _, b := range m.Blocks {
		y := b.Forward(t, x, nn.Place{Rotary: places})
		t.Release(x)
		x = y
	}
	// The rest is wanted of the mask tokens only.
	last := m.targets(t, x, n)
	t.Release(x)
	normed := m.Norm.Forward(t, last)
	t.Release(last)
	wide := m.Out.Forward(t, normed)
	t.Release(normed)
	y := t.Reshape(wide, context.Shape()[0], n, m.config.HiddenSize)
	t.Release(wide)
	return y
}

// join puts n mask tokens behind the narrowed context of each item: [B, m+n, width].
func (m *MaskedTransformer) join(t *nn.Tape, context *nn.Value, n int) *nn.Value {
	batch, seen, width := context.Shape()[0], context.Shape()[1], m.config.PredHiddenSize
	ids := make([]int, n)
	for i := range ids {
		ids[i] = maskToken % m.config.PredNumMaskTokens
	}
	table := t.Reshape(t.Param(m.MaskTokens), m.config.PredNumMaskTokens, width)
	masks := t.Gather(table, ids)
	narrow := m.Embed.Forward(t, context)
	rows := t.Reshape(narrow, batch*seen, width)
	parts := make([]*nn.Value, 0, 2*batch)
	for item := range batch {
		parts = append(parts, t.Rows(rows, item*seen, (item+1)*seen), masks)
	}
	joined := t.ConcatRows(parts...)
	for item := range batch {
		t.Release(parts[2*item])
	}
	t.Release(masks)
	t.Release(rows)
	t.Release(narrow)
	x := t.Reshape(joined, batch, seen+n, width)
	t.Release(joined)
	return x
}

// targets are the last n tokens of each item: [B*n, width].
func (m *MaskedTransformer) targets(t *nn.Tape, x *nn.Value, n int) *nn.Value {
	s := x.Shape()
	batch, all, width := s[0], s[1], s[2]
	rows := t.Reshape(x, batch*all, width)
	parts := make([]*nn.Value, 0, batch)
	for item := range batch {
		parts = append(parts, t.Rows(rows, (item+1)*all-n, (item+1)*all))
	}
	y := t.ConcatRows(parts...)
	for _, part := range parts {
		t.Release(part)
	}
	t.Release(rows)
	return y
}

// Matrices are the weights that nn.Device.Pack takes.
func (m *MaskedTransformer) Matrices() []*nn.Parameter {
	all := m.Embed.Matrices()
	for _, b := range m.Blocks {
		all = append(all, b.Matrices()...)
	}
	return append(all, m.Out.Matrices()...)
}
