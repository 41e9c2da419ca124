package decode

import (
	"fmt"
	"testing"
	"unsafe"
)

func BenchmarkShrink(b *testing.B) {
	for _, size := range []Size{{360, 240}, {960, 540}, {1280, 720}} {
		b.Run(fmt.Sprintf("%dx%d", size.Width, size.Height), func(b *testing.B) {
			source := make([]byte, size.Width*size.Height)
			from := plane{data: unsafe.Pointer(&source[0]), width: size.Width, height: size.Height, stride: size.Width}
			dst := make([]byte, 128*128)
			var s shrinker
			b.SetBytes(int64(len(source)))
			for b.Loop() {
				s.shrink(from, dst, 128, 128)
			}
		})
	}
}
