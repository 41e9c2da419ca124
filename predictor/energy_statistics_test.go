package predictor

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The order of a half of Statistics.Observed, and of Statistics.Given.
const (
	atError, atPersistence, atStep, atAcceleration, atAlignment, atOnset, atRepetition, atMotion = 0, 4, 8, 12, 16, 20, 21, 25
	atStepX, atAccelerationX, atDisplacement, atMotionX                                          = 0, 3, 5, 9
)

// How many numbers a half has.
const observedEach, givenEach = 31, 15

func measured(t *testing.T, steps, places, dim int, x, y, expected []float32) Statistics {
	t.Helper()
	g, err := NewGauge(steps, places, dim)
	require.NoError(t, err)
	s, err := g.Measure(x, y, expected)
	require.NoError(t, err)
	observed, given := StatisticsOf(steps)
	require.Len(t, s.Observed, observed)
	require.Len(t, s.Given, given)
	return s
}

// ramp is a place's token at each step, the same for every channel.
func ramp(steps int, at func(step int) float32) []float32 {
	z := make([]float32, steps)
	for i := range z {
		z[i] = at(i)
	}
	return z
}

// TestStatisticsOfOnePlaceInClosedForm: x = 0, 1, 2, 3; y = 5, 4, 8, 8; expected 4, 5, 6, 7.
func TestStatisticsOfOnePlaceInClosedForm(t *testing.T) {
	s := measured(t, 4, 1, 1, []float32{0, 1, 2, 3}, []float32{5, 4, 8, 8}, []float32{4, 5, 6, 7})
	level := func(d float64) float64 { return math.Log(d + 1e-3) }
	want := []float64{
		level(1), level(1), level(2), level(1), // error
		level(2), level(1), level(5), level(5), // persistence
		level(2), level(1), level(4), level(0), // step
		level(1), level(3), level(5), level(4), // acceleration: 5-2·3+2, 4-2·5+3, 8-2·4+5, 8-2·8+4
		1, 1, 1, 1, // alignment: one channel, the same sign
		1,                                      // onset
		level(2), level(1), level(5), level(5), // repetition
		// Motion: steps 2, 1, 4, 0; of 3, 5, 4, 8, 8 those two apart are 1, 3, 4, twice.
		level(7.0 / 4), level(8.0 / 3), level(8.0 / 3), level(2), level(4), level(0),
	}
	require.InDeltaSlice(t, want, s.Observed[:observedEach], 1e-6)
	require.InDeltaSlice(t, want, s.Observed[observedEach:], 1e-6, "one place is the most active one")
	given := []float64{
		level(1), level(1), level(1), level(0), level(0), level(1), level(2), level(3), level(4),
		level(1), level(2), level(2), level(1), level(1), level(1),
	}
	require.InDeltaSlice(t, given, s.Given[:givenEach], 1e-6)
}

// TestBriefStatisticsInClosedForm: x = 0, 1, 3; y = 5, 4, 8; expected 4, 5, 6.
func TestBriefStatisticsInClosedForm(t *testing.T) {
	s := measured(t, 3, 1, 1, []float32{0, 1, 3}, []float32{5, 4, 8}, []float32{4, 5, 6})
	level := func(d float64) float64 { return math.Log(d + 1e-3) }
	want := []float64{
		level(1), level(1), level(2), // error
		level(2), level(1), level(5), // persistence
		level(2), level(1), level(4), // step
		level(0), level(3), level(5), // acceleration: 5-2·3+1, 4-2·5+3, 8-2·4+5
		1, 1, 1, 1, // alignment, onset
		level(2), level(1), level(5), // repetition
		level(7.0 / 3), level(2), level(2), level(4), level(1), // motion: steps 2, 1, 4; of 3, 5, 4, 8 those two apart are 1 and 3
	}
	require.InDeltaSlice(t, want, s.Observed[:len(want)], 1e-6)
	require.InDeltaSlice(t, want, s.Observed[len(want):], 1e-6)
	given := []float64{
		level(1), level(2), level(1), level(1), level(2), level(3), // step, acceleration, displacement
		level(1.5), level(3), level(2), level(2), level(1),
	}
	require.InDeltaSlice(t, given, s.Given[:len(given)], 1e-6)
	_, err := NewGauge(5, 1, 1)
	require.Error(t, err)
}

