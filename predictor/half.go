package predictor

import (
	"encoding/binary"
	"math"

	"github.com/ensue-video/ensue/stream"
)

// half is x as an IEEE 754 half-precision number, rounded to the nearest, ties to even; too large becomes infinity.
func half(x float32) uint16 {
	bits := math.Float32bits(x)
	sign := uint16(bits >> 16 & 0x8000)
	magnitude := bits & 0x7fffffff
	switch {
	case magnitude > 0x7f800000: // not a number
		return sign | 0x7e00
	case magnitude >= 0x47800000: // 65536 and more
		return sign | 0x7c00
	case magnitude >= 0x38800000: // 2^-14 and more: a normal half. The carry of rounding runs into the exponent, as it should.
		return sign | uint16(roundShift(magnitude-0x38000000, 13))
	case magnitude < 0x33000000: // less than half of the smallest half
		return sign
	}
	mantissa := magnitude&0x7fffff | 0x800000
	return sign | uint16(roundShift(mantissa, 126-magnitude>>23))
}

// roundShift is x / 2^shift, rounded to the nearest, ties to even.
func roundShift(x, shift uint32) uint32 {
	quotient, rest, middle := x>>shift, x&(1<<shift-1), uint32(1)<<(shift-1)
	if rest > middle || rest == middle && quotient&1 == 1 {
		quotient++
	}
	return quotient
}

// halfArray is the wire form of values with that shape: little-endian halves.
func halfArray(values []float32, shape ...int32) *stream.Array {
	data := make([]byte, 0, 2*len(values))
	for _, value := range values {
		data = binary.LittleEndian.AppendUint16(data, half(value))
	}
	return &stream.Array{Shape: shape, Encoding: "float16-base64", Data: data}
}
