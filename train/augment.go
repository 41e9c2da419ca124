package train

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// AugmentConfig says how windows of footage are varied. Every random choice is made once a window: past and future are changed alike.
// The zero value varies nothing. Lengths in pixels are those of a picture of 128 and grow with it.
type AugmentConfig struct {
	// Stride multiplies the distance between frames by exp(U(-Stride, Stride)).
	Stride float64 `yaml:"stride"`
	// Reverse is the probability of playing backwards.
	Reverse float64 `yaml:"reverse"`
	// MinArea is the smallest part of the picture that is cut out (1: nothing is), Aspect its proportions: exp(U(-Aspect, Aspect)).
	MinArea float64 `yaml:"min_area"`
	Aspect  float64 `yaml:"aspect"`
	// Camera is the probability of a virtual camera, which moves N(0, Pan) pixels a frame and zooms by N(0, Zoom) a frame.
	Camera float64 `yaml:"camera"`
	Pan    float64 `yaml:"pan"`
	Zoom   float64 `yaml:"zoom"`
	// Flip is the probability of swapping left and right.
	Flip float64 `yaml:"flip"`
	// Paste is the probability of a patch of another clip, 12 to 44 pixels, that moves N(0, 2) pixels a frame.
	Paste float64 `yaml:"paste"`
	// Colour is the probability of another contrast, brightness, saturation and balance.
	Colour float64 `yaml:"colour"`
}

// DefaultAugment is the variation that the recipe of docs/learning.md was measured with.
func DefaultAugment() AugmentConfig {
	return AugmentConfig{
		Stride: 0.5, Reverse: 0.3, MinArea: 0.4, Aspect: 0.25, Camera: 0.4, Pan: 1.2, Zoom: 0.006, Flip: 0.5, Paste: 0.3, Colour: 0.6,
	}
}

// augmentSide is the size that AugmentConfig's lengths are told for.
const augmentSide = 128

// Augment draws a window of the clip, `[frames, side, side, 3]` RGB, and varies it. fps is the rate of the window without variation; the
// clip is sampled at whole multiples of its own frames. other, which may be nil, is where a pasted patch comes from. It fails where the
// clip has fewer frames than the window.
func Augment(random *rand.Rand, config AugmentConfig, clip, other *Clip, fps float64, frames, side int, out []byte) error {
	w, err := drawWindow(random, config, clip, fps, frames)
	if err != nil {
		return err
	}
	v := drawView(random, config, clip.Side, frames, side)
	for i := range frames {
		v.render(out[i*side*side*3:(i+1)*side*side*3], clip.Frame(w.at(i)), i)
	}
	if random.Float64() < config.Paste && other != nil {
		drawPatch(random, other, frames, side).paste(out)
	}
	if random.Float64() < config.Colour {
		drawColour(random).apply(out)
	}
	return nil
}

// Stride is how many frames of a clip apart two frames of a window are, for a rate and a factor of time.
func Stride(clip *Clip, fps, factor float64) int {
	return max(1, int(math.Round(clip.FPS()/fps*factor)))
}

// window are the frames of a clip that a window is made of.
type window struct{ start, stride int }

func (w window) at(i int) int { return w.start + i*w.stride }

// drawWindow draws where in time the window is. A clip that is too short for the stride is taken with the longest that fits.
func drawWindow(random *rand.Rand, config AugmentConfig, clip *Clip, fps float64, frames int) (window, error) {
	if clip.Count < frames {
		return window{}, fmt.Errorf("drawing a window of %d frames: %s has %d", frames, clip.Path, clip.Count)
	}
	stride := Stride(clip, fps, math.Exp(config.Stride*(2*random.Float64()-1)))
	if frames > 1 {
		stride = min(stride, (clip.Count-1)/(frames-1))
	}
	w := window{stride: stride}
	w.start = random.IntN(clip.Count - stride*(frames-1))
	if random.Float64() < config.Reverse {
		w.start += stride * (frames - 1)
		w.stride = -stride
	}
	return w, nil
}

// view is what a virtual camera sees of a picture: a box that moves and grows steadily. Everything is in pixels of the source.
type view struct {
	x, y          float64 // centre in the middle frame
	width, height float64
	panX, panY    float64 // a frame
	zoom          float64 // factor a frame
	middle        float64
	flip          bool
	source, side  int

	columns, rows []tap
}

// tap is where a row or a column of the result is read: two neighbours, and how much of the second, in 256ths.
type tap struct{ first, second, part int }

func drawView(random *rand.Rand, config AugmentConfig, source, frames, side int) *view {
	v := &view{
		source: source, side: side, width: float64(source), height: float64(source), zoom: 1, middle: float64(frames-1) / 2,
		columns: make([]tap, side), rows: make([]tap, side),
	}
	if config.MinArea > 0 && config.MinArea < 1 {
		area, aspect := config.MinArea+(1-config.MinArea)*random.Float64(), math.Exp(config.Aspect*(2*random.Float64()-1))
		v.width = min(1, math.Sqrt(area*aspect)) * float64(source)
		v.height = min(1, math.Sqrt(area/aspect)) * float64(source)
	}
	if random.Float64() < config.Camera {
		scale := float64(source) / augmentSide
		v.panX, v.panY = random.NormFloat64()*config.Pan*scale, random.NormFloat64()*config.Pan*scale
		v.zoom = math.Exp(random.NormFloat64() * config.Zoom)
	}
	largest := math.Exp(math.Abs(math.Log(v.zoom)) * v.middle)
	v.x = v.place(random, v.width*largest/2+math.Abs(v.panX)*v.middle)
	v.y = v.place(random, v.height*largest/2+math.Abs(v.panY)*v.middle)
	v.flip = random.Float64() < config.Flip
	return v
}

