package eval

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShrinkAveragesAreas(t *testing.T) {
	picture := make([]byte, 4*4*3)
	for i := range picture {
		picture[i] = byte(i / 3 * 10)
	}
	half := make([]byte, 2*2*3)
	shrink(picture, 4, half, 2)
	require.Equal(t, byte(25), half[0])  // 0, 10, 40, 50
	require.Equal(t, byte(125), half[9]) // 100, 110, 140, 150
	three := make([]byte, 3*3*3)
	shrink(picture, 4, three, 3)
	require.Equal(t, byte(13), three[0]) // (0·9 + 10·3 + 40·3 + 50·1) / 16 = 12.5
	same := make([]byte, len(picture))
	shrink(picture, 4, same, 4)
	require.Equal(t, picture, same)
}

func TestShrinkKeepsTheMean(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	picture, out := make([]byte, 30*30*3), make([]byte, 7*7*3)
	sum := func(pixels []byte) float64 {
		total := 0.0
		for _, value := range pixels {
			total += float64(value)
		}
		return total / float64(len(pixels))
	}
	for i := range picture {
		picture[i] = byte(random.IntN(256))
	}
	shrink(picture, 30, out, 7)
	require.InDelta(t, sum(picture), sum(out), 0.3)
}
