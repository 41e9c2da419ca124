package decode

import (
	"gocv.io/x/gocv"
)

// Colour spaces as ITU-T H.273 numbers them (matrix coefficients, table 4); FFmpeg's AVColorSpace is the same.
const (
	matrixRGB         = 0
	matrixBT709       = 1
	matrixUnspecified = 2
	matrixFCC         = 4
	matrixSMPTE240M   = 7
	matrixYCgCo       = 8
	matrixBT2020NCL   = 9
	matrixBT2020CL    = 10
)

// colour is what decides how the three components of a pixel become red, green and blue.
type colour struct {
	// matrix is one of the numbers above.
	matrix int
	// full says that luma uses 0–255, not 16–235.
	full bool
	// grey says that there is only luma, rgb that the components are red, green and blue already.
	grey, rgb bool
}

// luma are the weights of red and blue in luma (ITU-T H.273, table 4).
func luma(matrix int) (red, blue float64) {
	switch matrix {
	case matrixBT709:
		return 0.2126, 0.0722
	case matrixFCC:
		return 0.30, 0.11
	case matrixSMPTE240M:
		return 0.212, 0.087
	case matrixBT2020NCL, matrixBT2020CL:
		return 0.2627, 0.0593
	}
	return 0.299, 0.114 // BT.601, and what FFmpeg takes where nothing is said
}

// affine is the 3×4 matrix from (Y, Cb, Cr, 1), or (R, G, B, 1), in 0–255 to (R, G, B) in 0–255 (ITU-T H.273, equations 38 to 40
// and 4x, solved for the colours).
func (c colour) affine() [3][4]float64 {
	if c.rgb {
		return [3][4]float64{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}
	}
	scaleY, scaleC, black := 1.0, 1.0, 0.0
	if !c.full {
		scaleY, scaleC, black = 255.0/219, 255.0/224, 16
	}
	if c.grey {
		scaleC = 0
	}
	red, blue := luma(c.matrix)
	green := 1 - red - blue
	rows := [3][2]float64{
		{0, 2 * (1 - red)},
		{-2 * (1 - blue) * blue / green, -2 * (1 - red) * red / green},
		{2 * (1 - blue), 0},
	}
	if c.matrix == matrixYCgCo {
		rows = [3][2]float64{{-1, 1}, {1, 0}, {-1, -1}}
	}
	var m [3][4]float64
	for i, row := range rows {
		cb, cr := scaleC*row[0], scaleC*row[1]
		m[i] = [4]float64{scaleY, cb, cr, -scaleY*black - 128*(cb+cr)}
	}
	return m
}

// toEight is how a component of more bits becomes one of 8: times scale plus offset (ITU-T H.273, equations 20 to 31). chroma says that
// the component is one of the later two.
func (c colour) toEight(depth int, chroma bool) (scale, offset float64) {
	if !c.full && !c.rgb {
		return 1 / float64(int(1)<<(depth-8)), 0
	}
	scale = 255 / float64(int(1)<<depth-1)
	if chroma && !c.rgb {
		offset = 128 - scale*float64(int(1)<<(depth-1))
	}
	return scale, offset
}

// mat is the matrix as OpenCV's transform takes it: 3×4 float32. The caller closes it.
func (c colour) mat() gocv.Mat {
	m := gocv.NewMatWithSize(3, 4, gocv.MatTypeCV32F)
	for i, row := range c.affine() {
		for j, v := range row {
			m.SetFloatAt(i, j, float32(v))
		}
	}
	return m
}
