package predictor

import (
	"fmt"
	"math"
	"slices"
)

// Statistics are what is measured of tokens Y that came after tokens X, beside what was expected. A single distance tells little: what
// is far from the last frame may be a fast scene or a cut, and a frozen stream is nearest to everything. Of several distances together,
// given how much X moved, a one-class model or a head tells what ensues (OneClass, Head).
//
// X and Y are cut into four steps each. With x_j, y_k their tokens, p_k what was expected, |.| the mean over channels, y_0 = x_4 and
// y_-1 = x_3, for k from 1 to 4:
//
//	Observed   prediction error   |p_k - y_k|
//	           persistence error  |y_k - x_4|
//	           step               |y_k - y_(k-1)|
//	           acceleration       |y_k - 2 y_(k-1) + y_(k-2)|
//	           alignment          corr(y_k - x_4, p_k - x_4)
//	           onset              corr(y_1 - x_4, x_4 - x_3), once
//	Given      step in X          |x_j - x_(j-1)|, j = 2, 3, 4
//	           acceleration in X  |x_j - 2 x_(j-1) + x_(j-2)|, j = 3, 4
//	           displacement       |p_k - x_4|
//
// first as the mean over all places, then over the eighth of the places where most happens (the largest mean persistence error plus
// mean step in X). Distances are told as log(d + 1e-3); correlations, over channels and places together and not centred, as they are.
type Statistics struct {
	// Observed are StatisticsObserved numbers that Y decides, Given StatisticsGiven numbers that X and the expectation alone decide (but
	// for the choice of the places where most happens).
	Observed, Given []float64
}

// How many numbers there are.
const (
	StatisticsObserved = 2 * observedEach
	StatisticsGiven    = 2 * givenEach

	statisticSteps = 4
	observedEach   = 5*statisticSteps + 1
	givenEach      = (statisticSteps - 1) + (statisticSteps - 2) + statisticSteps
	activeShare    = 8 // one place of so many
	logFloor       = 1e-3
)

// The sums of a place, by what they are of: distances of each step, then what the correlations need.
const (
	sumError        = 0 // the first: tell counts on it
	sumPersistence  = sumError + statisticSteps
	sumStep         = sumPersistence + statisticSteps
	sumAcceleration = sumStep + statisticSteps
	sumStepX        = sumAcceleration + statisticSteps
	sumAccelerateX  = sumStepX + statisticSteps - 1
	sumDisplacement = sumAccelerateX + statisticSteps - 2
	distances       = sumDisplacement + statisticSteps

	sumDot       = distances               // (y_k - x_4)(p_k - x_4)
	sumMoved     = sumDot + statisticSteps // (y_k - x_4)²
	sumExpected  = sumMoved + statisticSteps
	sumOnset     = sumExpected + statisticSteps // (y_1 - x_4)(x_4 - x_3)
	sumLastStep  = sumOnset + 1                 // (x_4 - x_3)²
	placeNumbers = sumLastStep + 1
)

// Gauge measures Statistics of tokens of one shape. It keeps its memory: one goroutine uses it at a time.
type Gauge struct {
	places, dim, group int
	sums               [][placeNumbers]float64
	order              []int
}

// NewGauge makes a gauge for windows of steps token steps, X and Y each, of places tokens with dim channels. steps must be a multiple
// of four: a step of the statistics is as many token steps, their channels side by side.
func NewGauge(steps, places, dim int) (*Gauge, error) {
	if steps < statisticSteps || steps%statisticSteps != 0 || places < 1 || dim < 1 {
		return nil, fmt.Errorf("measuring windows of %d steps of %d tokens with %d channels: the steps must be a multiple of %d",
			steps, places, dim, statisticSteps)
	}
	return &Gauge{
		places: places, dim: dim, group: steps / statisticSteps,
		sums: make([][placeNumbers]float64, places), order: make([]int, places),
	}, nil
}

// Values is how many values x, y and expected have each: [steps, places, dim].
func (g *Gauge) Values() int { return statisticSteps * g.group * g.places * g.dim }

// Measure is the statistics of y after x, where expected was expected; all [steps, places, dim]. The result is new memory.
func (g *Gauge) Measure(x, y, expected []float32) (Statistics, error) {
	if n := g.Values(); len(x) != n || len(y) != n || len(expected) != n {
		return Statistics{}, fmt.Errorf("measuring a window: %d, %d and %d values of X, Y and what was expected, not %d each",
			len(x), len(y), len(expected), n)
	}
	clear(g.sums)
	for k := range statisticSteps {
		for i := range g.group {
			g.add(k, i, x, y, expected)
		}
	}
	s := Statistics{Observed: make([]float64, 0, StatisticsObserved), Given: make([]float64, 0, StatisticsGiven)}
	s = g.tell(s, g.rank())
	return g.tell(s, g.order[:max(1, g.places/activeShare)]), nil
}

