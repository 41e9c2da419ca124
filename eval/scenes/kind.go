package scenes

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Kind is a way in which a scene is impossible.
type Kind string

// The kinds. Of the hidden ones the event happens while the target is behind an occluder as a whole; memory is all that can tell.
const (
	VanishHidden Kind = "vanish_hid" // never comes out again
	AppearHidden Kind = "appear_hid" // comes out though nothing went in
	Late         Kind = "late"       // stays behind the occluder for 4 frames
	Early        Kind = "early"      // comes out 4 frames too early
	Back         Kind = "back"       // comes out where it went in
	ColourHidden Kind = "colour_hid" // comes out in another colour
	ShapeHidden  Kind = "shape_hid"  // comes out in another shape
	Teleport     Kind = "teleport"   // is suddenly elsewhere
	Freeze       Kind = "freeze"     // stops
	Reverse      Kind = "reverse"    // runs its path backwards
	VanishOpen   Kind = "vanish_open"
	ColourOpen   Kind = "colour_open"
	Merge        Kind = "merge"     // of two that meet, the one behind is gone
	PassWall     Kind = "pass_wall" // goes on as if there were no wall
)

// Kinds are all kinds, in the order of tables.
func Kinds() []Kind {
	return []Kind{
		VanishHidden, AppearHidden, Late, Early, Back, ColourHidden, ShapeHidden,
		Teleport, Freeze, Reverse, VanishOpen, ColourOpen, Merge, PassWall,
	}
}

// Hidden says whether the event happens behind an occluder.
func (k Kind) Hidden() bool {
	return slices.Contains([]Kind{VanishHidden, AppearHidden, Late, Early, Back, ColourHidden, ShapeHidden}, k)
}

// Pair is a possible scene and its impossible twin.
type Pair struct {
	Kind Kind
	// Event is the first frame that may differ; all before it are the same bit for bit.
	Event int
	// Target is the object it happens to.
	Target               int
	Possible, Impossible Scene
}

// The numbers of the kinds.
const (
	delay                   = 4 // frames
	hueNearest, hueFarthest = 0.25, 0.75
	leap, farLeap           = 12.0, 20.0
	earliestOpen, latest    = 8, 15
)

// NewRandom is the source of one of the scenes of a seed: which one does not depend on how many are drawn before it.
func NewRandom(seed, index uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, index)) }

// DrawPair draws pair index of a kind from a seed. It panics on a kind that is none of Kinds.
func DrawPair(kind Kind, seed, index uint64) Pair {
	number := slices.Index(Kinds(), kind)
	if number < 0 {
		panic(fmt.Sprintf("scenes: %q is no kind", kind))
	}
	random := NewRandom(seed+uint64(number), index)
	for {
		if pair, ok := tryPair(random, kind); ok {
			return pair
		}
	}
}

// tryPair draws a scene and an event; false when the scene has no room for it.
func tryPair(random *rand.Rand, kind Kind) (Pair, bool) {
	s, paths := drawScene(random, kind.layout())
	target, ok := s.target(random)
	if !ok {
		return Pair{}, false
	}
	pair := Pair{Kind: kind, Target: target}
	s.play()
	switch {
	case kind.Hidden():
		ok = pair.hide(&s, &paths[target])
	case kind == Merge:
		ok = pair.meet(&s, paths)
	case kind == PassWall:
		ok = pair.hitWall(&s, &paths[target])
	default:
		ok = pair.open(random, &s, &paths[target])
	}
	if !ok {
		return pair, false
	}
	pair.Possible, pair.Impossible = s, s.clone()
	ok = pair.happen(random, &paths[pair.Target])
	return pair, ok
}

func (k Kind) layout() layout {
	switch {
	case k.Hidden():
		return layout{columns: someColumns, wall: never}
	case k == Merge:
		return layout{objects: 2, columns: noColumns, wall: never}
	case k == PassWall:
		return layout{wall: always}
	}
	return layout{}
}

// target is a random object that moves; false where there is none.
func (s *Scene) target(random *rand.Rand) (int, bool) {
	var moving []int
	for i, o := range s.Objects {
		if !o.Resting {
			moving = append(moving, i)
		}
	}
	if len(moving) == 0 {
		return 0, false
	}
	return moving[random.IntN(len(moving))], true
}

// happen makes the impossible twin.
func (p *Pair) happen(random *rand.Rand, way *path) bool {
	twin, te := &p.Impossible, p.Event
	track := &twin.tracks[p.Target]
	switch p.Kind {
	case VanishHidden, VanishOpen, Merge:
		p.remove(twin, te, Frames)
	case AppearHidden:
		p.remove(twin, 0, te)
		p.remove(&p.Possible, 0, Frames)
	case Late:
		twin.follow(p.Target, te, func(frame int) point { return way.at(max(te, frame-delay)) })
	case Early:
		twin.follow(p.Target, te, func(frame int) point { return way.at(frame + delay) })
	case Back:
		twin.follow(p.Target, te, func(frame int) point { return way.at(2*te - frame) })
	case Reverse:
		twin.follow(p.Target, te, func(frame int) point { return way.at(2*te - frame - 2) })
	case Freeze:
		twin.follow(p.Target, te, func(int) point { return way.at(te - 1) })
	case ColourHidden, ColourOpen:
		turn := uniform(random, hueNearest, hueFarthest)
		for frame := te; frame < Frames; frame++ {
			track[frame].hue += turn
		}
	case ShapeHidden:
		other := (track[te].shape + 1 + Shape(random.IntN(int(shapes)-1))) % shapes
		for frame := te; frame < Frames; frame++ {
			track[frame].shape = other
		}
	case Teleport:
		return p.teleport(random, way)
	case PassWall:
		through := p.through()
		twin.follow(p.Target, te, through.at)
	}
	return true
}

// remove takes the target out of frames [from, to).
func (p *Pair) remove(s *Scene, from, to int) {
	for frame := from; frame < to; frame++ {
		s.tracks[p.Target][frame].absent = true
	}
}

// through is the target's path as if there were no wall.
func (p *Pair) through() path {
	o := p.Possible.Objects[p.Target]
	w := p.Possible.world(o)
	w.wall = 0
	return w.path(o.start, o.Radius)
}

// teleport puts the target elsewhere, from where it goes on as it would; false where it would land in the wrong place.
func (p *Pair) teleport(random *rand.Rand, way *path) bool {
	s, o := &p.Possible, p.Possible.Objects[p.Target]
	now := way.state(p.Event)
	dx, dy := turned(random, uniform(random, leap, farLeap))
	moved := bounds{left: o.Radius, right: Side - o.Radius, top: o.Radius, bottom: Side - o.Radius}.mirror(
		motion{x: now.x + dx, y: now.y + dy})
	landed := motion{x: moved.x, y: moved.y, vx: now.vx, vy: now.vy}
	if distance(point{now.x, now.y}, point{landed.x, landed.y}) < leap || !s.clearOfWall(o.Radius-clearOfWall, landed.x) ||
		s.Wall > 0 && (now.x < float64(s.Wall)) != (landed.x < float64(s.Wall)) {
		return false
	}
	on := s.world(o).path(landed, o.Radius)
	for frame := range 6 {
		if s.touches(o.Radius, on.at(frame).x) {
			return false
		}
	}
	p.Impossible.follow(p.Target, p.Event, func(frame int) point { return on.at(frame - p.Event) })
	return true
}
