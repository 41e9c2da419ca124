package encoder

import (
	"testing"
	"time"

	"github.com/ensue-video/ensue/stream"
)

func BenchmarkPixelsEncode(b *testing.B) {
	clip := noiseClip(16, 1)
	encoder := NewPixels()
	state := encoder.NewState()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encoder.Encode(b.Context(), clip, state); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(clip.T)*float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

// noiseClip is t frames of 128×128 pixels of noise, 8 a second.
func noiseClip(t int, seed uint64) *stream.Clip {
	const side = 128
	clip := stream.NewClip(make([]byte, t*side*side*3), t, side, side, nil)
	state := seed*2654435769 + 1
	for i := range clip.Frames {
		state = state*6364136223846793005 + 1442695040888963407
		clip.Frames[i] = byte(state >> 56)
	}
	clip.Step = time.Second / 8
	for i := range t {
		clip.Times = append(clip.Times, time.Duration(i)*clip.Step)
	}
	clip.End = time.Duration(t) * clip.Step
	return clip
}
