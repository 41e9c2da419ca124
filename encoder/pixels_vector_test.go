package encoder

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Vector instructions and plain Go count the same, on any picture.
func TestVectorInstructionsCountWhatGoCounts(t *testing.T) {
	if !vectorPixels() {
		t.Skip("this build or this processor has no vector form")
	}
	random := rand.New(rand.NewPCG(1, 2))
	pictures := map[string]func(i int) byte{
		"black":          func(int) byte { return 0 },
		"white":          func(int) byte { return 255 },
		"noise":          func(int) byte { return byte(random.Uint32()) },
		"black or white": func(int) byte { return byte(255 * random.IntN(2)) },
		"checkerboard":   func(i int) byte { return byte(255 * (i/3%2 ^ i/3/128%2)) },
		"to the right":   func(i int) byte { return byte(2 * (i / 3 % 128)) },
		"upwards":        func(i int) byte { return byte(255 - 2*(i/3/128)) },
		"a diagonal":     func(i int) byte { return byte(i/3%128 + i/3/128) },
		"other colours":  func(i int) byte { return byte((i%3*85 + i/128) % 256) },
	}
	for name, picture := range pictures {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				frame := make([]byte, pixelsSide*pixelsSide*3)
				for i := range frame {
					frame[i] = picture(i)
				}
				var want, got pixelsSums
				countPixels(frame, &want)
				countPixelsVector(frame, &got)
				require.Equal(t, want, got)
			}
		})
	}
}

// BenchmarkPixelsCount counts one frame in either form.
func BenchmarkPixelsCount(b *testing.B) {
	frame := noiseClip(1, 1).Frames
	for name, count := range map[string]func([]byte, *pixelsSums){"go": countPixels, "vector": countPixelsVector} {
		b.Run(name, func(b *testing.B) {
			var sums pixelsSums
			b.ReportAllocs()
			for b.Loop() {
				count(frame, &sums)
			}
		})
	}
}
