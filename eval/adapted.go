package eval

import (
	"math"

	"github.com/ensue-video/ensue/eval/negatives"
)

// How energies are held against those of the other windows of their clip.
const (
	ownFewest = 3 // other windows that a mean and a deviation are taken of
	ownPooled = 3 // windows that the deviation within all clips counts as
	ownPrior  = 2 // windows, with a mean of 0, that count beside the others
)

// own are the energies of all genuine windows by one score, by their clips: what an energy is held against where a stream is judged by its
// own past. It takes the other windows of a clip from both sides in time: it says what a running estimate could reach at best.
type own struct {
	energies []float64
	units    []int
	members  map[int][]int // windows of a clip
	pooled   float64       // variance of the logarithm within clips
	log      bool          // all energies have one
}

func newOwn(measured []Measured, score Score, kind negatives.Kind) (*own, error) {
	o := &own{members: map[int][]int{}, log: true}
	for i, m := range measured {
		energy, err := score.energy(m.Genuine, kind)
		if err != nil {
			return o, err
		}
		o.log = o.log && energy > 0
		o.energies, o.units = append(o.energies, energy), append(o.units, m.Unit)
		o.members[m.Unit] = append(o.members[m.Unit], i)
	}
	if !o.log {
		return o, nil
	}
	squares, freedom := 0.0, 0.0
	for i := range o.energies {
		unit := o.members[o.units[i]]
		if len(unit) > 1 {
			d := math.Log(o.energies[i]) - o.meanOf(unit, -1, math.Log)
			squares, freedom = squares+d*d, freedom+1-1/float64(len(unit))
		}
	}
	if freedom > 0 {
		o.pooled = squares / freedom
	}
	return o, nil
}

// meanOf is the mean of windows without one of them.
func (o *own) meanOf(windows []int, without int, of func(float64) float64) float64 {
	sum, n := 0.0, 0.0
	for _, i := range windows {
		if i != without {
			sum, n = sum+of(o.energies[i]), n+1
		}
	}
	return sum / n
}

// z is how many deviations the logarithm of an energy lies from those of the other windows of window i's clip, either way; NaN where they
// are too few, or where energies have no logarithm.
func (o *own) z(i int, energy float64) float64 {
	windows := o.members[o.units[i]]
	n := float64(len(windows) - 1)
	if !o.log || energy <= 0 || n < ownFewest {
		return math.NaN()
	}
	m, squares := o.meanOf(windows, i, math.Log), 0.0
	for _, k := range windows {
		if k != i {
			d := math.Log(o.energies[k]) - m
			squares += d * d
		}
	}
	return math.Abs(math.Log(energy)-m) / math.Sqrt((squares+ownPooled*o.pooled)/(n-1+ownPooled)+1e-12)
}

// adapted is an energy minus the mean of the other windows' of window i's clip, less so where these are few.
func (o *own) adapted(i int, energy float64) float64 {
	windows := o.members[o.units[i]]
	n := float64(len(windows) - 1)
	if n == 0 {
		return energy
	}
	return energy - o.meanOf(windows, i, func(x float64) float64 { return x })*n/(n+ownPrior)
}

// against ranks what became of the energies of a kind when they were held against their clips.
type against struct {
	ranking *Ranking
	units   []int
	scratch []float64
}

// against holds the energies of a kind against their clips; windows for which that cannot be done are left out.
func (o *own) against(e *energies, hold func(i int, energy float64) float64) *against {
	a := &against{}
	var genuine, negative []float64
	for at, i := range e.windows {
		g, n := hold(i, e.genuine[at]), hold(i, e.negative[at])
		if math.IsNaN(g) || math.IsNaN(n) {
			continue
		}
		genuine, negative = append(genuine, g), append(negative, n)
		a.units = append(a.units, e.units[at])
	}
	a.ranking = NewRanking(genuine, negative)
	return a
}

// auroc is NaN where nothing was left.
func (a *against) auroc(weights []float64) float64 {
	if len(a.units) == 0 {
		return math.NaN()
	}
	a.scratch = spread(weights, a.units, a.scratch)
	return a.ranking.AUROC(a.scratch, a.scratch)
}
