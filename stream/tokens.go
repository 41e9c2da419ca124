package stream

import "time"

// Shape is the shape of a token array: T' steps of H' by W' places with D channels.
type Shape struct{ T, H, W, D int }

// Step is the number of values of one time step: H*W*D.
func (s Shape) Step() int { return s.H * s.W * s.D }

// Places is the number of places of one time step: H*W.
func (s Shape) Places() int { return s.H * s.W }

// Len is the number of values: T*H*W*D.
func (s Shape) Len() int { return s.T * s.Step() }

// Span is a stretch of a stream, since its first frame.
type Span struct{ Start, End time.Duration }

// Tokens is what the encoder makes of a clip: float32 `[T', H', W', D]`, row-major, with the time span of every step.
type Tokens struct {
	Shape
	// Data has Shape.Len() values.
	Data []float32
	// Spans has T' entries.
	Spans []Span
}

// At is the tokens of step t: `[H', W', D]`.
func (k *Tokens) At(t int) []float32 {
	n := k.Step()
	return k.Data[t*n : (t+1)*n]
}
