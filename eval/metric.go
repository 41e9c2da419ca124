package eval

import (
	"cmp"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
)

// Paired is the share of pairs in which the negative has the higher energy, ties counting a half; weights are how often each pair
// counts, nil for once each. Without pairs it is NaN.
func Paired(genuine, negative, weights []float64) float64 {
	won, total := 0.0, 0.0
	for i, g := range genuine {
		w := weight(weights, i)
		total += w
		switch n := negative[i]; {
		case n > g:
			won += w
		case n == g:
			won += w / 2
		}
	}
	return won / total
}

func weight(weights []float64, i int) float64 {
	if weights == nil {
		return 1
	}
	return weights[i]
}

// Ranking is energies of genuine items and of negatives, sorted once: of it the area under the ROC curve is found for any weights in
// one pass.
type Ranking struct {
	items []ranked
}

// ranked is an energy and where it came from.
type ranked struct {
	energy   float64
	item     int
	negative bool
}

// NewRanking sorts the energies.
func NewRanking(genuine, negative []float64) *Ranking {
	r := &Ranking{items: make([]ranked, 0, len(genuine)+len(negative))}
	for i, energy := range genuine {
		r.items = append(r.items, ranked{energy, i, false})
	}
	for i, energy := range negative {
		r.items = append(r.items, ranked{energy, i, true})
	}
	slices.SortStableFunc(r.items, func(a, b ranked) int { return cmp.Compare(a.energy, b.energy) })
	return r
}

// AUROC is the probability that a random negative has a higher energy than a random genuine item, ties counting a half: the area
// under the ROC curve (Hanley & McNeil 1982), exact. genuine and negative weigh the items, nil for once each. It is NaN where one side
// has no weight.
func (r *Ranking) AUROC(genuine, negative []float64) float64 {
	below, won, negatives := 0.0, 0.0, 0.0 // genuine weight below the energy at hand; pairs won; weight of the negatives
	for at := 0; at < len(r.items); {
		g, n, end := 0.0, 0.0, at
		for ; end < len(r.items) && r.items[end].energy == r.items[at].energy; end++ {
			if item := r.items[end]; item.negative {
				n += weight(negative, item.item)
			} else {
				g += weight(genuine, item.item)
			}
		}
		won += n * (below + g/2)
		below, negatives = below+g, negatives+n
		at = end
	}
	return won / (below * negatives)
}

// AUROC is Ranking.AUROC of items that all count once.
func AUROC(genuine, negative []float64) float64 { return NewRanking(genuine, negative).AUROC(nil, nil) }

// RecallAt is the share of ranks below k; rank 0 is the best. Without ranks it is NaN.
func RecallAt(k int, ranks []int, weights []float64) float64 {
	hit, total := 0.0, 0.0
	for i, rank := range ranks {
		w := weight(weights, i)
		total += w
		if rank < k {
			hit += w
		}
	}
	return hit / total
}

// Interval is a value and where it lies with 95 % confidence.
type Interval struct {
	Value, Low, High float64
}

// MarshalJSON tells what is not defined (of a kind that no window had, say) as null.
func (i Interval) MarshalJSON() ([]byte, error) {
	number := func(x float64) *float64 {
		if math.IsNaN(x) {
			return nil
		}
		return &x
	}
	return json.Marshal(map[string]*float64{"value": number(i.Value), "low": number(i.Low), "high": number(i.High)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (i *Interval) UnmarshalJSON(text []byte) error {
	var numbers map[string]*float64
	if err := json.Unmarshal(text, &numbers); err != nil {
		return err
	}
	for name, to := range map[string]*float64{"value": &i.Value, "low": &i.Low, "high": &i.High} {
		*to = math.NaN()
		if value := numbers[name]; value != nil {
			*to = *value
		}
	}
	return nil
}

// Excludes says whether the whole interval lies on one side of x.
func (i Interval) Excludes(x float64) bool { return i.Low > x || i.High < x }

const confidence = 0.95

// Bootstrap estimates how far statistics would move with other units (clips, pairs) of the same kind: units are drawn with
// replacement, and statistic is asked with how often each unit counts (Efron 1979); the interval is the middle 95 % of the draws'
// values. Statistics of the same call are drawn together, so that one of them may be the difference of two others. A draw that leaves
// a statistic undefined (NaN) does not count for it.
func Bootstrap(units, draws int, seed uint64, statistic func(weights []float64) []float64) []Interval {
	weights := make([]float64, units)
	for i := range weights {
		weights[i] = 1
	}
	values := statistic(weights)
	intervals := make([]Interval, len(values))
	samples := make([][]float64, len(values))
	random := rand.New(rand.NewPCG(seed, uint64(units)))
	for range draws {
		clear(weights)
		for range units {
			weights[random.IntN(units)]++
		}
		for i, value := range statistic(weights) {
			if !math.IsNaN(value) {
				samples[i] = append(samples[i], value)
			}
		}
	}
	for i, value := range values {
		slices.Sort(samples[i])
		intervals[i] = Interval{value, quantile(samples[i], (1-confidence)/2), quantile(samples[i], (1+confidence)/2)}
	}
	return intervals
}

// quantile interpolates between sorted values (type 7 of Hyndman & Fan 1996, as numpy.quantile does).
func quantile(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := share * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}

// spread gives every item the weight of its unit.
func spread(weights []float64, units []int, out []float64) []float64 {
	out = out[:0]
	for _, unit := range units {
		out = append(out, weights[unit])
	}
	return out
}

// mean is the plain mean; of nothing it is NaN.
func mean(values ...float64) float64 {
	sum := 0.0
	for _, value := range values {
		sum += value
	}
	return sum / float64(len(values))
}