// place draws a centre that keeps the whole path inside the picture where that is possible; else the border repeats.
func (v *view) place(random *rand.Rand, margin float64) float64 {
	u := random.Float64()
	if margin >= float64(v.source)/2 {
		return float64(v.source) / 2
	}
	return margin + u*(float64(v.source)-2*margin)
}

// render draws frame i of the window.
func (v *view) render(out, from []byte, i int) {
	away := float64(i) - v.middle
	scale := math.Pow(v.zoom, away)
	taps(v.columns, v.x+v.panX*away, v.width*scale, v.source)
	taps(v.rows, v.y+v.panY*away, v.height*scale, v.source)
	if v.flip {
		for a, b := 0, len(v.columns)-1; a < b; a, b = a+1, b-1 {
			v.columns[a], v.columns[b] = v.columns[b], v.columns[a]
		}
	}
	n := 3 * v.source
	for y, row := range v.rows {
		upper, lower := from[row.first*n:(row.first+1)*n], from[row.second*n:(row.second+1)*n]
		line := out[y*v.side*3 : (y+1)*v.side*3]
		for x, c := range v.columns {
			a, b := 3*c.first, 3*c.second
			for k := range 3 {
				top := int(upper[a+k])*(256-c.part) + int(upper[b+k])*c.part
				bottom := int(lower[a+k])*(256-c.part) + int(lower[b+k])*c.part
				line[3*x+k] = byte((top*(256-row.part) + bottom*row.part + 1<<15) >> 16)
			}
		}
	}
}

// taps fills where the columns (or rows) of the result are read, for a box around centre.
func taps(to []tap, centre, length float64, source int) {
	step := length / float64(len(to))
	for i := range to {
		at := centre + (float64(i)+0.5)*step - length/2 - 0.5
		at = min(max(at, 0), float64(source-1))
		first := int(at)
		to[i] = tap{first, min(first+1, source-1), int((at - float64(first)) * 256)}
	}
}

// patch is a piece of another clip that flies through the window.
type patch struct {
	frame                []byte
	source, side, frames int
	fromX, fromY         int
	width, height        int
	x, y, speedX, speedY float64
	ellipse              bool
}

func drawPatch(random *rand.Rand, other *Clip, frames, side int) *patch {
	scale := float64(side) / augmentSide
	length := func() int { return min(int(math.Round((12+32*random.Float64())*scale)), side, other.Side) }
	p := &patch{
		frame: other.Frame(random.IntN(other.Count)), source: other.Side, side: side, frames: frames,
		width: max(1, length()), height: max(1, length()), ellipse: random.Float64() < 0.7,
		x: random.Float64() * float64(side), y: random.Float64() * float64(side),
		speedX: random.NormFloat64() * 2 * scale, speedY: random.NormFloat64() * 2 * scale,
	}
	p.fromX, p.fromY = random.IntN(p.source-p.width+1), random.IntN(p.source-p.height+1)
	return p
}

func (p *patch) paste(out []byte) {
	for i := range p.frames {
		left := int(math.Round(p.x+p.speedX*float64(i))) - p.width/2
		top := int(math.Round(p.y+p.speedY*float64(i))) - p.height/2
		p.draw(out[i*p.side*p.side*3:(i+1)*p.side*p.side*3], left, top)
	}
}

func (p *patch) draw(frame []byte, left, top int) {
	for y := range p.height {
		first, last := p.span(y)
		first, last = max(first, -left), min(last, p.side-left)
		if top+y < 0 || top+y >= p.side || first >= last {
			continue
		}
		from := ((p.fromY+y)*p.source + p.fromX) * 3
		to := ((top+y)*p.side + left) * 3
		copy(frame[to+3*first:to+3*last], p.frame[from+3*first:from+3*last])
	}
}

// span are the columns of a row of the patch.
func (p *patch) span(y int) (first, last int) {
	if !p.ellipse {
		return 0, p.width
	}
	up := (float64(y)+0.5)/float64(p.height)*2 - 1
	half := math.Sqrt(1-up*up) * float64(p.width) / 2
	return int(math.Ceil(float64(p.width)/2 - half)), int(float64(p.width)/2 + half)
}

// colour is another camera's idea of the same colours: v' = gain (contrast (grey + saturation (v - grey) - 128) + 128 + brightness).
type colour struct {
	contrast, brightness, saturation float64
	gain                             [3]float64
}

func drawColour(random *rand.Rand) colour {
	c := colour{
		contrast: math.Exp(random.NormFloat64() * 0.2), brightness: random.NormFloat64() * 16, saturation: math.Exp(random.NormFloat64() * 0.3),
	}
	for k := range c.gain {
		c.gain[k] = math.Exp(random.NormFloat64() * 0.06)
	}
	return c
}

// apply works in 1024ths: the same on every machine.
func (c colour) apply(pixels []byte) {
	var own, grey, shift [3]int
	for k, gain := range c.gain {
		own[k] = int(1024 * gain * c.contrast * c.saturation)
		grey[k] = int(1024 * gain * c.contrast * (1 - c.saturation))
		shift[k] = int(1024 * gain * (128 - 128*c.contrast + c.brightness))
	}
	for i := 0; i < len(pixels); i += 3 {
		p := pixels[i : i+3 : i+3]
		mean := (int(p[0]) + int(p[1]) + int(p[2])) / 3
		for k, v := range p {
			p[k] = byte(min(max((int(v)*own[k]+mean*grey[k]+shift[k]+512)>>10, 0), 255))
		}
	}
}