// TestStatisticsAreThoseOfTheirDefinition computes them from the formulas, of random tokens, several token steps a step.
func TestStatisticsAreThoseOfTheirDefinition(t *testing.T) {
	const steps, places, dim, group = 8, 16, 3, 2
	random := rand.New(rand.NewPCG(1, 2))
	n := steps * places * dim
	x, y, p := noisy(random, n), noisy(random, n), noisy(random, n)
	s := measured(t, steps, places, dim, x, y, p)

	// at is a place's token of a step of the window, counted from x_1 = 0; its channels are those of its token steps, one after another.
	at := func(step, place int) []float64 {
		var token []float64
		for i := range group {
			z, k := x, step*group+i
			if step >= 4 {
				z, k = y, (step-4)*group+i
			}
			for c := range dim {
				token = append(token, float64(z[(k*places+place)*dim+c]))
			}
		}
		return token
	}
	expected := func(k, place int) []float64 {
		var token []float64
		for i := range group {
			for c := range dim {
				token = append(token, float64(p[((k*group+i)*places+place)*dim+c]))
			}
		}
		return token
	}
	all := make([]int, places)
	activity := make([]float64, places)
	for place := range places {
		all[place] = place
		for k := range 4 {
			activity[place] += meanAbs(at(4+k, place), at(3, place)) / 4
		}
		for j := 1; j < 4; j++ {
			activity[place] += meanAbs(at(j, place), at(j-1, place)) / 3
		}
	}
	busiest := slices.Clone(all)
	slices.SortFunc(busiest, func(a, b int) int { return int(math.Copysign(1, activity[b]-activity[a])) })
	for half, chosen := range [][]int{all, busiest[:2]} {
		observed := s.Observed[half*observedEach:]
		for k := range 4 {
			sums := make([]float64, 4)
			var moved, wanted, ran []float64
			for _, place := range chosen {
				now, last := at(4+k, place), at(3, place)
				sums[0] += meanAbs(now, expected(k, place))
				sums[1] += meanAbs(now, last)
				sums[2] += meanAbs(now, at(3+k, place))
				sums[3] += meanAbs(minus(now, at(3+k, place)), minus(at(3+k, place), at(2+k, place)))
				moved = append(moved, minus(now, last)...)
				wanted = append(wanted, minus(expected(k, place), last)...)
				ran = append(ran, minus(last, at(2, place))...)
			}
			for i, from := range []int{atError, atPersistence, atStep, atAcceleration} {
				require.InDelta(t, math.Log(sums[i]/float64(len(chosen))+1e-3), observed[from+k], 1e-5)
			}
			require.InDelta(t, cosine(moved, wanted), observed[atAlignment+k], 1e-5)
			if k == 0 {
				require.InDelta(t, cosine(moved, ran), observed[atOnset], 1e-5)
			}
		}
		given := s.Given[half*givenEach:]
		for j := 1; j < 4; j++ {
			sum, acceleration := 0.0, 0.0
			for _, place := range chosen {
				sum += meanAbs(at(j, place), at(j-1, place)) / float64(len(chosen))
				if j > 1 {
					acceleration += meanAbs(minus(at(j, place), at(j-1, place)), minus(at(j-1, place), at(j-2, place))) / float64(len(chosen))
				}
			}
			require.InDelta(t, math.Log(sum+1e-3), given[atStepX+j-1], 1e-5)
			if j > 1 {
				require.InDelta(t, math.Log(acceleration+1e-3), given[atAccelerationX+j-2], 1e-5)
			}
		}
		for k := range 4 {
			sum := 0.0
			for _, place := range chosen {
				sum += meanAbs(expected(k, place), at(3, place)) / float64(len(chosen))
			}
			require.InDelta(t, math.Log(sum+1e-3), given[atDisplacement+k], 1e-5)
		}
	}
}