// add adds token step i of step k, of every place.
func (g *Gauge) add(k, i int, x, y, expected []float32) {
	at := func(z []float32, step int) []float32 { // token step i of a step
		n := g.places * g.dim
		return z[(step*g.group+i)*n:][:n]
	}
	now, last := at(y, k), at(x, statisticSteps-1)
	before, beforeThat := last, at(x, statisticSteps-2) // y_(k-1), y_(k-2)
	if k > 0 {
		before, beforeThat = at(y, k-1), last
	}
	if k > 1 {
		beforeThat = at(y, k-2)
	}
	g.addObserved(k, now, before, beforeThat, last, at(expected, k))
	if k == 0 {
		g.addOnset(now, last, at(x, statisticSteps-2))
	}
	if k > 0 {
		g.addDistance(sumStepX+k-1, at(x, k), at(x, k-1))
	}
	if k > 1 {
		g.addAcceleration(sumAccelerateX+k-2, at(x, k), at(x, k-1), at(x, k-2))
	}
}

func (g *Gauge) addObserved(k int, now, before, beforeThat, last, expected []float32) {
	for place := range g.sums {
		from := place * g.dim
		y, b, bb := now[from:from+g.dim], before[from:from+g.dim], beforeThat[from:from+g.dim]
		l, p := last[from:from+g.dim], expected[from:from+g.dim]
		var err, persistence, step, acceleration, displacement, dot, moved, wanted float32
		for c, value := range y {
			gone, ahead := value-l[c], p[c]-l[c]
			err += abs(p[c] - value)
			persistence += abs(gone)
			step += abs(value - b[c])
			acceleration += abs(value - 2*b[c] + bb[c])
			displacement += abs(ahead)
			dot += gone * ahead
			moved += gone * gone
			wanted += ahead * ahead
		}
		s := &g.sums[place]
		s[sumError+k] += float64(err)
		s[sumPersistence+k] += float64(persistence)
		s[sumStep+k] += float64(step)
		s[sumAcceleration+k] += float64(acceleration)
		s[sumDisplacement+k] += float64(displacement)
		s[sumDot+k] += float64(dot)
		s[sumMoved+k] += float64(moved)
		s[sumExpected+k] += float64(wanted)
	}
}

// addOnset adds what the first step of Y has in common with the last one of X.
func (g *Gauge) addOnset(now, last, before []float32) {
	for place := range g.sums {
		from := place * g.dim
		l, b := last[from:from+g.dim], before[from:from+g.dim]
		var onset, step float32
		for c, value := range now[from : from+g.dim] {
			ran := l[c] - b[c]
			onset += (value - l[c]) * ran
			step += ran * ran
		}
		g.sums[place][sumOnset] += float64(onset)
		g.sums[place][sumLastStep] += float64(step)
	}
}

func (g *Gauge) addDistance(number int, a, b []float32) {
	for place := range g.sums {
		from, sum := place*g.dim, float32(0)
		other := b[from : from+g.dim]
		for c, value := range a[from : from+g.dim] {
			sum += abs(value - other[c])
		}
		g.sums[place][number] += float64(sum)
	}
}

func (g *Gauge) addAcceleration(number int, now, before, beforeThat []float32) {
	for place := range g.sums {
		from, sum := place*g.dim, float32(0)
		b, bb := before[from:from+g.dim], beforeThat[from:from+g.dim]
		for c, value := range now[from : from+g.dim] {
			sum += abs(value - 2*b[c] + bb[c])
		}
		g.sums[place][number] += float64(sum)
	}
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// rank orders the places by how much happens there, and returns all of them.
func (g *Gauge) rank() []int {
	activity := func(place int) float64 {
		s, sum := &g.sums[place], 0.0
		for k := range statisticSteps {
			sum += s[sumPersistence+k] / statisticSteps
		}
		for k := range statisticSteps - 1 {
			sum += s[sumStepX+k] / (statisticSteps - 1)
		}
		return sum
	}
	for i := range g.order {
		g.order[i] = i
	}
	slices.SortStableFunc(g.order, func(a, b int) int {
		switch d := activity(b) - activity(a); {
		case d > 0:
			return 1
		case d < 0:
			return -1
		}
		return 0
	})
	return g.order
}

// tell appends the statistics over some places.
func (g *Gauge) tell(s Statistics, places []int) Statistics {
	var total [placeNumbers]float64
	for _, place := range places {
		for i, sum := range g.sums[place] {
			total[i] += sum
		}
	}
	count := float64(len(places) * g.group * g.dim)
	level := func(i int) float64 { return math.Log(total[i]/count + logFloor) }
	for i := range sumStepX {
		s.Observed = append(s.Observed, level(i))
	}
	for k := range statisticSteps {
		s.Observed = append(s.Observed, correlation(total[sumDot+k], total[sumMoved+k], total[sumExpected+k]))
	}
	s.Observed = append(s.Observed, correlation(total[sumOnset], total[sumMoved], total[sumLastStep]))
	for i := sumStepX; i < distances; i++ {
		s.Given = append(s.Given, level(i))
	}
	return s
}

// correlation of two vectors with this product and these squared lengths; nothing correlates with what does not move.
func correlation(dot, a, b float64) float64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	return dot / math.Sqrt(a*b)
}

// Join puts the statistics of several sources (encoders, predictors) of one window side by side.
func Join(parts ...Statistics) Statistics {
	var joined Statistics
	for _, part := range parts {
		joined.Observed = append(joined.Observed, part.Observed...)
		joined.Given = append(joined.Given, part.Given...)
	}
	return joined
}
