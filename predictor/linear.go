package predictor

import (
	"context"

	"github.com/ensue-video/ensue/encoder"
)

// Linear expects tokens to go on as they went between the last two steps: constant velocity in token space. After one step of
// past there is no velocity, and it expects what Persistence does.
type Linear struct{ info Info }

// NewLinear makes the predictor.
func NewLinear() *Linear {
	return &Linear{info: Info{Name: "linear", Digest: encoder.Digest("linear", "1")}}
}

// Info describes the predictor.
func (l *Linear) Info() Info { return l.info }

// Expect writes last + (lead+k+1)·(last − the one before) to step k of out.
func (l *Linear) Expect(_ context.Context, past Past, lead, steps int, out []float32) error {
	last := past.Tokens.At(past.Tokens.T - 1)
	before := past.Tokens.At(max(past.Tokens.T-2, 0))
	for k := range steps {
		ahead := float32(lead + k + 1)
		step := out[k*len(last):][:len(last)]
		for i, value := range last {
			// The conversion keeps the product from being fused with the sum on machines that can (invariant 7).
			step[i] = value + float32(ahead*(value-before[i]))
		}
	}
	return nil
}
