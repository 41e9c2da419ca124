package nn

// MLP is two linear maps with a GELU between them.
type MLP struct {
	In, Out *Linear
}

// NewMLP makes an MLP of size -> hidden -> size, with parameters name.fc1 and name.fc2.
func NewMLP(ps *Parameters, name string, size, hidden int) *MLP {
	return &MLP{In: NewLinear(ps, name+".fc1", size, hidden, true), Out: NewLinear(ps, name+".fc2", hidden, size, true)}
}

// Forward maps the last axis of x.
func (m *MLP) Forward(t *Tape, x *Value) *Value { return m.forward(t, x, fusion{}) }

// forward adds to f.residual where there is one.
func (m *MLP) forward(t *Tape, x *Value, f fusion) *Value {
	if m.whole(t, x) {
		return t.mlp(x, m, f.residual)
	}
	var h *Value
	if t.gradients {
		h = t.GELU(t.Linear(x, m.In.Weight, m.In.Bias))
	} else {
		h = t.linear(x, m.In.Weight, m.In.Bias, fusion{gelu: true, half: true})
	}
	y := t.linear(h, m.Out.Weight, m.Out.Bias, f)
	t.Release(h)
	return y
}

// Matrices are the weights that Device.Pack takes.
func (m *MLP) Matrices() []*Parameter { return []*Parameter{m.In.Weight, m.Out.Weight} }

// Place says where tokens are and what they may see.
type Place struct {
	Mask Mask
	// Rotary holds the tables of the tokens; nil: no positions.
	Rotary *Rotary
	// RotaryKeys holds the tables of the tokens attended to, for cross-attention.
	RotaryKeys *Rotary
}

// SelfAttention attends among tokens: one map to queries, keys and values, attention, one map back.
type SelfAttention struct {
	// QKV is [3D, D]: the rows of the queries, of the keys, of the values.
	QKV, Out *Linear
	Heads    int
}

// NewSelfAttention makes the parameters name.qkv and name.proj.
func NewSelfAttention(ps *Parameters, name string, size, heads int, bias bool) *SelfAttention {
	return &SelfAttention{
		QKV: NewLinear(ps, name+".qkv", size, 3*size, bias), Out: NewLinear(ps, name+".proj", size, size, true), Heads: heads,
	}
}

// Forward maps x [B, N, D] to [B, N, D].
func (a *SelfAttention) Forward(t *Tape, x *Value, p Place) *Value {
	return a.forward(t, x, p, fusion{})
}

func (a *SelfAttention) forward(t *Tape, x *Value, p Place, f fusion) *Value {
	qkv := t.linear(x, a.QKV.Weight, a.QKV.Bias, fusion{half: true})
	o := t.Attend(qkv, AttentionConfig{Heads: a.Heads, Mask: p.Mask, Rotary: p.Rotary})
	t.Release(qkv)
	y := t.linear(o, a.Out.Weight, a.Out.Bias, f)
	t.Release(o)
	return y
}

// Matrices are the weights that Device.Pack takes.
func (a *SelfAttention) Matrices() []*Parameter { return []*Parameter{a.QKV.Weight, a.Out.Weight} }

// CrossAttention lets queries attend to other tokens.
type CrossAttention struct {
	Query *Linear
	// KV is [2D, DK]: the rows of the keys, of the values.
	KV, Out *Linear
	Heads   int
}

// NewCrossAttention makes the parameters name.query, name.kv and name.proj, for queries of width size and other tokens of width context.
func NewCrossAttention(ps *Parameters, name string, size, context, heads int) *CrossAttention {
	return &CrossAttention{
		Query: NewLinear(ps, name+".query", size, size, true), KV: NewLinear(ps, name+".kv", context, 2*size, true),
		Out: NewLinear(ps, name+".proj", size, size, true), Heads: heads,
	}
}

// Forward maps queries x [B, NQ, D] and tokens [B, NK, DK] to [B, NQ, D].
func (a *CrossAttention) Forward(t *Tape, x, tokens *Value, p Place) *Value {
	return a.forward(t, x, tokens, p, fusion{})
}

func (a *CrossAttention) forward(t *Tape, x, tokens *Value, p Place, f fusion) *Value {
	q := t.linear(x, a.Query.Weight, a.Query.Bias, fusion{half: true})
	kv := t.linear(tokens, a.KV.Weight, a.KV.Bias, fusion{half: true})
	o := t.AttendTo(q, kv, AttentionConfig{Heads: a.Heads, Mask: p.Mask, Rotary: p.Rotary, RotaryKeys: p.RotaryKeys})
	t.Release(q)
	t.Release(kv)
	y := t.linear(o, a.Out.Weight, a.Out.Bias, f)
	t.Release(o)
	return y
}

