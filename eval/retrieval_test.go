package eval

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/predictor"
)

func TestRankCountsWhatIsNearer(t *testing.T) {
	gallery := []vector{{1}, {2}, {3}, {-3}, {10}}
	require.Equal(t, 0, rank(vector{0}, vector{0.5}, gallery))
	require.Equal(t, 3, rank(vector{0}, vector{3}, gallery)) // 1 and 2 are nearer, of the two as near one counts
	require.Equal(t, 5, rank(vector{0}, vector{11}, gallery))
}

// TestGalleryHasNeitherThePastNorTheTruth, and no more than half of the same recording.
func TestGalleryHasNeitherThePastNorTheTruth(t *testing.T) {
	all := make([]embedded, 3)
	for i := range all {
		for k := range 30 {
			all[i].seen = append(all[i].seen, vector{float64(100*i + k)})
		}
	}
	gallery := others(rand.New(rand.NewPCG(1, 1)), all, 1, 4, 6, 40)
	require.Len(t, gallery, 40)
	own := 0
	for _, v := range gallery {
		require.NotContains(t, []float64{104, 106}, v[0])
		if v[0] >= 100 && v[0] < 200 {
			own++
		}
	}
	require.Equal(t, 20, own)
}

func TestRetrievalFindsWhatIsPredicted(t *testing.T) {
	w := testWindows()
	config := RetrievalConfig{Ahead: []int{1, 2}, Gallery: 20}
	source := pixelSource(t, predictor.NewPersistence())
	found, err := MeasureRetrieval(t.Context(), w, source, config, nil)
	require.NoError(t, err)
	again, err := MeasureRetrieval(t.Context(), w, source, config, nil)
	require.NoError(t, err)
	require.Equal(t, found, again)
	count := map[int]int{}
	for _, r := range found {
		count[r.Ahead]++
		require.NotEqual(t, "still", w.Recordings[r.Unit].Name)
		require.Less(t, r.Predicted, config.Gallery)
	}
	moving := 0
	for _, window := range w.Windows {
		if !window.Static {
			moving++
		}
	}
	require.Equal(t, moving, count[1])
	require.Less(t, count[2], moving, "the last windows have nothing two segments ahead")

	table := NewRetrieval(config, []string{"pixels", "again"}, [][][]Retrieved{{found}, {again}}, len(w.Recordings), 0)
	require.Len(t, table.Results, 4)
	require.Nil(t, table.Results[0].Behind1)
	require.Equal(t, Interval{}, *table.Results[2].Behind5, "the same found the same")
	require.InDelta(t, 1, table.Results[0].Energy.Value, 1e-6, "persistence predicts persistence")
	require.Greater(t, table.Results[0].Last5.Value, 0.3, "scenes differ more than their segments")
	var text strings.Builder
	require.NoError(t, table.WriteText(&text))
	require.Contains(t, text.String(), "2 s")
	require.Equal(t, []string{"1 s ahead", "2 s ahead"}, table.Plot().Rows)
}

func TestPoolIsTheMeanOfTokens(t *testing.T) {
	require.Equal(t, vector{2, 3}, pool([]float32{1, 2, 3, 4}, 2))
}

func TestEmbeddingSeesARecordingAsOneStream(t *testing.T) {
	frames := flat(8, 8, 8, 8, 8, 8, 8, 8, 24, 24, 24, 24, 24, 24, 24, 24)
	r := &Recording{count: 2 * negatives.Length, frame: func(i int) []byte { return frames[i] }}
	s := &Source{Name: "doubled", Encoder: newTally(), Predictor: doubled{}}
	e, err := s.embed(t.Context(), r, testSide, []int{1})
	require.NoError(t, err)
	require.InDelta(t, 16, e.seen[0][0], 1e-6)
	require.Greater(t, e.seen[1][0], 20.0, "the encoder still remembers the first segment")
	require.Less(t, e.seen[1][0], 40.0)
	require.Equal(t, vector{16}, e.expected[1][0], "and so does the predictor")
}
