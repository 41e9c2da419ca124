package predictor

import (
	"context"
	"strconv"

	"github.com/ensue-video/ensue/encoder"
)

// Damped is Linear for noisy tokens: it expects a share of the velocity between the last two steps, a horizon-th part of it for each
// step ahead, no more than the whole. Full velocity of noise is more noise.
type Damped struct {
	horizon int
	info    Info
}

// NewDamped makes the predictor; from horizon steps on it expects one whole step of velocity.
func NewDamped(horizon int) *Damped {
	return &Damped{horizon: horizon, info: Info{Name: "damped", Digest: encoder.Digest("damped", "1", strconv.Itoa(horizon))}}
}

// Info describes the predictor.
func (d *Damped) Info() Info { return d.info }

// Expect writes last + min(1, (lead+k+1)/horizon)·(last − the one before) to step k of out.
func (d *Damped) Expect(_ context.Context, past Past, lead, steps int, out []float32) error {
	last := past.Tokens.At(past.Tokens.T - 1)
	before := past.Tokens.At(max(past.Tokens.T-2, 0))
	for k := range steps {
		share := min(1, float32(lead+k+1)/float32(d.horizon))
		step := out[k*len(last) : (k+1)*len(last)]
		for i, value := range last {
			step[i] = value + float32(share*(value-before[i])) // see Linear
		}
	}
	return nil
}
