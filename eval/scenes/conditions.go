package scenes

import (
	"math"
	"math/rand/v2"
)

// hide finds the time at which the target is behind an occluder: in frames a to e-1, for the first and only time, and coming out on
// the side it was heading for. The event is in the middle.
func (p *Pair) hide(s *Scene, way *path) bool {
	const earliest, shortest, latestEnd, seen = 6, 2, 18, 4
	radius := s.Objects[p.Target].Radius
	for frame := range seen {
		if s.touches(radius, way.at(frame).x) {
			return false
		}
	}
	a, e, times := 0, 0, 0
	for frame := range Frames {
		if !s.hides(radius, way.at(frame).x) {
			continue
		}
		if frame == 0 || !s.hides(radius, way.at(frame-1).x) {
			a, times = frame, times+1
		}
		e = frame + 1
	}
	if times != 1 || a < earliest || e-a < shortest || e > latestEnd {
		return false
	}
	entering, leaving := way.at(a).x-way.at(a-1).x, way.at(e).x-way.at(e-1).x
	p.Event = (a + e) / 2
	return entering*leaving > 0
}

// open draws the time of an event that everybody can see.
func (p *Pair) open(random *rand.Rand, s *Scene, way *path) bool {
	te := earliestOpen + random.IntN(latest-earliestOpen+1)
	for frame := te - 4; frame <= te+5; frame++ {
		if s.touches(s.Objects[p.Target].Radius, way.at(frame).x) {
			return false
		}
	}
	for frame := te - 3; frame <= te+3; frame++ {
		before, after := way.at(frame-1), way.at(frame)
		if math.Abs(after.x-before.x)+math.Abs(after.y-before.y) < 1 {
			return false
		}
		if p.Kind == Reverse && way.state(frame).vx*way.state(te).vx <= 0 {
			return false
		}
	}
	p.Event = te
	return true
}

// meet finds the time at which two objects of different colours are nearest; the one at the back is the target.
func (p *Pair) meet(s *Scene, paths []path) bool {
	const nearest, apart, colours = 4.0, 12.0, 0.15
	turn := math.Abs(s.Objects[0].Hue - s.Objects[1].Hue)
	if min(turn, 1-turn) < colours {
		return false
	}
	gap := func(frame int) float64 { return distance(paths[0].at(frame), paths[1].at(frame)) }
	p.Target, p.Event = 0, 0
	for frame := range Frames {
		if gap(frame) < gap(p.Event) {
			p.Event = frame
		}
	}
	for frame := range 4 {
		if gap(frame) < apart {
			return false
		}
	}
	return p.Event >= earliestOpen && p.Event <= latest && gap(p.Event) <= nearest && gap(p.Event+4) >= apart
}

// hitWall finds the first frame in which the wall matters to the target.
func (p *Pair) hitWall(s *Scene, way *path) bool {
	p.Possible = *s
	through := p.through()
	for frame := range latest + 2 {
		if through.at(frame) != way.at(frame) {
			p.Event = frame
			return frame >= earliestOpen
		}
	}
	return false
}

func distance(a, b point) float64 { return math.Hypot(a.x-b.x, a.y-b.y) }

// turned is a vector of a length in a random direction.
func turned(random *rand.Rand, length float64) (dx, dy float64) {
	sin, cos := math.Sincos(2 * math.Pi * random.Float64())
	return length * cos, length * sin
}
