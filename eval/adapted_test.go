package eval

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/eval/negatives"
)

// TestEnergiesAreHeldAgainstTheirOwnClip: clips with energies of very different sizes, in each of which a negative stands out: no threshold
// on the energy fits all, one on what is left against the clip does. A freeze, which is below its clip, is seen by z alone.
func TestEnergiesAreHeldAgainstTheirOwnClip(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var measured []Measured
	for i := range 60 {
		level := float64(i%6)*3 + 1
		m := Measured{Unit: i % 6, Genuine: []Judged{{Raw: level * math.Exp(0.02*random.NormFloat64())}}}
		m.Negatives = map[negatives.Kind][]Judged{
			negatives.Other: {{Raw: level + 3}}, negatives.Freeze: {{Raw: level / 2}},
		}
		measured = append(measured, m)
	}
	w := &Windows{Recordings: make([]*Recording, 6)}
	c, err := NewContinuation(w, measured, nil, []Score{Raw("pixels", 0)}, 0)
	require.NoError(t, err)
	score := c.Scores[0]
	require.Less(t, score.MeanAUROC.Value, 0.7)
	require.Greater(t, score.MeanZ.Value, 0.95)
	require.LessOrEqual(t, score.MeanZ.Low, score.MeanZ.High)
	require.Less(t, score.MeanAdapted.Value, 0.6, "half of the kinds lie below")
	for _, m := range measured {
		delete(m.Negatives, negatives.Freeze)
	}
	c, err = NewContinuation(w, measured, nil, []Score{Raw("pixels", 0)}, 0)
	require.NoError(t, err)
	require.Greater(t, c.Scores[0].MeanAdapted.Value, c.Scores[0].MeanAUROC.Value+0.2)

	all, err := newOwn(measured, Raw("pixels", 0), negatives.Other)
	require.NoError(t, err)
	require.True(t, math.IsNaN((&own{units: []int{0}, members: map[int][]int{0: {0}}, log: true}).z(0, 1)), "a clip of one window")
	require.InDelta(t, 0, all.z(0, math.Exp(all.meanOf(all.members[0], 0, math.Log))), 1e-9)
}

func TestEnergiesWithoutALogarithmHaveNoZ(t *testing.T) {
	measured := judgedRaw(1)
	measured[3].Genuine[0].Raw = -1
	w := &Windows{Recordings: make([]*Recording, 4)}
	c, err := NewContinuation(w, measured, nil, []Score{Raw("pixels", 0)}, 0)
	require.NoError(t, err)
	require.True(t, math.IsNaN(c.Scores[0].MeanZ.Value))
	require.False(t, math.IsNaN(c.Scores[0].MeanAdapted.Value))
}
