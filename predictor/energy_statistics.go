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
// X and Y are cut into four steps each (of three token steps each: into three, and what follows is told with 3 for 4). With x_j, y_k their
// tokens, p_k what was expected, |.| the mean over channels, y_0 = x_4 and y_-1 = x_3, for k from 1 to 4:
//
//	Observed   prediction error   |p_k - y_k|
//	           persistence error  |y_k - x_4|
//	           step               |y_k - y_(k-1)|
//	           acceleration       |y_k - 2 y_(k-1) + y_(k-2)|
//	           alignment          corr(y_k - x_4, p_k - x_4)
//	           onset              corr(y_1 - x_4, x_4 - x_3), once
//	           repetition         the smallest distance of the token steps of y_k to any of X, the mean of their logarithms
//	           motion             of the token steps of Y, see below
//	Given      step in X          |x_j - x_(j-1)|, j = 2, 3, 4
//	           acceleration in X  |x_j - 2 x_(j-1) + x_(j-2)|, j = 3, 4
//	           displacement       |p_k - x_4|
//	           motion             of the token steps of X
//
// Motion is six numbers of a row of token steps, those of X, or the last one of X and then those of Y: the mean distance of neighbours, of
// those two apart, and of those half a window apart (left out of short windows, where that is one apart); the first (in X: the last)
// distance of neighbours, and the largest and the smallest. Together they tell how fast and how evenly it moves; repetition tells what was
// shown before: a loop, a recording played back, a still.
//
// All are taken first as the mean over all places, then over the eighth of the places where most happens (the largest mean persistence
// error plus mean step in X). Distances are told as log(d + 1e-3); correlations, over channels and places together and not centred, as they
// are.
type Statistics struct {
	// Observed are numbers that Y decides, Given numbers that X and the expectation alone decide (but for the choice of the places where
	// most happens); StatisticsOf says how many.
	Observed, Given []float64
}

const (
	statisticSteps = 4 // at most
	briefSteps     = 3 // of windows of as many token steps
	activeShare    = 8 // one place of so many
	logFloor       = 1e-3
)

// StatisticsOf is how many numbers the statistics of windows are whose X and Y have so many token steps; 0 where those cannot be measured.
func StatisticsOf(tokenSteps int) (observed, given int) {
	steps := partsOf(tokenSteps)
	if steps == 0 {
		return 0, 0
	}
	motion := len(lagsOf(tokenSteps)) + 3
	return 2 * (5*steps + 1 + steps + motion), 2 * ((steps - 1) + (steps - 2) + steps + motion)
}

// partsOf is into how many steps so many token steps are cut; 0 where they cannot be.
func partsOf(tokenSteps int) int {
	switch {
	case tokenSteps > 0 && tokenSteps%statisticSteps == 0:
		return statisticSteps
	case tokenSteps == briefSteps:
		return briefSteps
	}
	return 0
}

// lagsOf are how far apart the token steps are whose distances tell of motion.
func lagsOf(tokenSteps int) []int {
	if half := tokenSteps / 2; half > 1 {
		return []int{1, 2, half}
	}
	return []int{1, 2}
}

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
	// steps are the token steps of X, and of Y; they are cut into parts of group each.
	places, dim, steps, parts, group int

	sums [][placeNumbers]float64
	// pairs are the token steps, those of X and then those of Y, whose distance is wanted; at tells where in pairs two of them are, -1 for
	// none; apart are their distances summed over the channels, for each place one after another.
	pairs [][2]int
	at    [][]int
	apart []float32

	order     []int
	total     []float64 // of apart over some places
	neighbour []float64 // the logarithms of the distances of neighbours
}

// NewGauge makes a gauge for windows of steps token steps, X and Y each, of places tokens with dim channels. steps must be three or a
// multiple of four: a step of the statistics is as many token steps, their channels side by side.
func NewGauge(steps, places, dim int) (*Gauge, error) {
	parts := partsOf(steps)
	if parts == 0 || places < 1 || dim < 1 {
		return nil, fmt.Errorf("measuring windows of %d steps of %d tokens with %d channels: the steps must be %d or a multiple of %d",
			steps, places, dim, briefSteps, statisticSteps)
	}
	g := &Gauge{
		places: places, dim: dim, steps: steps, parts: parts, group: steps / parts,
		sums: make([][placeNumbers]float64, places), order: make([]int, places), neighbour: make([]float64, 0, steps),
	}
	g.pair()
	g.apart, g.total = make([]float32, places*len(g.pairs)), make([]float64, len(g.pairs))
	return g, nil
}

