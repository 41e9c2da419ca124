package predictor

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// value is what a half means, from its definition (IEEE 754-2008, 3.4).
func value(bits uint16) float64 {
	sign := 1 - 2*float64(bits>>15)
	exponent, mantissa := int(bits>>10&31), float64(bits&1023)
	switch exponent {
	case 0:
		return sign * math.Ldexp(mantissa, -24)
	case 31:
		return sign * math.Inf(1)
	default:
		return sign * math.Ldexp(1024+mantissa, exponent-25)
	}
}

func TestEveryHalfComesBackAsItself(t *testing.T) {
	for bits := range 1 << 16 {
		if bits&0x7c00 == 0x7c00 && bits&0x3ff != 0 {
			continue // not a number
		}
		require.Equal(t, uint16(bits), half(float32(value(uint16(bits)))))
	}
}

func TestBetweenTwoHalvesTheNearestWinsAndTiesGoToTheEvenOne(t *testing.T) {
	for bits := range uint16(0x7bff) {
		low, high := value(bits), value(bits+1)
		middle := float32((low + high) / 2) // exact: a half has 11 bits, a float32 24
		require.Equal(t, bits+bits&1, half(middle), "between %v and %v", low, high)
		require.Equal(t, bits, half(math.Nextafter32(middle, 0)))
		require.Equal(t, bits+1, half(math.Nextafter32(middle, math.MaxFloat32)))
	}
}

func TestWhatNoHalfHoldsBecomesInfinityOrNotANumber(t *testing.T) {
	require.Equal(t, uint16(0x7bff), half(65519.996), "the largest that rounds down")
	require.Equal(t, uint16(0x7c00), half(65520))
	require.Equal(t, uint16(0x7c00), half(math.MaxFloat32))
	require.Equal(t, uint16(0xfc00), half(float32(math.Inf(-1))))
	require.Equal(t, uint16(0x7e00), half(float32(math.NaN()))&0x7e00)
}

func TestAMapIsLittleEndianHalvesInTheOrderOfItsShape(t *testing.T) {
	array := halfArray([]float32{0, 1, -2, 0.5}, 1, 2, 2)
	require.Equal(t, []int32{1, 2, 2}, array.Shape)
	require.Equal(t, "float16-base64", array.Encoding)
	require.Equal(t, []byte{0, 0, 0, 0x3c, 0, 0xc0, 0, 0x38}, array.Data)
}
