package eval

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
)

// judgedRaw are windows of four recordings whose negatives' energies lie gap above the genuine ones.
func judgedRaw(gap float64) []Measured {
	random := rand.New(rand.NewPCG(1, 2))
	var all []Measured
	for i := range 40 {
		m := Measured{Unit: i % 4, Genuine: []Judged{{Raw: random.Float64()}}, Negatives: map[negatives.Kind][]Judged{}}
		for _, kind := range append(negatives.Kinds(), negatives.Reported()...) {
			if kind.Motion() && i%2 == 0 {
				m.Static = true
				continue
			}
			m.Negatives[kind] = []Judged{{Raw: m.Genuine[0].Raw + gap, Found: Found{float64(i % 2), 0.75}}}
		}
		all = append(all, m)
	}
	return all
}

func table40(t *testing.T, gap float64) *Continuation {
	t.Helper()
	w := &Windows{Recordings: make([]*Recording, 4), WithCuts: 3, TooShort: 2}
	source := pixelSource(t, predictor.NewPersistence())
	c, err := NewContinuation(w, judgedRaw(gap), []*Source{source}, []Score{Raw("pixels", 0)}, 0)
	require.NoError(t, err)
	return c
}

func TestContinuationTellsPairsFromThresholds(t *testing.T) {
	c := table40(t, 1e-6) // every pair is right, but no threshold fits all
	require.Equal(t, 40, c.Windows)
	require.Equal(t, 20, c.Static)
	require.Equal(t, 4, c.Clips)
	score := c.Scores[0]
	require.InDelta(t, 1, score.MeanPaired.Value, 1e-12)
	require.InDelta(t, 0.5, score.MeanAUROC.Value, 0.03)
	require.LessOrEqual(t, score.MeanAUROC.Low, score.MeanAUROC.Value)
	for _, k := range score.Kinds {
		want := 40
		if k.Kind.Motion() {
			want = 20
		}
		require.Equal(t, want, k.N, k.Kind)
	}
	require.InDelta(t, 0.5, c.Maps[0].Hit.Value, 1e-12)
	require.InDelta(t, 0.75, c.Maps[0].Cells.Value, 1e-12)
	require.InDelta(t, 1, table40(t, 2).Scores[0].MeanAUROC.Value, 1e-12)
}

func TestMeanLeavesBrightnessOut(t *testing.T) {
	measured := judgedRaw(1)
	for _, m := range measured {
		m.Negatives[negatives.Brightness][0].Raw = -1
	}
	w := &Windows{Recordings: make([]*Recording, 4)}
	c, err := NewContinuation(w, measured, nil, []Score{Raw("pixels", 0)}, 0)
	require.NoError(t, err)
	require.InDelta(t, 1, c.Scores[0].MeanPaired.Value, 1e-12)
	require.InDelta(t, 0, c.Scores[0].Kinds[10].Paired.Value, 1e-12)
}

func TestContinuationTextAndPlotNameEverything(t *testing.T) {
	c := table40(t, 1)
	var text, plot strings.Builder
	require.NoError(t, c.WriteText(&text))
	for _, word := range []string{
		"40 windows of 4 clips, 20 of them static", "3 windows with cuts", "pixels: raw", "speed2", "1.000", "CELL AUROC",
	} {
		require.Contains(t, text.String(), word)
	}
	require.NoError(t, c.Plot().WriteSVG(&plot))
	for _, word := range []string{"<svg", "pixels: raw", "rewind", "mean of ten", "</svg>"} {
		require.Contains(t, plot.String(), word)
	}
	require.NotContains(t, plot.String(), "NaN")
	var page strings.Builder
	require.NoError(t, WriteHTML(&page, c.Plot(), "<b>", Picture{"a & b", []byte{1}}))
	require.Contains(t, page.String(), "&lt;b&gt;")
	require.Contains(t, page.String(), "a &amp; b")
	require.Equal(t, 1, strings.Count(page.String(), "://"), "nothing from elsewhere; one is the name of SVG's language")
}

// TestLearnedEnergiesBeatRawOnes learns from scenes of one kind of motion and judges others: statistics given X tell a freeze and a
// reversal, which the plain distance does not.
func TestLearnedEnergiesBeatRawOnes(t *testing.T) {
	device, err := nn.Open(nn.Config{Threads: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, device.Close()) })
	source := []*Source{pixelSource(t, predictor.NewDamped(8))}
	kinds := []negatives.Kind{negatives.Freeze, negatives.Shuffle, negatives.Other}
	lessons := scenesOf(20, 0)
	measured, err := Measure(t.Context(), lessons, source, kinds, 0, nil)
	require.NoError(t, err)
	energies, err := Fit(t.Context(), device, measured, measured, []int{0}, FitConfig{
		LeaveOut: []negatives.Kind{negatives.Freeze}, Head: predictor.HeadConfig{Nets: 1, Hidden: 16, Steps: 200, Batch: 32},
	})
	require.NoError(t, err)

	test := scenesOf(6, 100)
	judged, err := Measure(t.Context(), test, source, kinds, 0, nil)
	require.NoError(t, err)
	c, err := NewContinuation(test, judged, source, append([]Score{Raw("pixels", 0)}, energies.Scores("learned")...), 0)
	require.NoError(t, err)
	auroc := map[string]map[negatives.Kind]float64{}
	for _, s := range c.Scores {
		auroc[s.Name] = map[negatives.Kind]float64{}
		for _, k := range s.Kinds {
			auroc[s.Name][k.Kind] = k.AUROC.Value
		}
	}
	require.Less(t, auroc["pixels: raw"][negatives.Freeze], 0.6)
	require.Greater(t, auroc["learned: one_class"][negatives.Freeze], 0.75)
	require.Greater(t, auroc["learned: head"][negatives.Freeze], 0.8)
	require.Greater(t, auroc["learned: head"][negatives.Shuffle], 0.8)
	require.Len(t, c.Scores, 1+5+3)
	require.True(t, c.Scores[6].LeftOut)
	require.Greater(t, auroc["learned: brief mix"][negatives.Other], 0.7)
}

// scenesOf are windows of moving boxes of several speeds.
func scenesOf(count int, shade byte) *Windows {
	var all []*Recording
	for i := range count {
		all = append(all, recording(string(rune('a'+i)), 48, 1+i%3, shade+byte(7*i)))
	}
	return findWindows(all, testSide)
}
