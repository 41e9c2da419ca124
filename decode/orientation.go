package decode

import (
	"gocv.io/x/gocv"
)

// orientation is how a picture must be turned to stand upright: one of the eight ways to lay a rectangle on itself.
type orientation struct {
	// swap exchanges rows and columns; then flipX mirrors left and right, flipY top and bottom.
	swap, flipX, flipY bool
}

// newOrientation reads a display matrix (ISO/IEC 14496-12 §6.2.2): (x, y) is shown at (a·x+c·y, b·x+d·y). Angles that are no
// multiple of 90° count as the nearest one.
func newOrientation(matrix [9]int32) orientation {
	a, b, c, d := int64(matrix[0]), int64(matrix[1]), int64(matrix[3]), int64(matrix[4])
	if abs(a)+abs(d) >= abs(b)+abs(c) {
		return orientation{flipX: a < 0, flipY: d < 0}
	}
	return orientation{swap: true, flipX: c < 0, flipY: b < 0}
}

func abs(v int64) int64 { return max(v, -v) }

// upright says that nothing is to be done.
func (o orientation) upright() bool { return o == orientation{} }

// apply turns src into dst. The two are different Mats.
func (o orientation) apply(src gocv.Mat, dst *gocv.Mat, scratch *gocv.Mat) {
	if o.swap {
		if !o.flipX && !o.flipY {
			gocv.Transpose(src, dst)
			return
		}
		gocv.Transpose(src, scratch)
		src = *scratch
	}
	switch {
	case o.flipX && o.flipY:
		gocv.Flip(src, dst, -1)
	case o.flipX:
		gocv.Flip(src, dst, 1)
	case o.flipY:
		gocv.Flip(src, dst, 0)
	default:
		src.CopyTo(dst)
	}
}
