package nn

import "github.com/ensue-video/ensue/nn/internal/reference"

// ToBFloat16 rounds to bfloat16, the upper half of a float32's bits: to the nearest, ties to even.
func ToBFloat16(x []float32) []uint16 {
	y := make([]uint16, len(x))
	reference.Narrow(y, x)
	return y
}

// FromBFloat16 widens bfloat16, exactly.
func FromBFloat16(x []uint16) []float32 {
	y := make([]float32, len(x))
	reference.Widen(y, x)
	return y
}
