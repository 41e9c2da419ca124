package predictor

import (
	"context"
	"fmt"
	"sync"

	"github.com/ensue-video/ensue/encoder"
)

// What a learned energy looks at: X and Y of so many frames each, at about so many frames a second. It was fitted to that.
const (
	WindowFrames = 8
	WindowRate   = 8.0
)

// LearnedEnergy is a learned energy at work: an Energy, and the sources that measure what it judges by. It is safe for use by several
// goroutines.
//
// It is a function of the 2·WindowFrames frames of X and Y alone, so that it says the same of them live and replayed, however the stream
// was cut, and after a restart (invariant 7).
type LearnedEnergy struct {
	energy  *Energy
	sources []*Source
	digest  string
	gauges  sync.Pool // of *[]*Gauge, one for each source
}

// NewLearnedEnergy puts an energy to work. The sources are those whose statistics it was fitted to, in that order; they stay the caller's.
func NewLearnedEnergy(e *Energy, sources []*Source) (*LearnedEnergy, error) {
	l := &LearnedEnergy{energy: e, sources: sources}
	parts := []string{e.Digest()}
	for _, source := range sources {
		info := source.Encoder.Info()
		if WindowFrames%info.FramesPerStep != 0 {
			return nil, fmt.Errorf("measuring with %s: its steps of %d frames do not divide windows of %d", source.Name, info.FramesPerStep,
				WindowFrames)
		}
		if _, err := l.gauge(source); err != nil {
			return nil, fmt.Errorf("measuring with %s: %w", source.Name, err)
		}
		parts = append(parts, source.Name, info.Digest, source.Predictor.Info().Digest)
	}
	observed, given := e.size()
	if want := len(sources) * StatisticsObserved; observed != want || given != len(sources)*StatisticsGiven {
		return nil, fmt.Errorf("it judges by %d numbers given %d others; its sources tell %d and %d", observed, given,
			want, len(sources)*StatisticsGiven)
	}
	l.digest = encoder.Digest("learned", "1", parts...)
	return l, nil
}

func (l *LearnedEnergy) gauge(s *Source) (*Gauge, error) {
	info := s.Encoder.Info()
	return NewGauge(WindowFrames/info.FramesPerStep, info.GridHeight*info.GridWidth, info.Dim)
}

// Rule is how the energy is made.
func (l *LearnedEnergy) Rule() Rule { return l.energy.Rule }

// Digest identifies the energy: all numbers that were fitted, and what they are fitted to.
func (l *LearnedEnergy) Digest() string { return l.digest }

// Side is how many pixels wide and high frames must be at least.
func (l *LearnedEnergy) Side() int {
	side := 0
	for _, source := range l.sources {
		side = max(side, source.Encoder.Info().Width)
	}
	return side
}

// Judge says how badly the second half of the frames, side by side pixels each, ensues from the first: in standard deviations of genuine
// windows.
func (l *LearnedEnergy) Judge(ctx context.Context, frames [][]byte, side int) (float64, error) {
	if len(frames) != 2*WindowFrames {
		return 0, fmt.Errorf("judging %d frames: a window has %d", len(frames), 2*WindowFrames)
	}
	gauges, ok := l.gauges.Get().(*[]*Gauge)
	if !ok {
		gauges = new([]*Gauge)
		for _, source := range l.sources {
			gauge, err := l.gauge(source)
			if err != nil {
				return 0, err
			}
			*gauges = append(*gauges, gauge)
		}
	}
	defer l.gauges.Put(gauges)
	parts := make([]Statistics, len(l.sources))
	for i, source := range l.sources {
		var err error
		if parts[i], err = source.Measure(ctx, (*gauges)[i], frames[:WindowFrames], frames[WindowFrames:], side); err != nil {
			return 0, err
		}
	}
	return l.energy.Of(Join(parts...))
}

// Measure is the statistics of Y after X, both of side by side pixels.
func (s *Source) Measure(ctx context.Context, gauge *Gauge, x, y [][]byte, side int) (Statistics, error) {
	expected, err := s.Expect(ctx, x, side)
	if err != nil {
		return Statistics{}, err
	}
	defer expected.Close()
	sighting, err := expected.Read(ctx, y)
	if err != nil {
		return Statistics{}, err
	}
	return gauge.Measure(sighting.X, sighting.Y, sighting.Expected)
}
