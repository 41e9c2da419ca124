package predictor

import (
	"testing"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/stream"
)

// BenchmarkScore scores segments of two seconds (16 frames): two windows, each for two horizons, and what comes next.
func BenchmarkScore(b *testing.B) {
	for _, name := range unlearned() {
		b.Run(name, func(b *testing.B) { benchmarkScore(b, name) })
	}
}

func benchmarkScore(b *testing.B, name string) {
	b.Helper()
	enc := encoder.NewPixels()
	predictor, err := New(Config{Model: name}, enc)
	if err != nil {
		b.Fatal(err)
	}
	scorer, err := NewScorer(enc.Info(), predictor, Config{Map: true}, 8)
	if err != nil {
		b.Fatal(err)
	}
	clip := movie(16, 2)
	tokens, err := enc.Encode(b.Context(), clip, nil)
	if err != nil {
		b.Fatal(err)
	}
	state := scorer.NewState()
	b.ReportAllocs()
	for sequence := int64(0); b.Loop(); sequence++ {
		segment := &stream.Segment{Stream: "bench", Sequence: sequence}
		if _, err := scorer.Score(b.Context(), state, segment, clip, tokens); err != nil {
			b.Fatal(err)
		}
		later(clip, tokens)
	}
}

// later moves clip and tokens on to where they end.
func later(clip *stream.Clip, tokens *stream.Tokens) {
	by := clip.End - clip.Start
	clip.Start, clip.End = clip.Start+by, clip.End+by
	for i := range clip.Times {
		clip.Times[i] += by
		tokens.Spans[i].Start += by
		tokens.Spans[i].End += by
	}
}

// BenchmarkJudge judges and observes one window with a full history.
func BenchmarkJudge(b *testing.B) {
	running, energies := seasoned(Config{}, 600), newNoise(0.5, 7)
	b.ReportAllocs()
	for b.Loop() {
		energy := energies.next()
		running.Judge(energy)
		running.Observe(energy, 1e9)
	}
}
