package train

import (
	"testing"

	"github.com/ensue-video/ensue/model"
)

// tiny is a training of a second or two: a small model on generated scenes.
func tiny(tb testing.TB) Config {
	tb.Helper()
	c := Default()
	c.Name, c.Output, c.Seed = "tiny", tb.TempDir(), 7
	c.Model.Recurrent = RecurrentConfig{Side: 32, Widths: [3]int{8, 8, 12}, Dim: 12, Hidden: 12, Ahead: []int{1, 2}, First: 1}
	c.Model.Transformer = TransformerConfig{
		Side: 32, Patch: 8, Tubelet: 2, Width: 24, Depth: 2, Heads: 2, Attention: model.Tubelet,
		Predictor: PredictorConfig{Width: 24, Depth: 1, Heads: 2}, Mode: NextSegment, Context: 4,
	}
	c.Data.Batch, c.Data.Frames, c.Data.Footage.Weight, c.Data.Sprites.Weight = 4, 8, 0, 1
	c.Objective.Spread.Rows = 256
	c.Optimiser.Rate, c.Optimiser.Warmup = 3e-3, 2
	c.Budget = BudgetConfig{Steps: 6}
	c.Telemetry = TelemetryConfig{Every: 3, Rows: 128}
	return c
}
