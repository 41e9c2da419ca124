package predictor

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/mathext"

	"github.com/ensue-video/ensue/stream"
)

// Said is what is said of a window before anybody knows whether that is unusual.
type Said struct {
	// Energy is the window's energy, Distance the mean distance between expected and seen tokens, whatever the energy is.
	Energy, Distance float64
}

// Calibrator turns what is said of the windows of one stream into p-values against the stream's own past. One goroutine uses it at a time.
type Calibrator interface {
	// Judge says how surprising a window would be, from what was observed so far. It changes nothing.
	Judge(said Said) Judgement
	// Observe adds a window that lasted that long to the past.
	Observe(said Said, lasted time.Duration)
	// Export is all the calibrator has learned, as a few bytes that Import of the same kind of calibrator reads.
	Export() []byte
	// Import replaces what was learned. It fails (predict.calibration_state) and changes nothing when the bytes are not from Export.
	Import(state []byte) error
}

// Judgement is how surprising a window is.
type Judgement struct {
	// Warm says that there is enough past to judge; without it the rest is empty.
	Warm bool
	// PValue is the probability that the stream's past makes an energy this far off, to either side. It is in [0, 1].
	PValue float64
	// Calm says that it surprises by how little happens.
	Calm bool
	// Expected is the median and the band of energies outside of which a p-value is an alarm.
	Expected stream.Expected
}

// scale is on which scale energies are compared with each other.
type scale byte

// The scales. They are the first byte of what Export writes.
const (
	// logarithmic: energies are distances, 0 or more; an energy is as surprising when it is a third of the usual as when it is threefold.
	logarithmic scale = 1
	// standard: energies are in standard deviations of genuine windows already, of either sign, and high to both sides: for what moves less
	// than its past let expect as for what moves more. So only those above the median surprise.
	standard scale = 2
)

const (
	// energyFloor is what an energy of zero counts as, so that it has a logarithm: far below what sensor noise or recoding leaves
	// (on the quietest footage of the project, 4e-4).
	energyFloor = 1e-5
	// spreadFloor is the least spread of log energy: a past that hardly varies does not make 5 % more or less a surprise.
	spreadFloor = 0.05
	// standardFloor is the least spread of standard energies: a stream that hardly varies is no reason to find a tenth of what all streams
	// vary surprising.
	standardFloor = 0.25
	// minimumHistory is how few windows say anything about spread.
	minimumHistory = 8
	// madToSigma makes the median absolute deviation of normal values their standard deviation: 1/Φ⁻¹(3/4).
	madToSigma = 1.4826
	// outlier is beyond how many spreads a value is left out of the second estimate, keptToSigma makes the standard deviation of the
	// normal values within that their own: 1/√(1 − 2·3·φ(3)/(2Φ(3)−1)).
	outlier     = 3
	keptToSigma = 1.0136
)

// Running judges energies, on their scale (the logarithm of distances, learned energies as they are), by the median and the spread of
// the last windows.
//
// The spread is estimated in two steps (Rousseeuw and Leroy, Robust Regression and Outlier Detection, 1987, §4.2): the median
// absolute deviation, of which half of the windows may be anomalies before they pass for normal; then the standard deviation of
// the windows within three of those. The second step is nearly as exact as the standard deviation of all, which the first
// (as exact as that of a third of the windows) is not; on 60 windows it decides whether there are two or five times as many
// false alarms as asked for.
//
// The p-value is that of a new value of a normal distribution whose mean and spread were estimated: Student's t on n−1 degrees of
// freedom, the distance divided by the spread times √(1+1/n) (Gelman et al., Bayesian Data Analysis, 3rd ed., §3.2). Windows that
// depend on the ones before them tell less than n independent ones; TestFalseAlarmsComeAtTheRateAskedFor says what that costs.
// Of learned energies it is one-sided: they are high for a frozen stream, too.
type Running struct {
	scale   scale
	alpha   float64
	warmup  time.Duration
	history int

	recent  []float32 // energies on the scale; once full, next is the oldest
	next    int
	ordered []float32 // the same, ascending
	seen    time.Duration

	// The last quantile computed, and for which degrees of freedom: once the history is full they no longer change.
	lastFreedom, lastQuantile float64
}

