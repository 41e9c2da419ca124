package scenes

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
)

const (
	channels = 3
	row      = Side * channels
	picture  = Side * row

	coarse       = 6    // places of the background's clouds, each way
	clouds       = 0.06 // their strength
	grain        = 0.03 // of the background
	texture      = 0.04 // of an occluder
	sensor       = 0.015
	shading      = 0.12 // how much darker the lower edge of an object is
	wallLight    = 0.95
	wallDark     = 0.05
	wallPeriod   = 4
	squareExtent = 0.88
	coneBottom   = 0.75
	coneSlope    = 0.56
)

// Render draws the scene into out, [Frames, Side, Side, 3] RGB.
func (s *Scene) Render(out []uint8) {
	if len(out) != Bytes {
		panic(fmt.Sprintf("scenes: rendering into %d bytes, not the %d of a scene", len(out), Bytes))
	}
	random := rand.New(rand.NewPCG(s.still, 1))
	base := make([]float32, picture)
	paintBackground(random, base)
	s.paintWall(base)
	columns := s.paintOccluders(random)
	canvas := make([]float32, picture)
	noise := newNoise(s.noise)
	for frame := range Frames {
		copy(canvas, base)
		for i, o := range s.Objects {
			if at := s.tracks[i][frame]; !at.absent {
				paintObject(canvas, o, at)
			}
		}
		for i, column := range s.Occluders {
			for y := range Side {
				copy(canvas[y*row+column.Left*channels:y*row+column.Right*channels], columns[i][y*(column.Right-column.Left)*channels:])
			}
		}
		noise.expose(canvas, out[frame*picture:][:picture])
	}
}

// paintBackground draws a soft, grainy grey. All colours are in 1/255.
func paintBackground(random *rand.Rand, base []float32) {
	colour := drawGrey(random, 0.25, 0.6)
	var knots [coarse][coarse][channels]float64
	for y := range knots {
		for x := range knots[y] {
			for c := range knots[y][x] {
				knots[y][x][c] = clouds * random.NormFloat64()
			}
		}
	}
	var rows [coarse][Side][channels]float64
	for y := range rows {
		for x := range Side {
			at, weights := cubic(x)
			for c := range channels {
				for k, weight := range weights {
					rows[y][x][c] += weight * knots[y][clampKnot(at+k)][c]
				}
			}
		}
	}
	for y := range Side {
		at, weights := cubic(y)
		for x := range Side {
			for c := range channels {
				value := float64(colour[c]) + grain*random.NormFloat64()
				for k, weight := range weights {
					value += weight * rows[clampKnot(at+k)][x][c]
				}
				base[y*row+x*channels+c] = float32(255 * min(max(value, 0), 1))
			}
		}
	}
}

// cubic is the first of the four knots that pixel i of Side is interpolated from, and their weights (Keys 1981, a = -1/2).
func cubic(i int) (first int, weights [4]float64) {
	place := (float64(i)+0.5)*coarse/Side - 0.5
	first = int(math.Floor(place)) - 1
	for k := range weights {
		weights[k] = keys(math.Abs(place - float64(first+k)))
	}
	return first, weights
}

func keys(d float64) float64 {
	switch {
	case d < 1:
		return 1.5*d*d*d - 2.5*d*d + 1
	case d < 2:
		return -0.5*d*d*d + 2.5*d*d - 4*d + 2
	}
	return 0
}

func clampKnot(i int) int { return min(max(i, 0), coarse-1) }

// paintWall draws the wall behind the objects: one that passes through it is seen.
func (s *Scene) paintWall(base []float32) {
	if s.Wall == 0 {
		return
	}
	for y := range Side {
		light := float32(255 * wallDark)
		if y%wallPeriod == 0 {
			light = 255 * wallLight
		}
		for i := s.Wall * channels; i < (s.Wall+wallWidth)*channels; i++ {
			base[y*row+i] = light
		}
	}
}

// paintOccluders is the picture of each column, row by row.
func (s *Scene) paintOccluders(random *rand.Rand) [][]float32 {
	pictures := make([][]float32, len(s.Occluders))
	for i, column := range s.Occluders {
		pictures[i] = make([]float32, Side*(column.Right-column.Left)*channels)
		for k := range pictures[i] {
			value := float64(column.colour[k%channels]) + texture*random.NormFloat64()
			pictures[i][k] = float32(255 * min(max(value, 0), 1))
		}
	}
	return pictures
}

// paintObject draws an object with an edge that is one pixel soft.
func paintObject(canvas []float32, o Object, at placement) {
	colour := rgb(at.hue, o.Saturation, o.Value)
	reach := o.Radius + soft
	top, bottom := max(0, int(at.y-reach)), min(Side, int(at.y+reach)+1)
	left, right := max(0, int(at.x-reach)), min(Side, int(at.x+reach)+1)
	for y := top; y < bottom; y++ {
		dy := float64(y) + 0.5 - at.y
		light := float32(255 * (1 - shading*dy/o.Radius))
		for x := left; x < right; x++ {
			cover := float32(soft - outside(at.shape, o.Radius, float64(x)+0.5-at.x, dy))
			if cover <= 0 {
				continue
			}
			cover = min(cover, 1)
			for c, value := range colour {
				p := &canvas[y*row+x*channels+c]
				*p += cover * (value*light - *p)
			}
		}
	}
}

// outside is how far a place lies outside the shape; negative inside.
func outside(shape Shape, radius, dx, dy float64) float64 {
	switch shape {
	case Square:
		return max(math.Abs(dx), math.Abs(dy)) - squareExtent*radius
	case Triangle:
		slope := math.Hypot(1, coneSlope)
		return max(dy-coneBottom*radius, (math.Abs(dx)-coneSlope*(dy+radius))/slope)
	default:
		return math.Sqrt(dx*dx+dy*dy) - radius
	}
}

// rgb is a colour of hue, saturation and value (Smith 1978).
func rgb(hue, saturation, value float64) [channels]float32 {
	h := 6 * (hue - math.Floor(hue))
	var colour [channels]float32
	for c, turn := range [channels]float64{5, 3, 1} {
		k := math.Mod(turn+h, 6)
		colour[c] = float32(value - value*saturation*max(0, min(k, 4-k, 1)))
	}
	return colour
}

// noiseBits is how many random bits make a sample of noise.
const noiseBits = 12

// quantiles are the middles of 2^noiseBits equally likely stretches of N(0, (255 sensor)²): a draw from them is a draw from the normal
// distribution to the precision that 8 bits show, at a fifth of the cost.
var quantiles = sync.OnceValue(func() *[1 << noiseBits]float32 {
	table := new([1 << noiseBits]float32)
	for i := range table {
		share := (float64(i) + 0.5) / float64(len(table))
		table[i] = float32(255 * sensor * math.Sqrt2 * math.Erfinv(2*share-1))
	}
	return table
})

// noise is what a sensor adds to a picture, a sample a pixel and channel.
type noise struct {
	table  *[1 << noiseBits]float32
	source *rand.PCG
}

func newNoise(seed uint64) noise { return noise{quantiles(), rand.NewPCG(seed, 2)} }

// expose turns a picture into bytes, noise added.
func (n noise) expose(canvas []float32, out []uint8) {
	const perDraw = 64 / noiseBits
	for len(canvas) > 0 {
		bits := n.source.Uint64()
		count := min(perDraw, len(canvas))
		for i, value := range canvas[:count] {
			value += n.table[bits&(1<<noiseBits-1)] + 0.5
			bits >>= noiseBits
			out[i] = uint8(min(max(value, 0), 255))
		}
		canvas, out = canvas[count:], out[count:]
	}
}
