//go:build !cgo || !linux || purego

package onednn

import "github.com/ensue-video/ensue/nn/internal/reference"

// Native tells that products run on oneDNN.
const Native = false

// Engine multiplies with plain loops.
type Engine struct {
	scratch func(floats int) []float32
}

// SetThreads does nothing: the loops use the calling goroutine.
func SetThreads(int) {}

// New returns an Engine. scratch returns memory that stays untouched until the next call of it.
func New(scratch func(floats int) []float32) (*Engine, error) { return &Engine{scratch}, nil }

// Close does nothing.
func (*Engine) Close() {}

// Packed are weights as they came.
type Packed struct {
	rows  []float32
	shape Shape
}

// Pack makes room for weights w [K, N]; M is ignored. Fill fills it.
func (*Engine) Pack(s Shape) (*Packed, error) {
	return &Packed{make([]float32, s.N*s.K), s}, nil
}

// Fill copies float32 weights into p.
func (*Engine) Fill(p *Packed, rows []float32) error {
	copy(p.rows, rows)
	return nil
}

// Floats is the whole of p's memory.
func (p *Packed) Floats() []float32 { return p.rows }

// Bytes is how much memory p holds.
func (p *Packed) Bytes() int { return 4 * len(p.rows) }

// Close frees p.
func (p *Packed) Close() { p.rows = nil }

// MatMul computes y = x w with plain weights.
func (e *Engine) MatMul(s Shape, y, x, w Buffer, bias []float32) error {
	keep := float32(0)
	if s.Sum {
		keep = 1
	}
	if !s.Bias {
		bias = nil
	}
	scratch := e.scratch(s.M*s.K + s.K*s.N + s.M*s.N)
	left, rest := widened(x, scratch, s.M*s.K)
	right, rest := widened(w, rest, s.K*s.N)
	out := y.Full
	if y.Half != nil {
		out, _ = widened(y, rest, s.M*s.N)
	}
	reference.MatMul(out, left, right, bias, s.M, s.N, s.K, s.TransX, s.TransW, keep)
	if s.GELU {
		reference.GELU(out[:s.M*s.N], out[:s.M*s.N])
	}
	if y.Half != nil {
		reference.Narrow(y.Half, out)
	}
	return nil
}

// widened returns n values of b as float32, in scratch where they must be converted, and what is left of scratch.
func widened(b Buffer, scratch []float32, n int) (values, rest []float32) {
	if b.Half == nil {
		return b.Full, scratch
	}
	reference.Widen(scratch[:n], b.Half[:n])
	return scratch[:n], scratch[n:]
}

// MatMulPacked computes y = x w with packed weights.
func (e *Engine) MatMulPacked(s Shape, y, x Buffer, w *Packed, bias []float32) error {
	s.TransW = w.shape.TransW
	return e.MatMul(s, y, x, Buffer{Full: w.rows}, bias)
}

// Implementation names what runs.
func (*Engine) Implementation(Shape, bool) string { return "go" }

// cached is how many products are kept.
func (*Engine) cached() int { return 0 }