// NewRunning makes the calibrator of distances of a stream that begins. cfg is valid (Config.Validate).
func NewRunning(cfg Config) *Running { return newRunning(cfg, logarithmic) }

// NewStandardRunning makes that of learned energies (Energy).
func NewStandardRunning(cfg Config) *Running { return newRunning(cfg, standard) }

func newRunning(cfg Config, scale scale) *Running {
	return &Running{scale: scale, alpha: cfg.Alpha(), warmup: cfg.Calibrate.Warmup, history: cfg.Calibrate.History}
}

// Judge is as the interface says. It is warm once windows of the warm-up's length, and minimumHistory of them, were observed.
func (r *Running) Judge(energy float64) Judgement {
	if r.seen < r.warmup || len(r.ordered) < minimumHistory {
		return Judgement{}
	}
	center, spread, freedom := r.estimate()
	distance := (r.scale.of(energy) - center) / spread
	band := r.quantile(freedom) * spread
	return Judgement{
		Warm:   true,
		PValue: r.scale.tail(distance, freedom),
		Calm:   distance < 0,
		Expected: stream.Expected{
			Median: r.scale.energy(center), Low: r.scale.energy(center - band), High: r.scale.energy(center + band),
		},
	}
}

// tail is the p-value of an energy that lies that many spreads above the median.
func (s scale) tail(distance, freedom float64) float64 {
	both := studentTails(math.Abs(distance), freedom)
	switch {
	case s == logarithmic:
		return both
	case distance > 0:
		return both / 2
	}
	return 1 - both/2
}

// Observe is as the interface says. Memory is bounded by the history (invariant 6): the oldest energy makes room.
func (r *Running) Observe(energy float64, lasted time.Duration) {
	value := float32(r.scale.of(energy))
	r.seen = min(r.seen+lasted, math.MaxInt64/2)
	if len(r.recent) < r.history {
		r.recent = append(r.recent, value)
	} else {
		gone, _ := slices.BinarySearch(r.ordered, r.recent[r.next])
		r.ordered = slices.Delete(r.ordered, gone, gone+1)
		r.recent[r.next] = value
		r.next = (r.next + 1) % r.history
	}
	place, _ := slices.BinarySearch(r.ordered, value)
	r.ordered = slices.Insert(r.ordered, place, value)
}

// estimate is the median, the spread of a new value around it, and the degrees of freedom.
func (r *Running) estimate() (center, scale, freedom float64) {
	middle := median(r.ordered)
	least := r.scale.floor()
	spread := max(madToSigma*medianDistance(r.ordered, middle), float32(least))
	from, _ := slices.BinarySearch(r.ordered, middle-outlier*spread)
	to, _ := slices.BinarySearch(r.ordered, middle+outlier*spread)
	scale = max(keptToSigma*deviation(r.ordered[from:to], middle), least)
	n := float64(len(r.ordered))
	return float64(middle), scale * math.Sqrt(1+1/n), n - 1
}

// deviation is the standard deviation of the values around center.
func deviation(values []float32, center float32) float64 {
	squares := 0.0
	for _, value := range values {
		squares += float64(value-center) * float64(value-center)
	}
	return math.Sqrt(squares / float64(len(values)-1))
}

// quantile is how many spreads from the median an alarm begins.
func (r *Running) quantile(freedom float64) float64 {
	if freedom != r.lastFreedom {
		both := r.alpha
		if r.scale == standard {
			both *= 2
		}
		r.lastFreedom, r.lastQuantile = freedom, studentQuantile(both, freedom)
	}
	return r.lastQuantile
}

