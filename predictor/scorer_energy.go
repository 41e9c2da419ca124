package predictor

import (
	"context"
	"fmt"

	"github.com/ensue-video/ensue/stream"
)

// Judging is an energy for every token of a window; see Verifier.
type Judging interface {
	// Judge is the mean energy of the tokens of y and each of them, `[T, H, W]`, by what came, what came before and what was expected. x, y
	// and expected are in the space of the predictor's targets; of x only the last step counts.
	Judge(ctx context.Context, x, y *stream.Tokens, expected []float32) (energy float64, tokens []float32, err error)
	// Digest identifies what it computes.
	Digest() string
}

// ScorerOption chooses the energy of a Scorer; without one it is the distance.
type ScorerOption func(*Scorer)

// WithEnergy makes windows' energies learned ones. The energies of horizons are distances still, and so is the mean of the map over a
// window; where in the window is told by all sources of the energy together, if they see the places of the encoder's tokens. The learned
// energy stays the caller's.
func WithEnergy(l *LearnedEnergy) ScorerOption { return func(s *Scorer) { s.learned = l } }

// WithJudging makes the energy of every token that of j, and those of windows and horizons their means. It stays the caller's.
func WithJudging(j Judging) ScorerOption { return func(s *Scorer) { s.judging = j } }

// windowFrames is how many frames before the end of a window its energy is made of.
const windowFrames = 2 * WindowFrames

// rememberedFrames is how many frames of the past the energy of a later window may be made of.
func (s *Scorer) rememberedFrames() int {
	if s.learned == nil {
		return 0
	}
	return windowFrames - 1
}

// ends are where a learned energy is measured in a window of so many frames, counted from its first: stretches of as many frames as Y has
// lie side by side from there on. The last one ends with the window, and overlaps the one before it where the window is no multiple; in a
// window that is shorter it begins before the window.
func ends(frames, stretch int) []int {
	var all []int
	for end := stretch; end < frames; end += stretch {
		all = append(all, end)
	}
	return append(all, frames)
}

// sizes are how many frames the X and the Y may have that a learned energy judges, the best first.
func (l *LearnedEnergy) sizes() []int {
	if l.brief == nil {
		return []int{WindowFrames}
	}
	return []int{WindowFrames, BriefFrames}
}

// measurable is from where on the segment's windows can be judged: a learned energy wants the frames of X and Y up to the end of a window.
// It is begin or the end of the timeline where that makes no difference, or none can be.
func (s *Scorer) measurable(line *timeline, begin int) int {
	if s.learned == nil {
		return begin
	}
	sizes := s.learned.sizes()
	for _, window := range line.layout.tile(begin, line.tokens.T) {
		if line.framesUpTo(window.from, window.len()*line.framesPerStep, 2*sizes[len(sizes)-1]) != nil {
			return window.from
		}
	}
	return line.tokens.T
}

// framesUpTo are the count frames before that many frames after the step from; nil where there are not as many.
func (l *timeline) framesUpTo(from, after, count int) [][]byte {
	last := len(l.frames) - l.carried - (l.tokens.T-from)*l.framesPerStep + after
	if last < count || last > len(l.frames) {
		return nil
	}
	return l.frames[last-count : last]
}

// said is the energy of a window: the mean of its tokens', or what the learned energy says of its most surprising stretch. That one draws
// the map anew, which is the tokens' distances before, where s.maps says so.
func (s *Scorer) said(ctx context.Context, line *timeline, window stretch, tokens, heat []float32) (Said, error) {
	distance := mean(tokens)
	if s.learned == nil {
		return Said{distance, distance}, nil
	}
	most, known := Said{Distance: distance}, false
	for _, size := range s.learned.sizes() {
		for _, end := range ends(window.len()*line.framesPerStep, size) {
			frames := line.framesUpTo(window.from, end, 2*size)
			if frames == nil { // of a long window the beginning only
				continue
			}
			var own []float32
			if s.maps {
				own = make([]float32, size/line.framesPerStep*line.tokens.Places())
			}
			energy, err := s.learned.Judge(ctx, frames, line.side, own)
			if err != nil {
				return Said{}, fmt.Errorf("judging steps [%d, %d): %w", window.from, window.to, err)
			}
			if s.maps {
				line.draw(own, end-size, tokens, heat)
			}
			if !known || energy > most.Energy {
				most.Energy, known = energy, true
			}
		}
		if known { // brief windows are for where there is nothing better
			break
		}
	}
	return most, nil
}

// draw puts the map of a stretch, whose first frame is so many after the window's, into the window's map. Its level becomes the mean
// distance of the tokens there.
func (l *timeline) draw(own []float32, first int, tokens, heat []float32) {
	at := first / l.framesPerStep * l.tokens.Places()
	if at < 0 { // it began before the window
		own, at = own[-at:], 0
	}
	scaleTo(mean(tokens[at:at+len(own)]), own)
	copy(heat[at:], own)
}

// compare writes the energy of every token of a comparison to out.
func (s *Scorer) compare(ctx context.Context, line *timeline, c comparison, seen, expected, out []float32) error {
	if s.judging == nil {
		EnergyMap(expected, seen, line.tokens.D, out)
		return nil
	}
	end := c.from - c.lead // of the context
	x := line.steps(end-1, end)
	if s.targeting != nil {
		first := max(0, end-line.layout.context)
		x = &stream.Tokens{Shape: x.Shape, Spans: x.Spans, Data: make([]float32, line.tokens.Step())}
		if err := s.targeting.Target(ctx, line.steps(first, end), end-1-first, x.Data); err != nil {
			return fmt.Errorf("making a target of step %d: %w", end-1, err)
		}
	}
	shape := line.tokens.Shape
	shape.T = c.len()
	y := &stream.Tokens{Shape: shape, Data: seen[:shape.Len()], Spans: line.tokens.Spans[c.from:c.to]}
	_, energies, err := s.judging.Judge(ctx, x, y, expected)
	if err != nil {
		return fmt.Errorf("judging steps [%d, %d): %w", c.from, c.to, err)
	}
	copy(out, energies)
	return nil
}
