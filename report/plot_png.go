package report

import (
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"slices"
	"strings"

	"gocv.io/x/gocv"
)

// raster is a canvas that becomes a PNG file. Everything is drawn twice as large as it is shown, for screens that show it so.
type raster struct {
	width, height int
	draw          []func(*gocv.Mat)
}

const twice = 2

func newRaster(width, height int) *raster { return &raster{width: width, height: height} }

// fraction is how many bits of a coordinate OpenCV is given behind the pixel.
const fraction = 4

// fill fills a polygon with smooth edges.
func fill(mat *gocv.Mat, corners []spot, colour color.RGBA) {
	all := make([]image.Point, len(corners))
	for i, p := range corners {
		all[i] = image.Pt(int(math.Round(twice*p.x*(1<<fraction))), int(math.Round(twice*p.y*(1<<fraction))))
	}
	points := gocv.NewPointsVectorFromPoints([][]image.Point{all})
	defer points.Close()
	gocv.FillPolyWithParams(mat, points, colour, gocv.LineAA, fraction, image.Point{})
}

// rgb is a colour, laid over white where it is not opaque: what is drawn first is the background.
func rgb(colour int, opacity float64) color.RGBA {
	over := func(shift int) uint8 {
		return uint8(math.Round(255 - opacity*(255-float64(colour>>shift&0xff))))
	}
	return color.RGBA{R: over(16), G: over(8), B: over(0), A: 255}
}

func (r *raster) area(corners []spot, colour int, opacity float64) {
	r.draw = append(r.draw, func(mat *gocv.Mat) { fill(mat, corners, rgb(colour, opacity)) })
}

// line fills a bar from each point to the next: OpenCV's own lines have steps.
func (r *raster) line(through []spot, colour int, width float64) {
	r.draw = append(r.draw, func(mat *gocv.Mat) {
		for i := 1; i < len(through); i++ {
			a, b := through[i-1], through[i]
			length := math.Hypot(b.x-a.x, b.y-a.y)
			if length == 0 {
				continue
			}
			along := spot{(b.x - a.x) / length * width / 4, (b.y - a.y) / length * width / 4} // a little longer, so that bars meet
			across := spot{-2 * along.y, 2 * along.x}
			a, b = spot{a.x - along.x, a.y - along.y}, spot{b.x + along.x, b.y + along.y}
			fill(mat, []spot{
				{a.x + across.x, a.y + across.y},
				{b.x + across.x, b.y + across.y},
				{b.x - across.x, b.y - across.y},
				{a.x - across.x, a.y - across.y},
			}, rgb(colour, 1))
		}
	})
}

func (r *raster) text(at spot, from anchor, size float64, colour int, text string) {
	text = latin(text)
	r.draw = append(r.draw, func(mat *gocv.Mat) {
		const face, unit = gocv.FontHersheySimplex, 30.0 // its letters are about 30 pixels high, descenders included, at a scale of 1
		fits := twice * size / unit
		place := image.Pt(int(math.Round(twice*at.x)), int(math.Round(twice*at.y)))
		place.X -= int(from) * gocv.GetTextSize(text, face, fits, 1).X / 2
		gocv.PutTextWithParams(mat, text, place, face, fits, rgb(colour, 1), 1, gocv.LineAA, false)
	})
}

// latin is the text in the letters that OpenCV draws; others become question marks.
func latin(text string) string {
	return strings.Map(func(letter rune) rune {
		if letter < ' ' || letter > '~' {
			return '?'
		}
		return letter
	}, text)
}

func (r *raster) write(w io.Writer) error {
	mat := gocv.NewMatWithSizeFromScalar(gocv.NewScalar(255, 255, 255, 0), twice*r.height, twice*r.width, gocv.MatTypeCV8UC3)
	defer mat.Close()
	for _, draw := range r.draw {
		draw(&mat)
	}
	buffer, err := gocv.IMEncodeWithParams(gocv.PNGFileExt, mat, []int{gocv.IMWritePngCompression, 9})
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	defer buffer.Close()
	_, err = w.Write(slices.Clone(buffer.GetBytes()))
	return err
}
