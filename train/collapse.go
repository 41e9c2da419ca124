package train

import "fmt"

// Collapse says that a representation has become useless, and how.
type Collapse struct {
	// Step is when it was told.
	Step int `json:"step"`
	// Reason says what was seen.
	Reason string `json:"reason"`
}

// Error makes it an error, for trainings that end there.
func (c *Collapse) Error() string {
	return fmt.Sprintf("the representation collapsed at step %d: %s", c.Step, c.Reason)
}

// watch looks for a collapse. Its state is part of a checkpoint.
type watch struct {
	Peak float64 `json:"peak_rank"`
	// Bad is how many looks in a row were bad.
	Bad int `json:"bad"`
	// Told is the collapse that was told last; it is told again only after a good look.
	Told *Collapse `json:"told,omitempty"`
}

// see takes a look at what is learned; it returns a collapse when one is to be told. width is the width of a token.
func (w *watch) see(c CollapseConfig, s *Sample, width int) *Collapse {
	reason := c.reason(s, w.Peak, width)
	w.Peak = max(w.Peak, s.EncoderRank)
	if reason == "" || s.Step < c.After {
		w.Bad = 0
		if reason == "" {
			w.Told = nil
		}
		return nil
	}
	w.Bad++
	if w.Bad < c.Patience || w.Told != nil {
		return nil //nolint:nilerr // what was told is not told again
	}
	w.Told = &Collapse{Step: s.Step, Reason: reason}
	return w.Told
}

// reason says what is wrong with a look; empty: nothing.
func (c CollapseConfig) reason(s *Sample, peak float64, width int) string {
	switch {
	case s.Deviation < c.Deviation:
		return fmt.Sprintf("the features of different tokens hardly differ: their standard deviation is %.3g, below %.3g",
			s.Deviation, c.Deviation)
	case s.EncoderRank < c.Rank*float64(width):
		return fmt.Sprintf("the tokens use few of their dimensions: the effective rank is %.1f of %d, below %.1f",
			s.EncoderRank, width, c.Rank*float64(width))
	case s.EncoderRank < c.Fall*peak:
		return fmt.Sprintf("the tokens use ever fewer of their dimensions: the effective rank fell from %.1f to %.1f of %d",
			peak, s.EncoderRank, width)
	}
	return ""
}
