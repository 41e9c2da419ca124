package nn

import (
	"unsafe"

	"gorgonia.org/tensor"
)

// Cache keeps the keys and values of the tokens of a stream, so that later tokens can attend to them without computing them again. It
// holds a bounded number of tokens: the oldest go first (the whole product is bounded in memory, however long a stream is).
type Cache struct {
	width, keep  int // numbers a token; tokens that are kept at most
	keys, values scratch
	dtype        tensor.Dtype
	used         int // tokens in memory; the last min(used, keep) count
	dropped      int // tokens that are gone
}

// NewCache makes a cache for tokens of a width, keeping at most keep of them.
func NewCache(width, keep int) *Cache { return &Cache{width: width, keep: keep} }

// Len is how many tokens are held.
func (c *Cache) Len() int { return c.used }

// Dropped is how many tokens have been forgotten since the last Clear.
func (c *Cache) Dropped() int { return c.dropped }

// Clear forgets all tokens; the memory stays.
func (c *Cache) Clear() { c.used, c.dropped = 0, 0 }

// Close gives the memory back.
func (c *Cache) Close() {
	c.Clear()
	c.keys.close()
	c.values.close()
}

// room makes place for n more tokens, forgetting the oldest where more than keep would be held. It returns the place of the first.
func (c *Cache) room(n int, dtype tensor.Dtype) (first int) {
	if n > c.keep {
		fail("caching tokens", "%d tokens do not fit a cache of %d", n, c.keep)
	}
	if c.used > 0 && c.dtype != dtype {
		fail("caching tokens", "they are %v, those held %v", dtype, c.dtype)
	}
	c.dtype = dtype
	bytes := c.width * int(dtype.Size())
	// Twice the room: tokens move to the front once for many calls.
	c.keys.floats((2*c.keep*bytes + 3) / 4)
	c.values.floats((2*c.keep*bytes + 3) / 4)
	if c.used+n > 2*c.keep {
		gone := c.used + n - c.keep
		copy(c.keys.mem, c.keys.mem[gone*bytes:c.used*bytes])
		copy(c.values.mem, c.values.mem[gone*bytes:c.used*bytes])
		c.used -= gone
		c.dropped += gone
	}
	first = c.used
	c.used += n
	return first
}

// view is the memory of the tokens from first on.
func (c *Cache) view(s *scratch, first int) strided {
	size := int(c.dtype.Size())
	at := unsafe.Pointer(unsafe.SliceData(s.mem[first*c.width*size:]))
	return strided{data: at, n: (c.used - first) * c.width, stride: c.width, dtype: c.dtype}
}

// ForwardCached maps the next tokens of a stream, x [1, n, D], attending to the cache and to themselves. p.Rotary holds the tables of the
// new tokens; p.Mask.Block is the number of tokens of a frame, n whole frames; p.Mask.Offset is ignored. Without gradients only.
//
// As long as nothing was dropped, the attention equals, bit for bit, that of one call with all tokens.
func (a *SelfAttention) ForwardCached(t *Tape, x *Value, c *Cache, p Place) *Value {
	return a.forwardCached(t, x, c, p, fusion{})
}

func (a *SelfAttention) forwardCached(t *Tape, x *Value, c *Cache, p Place, f fusion) *Value {
	if t.gradients || x.rank != 3 || x.dims[0] != 1 || p.Mask.Block > 0 && x.dims[1]%p.Mask.Block != 0 {
		fail("attending to a cache", "x is %v, a frame %d tokens, gradients %t", x.Shape(), p.Mask.Block, t.gradients)
	}
	n := x.dims[1]
	qkv := t.linear(x, a.QKV.Weight, a.QKV.Bias, fusion{half: true})
	width := qkv.last() / 3
	args := attentionArgs{
		config: AttentionConfig{Heads: a.Heads, Mask: p.Mask, Rotary: p.Rotary}, batch: 1, nq: n, nk: n, q: qkv.strided(0),
	}
	t.checkAttention(&args, width)
	t.rotateBoth(&args, args.q, qkv.strided(width), false)
	first := c.room(n, qkv.dtype)
	// The oldest tokens in memory may be more than the cache promises to keep.
	start := c.start(p.Mask.Block)
	copyRows(c.view(&c.keys, first), qkv.strided(width), n, width)
	copyRows(c.view(&c.values, first), qkv.strided(2*width), n, width)
	args.k, args.v, args.nk = c.view(&c.keys, start), c.view(&c.values, start), c.used-start
	args.config.Mask.Offset = first - start
	o := t.alloc(qkv.dtype, 1, n, width)
	args.o = o.strided(0)
	k := args.kernel()
	t.device.attention(&k)
	t.Release(qkv)
	y := t.linear(o, a.Out.Weight, a.Out.Bias, f)
	t.Release(o)
	return y
}

// start is the place of the oldest token that is kept, at the beginning of a frame.
func (c *Cache) start(block int) int {
	start := max(0, c.used-c.keep)
	if block > 0 {
		start = (start + block - 1) / block * block
	}
	return start
}

func copyRows(to, from strided, rows, n int) {
	size := int(to.dtype.Size())
	if to.stride == n && from.stride == n {
		rows, n = 1, rows*n
	}
	for r := range rows {
		copy(unsafe.Slice((*byte)(unsafe.Add(to.data, r*to.stride*size)), n*size),
			unsafe.Slice((*byte)(unsafe.Add(from.data, r*from.stride*size)), n*size))
	}
}

// ForwardCached is Forward for the next tokens of a stream; see SelfAttention.ForwardCached.
func (b *Block) ForwardCached(t *Tape, x *Value, c *Cache, p Place) *Value {
	h := t.layerNorm(x, b.Norm1.Weight, b.Norm1.Bias, b.Norm1.Eps, true)
	x = b.Attention.forwardCached(t, h, c, p, fusion{residual: x})
	t.Release(h)
	return b.tail(t, x)
}
