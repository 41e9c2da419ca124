package train

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkTrainingStep is a step of the recurrent model with the sizes of the recipe, 16 windows of 24 frames of 64×64, and one of a small
// transformer, 16 windows of 16 frames of 128×128, without making the windows.
func BenchmarkTrainingStep(b *testing.B) {
	for _, family := range []string{Recurrent, Transformer} {
		b.Run(family, func(b *testing.B) {
			c := Default()
			c.Model.Family, c.Data.Scenes.Weight = family, 1
			if family == Transformer {
				c.Data.Frames = 16
			}
			t := benchTrainer(b, &c)
			batch := newBatch(LoaderConfig{Batch: c.Data.Batch, Frames: c.Data.Frames, Side: c.Side(), Grid: t.grid()})
			fillAtRandom(batch)
			step := 0
			for b.Loop() {
				step++
				if err := t.device.Run(func() error {
					_, err := t.learn(batch, step, 0.5, nil)
					return err
				}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(c.Data.Batch*b.N)/b.Elapsed().Seconds(), "windows/s")
		})
	}
}

// benchTrainer is a trainer without data or telemetry.
func benchTrainer(tb testing.TB, c *Config) *trainer {
	tb.Helper()
	device := openDevice(tb)
	t := &trainer{config: c, device: device}
	if err := device.Run(t.makeModel); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(t.closeTapes)
	return t
}

func fillAtRandom(b *Batch) {
	random := rand.New(rand.NewPCG(1, 1))
	for i := range b.Pixels {
		b.Pixels[i] = byte(random.Uint32())
	}
	for i := range b.Moving {
		b.Moving[i] = random.IntN(8) == 0
	}
}

// BenchmarkWindow is one window of each source of the recipe.
func BenchmarkWindow(b *testing.B) {
	for _, s := range []Source{SceneSource{}, SpriteSource{}} {
		b.Run(s.Name(), func(b *testing.B) {
			out, step := make([]byte, 24*64*64*3), 0
			for b.Loop() {
				step++
				if err := s.Window(randomOf(1, step, 0), 24, 64, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
