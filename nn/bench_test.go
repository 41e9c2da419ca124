package nn

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/ensue-video/ensue/internal/rawdnnl"
)

var productShapes = [][3]int{{1568, 768, 768}, {1568, 3072, 768}, {1568, 768, 3072}, {196, 192, 192}, {64, 384, 384}, {2048, 1536, 384}}

// BenchmarkLinear reports how fast a linear map is (eight an op), and the share of oneDNN's own speed on the same shape.
func BenchmarkLinear(b *testing.B) {
	for _, s := range productShapes {
		for _, precision := range []Precision{Float32, BFloat16} {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", s[0], s[1], s[2], []string{"float32", "bfloat16"}[precision]), func(b *testing.B) {
				benchmarkLinear(b, s, precision)
			})
		}
	}
}

func benchmarkLinear(b *testing.B, s [3]int, precision Precision) {
	b.Helper()
	d := newDevice(b, Config{Threads: runtime.GOMAXPROCS(0)})
	tape := d.NewTape(TapeConfig{Precision: precision})
	defer tape.Close()
	l := NewLinear(NewParameters(1), "l", s[2], s[1], true)
	x := dense32(1, s[0], s[2])
	best := time.Hour
	// Operations come in long runs: what Device.Run costs is not part of one.
	run := func() error {
		for range 8 {
			start := time.Now()
			tape.Reset()
			l.Forward(tape, tape.Input(x))
			best = min(best, time.Since(start))
		}
		return nil
	}
	_ = d.Run(run)
	b.ReportAllocs()
	for b.Loop() {
		_ = d.Run(run)
	}
	gflop := 2e-9 * float64(s[0]) * float64(s[1]) * float64(s[2])
	b.ReportMetric(gflop/best.Seconds(), "GFLOP/s")
	if alone, ok := fastestAlone(s, precision == BFloat16, d.Threads()); ok {
		b.ReportMetric(100*alone/best.Seconds(), "%oneDNN")
	}
}

// fastestAlone runs on a goroutine of its own: its thread ends with it.
func fastestAlone(s [3]int, half bool, threads int) (seconds float64, ok bool) {
	done := make(chan bool)
	go func() {
		seconds, ok = rawdnnl.Fastest(s[0], s[1], s[2], half, threads, 30)
		close(done)
	}()
	<-done
	return seconds, ok
}

var blockSizes = []struct {
	name                string
	size, heads, tokens int
	block               int
}{
	{"ViT-B/1568", 768, 12, 1568, 0},
	{"ViT-B/1568/causal", 768, 12, 1568, 196},
	{"ViT-L/2048", 1024, 16, 2048, 0},
	{"D384/256", 384, 6, 256, 0},
}

// BenchmarkBlock is one transformer block, forward.
func BenchmarkBlock(b *testing.B) {
	for _, s := range blockSizes {
		for _, precision := range []Precision{Float32, BFloat16} {
			b.Run(s.name+"/"+[]string{"float32", "bfloat16"}[precision], func(b *testing.B) {
				d := newDevice(b, Config{Threads: runtime.GOMAXPROCS(0)})
				tape := d.NewTape(TapeConfig{Precision: precision})
				defer tape.Close()
				block := NewBlock(NewParameters(1), "b", BlockConfig{Size: s.size, Heads: s.heads, Hidden: 4 * s.size})
				x := dense32(1, 1, s.tokens, s.size)
				rotary := testRotary(s.tokens, s.size/s.heads, Neighbours, true)
				once := func() error {
					tape.Reset()
					block.Forward(tape, tape.Input(x), Place{Rotary: rotary, Mask: Mask{Block: s.block}})
					return nil
				}
				best := time.Hour
				_ = d.Run(once)
				b.ReportAllocs()
				for b.Loop() {
					start := time.Now()
					_ = d.Run(once)
					best = min(best, time.Since(start))
				}
				b.ReportMetric(float64(best.Microseconds())/1000, "ms-best")
			})
		}
	}
}

// BenchmarkTrainingStep is forward, backward, clipping, AdamW and EMA of a small model.
func BenchmarkTrainingStep(b *testing.B) {
	for _, s := range []smallSize{
		{batch: 1, frames: 4, side: 128, patch: 16, size: 192, heads: 3, depth: 6},
		{batch: 8, frames: 4, side: 128, patch: 16, size: 192, heads: 3, depth: 6},
		{batch: 4, frames: 4, side: 128, patch: 16, size: 384, heads: 6, depth: 6},
		{batch: 2, frames: 4, side: 256, patch: 16, size: 384, heads: 6, depth: 6},
	} {
		b.Run(fmt.Sprintf("B%d/D%d/%dx%d", s.batch, s.size, s.frames, s.side/s.patch*s.side/s.patch), func(b *testing.B) {
			d := newDevice(b, Config{Threads: runtime.GOMAXPROCS(0)})
			r := newTrainer(b, d, s)
			for range 2 {
				_ = d.Run(r.run)
			}
			best := time.Hour
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				_ = d.Run(r.run)
				best = min(best, time.Since(start))
			}
			b.ReportMetric(float64(best.Microseconds())/1000, "ms-best")
		})
	}
}
