package eval

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPairedCountsTiesHalf(t *testing.T) {
	genuine, negative := []float64{1, 2, 3, 4}, []float64{2, 2, 1, 5}
	require.InDelta(t, 2.5/4, Paired(genuine, negative, nil), 1e-12)
	require.InDelta(t, (1*3+0.5*1+0)/4.0, Paired(genuine, negative, []float64{3, 1, 0, 0}), 1e-12)
	require.True(t, math.IsNaN(Paired(nil, nil, nil)))
}

// TestAUROCIsThatOfOthers compares with scikit-learn 1.7.2, roc_auc_score, with ties and weights.
func TestAUROCIsThatOfOthers(t *testing.T) {
	genuine := []float64{0.1, 0.4, 0.35, 0.8, 0.4, 0.2, 0.55}
	negative := []float64{0.4, 0.9, 0.3, 0.8, 0.6}
	require.InDelta(t, 0.7285714285714285, AUROC(genuine, negative), 1e-12)
	weighted := NewRanking(genuine, negative).AUROC([]float64{1, 0, 2, 1, 3, 1, 1}, []float64{2, 1, 1, 0, 3})
	require.InDelta(t, 0.73015873015873, weighted, 1e-12)

	large, other := congruential(1, 300), congruential(2, 200)
	for i := range other {
		other[i] = math.Floor(0.8*other[i] + 150)
	}
	require.InDelta(t, 0.5195083333333333, AUROC(large, other), 1e-12)
}

// congruential are reproducible whole numbers of [0, 1000) with many ties.
func congruential(state uint64, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		state = state*6364136223846793005 + 1442695040888963407
		values[i] = float64((state >> 33) % 1000)
	}
	return values
}

func TestAUROCAtItsEnds(t *testing.T) {
	require.InDelta(t, 1, AUROC([]float64{1, 2}, []float64{3, 4, 5}), 0)
	require.InDelta(t, 0, AUROC([]float64{3, 4}, []float64{1}), 0)
	require.InDelta(t, 0.5, AUROC([]float64{1, 1}, []float64{1, 1, 1}), 0)
	require.True(t, math.IsNaN(AUROC(nil, []float64{1})))
}

// TestAUROCIsTheShareOfPairs counts all pairs.
func TestAUROCIsTheShareOfPairs(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		genuine, negative := draw(random, 1+random.IntN(20)), draw(random, 1+random.IntN(20))
		won := 0.0
		for _, g := range genuine {
			won += Paired(fill(g, len(negative)), negative, nil) * float64(len(negative))
		}
		require.InDelta(t, won/float64(len(genuine)*len(negative)), AUROC(genuine, negative), 1e-12)
	}
}

func draw(random *rand.Rand, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = float64(random.IntN(8))
	}
	return values
}

func fill(value float64, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = value
	}
	return values
}

func TestRecallCountsRanksBelowK(t *testing.T) {
	ranks := []int{0, 4, 5, 99}
	require.InDelta(t, 0.25, RecallAt(1, ranks, nil), 1e-12)
	require.InDelta(t, 0.5, RecallAt(5, ranks, nil), 1e-12)
	require.InDelta(t, 2.0/3, RecallAt(1, ranks, []float64{2, 0, 1, 0}), 1e-12)
}

// TestBootstrapOfAMeanIsAsTheNormalDistributionSays: the interval of a mean of n is ±1.96 standard deviations / √n.
func TestBootstrapOfAMeanIsAsTheNormalDistributionSays(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	values := make([]float64, 400)
	squares, sum := 0.0, 0.0
	for i := range values {
		values[i] = 3 + 2*random.NormFloat64()
		sum += values[i]
	}
	for _, value := range values {
		squares += (value - sum/400) * (value - sum/400)
	}
	error95 := 1.96 * math.Sqrt(squares/400) / 20
	got := Bootstrap(len(values), 4000, 1, func(weights []float64) []float64 {
		total := 0.0
		for i, w := range weights {
			total += w * values[i]
		}
		return []float64{total / 400, total/400 - 3, math.NaN()}
	})
	require.InDelta(t, sum/400, got[0].Value, 1e-9)
	require.InDelta(t, sum/400-error95, got[0].Low, 0.02)
	require.InDelta(t, sum/400+error95, got[0].High, 0.02)
	require.InDelta(t, got[0].Low-3, got[1].Low, 1e-9, "drawn together")
	require.True(t, math.IsNaN(got[2].Low))
	require.True(t, got[0].Excludes(2))
	require.False(t, got[0].Excludes(got[0].Value))
}

func TestIntervalsThatAreNotDefinedAreNull(t *testing.T) {
	text, err := json.Marshal(Interval{0.5, math.NaN(), 1})
	require.NoError(t, err)
	require.JSONEq(t, `{"value": 0.5, "low": null, "high": 1}`, string(text))
}

func TestBootstrapIsSeeded(t *testing.T) {
	statistic := func(weights []float64) []float64 { return []float64{weights[0] + 3*weights[1]} }
	first := Bootstrap(9, 50, 1, statistic)
	again := Bootstrap(9, 50, 1, statistic)
	require.Equal(t, first, again)
	require.NotEqual(t, first, Bootstrap(9, 50, 2, statistic))
}

// TestQuantileInterpolates compares with numpy 2's quantile.
func TestQuantileInterpolates(t *testing.T) {
	sorted := []float64{1, 1.5, 2.6, 3, 4, 9}
	for share, want := range map[float64]float64{0.025: 1.0625, 0.5: 2.8, 0.975: 8.375, 0: 1, 1: 9} {
		require.InDelta(t, want, quantile(sorted, share), 1e-12)
	}
}
