package predictor

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/ensue-video/ensue/encoder"
)

// What a learned energy looks at: X and Y of so many frames each, at about so many frames a second. It was fitted to that.
const (
	WindowFrames = 8
	WindowRate   = 8.0
	// BriefFrames are those of X and Y each where a stream has not as many, as far as the energy was fitted to that too.
	BriefFrames = briefSteps
)

// LearnedEnergy is a learned energy at work: an Energy, and the sources that measure what it judges by. It is safe for use by several
// goroutines.
//
// It is a function of the 2·WindowFrames (or 2·BriefFrames) frames of X and Y alone, so that it says the same of them live and replayed,
// however the stream was cut, and after a restart (invariant 7).
type LearnedEnergy struct {
	energy  *Energy
	sources []*Source
	digest  string
	// full and brief are of the two sizes of windows; brief is nil where the energy knows no brief ones.
	full, brief *sized
}

// sized is an energy for windows whose X and Y have so many frames each.
type sized struct {
	frames  int
	energy  *Energy
	sources []*Source
	scratch sync.Pool // of *measuring
}

// measuring is the memory for one window.
type measuring struct {
	gauges    []*Gauge    // one for each source
	distances [][]float32 // between expected and seen tokens, one for each source
}

// NewLearnedEnergy puts an energy to work. The sources are those whose statistics it was fitted to, in that order; they stay the caller's.
func NewLearnedEnergy(e *Energy, sources []*Source) (*LearnedEnergy, error) {
	l := &LearnedEnergy{energy: e, sources: sources}
	parts := []string{e.Digest()}
	for _, source := range sources {
		parts = append(parts, source.Name, source.Encoder.Info().Digest, source.Predictor.Info().Digest)
	}
	l.digest = encoder.Digest("learned", "2", parts...)
	var err error
	if l.full, err = newSized(WindowFrames, e, sources); err != nil || e.brief == nil {
		return l, err
	}
	l.brief, err = newSized(BriefFrames, e.brief, sources)
	return l, err
}

func newSized(frames int, e *Energy, sources []*Source) (*sized, error) {
	z := &sized{frames: frames, energy: e, sources: sources}
	wantObserved, wantGiven := 0, 0
	for _, source := range sources {
		if err := Measurable(source.Encoder.Info(), frames); err != nil {
			return nil, fmt.Errorf("measuring with %s: %w", source.Name, err)
		}
		observed, given := StatisticsOf(frames / source.Encoder.Info().FramesPerStep)
		wantObserved, wantGiven = wantObserved+observed, wantGiven+given
	}
	if observed, given := e.size(); observed != wantObserved || given != wantGiven {
		return nil, fmt.Errorf("it judges by %d numbers given %d others; its sources tell %d and %d of windows of %d frames",
			observed, given, wantObserved, wantGiven, frames)
	}
	return z, nil
}

// Measurable says why statistics of windows whose X and Y have so many frames cannot be measured with an encoder's tokens; nil where they
// can.
func Measurable(info encoder.Info, frames int) error {
	if frames%info.FramesPerStep != 0 {
		return fmt.Errorf("its steps of %d frames do not divide windows of %d", info.FramesPerStep, frames)
	}
	_, err := NewGauge(frames/info.FramesPerStep, 1, 1)
	return err
}

func (z *sized) gauge(s *Source) (*Gauge, error) {
	info := s.Encoder.Info()
	return NewGauge(z.frames/info.FramesPerStep, info.GridHeight*info.GridWidth, info.Dim)
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

// Maps says whether the sources of the energy see the places and steps that an encoder's tokens are of, so that Judge can tell where a
// window does not ensue.
func (l *LearnedEnergy) Maps(info encoder.Info) bool {
	return !slices.ContainsFunc(l.sources, func(s *Source) bool { return !s.Encoder.Info().SeesAs(info) })
}

// Judge says how badly the second half of the frames, side by side pixels each, ensues from the first: in standard deviations of genuine
// windows of as many frames. The JointMap of the second half goes to heat, `[T, H, W]`, unless that is nil; see Maps.
func (l *LearnedEnergy) Judge(ctx context.Context, frames [][]byte, side int, heat []float32) (float64, error) {
	for _, z := range []*sized{l.full, l.brief} {
		if z != nil && len(frames) == 2*z.frames {
			return z.judge(ctx, frames, side, heat)
		}
	}
	return 0, fmt.Errorf("judging %d frames: a window has %d", len(frames), 2*WindowFrames)
}

func (z *sized) judge(ctx context.Context, frames [][]byte, side int, heat []float32) (float64, error) {
	room, err := z.room()
	if err != nil {
		return 0, err
	}
	defer z.scratch.Put(room)
	parts := make([]Statistics, len(z.sources))
	for i, source := range z.sources {
		var distances []float32
		if heat != nil {
			distances = room.distances[i]
		}
		if parts[i], err = source.measure(ctx, room.gauges[i], frames[:z.frames], frames[z.frames:], side, distances); err != nil {
			return 0, err
		}
	}
	if heat != nil {
		info := z.sources[0].Encoder.Info()
		JointMap(room.distances, info.GridHeight*info.GridWidth, heat)
	}
	return z.energy.Of(Join(parts...))
}

func (z *sized) room() (*measuring, error) {
	if room, ok := z.scratch.Get().(*measuring); ok {
		return room, nil
	}
	room := new(measuring)
	for _, source := range z.sources {
		gauge, err := z.gauge(source)
		if err != nil {
			return nil, err
		}
		room.gauges = append(room.gauges, gauge)
		room.distances = append(room.distances, make([]float32, gauge.Values()/source.Encoder.Info().Dim))
	}
	return room, nil
}

// measure is the statistics of Y after X, both of side by side pixels. The distances of Y's tokens to what was expected go to distances,
// unless that is nil.
func (s *Source) measure(ctx context.Context, gauge *Gauge, x, y [][]byte, side int, distances []float32) (Statistics, error) {
	expected, err := s.Expect(ctx, x, side)
	if err != nil {
		return Statistics{}, err
	}
	defer expected.Close()
	sighting, err := expected.Read(ctx, y)
	if err != nil {
		return Statistics{}, err
	}
	if distances != nil {
		sighting.Distances(distances)
	}
	return gauge.Measure(sighting.X, sighting.Y, sighting.Expected)
}
