package predictor

import (
	"math"
	"time"
)

// layout is a Config in token steps of a given length.
type layout struct {
	// window and context are their lengths.
	window, context int
	// bands are what the horizons cover, after the end of a context.
	bands []stretch
	// reach is how many steps before a window the earliest context it is predicted from ends.
	reach int
}

// stretch is the steps [from, to).
type stretch struct{ from, to int }

func (s stretch) len() int { return s.to - s.from }

func newLayout(cfg Config, step time.Duration) layout {
	l := layout{window: steps(cfg.Horizons[0], step), context: steps(cfg.Context, step)}
	before := 0
	for _, horizon := range cfg.Horizons {
		// Every horizon has a step of its own, however coarse the steps are.
		band := stretch{before, max(steps(horizon, step), before+1)}
		l.bands = append(l.bands, band)
		leads := l.leads(band)
		l.reach = leads[len(leads)-1]
		before = band.to
	}
	return l
}

// steps is how many steps come nearest to the duration; at least one.
func steps(duration, step time.Duration) int {
	return max(1, int(math.Round(float64(duration)/float64(step))))
}

// horizon is how far ahead the last band ends.
func (l layout) horizon() int { return l.bands[len(l.bands)-1].to }

// leads are how many steps before a window the contexts end that see parts of it as parts of the band: from the band's beginning
// on, a window apart.
func (l layout) leads(band stretch) []int {
	var leads []int
	for lead := band.from; lead < band.to; lead += l.window {
		leads = append(leads, lead)
	}
	return leads
}

// tile cuts [from, to) into windows. What remains at the end is a window of its own when it is half a window or more, or the only
// one; else it belongs to the last window.
func (l layout) tile(from, to int) []stretch {
	var windows []stretch
	for ; to-from >= l.window; from += l.window {
		windows = append(windows, stretch{from, from + l.window})
	}
	rest := to - from
	switch {
	case rest == 0:
	case len(windows) == 0 || 2*rest >= l.window:
		windows = append(windows, stretch{from, to})
	default:
		windows[len(windows)-1].to = to
	}
	return windows
}

// alone is how many of count steps without a past are context only: a window, or half of them if that leaves less than a window.
func (l layout) alone(count int) int {
	if count >= 2*l.window {
		return l.window
	}
	return count / 2
}
