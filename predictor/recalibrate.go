package predictor

import (
	"fmt"
	"sync"
)

// Recalibrated is the scorer with another calibration: the same predictor and energy, the same name in results. Streams that the old one
// knows go on under the new one with Adopt; both may be used side by side, each for streams of its own.
func (s *Scorer) Recalibrated(calibrate CalibrateConfig) (*Scorer, error) {
	cfg := s.cfg
	cfg.Calibrate = calibrate
	cfg = cfg.Default()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("calibrating a scorer anew: %w", err)
	}
	return &Scorer{
		encoder: s.encoder, predictor: s.predictor, frames: s.frames, warmup: s.warmup,
		targeting: s.targeting, remembering: s.remembering, batching: s.batching, learned: s.learned, judging: s.judging,
		cfg: cfg, alpha: cfg.Alpha(), model: s.model,
		scratch: sync.Pool{New: func() any { return new(scratch) }},
	}, nil
}

// Adopt has the state, which another calibration of this scorer made, be judged by this one from now on. What was learned of the stream
// stays; of a longer history the newest part.
func (s *Scorer) Adopt(state *State) error {
	fresh := s.NewState().calibrator
	if err := fresh.Import(state.calibrator.Export()); err != nil {
		return fmt.Errorf("taking over a calibration: %w", err)
	}
	state.calibrator = fresh
	return nil
}
