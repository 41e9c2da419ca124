package resultfile

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/ensue-video/ensue/stream"
)

// The encodings of arrays in results.
const (
	float16Encoding = "float16-base64"
	float32Encoding = "float32-base64"
)

// Embedding is the vector of an embedding. One in another encoding, or of another length than it says, is an error.
func Embedding(next stream.Next) ([]float32, error) {
	if next.Encoding != float32Encoding || next.Dim <= 0 || len(next.Data) != 4*int(next.Dim) {
		return nil, unreadable("an embedding of %d numbers in %d bytes of %q is none", next.Dim, len(next.Data), next.Encoding)
	}
	vector := make([]float32, next.Dim)
	for i := range vector {
		vector[i] = math.Float32frombits(binary.LittleEndian.Uint32(next.Data[4*i:]))
	}
	return vector, nil
}

// nextOf is the inverse of Embedding.
func nextOf(seconds float64, vector []float32) stream.Next {
	data := make([]byte, 0, 4*len(vector))
	for _, value := range vector {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(value))
	}
	return stream.Next{Seconds: seconds, Dim: int32(len(vector)), Encoding: float32Encoding, Data: data}
}

// mapValues are the numbers of a map.
func mapValues(array *stream.Array) ([]float32, error) {
	if array.Encoding != float16Encoding || len(array.Data)%2 != 0 {
		return nil, unreadable("a map in %d bytes of %q is none", len(array.Data), array.Encoding)
	}
	values := make([]float32, len(array.Data)/2)
	for i := range values {
		values[i] = fromHalf(binary.LittleEndian.Uint16(array.Data[2*i:]))
	}
	return values, nil
}

// arrayOf is the inverse of mapValues: every value came from a half.
func arrayOf(shape []int32, values []float32) *stream.Array {
	data := make([]byte, 0, 2*len(values))
	for _, value := range values {
		data = binary.LittleEndian.AppendUint16(data, toHalf(value))
	}
	return &stream.Array{Shape: shape, Encoding: float16Encoding, Data: data}
}

// The layout of numbers (IEEE 754): halves have 10 bits of fraction and a bias of 15, singles 23 and 127.
const (
	halfFraction, halfBias     = 10, 15
	singleFraction, singleBias = 23, 127
	fractionShift              = singleFraction - halfFraction
)

// fromHalf widens a half; that is exact.
func fromHalf(half uint16) float32 {
	sign := uint32(half>>15) << 31
	exponent, fraction := uint32(half>>halfFraction)&0x1f, uint32(half)&0x3ff
	switch exponent {
	case 0:
		// A subnormal half, or zero: a multiple of 2^-24.
		return math.Float32frombits(sign) + float32(math.Copysign(float64(fraction)*math.Pow(2, -24), 1-2*float64(sign>>31)))
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<singleFraction | fraction<<fractionShift)
	}
	return math.Float32frombits(sign | (exponent+singleBias-halfBias)<<singleFraction | fraction<<fractionShift)
}

// toHalf narrows what fromHalf has made; that is exact, and of any other number it cuts what does not fit.
func toHalf(value float32) uint16 {
	bits := math.Float32bits(value)
	sign := uint16(bits >> 31 << 15)
	exponent, fraction := int(bits>>singleFraction)&0xff, bits&(1<<singleFraction-1)
	switch e := exponent - singleBias + halfBias; {
	case exponent == 0xff:
		return sign | 0x1f<<halfFraction | uint16(fraction>>fractionShift)
	case e >= 0x1f:
		return sign | 0x1f<<halfFraction
	case e > 0:
		return sign | uint16(e)<<halfFraction | uint16(fraction>>fractionShift)
	default:
		return sign | uint16(math.Abs(float64(value))*math.Pow(2, 24))
	}
}

func unreadable(format string, args ...any) error {
	return stream.Fail("result", stream.CodeUnreadableResult, "%w", fmt.Errorf(format, args...))
}