// TestRepetitionAndMotionAreOfTokenSteps: of random tokens, several token steps a step.
func TestRepetitionAndMotionAreOfTokenSteps(t *testing.T) {
	const steps, places, dim = 8, 16, 5
	random := rand.New(rand.NewPCG(3, 4))
	n := steps * places * dim
	x, y := noisy(random, n), noisy(random, n)
	s := measured(t, steps, places, dim, x, y, noisy(random, n))
	all := append(slices.Clone(x), y...)
	apart := func(a, b int) float64 { // over all places
		var one, other []float64
		for i := range places * dim {
			one, other = append(one, float64(all[a*places*dim+i])), append(other, float64(all[b*places*dim+i]))
		}
		return meanAbs(one, other)
	}
	for k := range 4 {
		sum := 0.0
		for i := range 2 {
			nearest := math.Inf(1)
			for j := range steps {
				nearest = min(nearest, apart(steps+2*k+i, j))
			}
			sum += math.Log(nearest+1e-3) / 2
		}
		require.InDelta(t, sum, s.Observed[atRepetition+k], 1e-5)
	}
	motion := func(from, end, edge int) []float64 {
		var told, neighbours []float64
		for _, lag := range []int{1, 2, 4} {
			sum, count := 0.0, 0.0
			for i := from + lag; i < end; i++ {
				sum, count = sum+apart(i, i-lag), count+1
			}
			told = append(told, math.Log(sum/count+1e-3))
		}
		for i := from + 1; i < end; i++ {
			neighbours = append(neighbours, math.Log(apart(i, i-1)+1e-3))
		}
		return append(told, math.Log(apart(edge, edge-1)+1e-3), slices.Max(neighbours), slices.Min(neighbours))
	}
	require.InDeltaSlice(t, motion(7, 16, 8), s.Observed[atMotion:observedEach], 1e-5)
	require.InDeltaSlice(t, motion(0, 8, 7), s.Given[atMotionX:givenEach], 1e-5)
}

// TestWhatWasShownBeforeIsARepetition: X played backwards, and its last picture again and again.
func TestWhatWasShownBeforeIsARepetition(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const steps, places, dim = 8, 4, 3
	x := noisy(random, steps*places*dim)
	backwards, still := make([]float32, 0, len(x)), make([]float32, 0, len(x))
	for i := range steps {
		backwards = append(backwards, x[(steps-1-i)*places*dim:(steps-i)*places*dim]...)
		still = append(still, x[(steps-1)*places*dim:]...)
	}
	for _, y := range [][]float32{backwards, still} {
		s := measured(t, steps, places, dim, x, y, y)
		for k := range 4 {
			require.InDelta(t, math.Log(1e-3), s.Observed[atRepetition+k], 1e-6)
		}
	}
}

func noisy(random *rand.Rand, n int) []float32 {
	z := make([]float32, n)
	for i := range z {
		z[i] = float32(random.NormFloat64())
	}
	return z
}

func minus(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

func meanAbs(a, b []float64) float64 {
	sum := 0.0
	for _, d := range minus(a, b) {
		sum += math.Abs(d) / float64(len(a))
	}
	return sum
}

func cosine(a, b []float64) float64 {
	dot, aa, bb := 0.0, 0.0, 0.0
	for i := range a {
		dot, aa, bb = dot+a[i]*b[i], aa+a[i]*a[i], bb+b[i]*b[i]
	}
	return dot / math.Sqrt(aa*bb)
}

func TestStatisticsOfAFrozenPictureAreFinite(t *testing.T) {
	still := ramp(4*2*3, func(int) float32 { return 0.5 })
	s := measured(t, 4, 2, 3, still, still, still)
	for _, value := range append(s.Observed, s.Given...) {
		require.False(t, math.IsNaN(value) || math.IsInf(value, 0))
	}
	require.Equal(t, 0.0, s.Observed[atAlignment])
}

func TestGaugeRefusesWhatItCannotMeasure(t *testing.T) {
	_, err := NewGauge(6, 4, 4)
	require.ErrorContains(t, err, "multiple of 4")
	g, err := NewGauge(4, 2, 2)
	require.NoError(t, err)
	_, err = g.Measure(make([]float32, 16), make([]float32, 15), make([]float32, 16))
	require.ErrorContains(t, err, "15")
}

func TestJoinPutsSourcesSideBySide(t *testing.T) {
	got := Join(Statistics{[]float64{1}, []float64{2}}, Statistics{[]float64{3}, []float64{4}})
	require.Equal(t, Statistics{[]float64{1, 3}, []float64{2, 4}}, got)
}

// TestGaugeMeasuresWithoutGarbage: memory of a gauge is its own; of a call, only the result.
func TestGaugeMeasuresWithoutGarbage(t *testing.T) {
	g, err := NewGauge(8, 64, 16)
	require.NoError(t, err)
	z := noisy(rand.New(rand.NewPCG(1, 1)), g.Values())
	require.LessOrEqual(t, testing.AllocsPerRun(5, func() {
		_, err := g.Measure(z, z, z)
		require.NoError(t, err)
	}), 4.0)
}

func BenchmarkGauge(b *testing.B) {
	g, _ := NewGauge(8, 64, 768)
	z := noisy(rand.New(rand.NewPCG(1, 1)), g.Values())
	for b.Loop() {
		if _, err := g.Measure(z, z, z); err != nil {
			b.Fatal(err)
		}
	}
}
