package train

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/ensue-video/ensue/eval/scenes"
)

// SceneSource draws possible scenes: objects with simple physics that pass behind columns and bounce off walls (package scenes). Half of
// them are mirrored, and their colour channels change places.
type SceneSource struct {
	// Eventful is the share of scenes in which something happens that needs memory (scenes.Eventful).
	Eventful float64
	// Crowded is the share in which much of that happens at once (scenes.Crowded).
	Crowded float64
}

// Name is "scenes".
func (SceneSource) Name() string { return "scenes" }

// Window draws a scene. Windows shorter than a scene begin anywhere in it; longer ones are refused.
func (s SceneSource) Window(random *rand.Rand, frames, side int, out []byte) error {
	if frames > scenes.Frames {
		return fmt.Errorf("a scene has %d frames, a window of %d was asked for", scenes.Frames, frames)
	}
	const size = scenes.Side * scenes.Side * 3
	all := make([]byte, scenes.Frames*size)
	scene := s.scene(random)
	scene.Render(all)
	first := random.IntN(scenes.Frames - frames + 1)
	v := drawView(random, AugmentConfig{Flip: 0.5}, scenes.Side, frames, side)
	order := random.Perm(3)
	for i := range frames {
		to := out[i*side*side*3 : (i+1)*side*side*3]
		v.render(to, all[(first+i)*size:(first+i+1)*size], i)
		permute(to, order)
	}
	return nil
}

func (s SceneSource) scene(random *rand.Rand) scenes.Scene {
	if s.Eventful+s.Crowded > 0 {
		switch u := random.Float64(); {
		case u < s.Eventful:
			return scenes.Eventful(random)
		case u < s.Eventful+s.Crowded:
			return scenes.Crowded(random)
		}
	}
	return scenes.Possible(random)
}

// permute lets the channels of RGB pixels change places.
func permute(pixels []byte, order []int) {
	for i := 0; i < len(pixels); i += 3 {
		p := [3]byte(pixels[i : i+3])
		pixels[i], pixels[i+1], pixels[i+2] = p[order[0]], p[order[1]], p[order[2]]
	}
}

// SpriteSource draws textured shapes that cross a textured background at constant speed, in front of each other, while the background
// moves too: motion and occlusion without anything to recognise.
type SpriteSource struct{}

// Name is "sprites".
func (SpriteSource) Name() string { return "sprites" }

// Window draws one to four shapes on a background.
func (SpriteSource) Window(random *rand.Rand, frames, side int, out []byte) error {
	scale := float64(side) / augmentSide
	background := newMover(random, side*2, scale*0.8)
	shapes := make([]*mover, 1+random.IntN(4))
	for i := range shapes {
		shapes[i] = newMover(random, int((16+40*random.Float64())*scale)+4, scale*2.5)
		shapes[i].x, shapes[i].y = random.Float64()*float64(side), random.Float64()*float64(side)
		shapes[i].round = random.Float64() < 0.5
	}
	for i := range frames {
		frame := out[i*side*side*3 : (i+1)*side*side*3]
		background.cover(frame, side, i)
		for _, s := range shapes {
			s.draw(frame, side, i)
		}
	}
	return nil
}

// mover is a square texture that moves.
type mover struct {
	texture        []byte
	size           int
	x, y           float64 // centre at frame 0
	speedX, speedY float64 // a frame
	round          bool
}

func newMover(random *rand.Rand, size int, speed float64) *mover {
	m := &mover{texture: make([]byte, size*size*3), size: size}
	drawTexture(random, m.texture, size)
	m.speedX, m.speedY = random.NormFloat64()*speed, random.NormFloat64()*speed
	return m
}

// cover fills a frame with the texture, which repeats.
func (m *mover) cover(frame []byte, side, i int) {
	left, top := wrap(int(math.Round(m.speedX*float64(i))), m.size), wrap(int(math.Round(m.speedY*float64(i))), m.size)
	for y := range side {
		row := m.texture[(y+top)%m.size*m.size*3:][:m.size*3]
		to := frame[y*side*3 : (y+1)*side*3]
		n := copy(to, row[left*3:])
		for n < len(to) {
			n += copy(to[n:], row)
		}
	}
}

func wrap(x, n int) int { return ((x % n) + n) % n }

func (m *mover) draw(frame []byte, side, i int) {
	p := patch{
		frame: m.texture, source: m.size, side: side, width: m.size, height: m.size, ellipse: m.round,
	}
	left := int(math.Round(m.x+m.speedX*float64(i))) - m.size/2
	top := int(math.Round(m.y+m.speedY*float64(i))) - m.size/2
	p.draw(frame, left, top)
}

// drawTexture fills a picture with a colour and smooth noise at three scales.
func drawTexture(random *rand.Rand, out []byte, size int) {
	var base [3]float64
	for k := range base {
		base[k] = 255 * (0.15 + 0.7*random.Float64())
	}
	values := make([]float64, size*size*3)
	for _, cells := range []int{3, 9, 27} {
		addNoise(random, values, size, cells, 24)
	}
	for i, v := range values {
		out[i] = byte(min(max(base[i%3]+v, 0), 255))
	}
}

// addNoise adds smooth noise: normal values on a grid of cells, cubic between them.
func addNoise(random *rand.Rand, values []float64, size, cells int, deviation float64) {
	n := cells + 1
	grid := make([]float64, n*n*3)
	for i := range grid {
		grid[i] = random.NormFloat64() * deviation
	}
	for y := range size {
		row, fy := cell(y, size, cells)
		for x := range size {
			column, fx := cell(x, size, cells)
			for k := range 3 {
				at := (row*n+column)*3 + k
				top := grid[at]*(1-fx) + grid[at+3]*fx
				bottom := grid[at+3*n]*(1-fx) + grid[at+3*n+3]*fx
				values[(y*size+x)*3+k] += top*(1-fy) + bottom*fy
			}
		}
	}
}

// cell is where a pixel lies on the grid, and how far on the way to the next point, smoothly.
func cell(x, size, cells int) (first int, part float64) {
	at := (float64(x) + 0.5) / float64(size) * float64(cells)
	first = min(int(at), cells-1)
	part = at - float64(first)
	return first, part * part * (3 - 2*part)
}
