package train

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
)

// Source is where windows of video come from. It is safe for use by several goroutines: all that is random comes from its argument.
type Source interface {
	Name() string
	// Window fills out, `[frames, side, side, 3]` RGB.
	Window(random *rand.Rand, frames, side int, out []byte) error
}

// longestClip is the length in seconds beyond which a longer clip is not drawn more often: it has more of the same.
const longestClip = 30

// FootageSource draws augmented windows of footage, clips in proportion to sqrt(min(seconds, 30)): a long recording has more to show than
// a short one, but mostly more of the same.
type FootageSource struct {
	clips   []*Clip
	total   []float64 // running sums of the weights
	fps     float64
	augment AugmentConfig
}

// NewFootageSource makes a source of windows of a number of frames. Clips that are shorter are left out; it fails where none is left.
func NewFootageSource(footage *Footage, augment AugmentConfig, fps float64, frames int) (*FootageSource, error) {
	s := &FootageSource{fps: fps, augment: augment}
	sum := 0.0
	for _, c := range footage.Clips() {
		if c.Count < frames {
			continue
		}
		sum += math.Sqrt(min(c.Seconds(), longestClip))
		s.clips, s.total = append(s.clips, c), append(s.total, sum)
	}
	if len(s.clips) == 0 {
		return nil, fmt.Errorf("data.footage: none of %d clips has the %d frames of a window", len(footage.Clips()), frames)
	}
	return s, nil
}

// Name is "footage".
func (s *FootageSource) Name() string { return "footage" }

// Clips is how many clips windows are drawn from.
func (s *FootageSource) Clips() int { return len(s.clips) }

// Window draws a clip and a window of it.
func (s *FootageSource) Window(random *rand.Rand, frames, side int, out []byte) error {
	return Augment(random, s.augment, s.draw(random), s.draw(random), s.fps, frames, side, out)
}

func (s *FootageSource) draw(random *rand.Rand) *Clip {
	at := random.Float64() * s.total[len(s.total)-1]
	return s.clips[min(sort.SearchFloat64s(s.total, at), len(s.clips)-1)]
}

// Mixture draws from several sources in proportion to their weights.
type Mixture struct {
	sources []Source
	total   []float64
}

// Add adds a source with a weight; a source without weight is never drawn.
func (m *Mixture) Add(s Source, weight float64) {
	if weight <= 0 {
		return
	}
	if n := len(m.total); n > 0 {
		weight += m.total[n-1]
	}
	m.sources, m.total = append(m.sources, s), append(m.total, weight)
}

// errNoSource says that there is nothing to learn from.
var errNoSource = errors.New("data names neither footage nor generated video with a weight above 0: there is nothing to learn from")

// Check tells whether there is anything to draw from.
func (m *Mixture) Check() error {
	if len(m.sources) == 0 {
		return errNoSource
	}
	return nil
}

// Name is "mixture".
func (m *Mixture) Name() string { return "mixture" }

// Names are the names of the sources.
func (m *Mixture) Names() []string {
	var names []string
	for _, s := range m.sources {
		names = append(names, s.Name())
	}
	return names
}

// Window draws a source and a window of it.
func (m *Mixture) Window(random *rand.Rand, frames, side int, out []byte) error {
	at := random.Float64() * m.total[len(m.total)-1]
	s := m.sources[min(sort.SearchFloat64s(m.total, at), len(m.sources)-1)]
	if err := s.Window(random, frames, side, out); err != nil {
		return fmt.Errorf("drawing from %s: %w", s.Name(), err)
	}
	return nil
}

// randomOf is the source of randomness of one sample: it depends on the seed, the step and the sample's place in the batch, so neither the
// order in which samples are made nor an interruption changes any of them.
func randomOf(seed uint64, step, index int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(step)<<20|uint64(index)))
}
