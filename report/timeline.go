package report

import (
	"math"
	"slices"

	"github.com/ensue-video/ensue/stream"
)

// bin is a stretch of a timeline: a window, or several averaged.
type bin struct {
	start, end float64
	// energy is their mean, low and high their extremes.
	energy, low, high float64
	count             int
	// p is that of the most surprising one; nil: none was judged. verdict is the one that says most.
	p        *float64
	verdict  stream.Verdict
	expected *stream.Expected
}

// timeline is the windows of a video; when there are more than limit, neighbours are averaged (invariant 2).
type timeline struct {
	bins  []bin
	limit int
	// merged is how many windows a bin holds.
	merged int
}

func (l *timeline) add(b bin) {
	l.merged = max(l.merged, 1)
	if last := len(l.bins) - 1; last >= 0 && l.bins[last].count < l.merged {
		l.bins[last].join(b)
		return
	}
	l.bins = append(l.bins, b)
	if len(l.bins) > l.limit {
		l.halve()
	}
}

// halve joins every two bins.
func (l *timeline) halve() {
	kept := l.bins[:0]
	for i, b := range l.bins {
		if i%2 == 0 {
			kept = append(kept, b)
		} else {
			kept[len(kept)-1].join(b)
		}
	}
	clear(l.bins[len(kept):])
	l.bins = kept
	l.merged *= 2
}

func (b *bin) join(next bin) {
	total := float64(b.count + next.count)
	b.energy = (b.energy*float64(b.count) + next.energy*float64(next.count)) / total
	b.low, b.high = min(b.low, next.low), max(b.high, next.high)
	b.count += next.count
	b.end = next.end
	if next.p != nil && (b.p == nil || *next.p < *b.p) {
		b.p, b.expected = next.p, next.expected
	}
	if telling(next.verdict) > telling(b.verdict) {
		b.verdict = next.verdict
	}
}

// telling orders verdicts by how much they say.
func telling(verdict stream.Verdict) int {
	return slices.Index([]stream.Verdict{stream.Unscored, stream.WarmingUp, stream.Continues, stream.Stalls, stream.Breaks}, verdict)
}

// median is the one of the bins' energies.
func (l *timeline) median() float64 {
	if len(l.bins) == 0 {
		return 0
	}
	energies := make([]float64, len(l.bins))
	for i, b := range l.bins {
		energies[i] = b.energy
	}
	slices.Sort(energies)
	middle := len(energies) / 2
	if len(energies)%2 == 1 {
		return energies[middle]
	}
	return (energies[middle-1] + energies[middle]) / 2
}

// axis is the scale of what is drawn, between two heights: logarithmic, or even where energies may be below zero.
func (l *timeline) axis(bottom, top float64) scale {
	const floor = 1e-5
	s := scale{low: math.Inf(1), high: math.Inf(-1), bottom: bottom, top: top}
	for _, b := range l.bins {
		s.low, s.high = min(s.low, b.low), max(s.high, b.high)
		s.even = s.even || b.low < 0 || b.expected != nil && b.expected.Low < 0
	}
	seen := s
	for _, b := range l.bins { // the band as well, but not so much of it that the energies would be a flat line
		if b.expected == nil {
			continue
		}
		low, high := b.expected.Low, b.expected.High
		if room := seen.high - seen.low; s.even {
			low, high = max(low, seen.low-room), min(high, seen.high+room)
		} else {
			high = min(high, 20*seen.high)
		}
		s.low, s.high = min(s.low, low), max(s.high, high)
	}
	if s.even {
		room := max(0.04*(s.high-s.low), 1e-9)
		s.low, s.high = s.low-room, s.high+room
		return s
	}
	s.low = max(s.low, floor, s.high/1e4)
	s.high = max(s.high, 1.5*s.low)
	return s
}

// length is where the timeline ends.
func (l *timeline) length() float64 {
	if len(l.bins) == 0 {
		return 0
	}
	return l.bins[len(l.bins)-1].end
}