// Matrices are the weights that Device.Pack takes.
func (a *CrossAttention) Matrices() []*Parameter {
	return []*Parameter{a.Query.Weight, a.KV.Weight, a.Out.Weight}
}

// Block is a pre-norm transformer block: x + attention(norm1(x)), then x + mlp(norm2(x)).
type Block struct {
	Norm1     *LayerNorm
	Attention *SelfAttention
	Norm2     *LayerNorm
	MLP       *MLP
}

// BlockConfig are the sizes of a block.
type BlockConfig struct {
	Size, Heads, Hidden int
	// Eps is LayerNorm's; 0: 1e-6.
	Eps float64
	// NoBias leaves out the bias of the queries, keys and values.
	NoBias bool
}

func (c BlockConfig) eps() float64 {
	if c.Eps == 0 {
		return 1e-6
	}
	return c.Eps
}

// NewBlock makes the parameters name.norm1, name.attention, name.norm2 and name.mlp.
func NewBlock(ps *Parameters, name string, c BlockConfig) *Block {
	return &Block{
		Norm1:     NewLayerNorm(ps, name+".norm1", c.Size, c.eps()),
		Attention: NewSelfAttention(ps, name+".attention", c.Size, c.Heads, !c.NoBias),
		Norm2:     NewLayerNorm(ps, name+".norm2", c.Size, c.eps()),
		MLP:       NewMLP(ps, name+".mlp", c.Size, c.Hidden),
	}
}

// Forward maps x [B, N, D] to [B, N, D]. x stays as it is.
func (b *Block) Forward(t *Tape, x *Value, p Place) *Value {
	h := t.layerNorm(x, b.Norm1.Weight, b.Norm1.Bias, b.Norm1.Eps, true)
	x = b.Attention.forward(t, h, p, fusion{residual: x})
	t.Release(h)
	return b.tail(t, x)
}

// tail is the second half of a block. x is used up where no gradient is wanted.
func (b *Block) tail(t *Tape, x *Value) *Value {
	h := t.layerNorm(x, b.Norm2.Weight, b.Norm2.Bias, b.Norm2.Eps, true)
	y := b.MLP.forward(t, h, fusion{residual: x, inPlace: true})
	t.Release(h)
	return y
}

// Matrices are the weights that Device.Pack takes.
func (b *Block) Matrices() []*Parameter { return append(b.Attention.Matrices(), b.MLP.Matrices()...) }

// CrossBlock is a pre-norm block whose tokens attend to others: x + attention(norm1(x), tokens), then x + mlp(norm2(x)).
type CrossBlock struct {
	Norm1     *LayerNorm
	Attention *CrossAttention
	Norm2     *LayerNorm
	MLP       *MLP
}

// NewCrossBlock makes the parameters name.norm1, name.attention, name.norm2 and name.mlp, for tokens of width context.
func NewCrossBlock(ps *Parameters, name string, c BlockConfig, context int) *CrossBlock {
	return &CrossBlock{
		Norm1:     NewLayerNorm(ps, name+".norm1", c.Size, c.eps()),
		Attention: NewCrossAttention(ps, name+".attention", c.Size, context, c.Heads),
		Norm2:     NewLayerNorm(ps, name+".norm2", c.Size, c.eps()),
		MLP:       NewMLP(ps, name+".mlp", c.Size, c.Hidden),
	}
}

// Forward maps queries x [B, NQ, D] and tokens [B, NK, context] to [B, NQ, D].
func (b *CrossBlock) Forward(t *Tape, x, tokens *Value, p Place) *Value {
	h := t.layerNorm(x, b.Norm1.Weight, b.Norm1.Bias, b.Norm1.Eps, true)
	x = b.Attention.forward(t, h, tokens, p, fusion{residual: x})
	t.Release(h)
	h = t.layerNorm(x, b.Norm2.Weight, b.Norm2.Bias, b.Norm2.Eps, true)
	y := b.MLP.forward(t, h, fusion{residual: x, inPlace: true})
	t.Release(h)
	return y
}

// Matrices are the weights that Device.Pack takes.
func (b *CrossBlock) Matrices() []*Parameter {
	return append(b.Attention.Matrices(), b.MLP.Matrices()...)
}