// pair lists the distances that are wanted: of every token step of Y to every one of X, and within both of those that lags are apart.
func (g *Gauge) pair() {
	g.at = make([][]int, 2*g.steps)
	for i := range g.at {
		g.at[i] = make([]int, 2*g.steps)
		for k := range g.at[i] {
			g.at[i][k] = -1
		}
	}
	add := func(earlier, later int) {
		if g.at[later][earlier] < 0 {
			g.at[later][earlier] = len(g.pairs)
			g.pairs = append(g.pairs, [2]int{earlier, later})
		}
	}
	for y := range g.steps {
		for x := range g.steps {
			add(x, g.steps+y)
		}
	}
	for _, lag := range append(lagsOf(g.steps), g.group) {
		for i := range g.steps - lag {
			add(i, i+lag)
			add(g.steps+i, g.steps+i+lag)
		}
	}
}

// Values is how many values x, y and expected have each: [steps, places, dim].
func (g *Gauge) Values() int { return g.steps * g.places * g.dim }

// Measure is the statistics of y after x, where expected was expected; all [steps, places, dim]. The result is new memory.
func (g *Gauge) Measure(x, y, expected []float32) (Statistics, error) {
	if n := g.Values(); len(x) != n || len(y) != n || len(expected) != n {
		return Statistics{}, fmt.Errorf("measuring a window: %d, %d and %d values of X, Y and what was expected, not %d each",
			len(x), len(y), len(expected), n)
	}
	clear(g.sums)
	g.compare(x, y)
	for k := range g.parts {
		for i := range g.group {
			g.add(k, i, x, y, expected)
		}
	}
	observed, given := StatisticsOf(g.steps)
	s := Statistics{Observed: make([]float64, 0, observed), Given: make([]float64, 0, given)}
	s = g.tell(s, g.rank())
	return g.tell(s, g.order[:max(1, g.places/activeShare)]), nil
}

// compare measures the distances of pairs, and sums those that steps are made of.
func (g *Gauge) compare(x, y []float32) {
	n := g.places * g.dim
	token := func(step, place int) []float32 {
		z := x
		if step >= g.steps {
			z, step = y, step-g.steps
		}
		return z[step*n+place*g.dim:][:g.dim]
	}
	for place := range g.places {
		apart := g.apart[place*len(g.pairs):][:len(g.pairs)]
		for i, pair := range g.pairs {
			apart[i] = sumApart(token(pair[0], place), token(pair[1], place))
		}
		s := &g.sums[place]
		for k := range g.parts {
			for i := range g.group {
				now := g.steps + k*g.group + i
				s[sumPersistence+k] += float64(apart[g.at[now][g.steps-g.group+i]])
				s[sumStep+k] += float64(apart[g.at[now][now-g.group]])
				if k > 0 {
					s[sumStepX+k-1] += float64(apart[g.at[k*g.group+i][(k-1)*g.group+i]])
				}
			}
		}
	}
}

