package picture

import (
	"encoding/binary"
	"fmt"
	"image"
	"math"
	"slices"

	"gocv.io/x/gocv"

	"github.com/ensue-video/ensue/stream"
)

// Heat is the energy of every place at one moment, `[Height, Width]`.
type Heat struct {
	Values        []float32
	Width, Height int
	// Low is the energy that stays without colour, High the one with all of it.
	Low, High float32
}

// maxPlaces is how large a grid is believed to be one.
const maxPlaces = 1 << 20

// HeatAt is step t of a result's map; nil where the result has none. usual is what a place of this stream usually has (Usual); what is not
// above it stays cold, and the hottest place of the map, but at least three times the usual, is hot (invariant 2). Where usual is 0 it is
// the median of the map itself.
func HeatAt(result *stream.Result, t int, usual float64) *Heat {
	values, steps, height, width := unpack(result.Map)
	if values == nil || t < 0 || t >= steps {
		return nil
	}
	ordered := slices.Clone(values)
	slices.Sort(ordered)
	low := float32(usual)
	if low <= 0 {
		low = ordered[len(ordered)/2]
	}
	places := height * width
	return &Heat{
		Values: values[t*places : (t+1)*places], Width: width, Height: height,
		Low: low, High: max(3*low, ordered[len(ordered)-1], math.SmallestNonzeroFloat32),
	}
}

// Usual follows what a place of a stream usually has in its maps: their means, those of the past fading. The unit of a result's own
// energy may be another one. One goroutine uses it at a time.
type Usual struct {
	level float64
	count int
}

// fades is after how many results the past has faded.
const fades = 30

// Level is what is usual so far; 0 where nothing is known.
func (u *Usual) Level() float64 { return u.level }

// Observe adds the map of a result; what broke or stalled does not change what is usual.
func (u *Usual) Observe(result *stream.Result) {
	values, _, _, _ := unpack(result.Map)
	if values == nil || result.Verdict == stream.Breaks || result.Verdict == stream.Stalls {
		return
	}
	total := 0.0
	for _, value := range values {
		total += float64(value)
	}
	mean := total / float64(len(values))
	if math.IsNaN(mean) || math.IsInf(mean, 0) {
		return
	}
	u.count = min(u.count+1, fades)
	u.level += (mean - u.level) / float64(u.count)
}

// Steps is how many moments the result's map has.
func Steps(result *stream.Result) int {
	_, steps, _, _ := unpack(result.Map)
	return steps
}

// unpack reads a map `[T', H', W']`; values is nil where there is none that can be read.
func unpack(array *stream.Array) (values []float32, steps, height, width int) {
	if array == nil || array.Encoding != "float16-base64" || len(array.Shape) != 3 {
		return nil, 0, 0, 0
	}
	steps, height, width = int(array.Shape[0]), int(array.Shape[1]), int(array.Shape[2])
	if steps <= 0 || height <= 0 || width <= 0 || height > maxPlaces/width || len(array.Data) != 2*steps*height*width {
		return nil, 0, 0, 0
	}
	values = make([]float32, steps*height*width)
	for i := range values {
		values[i] = widen(binary.LittleEndian.Uint16(array.Data[2*i:]))
	}
	return values, steps, height, width
}

// widen is an IEEE 754 half as a float32.
func widen(half uint16) float32 {
	sign, exponent, fraction := uint32(half>>15)<<31, uint32(half>>10&0x1f), uint32(half&0x3ff)
	switch exponent {
	case 0:
		value := float32(fraction) / (1 << 24)
		if sign != 0 {
			return -value
		}
		return value
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// inferno is OpenCV's COLORMAP_INFERNO, which gocv has no name for: from black to pale yellow, and its lightness grows evenly, so that it
// also tells something to people who see colours differently.
const inferno gocv.ColormapTypes = 14

// opaque is how much of the frame the hottest place hides.
const opaque = 0.6

// layers are the heat at a size: its colours (BGR, `[H, W, 3]`) and how much of the frame each hides (`[H, W]`, 0 to 255). The caller
// closes both.
func (h *Heat) layers(size image.Point) (colours, alpha gocv.Mat, err error) {
	levels := make([]byte, len(h.Values))
	for i, value := range h.Values {
		levels[i] = uint8(255*min(max((value-h.Low)/(h.High-h.Low), 0), 1) + 0.5)
	}
	grid, err := gocv.NewMatFromBytes(h.Height, h.Width, gocv.MatTypeCV8U, levels)
	if err != nil {
		return colours, alpha, fmt.Errorf("drawing a map: %w", err)
	}
	defer grid.Close()
	alpha, colours = gocv.NewMat(), gocv.NewMat()
	gocv.Resize(grid, &alpha, size, 0, 0, gocv.InterpolationLinear)
	gocv.ApplyColorMap(alpha, &colours, inferno)
	alpha.MultiplyFloat(opaque)
	return colours, alpha, nil
}

// blend lays the heat over a picture, BGR.
func (h *Heat) blend(frame *gocv.Mat) error {
	colours, alpha, err := h.layers(image.Pt(frame.Cols(), frame.Rows()))
	if err != nil {
		return err
	}
	defer colours.Close()
	defer alpha.Close()
	under, err := frame.DataPtrUint8()
	if err != nil {
		return fmt.Errorf("drawing a map: %w", err)
	}
	over, err := colours.DataPtrUint8()
	if err != nil {
		return fmt.Errorf("drawing a map: %w", err)
	}
	hides, err := alpha.DataPtrUint8()
	if err != nil {
		return fmt.Errorf("drawing a map: %w", err)
	}
	for i, a := range hides {
		for c := 3 * i; c < 3*i+3; c++ {
			under[c] = uint8((int(under[c])*(255-int(a)) + int(over[c])*int(a) + 127) / 255)
		}
	}
	return nil
}

// Overlay is the heat alone as a PNG that is transparent where nothing is hot, of the size; it is to be laid over a frame and stretched to
// it, so a small size will do.
func (h *Heat) Overlay(size image.Point) ([]byte, error) {
	colours, alpha, err := h.layers(size)
	if err != nil {
		return nil, err
	}
	defer colours.Close()
	defer alpha.Close()
	both := gocv.NewMat()
	defer both.Close()
	planes := gocv.Split(colours)
	defer func() {
		for _, plane := range planes {
			plane.Close()
		}
	}()
	gocv.Merge([]gocv.Mat{planes[0], planes[1], planes[2], alpha}, &both)
	return encode(gocv.PNGFileExt, both, gocv.IMWritePngCompression, 9)
}
