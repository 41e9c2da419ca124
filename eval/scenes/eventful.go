package scenes

import "math/rand/v2"

// Eventful draws a possible scene, like Possible, but rather one in which something happens that has to be remembered or understood: a
// thing passes behind a column, perhaps a narrow one, and comes out again, two things meet, or there is a wall. Models learn from such
// scenes; none is impossible.
func Eventful(random *rand.Rand) Scene {
	const passages, meetings, walls, rest = 0.5, 0.2, 0.15, 0.15
	var s Scene
	switch pick(random, passages, meetings, walls, rest) {
	case 0:
		objects := 1 + pick(random, 0.3, 0.45, 0.25)
		s = drawUntil(random, layout{objects: objects, columns: someColumns, wall: never, narrow: random.IntN(2) == 1}, (*Scene).passes)
	case 1:
		s = drawUntil(random, layout{objects: 2 + random.IntN(2), columns: noColumns, wall: never}, (*Scene).meets)
	case 2:
		s, _ = drawScene(random, layout{wall: always})
	default:
		return Possible(random)
	}
	s.play()
	return s
}

// Crowded draws a possible scene, like Eventful, in which as much as can be remembered happens at once: of three to five things at least
// half pass behind a column and come out again.
func Crowded(random *rand.Rand) Scene {
	objects := 3 + pick(random, 0.4, 0.4, 0.2)
	s := drawUntil(random, layout{objects: objects, columns: someColumns, wall: never, narrow: random.IntN(2) == 1},
		func(s *Scene, paths []path) bool { return 2*s.passages(paths) >= objects })
	s.play()
	return s
}

// drawUntil draws scenes until something happens in one.
func drawUntil(random *rand.Rand, l layout, happens func(*Scene, []path) bool) Scene {
	for {
		if s, paths := drawScene(random, l); happens(&s, paths) {
			return s
		}
	}
}

// passes says whether an object is seen, then hidden for some frames, then seen again.
func (s *Scene) passes(paths []path) bool { return s.passages(paths) > 0 }

// passages is how many objects pass.
func (s *Scene) passages(paths []path) (count int) {
	const seen, hidden = 3, 1 // frames
	for i, o := range s.Objects {
		before, behind, after := 0, 0, 0
		for frame := range Frames {
			x := paths[i].at(frame).x
			switch {
			case s.hides(o.Radius, x):
				behind++
			case s.touches(o.Radius, x):
			case behind == 0:
				before++
			default:
				after++
			}
		}
		if before >= seen && behind >= hidden && after >= seen {
			count++
		}
	}
	return count
}

// meets says whether two objects, apart at first, come to lie on each other.
func (s *Scene) meets(paths []path) bool {
	const first, last, near = 4, 18, 6.0
	for i := range paths {
		for k := range i {
			if distance(paths[i].at(0), paths[k].at(0)) < 2*near {
				continue
			}
			for frame := first; frame < last; frame++ {
				if distance(paths[i].at(frame), paths[k].at(frame)) < near {
					return true
				}
			}
		}
	}
	return false
}