// of is an energy on the scale, within what a float32 can say.
func (s scale) of(energy float64) float64 {
	if s == standard {
		return min(max(energy, -math.MaxFloat32), math.MaxFloat32)
	}
	return math.Log(min(max(energy, 0), math.MaxFloat32) + energyFloor)
}

// energy is the inverse of of, within what JSON can say.
func (s scale) energy(value float64) float64 {
	if s == standard {
		return min(max(value, -math.MaxFloat64), math.MaxFloat64)
	}
	return min(max(math.Exp(value)-energyFloor, 0), math.MaxFloat64)
}

// floor is the least spread.
func (s scale) floor() float64 {
	if s == standard {
		return standardFloor
	}
	return spreadFloor
}

// median of ascending values; the upper one of two.
func median(ordered []float32) float32 { return ordered[len(ordered)/2] }

// medianDistance is the median of the distances to center, in one walk outwards from it.
func medianDistance(ordered []float32, center float32) float32 {
	above, _ := slices.BinarySearch(ordered, center)
	below := above - 1
	distance := float32(0)
	for range len(ordered)/2 + 1 {
		if below < 0 || above < len(ordered) && ordered[above]-center <= center-ordered[below] {
			distance = ordered[above] - center
			above++
		} else {
			distance = center - ordered[below]
			below--
		}
	}
	return distance
}

// studentTails is the probability that |T| ≥ t with that many degrees of freedom: the regularised incomplete beta function
// I_{ν/(ν+t²)}(ν/2, ½) (Abramowitz and Stegun 26.7.1).
func studentTails(t, freedom float64) float64 {
	return mathext.RegIncBeta(freedom/2, 0.5, freedom/(freedom+t*t))
}

// studentQuantile is the t whose studentTails is p, by bisection: mathext.InvRegIncBeta gives a wrong answer for small p and many
// degrees of freedom.
func studentQuantile(p, freedom float64) float64 {
	low, high := 0.0, 1.0
	for studentTails(high, freedom) > p {
		low, high = high, 2*high
	}
	for range 50 { // to the last bits of a float64
		middle := (low + high) / 2
		if studentTails(middle, freedom) > p {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// Export writes the scale, how long was seen (varint, nanoseconds), and the energies on that scale, oldest first (float32,
// little-endian): 4 bytes a window.
func (r *Running) Export() []byte {
	state := binary.AppendUvarint([]byte{byte(r.scale)}, uint64(r.seen))
	for i := range r.recent {
		value := r.recent[(r.next+i)%len(r.recent)]
		state = binary.LittleEndian.AppendUint32(state, math.Float32bits(value))
	}
	return state
}

// Import reads what Export wrote; of a longer history it takes the newest part.
func (r *Running) Import(state []byte) error {
	if len(state) == 0 || scale(state[0]) != r.scale {
		return stateFailure("it does not begin with format %d", r.scale)
	}
	seen, size := binary.Uvarint(state[1:])
	if size <= 0 || seen > math.MaxInt64/2 {
		return stateFailure("it does not say how long was seen")
	}
	state = state[1+size:]
	if len(state)%4 != 0 {
		return stateFailure("it ends within a number")
	}
	lowest, highest := float32(r.scale.of(math.Inf(-1))), float32(r.scale.of(math.Inf(1)))
	values := make([]float32, 0, len(state)/4)
	for ; len(state) > 0; state = state[4:] {
		value := math.Float32frombits(binary.LittleEndian.Uint32(state))
		if math.IsNaN(float64(value)) || value < lowest || value > highest {
			return stateFailure("energy %d is %v on its scale", len(values), value)
		}
		values = append(values, value)
	}
	r.seen, r.next = time.Duration(seen), 0
	r.recent = values[max(len(values)-r.history, 0):]
	r.ordered = slices.Clone(r.recent)
	slices.Sort(r.ordered)
	return nil
}

func stateFailure(format string, args ...any) error {
	return stream.Fail("predict", "predict.calibration_state", "reading the state of a calibration: "+format, args...)
}
