package train

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/nn"
)

// TestEncoderThatSettledStaysAsItIs: from the step after on it is the average of what it was, and the memory learns on.
func TestEncoderThatSettledStaysAsItIs(t *testing.T) {
	settled := func(steps int) *nn.Safetensors {
		c := tiny(t)
		c.Model.Recurrent.Settle, c.Budget.Steps = 2, steps
		c.Optimiser.Final = 1 // the pace does not depend on the steps
		_, err := Run(t.Context(), c, one())
		require.NoError(t, err)
		s, err := nn.OpenSafetensors(checkpointPath(c.Output))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	}
	early, late, c := settled(2), settled(6), tiny(t)
	moved := 0
	for _, p := range newRecurrent(&c).learns.All() {
		read := func(s *nn.Safetensors, prefix string) []float32 {
			x, err := s.Float32(prefix+p.Name, p.Shape()...)
			require.NoError(t, err)
			return x.Float32s()
		}
		if strings.HasPrefix(p.Name, "encoder.") {
			require.Equal(t, read(early, "target."), read(late, "online."), p.Name)
			require.InDeltaSlice(t, read(early, "target."), read(late, "target."), 1e-6, p.Name)
		} else if distanceOf(widened(read(early, "online.")), widened(read(late, "online."))) > 0 {
			moved++
		}
	}
	require.Greater(t, moved, 5)
	requireResumes(t, func(c *Config) { c.Model.Recurrent.Settle = 2 })
	requireResumes(t, func(c *Config) { c.Model.Recurrent.Settle = 3 })
}

func TestNewMemoryKeepsForDifferentTimes(t *testing.T) {
	c := tiny(t)
	c.Model.Recurrent.Hidden, c.Model.Recurrent.Remember = 64, 16
	l := newRecurrent(&c)
	bias := l.predictor.Memory.Input.Bias.Dense().Float32s()
	least, most := math.Inf(1), math.Inf(-1)
	for i, b := range bias {
		if i < 64 || i >= 128 {
			require.Zero(t, b)
			continue
		}
		least, most = min(least, float64(b)), max(most, float64(b))
	}
	require.InDelta(t, 0, least, 0.7)
	require.InDelta(t, math.Log(15), most, 0.3)
	require.LessOrEqual(t, most, math.Log(15))
	follows := l.follows.All()
	for i, p := range l.learns.All() {
		require.Equal(t, p.Dense().Float32s(), follows[i].Dense().Float32s(), p.Name)
	}
}

// TestHeadsCountAsTheyShould: with all the weight on one head the loss is that head's.
func TestHeadsCountAsTheyShould(t *testing.T) {
	loss := func(heads ...float64) float64 {
		c := tiny(t)
		c.Objective.Scale.Weight, c.Objective.Spread.Weight, c.Objective.JEPA.Heads, c.Budget.Steps = 0, 0, heads, 1
		outcome, err := Run(t.Context(), c, one())
		require.NoError(t, err)
		return outcome.Losses[0]
	}
	near, far := loss(1, 0), loss(0, 2)
	require.NotEqual(t, near, far)
	require.InDelta(t, (near+far)/2, loss(), 1e-6)
	require.InDelta(t, (3*near+far)/4, loss(3, 1), 1e-6)

	c := tiny(t)
	c.Objective.JEPA.Heads = []float64{1, 1, 1}
	require.ErrorContains(t, c.Validate(), "objective.jepa.heads has 3 weights; the model makes 2 predictions")
	c.Objective.JEPA.Heads = []float64{1, -1}
	require.ErrorContains(t, c.Validate(), "objective.jepa.heads has -1")
}

// TestOnlyWhatShouldLearnMoves: of the heads, the one with a weight.
func TestOnlyWhatShouldLearnMoves(t *testing.T) {
	c := tiny(t)
	c.Model.Learns, c.Optimiser.Decay = []string{"predictor.change"}, 0
	c.Objective.JEPA.Heads, c.Objective.Scale.Weight, c.Objective.Spread.Weight = []float64{0, 1}, 0, 0
	_, err := Run(t.Context(), c, one())
	require.NoError(t, err)
	s, err := nn.OpenSafetensors(checkpointPath(c.Output))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	for _, p := range newRecurrent(&c).learns.All() {
		got, err := s.Float32("online."+p.Name, p.Shape()...)
		require.NoError(t, err)
		before, after := p.Dense().Float32s(), got.Float32s()
		if strings.HasPrefix(p.Name, "predictor.change.") {
			half := len(before) / 2
			require.NotEqual(t, before[half:], after[half:], p.Name)
			before, after = before[:half], after[:half]
		}
		require.Equal(t, before, after, p.Name)
	}
	c.Model.Learns = []string{"nothing"}
	c.Output = t.TempDir()
	_, err = Run(t.Context(), c, one())
	require.ErrorContains(t, err, `model.learns has "nothing"`)
}

// TestRecipeOfTheDefaultModelCanBeTrained: its parts are read, make sense, and are of the same model.
func TestRecipeOfTheDefaultModelCanBeTrained(t *testing.T) {
	var parts []Config
	for _, name := range []string{"train.yaml", "train-memory.yaml", "train-far.yaml"} {
		c, err := Load(fixture.Repository("weights", name))
		require.NoError(t, err)
		c.fill()
		require.NoError(t, c.Validate())
		require.True(t, c.Data.Footage.RedistributableOnly)
		parts = append(parts, c)
	}
	for _, part := range parts[1:] {
		require.Equal(t, parts[0].Model.Recurrent.model(), part.Model.Recurrent.model())
	}
}
