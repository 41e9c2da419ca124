package scenes

import "math/rand/v2"

// The size of every scene: Frames frames ("10 a second") of Side by Side pixels, RGB.
const (
	Frames = 24
	Side   = 64
	// Bytes is the size of a rendered scene, [Frames, Side, Side, 3].
	Bytes = Frames * Side * Side * 3
)

// Shape is what an object looks like.
type Shape uint8

// The shapes: a disc of the radius; a square of .88 of it to each side; a triangle with its apex up.
const (
	Disc Shape = iota
	Square
	Triangle
	shapes // how many there are
)

// Object is a thing that moves.
type Object struct {
	Shape  Shape
	Radius float64
	// Hue, Saturation and Value are its colour, each of [0, 1].
	Hue, Saturation, Value float64
	// Resting says that it stands still and gravity does not move it.
	Resting bool

	start motion
}

// Occluder is a column in front of everything: pixels [Left, Right) of every row.
type Occluder struct {
	Left, Right int
	colour      [3]float32
}

// Scene is what is in a picture, and where it is at every frame.
type Scene struct {
	// Objects are drawn in this order, the first one at the back.
	Objects   []Object
	Occluders []Occluder
	// Wall is the left edge of a column of wallWidth pixels that objects bounce off; 0: there is none.
	Wall int
	// Gravity is by how much objects that do not rest get faster downwards, in pixels per frame².
	Gravity float64

	// tracks says where and what every object is in every frame.
	tracks [][Frames]placement
	// still and noise seed the pixels: the background and the textures; the sensor.
	still, noise uint64
}

// placement is an object in one frame.
type placement struct {
	point
	absent bool
	shape  Shape
	hue    float64
}

// The numbers of the generator.
const (
	wallWidth                     = 4
	wallChance                    = 0.25
	gravityChance, gravity        = 0.3, 0.3
	restChance                    = 0.12
	levelChance                   = 0.5 // that an object moves along a row
	smallest, largest             = 4.5, 7.0
	slowest, fastest, rise        = 1.4, 3.2, 1.5
	sideOccluder                  = 8
	clearOfWall                   = 3
	placements                    = 30 // how often a position is redrawn before the scene is given up
	soft                          = 0.5
	narrowestColumn, widestColumn = 16.0, 22.0
	narrowColumn                  = 11.0
)

// layout restricts what a scene is drawn with.
type layout struct {
	objects int // 0: one, two or three
	columns columns
	wall    choice
	narrow  bool // columns, too, that hide a thing for a moment only
}

// choice says whether something is there.
type choice uint8

const (
	perhaps choice = iota
	never
	always
)

// columns says how many occluders there are.
type columns uint8

const (
	anyColumns  columns = iota // 0, 1 or 2
	noColumns                  // none
	someColumns                // 1 or 2
)

// Possible draws a scene in which nothing impossible happens.
func Possible(random *rand.Rand) Scene {
	s, _ := drawScene(random, layout{})
	s.play()
	return s
}

// drawScene draws scenes until one fits, and gives its objects' paths; tracks are left to play.
func drawScene(random *rand.Rand, l layout) (Scene, []path) {
	for {
		if s, ok := tryScene(random, l); ok {
			paths := s.paths()
			return s, paths
		}
	}
}

// tryScene draws a scene; false when its objects find no room.
func tryScene(random *rand.Rand, l layout) (Scene, bool) {
	s := Scene{still: random.Uint64(), noise: random.Uint64()}
	if l.wall == always || l.wall == perhaps && random.Float64() < wallChance {
		s.Wall = 22 + random.IntN(21)
	}
	if s.Wall == 0 {
		s.drawOccluders(random, l.columns, l.narrow)
	}
	if random.Float64() < gravityChance {
		s.Gravity = gravity
	}
	count := l.objects
	if count == 0 {
		count = 1 + pick(random, 0.40, 0.45, 0.15)
	}
	for range count {
		o := drawObject(random)
		if !s.place(random, &o) {
			return s, false
		}
		s.Objects = append(s.Objects, o)
	}
	return s, true
}