// add adds token step i of step k, of every place.
func (g *Gauge) add(k, i int, x, y, expected []float32) {
	at := func(z []float32, step int) []float32 { // token step i of a step
		n := g.places * g.dim
		return z[(step*g.group+i)*n:][:n]
	}
	now, last := at(y, k), at(x, g.parts-1)
	before, beforeThat := last, at(x, g.parts-2) // y_(k-1), y_(k-2)
	if k > 0 {
		before, beforeThat = at(y, k-1), last
	}
	if k > 1 {
		beforeThat = at(y, k-2)
	}
	g.addObserved(k, now, before, beforeThat, last, at(expected, k))
	if k == 0 {
		g.addOnset(now, last, at(x, g.parts-2))
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
		var err, acceleration, displacement, dot, moved, wanted float32
		for c, value := range y {
			gone, ahead := value-l[c], p[c]-l[c]
			err += abs(p[c] - value)
			acceleration += abs(value - 2*b[c] + bb[c])
			displacement += abs(ahead)
			dot += gone * ahead
			moved += gone * gone
			wanted += ahead * ahead
		}
		s := &g.sums[place]
		s[sumError+k] += float64(err)
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
	parts := float64(g.parts)
	activity := func(place int) float64 {
		s, sum := &g.sums[place], 0.0
		for k := range g.parts {
			sum += s[sumPersistence+k] / parts
		}
		for k := range g.parts - 1 {
			sum += s[sumStepX+k] / (parts - 1)
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
	clear(g.total)
	for _, place := range places {
		for i, sum := range g.sums[place] {
			total[i] += sum
		}
		for i, sum := range g.apart[place*len(g.pairs):][:len(g.pairs)] {
			g.total[i] += float64(sum)
		}
	}
	each := float64(len(places) * g.group * g.dim)
	levels := func(to []float64, first, count int) []float64 {
		for _, sum := range total[first : first+count] {
			to = append(to, math.Log(sum/each+logFloor))
		}
		return to
	}
	for _, first := range []int{sumError, sumPersistence, sumStep, sumAcceleration} {
		s.Observed = levels(s.Observed, first, g.parts)
	}
	for k := range g.parts {
		s.Observed = append(s.Observed, correlation(total[sumDot+k], total[sumMoved+k], total[sumExpected+k]))
	}
	s.Observed = append(s.Observed, correlation(total[sumOnset], total[sumMoved], total[sumLastStep]))
	s.Given = levels(s.Given, sumStepX, g.parts-1)
	s.Given = levels(s.Given, sumAccelerateX, g.parts-2)
	s.Given = levels(s.Given, sumDisplacement, g.parts)
	each = float64(len(places) * g.dim) // values of a pair
	s.Observed = g.tellRepetition(s.Observed, each)
	s.Observed = g.tellMotion(s.Observed, g.steps-1, 2*g.steps, g.steps, each)
	s.Given = g.tellMotion(s.Given, 0, g.steps, g.steps-1, each)
	return s
}

// tellRepetition appends how near the token steps of each step of Y come to any of X.
func (g *Gauge) tellRepetition(to []float64, each float64) []float64 {
	for k := range g.parts {
		sum := 0.0
		for i := range g.group {
			nearest := math.Inf(1)
			for x := range g.steps {
				nearest = min(nearest, g.total[g.at[g.steps+k*g.group+i][x]])
			}
			sum += math.Log(nearest/each + logFloor)
		}
		to = append(to, sum/float64(g.group))
	}
	return to
}

// tellMotion appends how the token steps [from, end) move; edge is the later one of the neighbours at the border of X and Y, or nearest to
// it.
func (g *Gauge) tellMotion(to []float64, from, end, edge int, each float64) []float64 {
	for _, lag := range lagsOf(g.steps) {
		sum, count := 0.0, 0.0
		for i := from + lag; i < end; i++ {
			sum += g.total[g.at[i][i-lag]]
			count++
		}
		to = append(to, math.Log(sum/count/each+logFloor))
	}
	g.neighbour = g.neighbour[:0]
	for i := from + 1; i < end; i++ {
		g.neighbour = append(g.neighbour, math.Log(g.total[g.at[i][i-1]]/each+logFloor))
	}
	return append(to, g.neighbour[edge-from-1], slices.Max(g.neighbour), slices.Min(g.neighbour))
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

// sumApart is the sum of the absolute differences. Four sums side by side, so that one need not wait for the other.
func sumApart(a, b []float32) float32 {
	b = b[:len(a)]
	var sums [4]float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		sums[0] += abs(a[i] - b[i])
		sums[1] += abs(a[i+1] - b[i+1])
		sums[2] += abs(a[i+2] - b[i+2])
		sums[3] += abs(a[i+3] - b[i+3])
	}
	for ; i < len(a); i++ {
		sums[0] += abs(a[i] - b[i])
	}
	return sums[0] + sums[1] + (sums[2] + sums[3])
}
