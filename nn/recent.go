package nn

import (
	"unsafe"

	"gorgonia.org/tensor"
)

// Recent keeps the keys and values of the last frames of a stream for one attention layer, so that a new frame costs one frame's work.
// Other than in a Cache, keys are kept as they were before they were turned: a token's place is counted from the oldest frame that is
// kept, so places stay where the model was trained however long the stream is, and an embedding that is no rotation
// (RotaryConfig.Tiled) means the same at every time. Its memory is the Go heap's: a Recent that is not used again needs no Close.
type Recent struct {
	tokens, width, keep int // tokens a frame; numbers a token; frames that are kept at most
	frames              int // frames seen since Clear
	dtype               tensor.Dtype
	keys, values        []float32 // [keep, tokens, width], frame f at f % keep; bfloat16 uses the first half
}

// NewRecent makes room for the last keep frames of some tokens of a width each.
func NewRecent(tokens, width, keep int) *Recent {
	return &Recent{tokens: tokens, width: width, keep: keep}
}

// Len is how many frames are kept.
func (r *Recent) Len() int { return min(r.frames, r.keep) }

// Clear forgets all frames; the memory stays.
func (r *Recent) Clear() { r.frames = 0 }

// push takes a frame's keys and values in the place of the oldest one.
func (r *Recent) push(keys, values strided) {
	if r.frames > 0 && r.dtype != keys.dtype {
		fail("remembering tokens", "they are %v, those before them %v", keys.dtype, r.dtype)
	}
	r.dtype = keys.dtype
	if r.keys == nil {
		n := r.keep * r.tokens * r.width * int(r.dtype.Size()) / int(tensor.Float32.Size())
		r.keys, r.values = make([]float32, n), make([]float32, n)
	}
	slot := r.frames % r.keep * r.tokens
	copyRows(r.view(r.keys, slot), keys, r.tokens, r.width)
	copyRows(r.view(r.values, slot), values, r.tokens, r.width)
	r.frames++
}

// view is the memory of the tokens from first on.
func (r *Recent) view(mem []float32, first int) strided {
	size := int(r.dtype.Size())
	data := unsafe.Add(unsafe.Pointer(unsafe.SliceData(mem)), first*r.width*size)
	return strided{data: data, n: (r.keep*r.tokens - first) * r.width, stride: r.width, dtype: r.dtype}
}

// ForwardRecent maps the next frames of streams, x [G, n, D], to [G, n, D]: frame g is the next one of the stream that streams[g]
// remembers; a stream may come several times. A frame sees itself and the frames kept of its stream. place.Rotary holds the tables of
// all tokens that a Recent keeps, from the oldest on; place.Mask is ignored. Without gradients only.
//
// The attention of a frame depends, bit for bit, on the frames kept and on nothing else; so does the whole where matrix products of any
// number of rows give a row the same bits.
func (b *Block) ForwardRecent(t *Tape, x *Value, streams []*Recent, place Place) *Value {
	h := t.layerNorm(x, b.Norm1.Weight, b.Norm1.Bias, b.Norm1.Eps, true)
	x = b.Attention.forwardRecent(t, h, streams, place.Rotary, fusion{residual: x})
	t.Release(h)
	return b.tail(t, x)
}

func (a *SelfAttention) forwardRecent(t *Tape, x *Value, streams []*Recent, places *Rotary, f fusion) *Value {
	if t.gradients || x.rank != 3 || x.dims[0] != len(streams) {
		fail("attending to recent frames", "x is %v, of %d streams, gradients %t", x.Shape(), len(streams), t.gradients)
	}
	n := x.dims[1]
	qkv := t.linear(x, a.QKV.Weight, a.QKV.Bias, fusion{half: true})
	width := qkv.last() / 3
	o := t.alloc(qkv.dtype, len(streams), n, width)
	for g, r := range streams {
		if r.tokens != n || r.width != width || places != nil && places.Tokens != r.keep*n {
			fail("attending to recent frames", "a frame of %d tokens of %d, where %d of %d are kept", n, width, r.tokens, r.width)
		}
		row := g * n * 3 * width
		r.push(qkv.strided(row+width), qkv.strided(row+2*width))
		args := attentionArgs{config: AttentionConfig{Heads: a.Heads}, batch: 1, nq: n, nk: r.Len() * n}
		t.checkAttention(&args, width)
		args.q, args.o = qkv.strided(row), o.strided(g*n*width)
		t.attendRecent(&args, r, places)
	}
	t.Release(qkv)
	y := t.linear(o, a.Out.Weight, a.Out.Bias, f)
	t.Release(o)
	return y
}

// attendRecent is the attention of the newest frame, to keys and values from the oldest on: the order decides the last bits, and must not
// depend on where in memory a frame happens to lie.
func (t *Tape) attendRecent(a *attentionArgs, r *Recent, places *Rotary) {
	kept := r.Len()
	keys := t.inOrder(r, r.keys)
	a.k = keys.strided(0)
	values := keys
	if r.frames%r.keep == 0 || r.frames < r.keep {
		a.v = r.view(r.values, 0) // they lie in their order
	} else {
		values = t.inOrder(r, r.values)
		a.v = values.strided(0)
	}
	if places != nil {
		t.rotateFrom(a.q, places, (kept-1)*r.tokens, r.tokens, a.config.Heads)
		t.rotateFrom(a.k, places, 0, kept*r.tokens, a.config.Heads)
	}
	k := a.kernel()
	t.device.attention(&k)
	t.Release(keys)
	if values != keys {
		t.Release(values)
	}
}

// inOrder copies what is kept, from the oldest frame on.
func (t *Tape) inOrder(r *Recent, mem []float32) *Value {
	kept, oldest := r.Len(), 0
	if r.frames > r.keep {
		oldest = r.frames % r.keep
	}
	y := t.alloc(r.dtype, 1, kept*r.tokens, r.width)
	copyRows(y.strided(0), r.view(mem, oldest*r.tokens), (kept-oldest)*r.tokens, r.width)
	if oldest > 0 {
		copyRows(y.strided((kept-oldest)*r.tokens*r.width), r.view(mem, 0), oldest*r.tokens, r.width)
	}
	return y
}

// rotateFrom turns some tokens by the tables from one of them on.
func (t *Tape) rotateFrom(m strided, r *Rotary, first, tokens, heads int) {
	at, to := first*r.D, (first+tokens)*r.D
	t.rotate(m, &Rotary{
		Tokens: tokens, D: r.D, partner: r.partner,
		cos32: r.cos32[at:to], sin32: r.sin32[at:to], cos64: r.cos64[at:to], sin64: r.sin64[at:to],
	}, tokens, heads, false)
}
