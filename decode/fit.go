package decode

import "fmt"

// Fit is how a picture of any shape becomes one of the size asked for.
type Fit int

const (
	// Squash keeps the whole picture and gives up its shape: areas are averaged to the size, whatever the sides.
	Squash Fit = iota
	// Crop keeps the shape and gives up the edges, as transformers' VJEPA2VideoProcessor does: the shorter side is resized to
	// int(side·256/224), antialiased, and the square in the middle is cut out.
	Crop
)

// String names the fit.
func (f Fit) String() string {
	if f == Crop {
		return "crop"
	}
	return "squash"
}

// WithFit sets how pictures are made to fit; without it they are squashed. Crop makes square pictures only.
func WithFit(fit Fit) Option { return func(d *Decoder) { d.fit = fit } }

// check says whether pictures of the size can be made so.
func (f Fit) check(size Size) error {
	if f == Crop && size.Width != size.Height {
		return fmt.Errorf("frames of %dx%d pixels; a crop is a square", size.Width, size.Height)
	}
	return nil
}

// cut is a picture that is resized to a whole and of which a square is kept; of the whole no more is computed than that.
type cut struct{ x, y span }

// span is one side of a cut: of the picture's from pixels, resized to whole, the keep pixels after begin are kept.
type span struct{ from, whole, begin, keep int }

// newCut is the cut of a picture of width × height pixels as they lie in memory that leaves a square of a side once it is turned by o.
func newCut(width, height, side int, o orientation) cut {
	edge := side * 256 / 224
	wide, high := edge, edge
	if width > height {
		wide = edge * width / height
	} else {
		high = edge * height / width
	}
	// The middle is rounded towards the start of the picture as it is shown, which may be the end of it as it lies in memory.
	flipX, flipY := o.flipX, o.flipY
	if o.swap {
		flipX, flipY = flipY, flipX
	}
	return cut{x: newSpan(width, wide, side, flipX), y: newSpan(height, high, side, flipY)}
}

func newSpan(from, whole, keep int, flip bool) span {
	begin := (whole - keep) / 2
	if flip {
		begin = whole - keep - begin
	}
	return span{from: from, whole: whole, begin: begin, keep: keep}
}