// drawOccluders draws the columns. The second one lies at a border, and only where the first one leaves room on both sides.
func (s *Scene) drawOccluders(random *rand.Rand, c columns, narrow bool) {
	count := 0
	switch c {
	case anyColumns:
		count = pick(random, 0.25, 0.5, 0.25)
	case someColumns:
		count = 1 + pick(random, 0.7, 0.3)
	case noColumns:
	}
	if count == 0 {
		return
	}
	narrowest := narrowestColumn
	if narrow {
		narrowest = narrowColumn
	}
	width := uniform(random, narrowest, widestColumn)
	left := uniform(random, 10, 54-width)
	first := Occluder{Left: int(left + 0.5), Right: int(left + width + 0.5), colour: drawGrey(random, 0.15, 0.75)}
	s.Occluders = append(s.Occluders, first)
	if count == 2 && first.Left >= 22 && first.Right <= 42 {
		second := Occluder{Left: 0, Right: sideOccluder, colour: drawGrey(random, 0.15, 0.75)}
		if random.IntN(2) == 1 {
			second.Left, second.Right = Side-sideOccluder, Side
		}
		s.Occluders = append(s.Occluders, second)
	}
}

// drawGrey is a grey with a little colour in it.
func drawGrey(random *rand.Rand, darkest, brightest float64) [3]float32 {
	base := uniform(random, darkest, brightest)
	var colour [3]float32
	for c := range colour {
		colour[c] = float32(base + uniform(random, -0.08, 0.08))
	}
	return colour
}

func drawObject(random *rand.Rand) Object {
	o := Object{
		Shape: Shape(random.IntN(int(shapes))), Radius: uniform(random, smallest, largest),
		Hue: random.Float64(), Saturation: uniform(random, 0.75, 1), Value: uniform(random, 0.75, 1),
	}
	if random.Float64() < restChance {
		o.Resting = true
		return o
	}
	o.start.vx = uniform(random, slowest, fastest)
	if random.IntN(2) == 1 {
		o.start.vx = -o.start.vx
	}
	if random.Float64() >= levelChance {
		o.start.vy = uniform(random, -rise, rise)
	}
	return o
}

// place finds the object a place to start from; false where it finds none.
func (s *Scene) place(random *rand.Rand, o *Object) bool {
	for range placements {
		o.start.x = uniform(random, o.Radius, Side-o.Radius)
		o.start.y = uniform(random, o.Radius, Side-o.Radius)
		if o.Resting && s.Gravity > 0 {
			o.start.y = Side - o.Radius
		}
		if !s.touches(o.Radius, o.start.x) && s.clearOfWall(o.Radius, o.start.x) {
			return true
		}
	}
	return false
}

func (s *Scene) clearOfWall(radius, x float64) bool {
	margin := radius + clearOfWall
	return s.Wall == 0 || x+margin <= float64(s.Wall) || x-margin >= float64(s.Wall+wallWidth)
}

// touches says whether any part of a thing at x may lie behind an occluder.
func (s *Scene) touches(radius, x float64) bool {
	for _, column := range s.Occluders {
		if x+radius+soft > float64(column.Left) && x-radius-soft < float64(column.Right) {
			return true
		}
	}
	return false
}

// hides says whether a thing at x lies behind an occluder as a whole.
func (s *Scene) hides(radius, x float64) bool {
	for _, column := range s.Occluders {
		if x-radius-soft >= float64(column.Left) && x+radius+soft <= float64(column.Right) {
			return true
		}
	}
	return false
}

// paths are where the objects go by the scene's physics.
func (s *Scene) paths() []path {
	paths := make([]path, len(s.Objects))
	for i, o := range s.Objects {
		paths[i] = s.world(o).path(o.start, o.Radius)
	}
	return paths
}

// world is the physics that an object obeys.
func (s *Scene) world(o Object) world {
	if o.Resting {
		return world{wall: s.Wall}
	}
	return world{gravity: s.Gravity, wall: s.Wall}
}

// play lets every object follow its path.
func (s *Scene) play() {
	s.tracks = make([][Frames]placement, len(s.Objects))
	for i, p := range s.paths() {
		s.follow(i, 0, func(frame int) point { return p.at(frame) })
	}
}

// follow puts an object where path says, from a frame on.
func (s *Scene) follow(object, from int, path func(frame int) point) {
	for frame := from; frame < Frames; frame++ {
		s.tracks[object][frame].point = path(frame)
		s.tracks[object][frame].shape = s.Objects[object].Shape
		s.tracks[object][frame].hue = s.Objects[object].Hue
	}
}

// clone is a copy whose tracks can be changed.
func (s *Scene) clone() Scene {
	c := *s
	c.tracks = append([][Frames]placement(nil), s.tracks...)
	return c
}

func uniform(random *rand.Rand, low, high float64) float64 { return low + (high-low)*random.Float64() }

// pick draws an index with the chances given; the last one takes what is left.
func pick(random *rand.Rand, chances ...float64) int {
	u := random.Float64()
	for i, chance := range chances {
		if u -= chance; u < 0 {
			return i
		}
	}
	return len(chances) - 1
}
