package nn

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/kernel"
	"github.com/ensue-video/ensue/nn/internal/reference"
)

// Pairing says which features of a head rotary position embedding turns into each other.
type Pairing int

// The pairings.
const (
	// Neighbours pairs features 2i and 2i+1.
	Neighbours Pairing = iota
	// Halves pairs feature i of an axis with feature i + width/2 of it.
	Halves
)

// RotaryConfig describes a rotary position embedding (Su et al. 2021) over several axes. Each axis turns its own features of a head: the
// first Widths[0] features are the first axis', and so on; what is left over is not turned.
type RotaryConfig struct {
	// Widths is how many features each axis turns, an even number.
	Widths []int
	// Base is the base of the frequencies: feature pair i of an axis of width w turns by position * Base^(-2i/w). 10000 is usual.
	Base float64
	// Pairing says which features are a pair.
	Pairing Pairing
	// Tiled gives feature j the angle of pair j mod w/2 instead of its own pair's. With Neighbours this is what V-JEPA 2 does: sin and cos
	// are tiled [w0…wk, w0…wk] while the rotated pairs are neighbours, so the map is no rotation. Weights trained that way need it.
	Tiled bool
}

// Rotary are the tables of a rotary position embedding for some tokens: cos and sin [tokens, d], and each feature's partner.
type Rotary struct {
	Tokens, D int
	partner   []int32
	cos32     []float32
	sin32     []float32
	cos64     []float64
	sin64     []float64
}

// NewRotary makes the tables for heads of d features. positions [tokens, axes] holds each token's place, an axis after the other.
func NewRotary(c RotaryConfig, d int, positions []float64) *Rotary {
	axes := len(c.Widths)
	r := newTables(len(positions)/max(1, axes), d)
	for i := range r.partner {
		r.partner[i] = int32(i)
	}
	for i := range r.cos64 {
		r.cos64[i] = 1
	}
	first := 0
	for axis, width := range c.Widths {
		if width%2 != 0 || first+width > d {
			fail("making rotary tables", "axes of %v features do not fit heads of %d", c.Widths, d)
		}
		for j := range width {
			r.feature(c, first, width, j, func(t int) float64 { return positions[t*axes+axis] })
		}
		first += width
	}
	r.narrow()
	return r
}

// NewRotaryTables takes tables as they are: y[j] = x[j] cos[t][j] + x[partner[j]] sin[t][j]. partner must be its own inverse.
func NewRotaryTables(cos, sin []float64, partner []int32) *Rotary {
	d := len(partner)
	r := newTables(len(cos)/d, d)
	copy(r.cos64, cos)
	copy(r.sin64, sin)
	copy(r.partner, partner)
	r.narrow()
	return r
}

func newTables(tokens, d int) *Rotary {
	n := tokens * d
	return &Rotary{
		Tokens: tokens, D: d, partner: make([]int32, d), cos32: make([]float32, n), sin32: make([]float32, n),
		cos64: make([]float64, n), sin64: make([]float64, n),
	}
}

// feature fills the column of feature j of an axis that begins at first.
func (r *Rotary) feature(c RotaryConfig, first, width, j int, position func(token int) float64) {
	half := width / 2
	pair, partner, sign := j/2, j^1, 1.0
	if j%2 == 0 {
		sign = -1
	}
	if c.Pairing == Halves {
		pair, partner, sign = j%half, (j+half)%width, 1
		if j < half {
			sign = -1
		}
	}
	if c.Tiled {
		pair = j % half
	}
	frequency := math.Pow(c.Base, -float64(pair)/float64(half))
	r.partner[first+j] = int32(first + partner)
	for t := range r.Tokens {
		sin, cos := math.Sincos(position(t) * frequency)
		r.cos64[t*r.D+first+j], r.sin64[t*r.D+first+j] = cos, sign*sin
	}
}

func (r *Rotary) narrow() {
	for i := range r.cos64 {
		r.cos32[i], r.sin32[i] = float32(r.cos64[i]), float32(r.sin64[i])
	}
}

// Slice are the tables of tokens [first, last).
func (r *Rotary) Slice(first, last int) *Rotary {
	a, b := first*r.D, last*r.D
	return &Rotary{
		Tokens: last - first, D: r.D, partner: r.partner,
		cos32: r.cos32[a:b], sin32: r.sin32[a:b], cos64: r.cos64[a:b], sin64: r.sin64[a:b],
	}
}

// rotate turns heads of a strided matrix in place.
func (t *Tape) rotate(m strided, r *Rotary, tokens, heads int, backward bool) {
	if m.dtype == tensor.Float64 {
		table := reference.Rope[float64]{
			Cos: r.cos64, Sin: r.sin64, Partner: r.partner, Stride: m.stride, Period: r.Tokens, Heads: heads, D: r.D,
		}
		table.Rotate(at64(m), tokens, backward)
		return
	}
	full, half := at32(m), at16(m)
	t.device.kernels.Rope(&kernel.Rope{
		X: full, X16: half, Cos: r.cos32, Sin: r.sin32, Partner: r.partner, Tokens: tokens, Stride: m.stride, Period: r.Tokens,
		Heads: heads, D: r.D, Backward: backward,
	})
}

// Rotate applies a rotary position embedding to x [..., tokens, heads*d]: the tables' tokens are x's second to last axis.
func (t *Tape) Rotate(x *Value, r *Rotary) *Value {
	if x.rank < 2 || x.dims[x.rank-2] != r.Tokens || x.last()%r.D != 0 {
		fail("rotating", "the tables are for %d tokens and heads of %d, the value is %v", r.Tokens, r.D, x.Shape())
	}
	y := t.like(x)
	t.copyData(y, x)
	t.rotate(y.strided(0), r, x.rows(), x.last()/r.D, false)
	t.record(y, backRotate, x)
	y.saved.attention.rotary = r
	return y
}

func backRotate(t *Tape, y *Value) {
	r := y.saved.attention.rotary
	t.rotate(y.upstreamStrided(0), r, y.rows(), y.last()/r.D, true)
	t.pass(y, y.in[0])
}
