package eval

import (
	"math"
	"slices"

	"github.com/ensue-video/ensue/eval/negatives"
)

// bootstrapDraws is how often clips are drawn for the intervals.
const bootstrapDraws = 400

// Continuation is the table of how well energies tell what continues a video from ten kinds of what does not.
type Continuation struct {
	// Windows is how many windows were judged, Static in how many nothing moves, WithCuts how many were left out, TooShort how many files
	// had no window.
	Windows  int           `json:"windows"`
	Static   int           `json:"static"`
	WithCuts int           `json:"with_cuts"`
	TooShort int           `json:"too_short"`
	Clips    int           `json:"clips"`
	Draws    int           `json:"bootstrap_draws"`
	Scores   []ScoreResult `json:"scores"`
	Maps     []MapResult   `json:"maps"`
	// Speeds are what sources and learned energies cost live; where no recording was long enough there are none.
	Speeds []Speed `json:"speeds,omitempty"`
	kinds  []negatives.Kind
}

// ScoreResult is what one score reached.
type ScoreResult struct {
	Name string `json:"name"`
	// NoNegatives and LeftOut are those of Score.
	NoNegatives bool `json:"no_negatives"`
	LeftOut     bool `json:"left_out"`
	// MeanAUROC and MeanPaired are plain means over the ten kinds.
	MeanAUROC  Interval `json:"mean_auroc"`
	MeanPaired Interval `json:"mean_paired"`
	// MeanZ and MeanAdapted are mean AUROCs of the energy against the other windows of the clip (see against).
	MeanZ       Interval `json:"mean_z_auroc"`
	MeanAdapted Interval `json:"mean_adapted_auroc"`

	Kinds []KindResult `json:"kinds"`
}

// KindResult is what a score reached against one kind.
type KindResult struct {
	Kind   negatives.Kind `json:"kind"`
	N      int            `json:"n"`
	AUROC  Interval       `json:"auroc"`
	Paired Interval       `json:"paired"`
}

// MapResult is how well the map of a source, or of an energy, finds the spliced box.
type MapResult struct {
	Name  string   `json:"name"`
	N     int      `json:"n"`
	Hit   Interval `json:"hit"`
	Cells Interval `json:"cell_auroc"`
}

// NewContinuation judges what was measured by scores. Intervals are of the recordings: they are drawn with replacement, all their
// windows with them.
func NewContinuation(w *Windows, measured []Measured, sources []*Source, scores []Score, seed uint64) (*Continuation, error) {
	c := &Continuation{
		Windows: len(measured), WithCuts: w.WithCuts, TooShort: w.TooShort, Draws: bootstrapDraws,
		kinds: append(negatives.Kinds(), negatives.Reported()...),
	}
	var units []int
	for _, m := range measured {
		if m.Static {
			c.Static++
		}
		units = append(units, m.Unit)
	}
	slices.Sort(units)
	c.Clips = len(slices.Compact(units))
	for _, score := range scores {
		result, err := c.score(measured, score, len(w.Recordings), seed)
		if err != nil {
			return nil, err
		}
		c.Scores = append(c.Scores, result)
	}
	for i, source := range sources {
		c.Maps = append(c.Maps, mapOf(measured, source.Name, len(w.Recordings), seed, func(j []Judged) Found { return j[i].Found }))
		if source.Verifier != nil {
			c.Maps = append(c.Maps, mapOf(measured, source.Name+": verifier", len(w.Recordings), seed,
				func(j []Judged) Found { return j[i].VerifierFound }))
		}
	}
	for _, score := range scores {
		if len(score.drawn) > 0 {
			c.Maps = append(c.Maps, mapOf(measured, score.drawnOf, len(w.Recordings), seed,
				func(j []Judged) Found { return jointly(j, score.drawn) }))
		}
	}
	return c, nil
}

// energies are those of one kind: of the genuine windows it could be made for, and of the negatives.
type energies struct {
	genuine, negative []float64
	units, windows    []int // of the recordings, and of what was measured
	ranking           *Ranking
	z, adapted        *against
}

func energiesOf(measured []Measured, score Score, kind negatives.Kind) (energies, error) {
	var e energies
	for i, m := range measured {
		judged, ok := m.Negatives[kind]
		if !ok {
			continue
		}
		e.windows = append(e.windows, i)
		genuine, err := score.energy(m.Genuine, kind)
		if err != nil {
			return e, err
		}
		negative, err := score.energy(judged, kind)
		if err != nil {
			return e, err
		}
		e.genuine, e.negative, e.units = append(e.genuine, genuine), append(e.negative, negative), append(e.units, m.Unit)
	}
	e.ranking = NewRanking(e.genuine, e.negative)
	all, err := newOwn(measured, score, kind)
	e.z, e.adapted = all.against(&e, all.z), all.against(&e, all.adapted)
	return e, err
}

func (c *Continuation) score(measured []Measured, score Score, units int, seed uint64) (ScoreResult, error) {
	result := ScoreResult{Name: score.Name, NoNegatives: score.NoNegatives, LeftOut: score.LeftOut}
	all := make([]energies, len(c.kinds))
	for i, kind := range c.kinds {
		var err error
		if all[i], err = energiesOf(measured, score, kind); err != nil {
			return result, err
		}
	}
	ten := len(negatives.Kinds())
	var scratch []float64
	intervals := Bootstrap(units, c.Draws, seed, func(weights []float64) []float64 {
		aurocs, paired := make([]float64, len(all)), make([]float64, len(all))
		z, adapted := make([]float64, len(all)), make([]float64, len(all))
		for i, e := range all {
			scratch = spread(weights, e.units, scratch)
			aurocs[i], paired[i] = e.ranking.AUROC(scratch, scratch), Paired(e.genuine, e.negative, scratch)
			z[i], adapted[i] = e.z.auroc(weights), e.adapted.auroc(weights)
		}
		return slices.Concat(aurocs, paired, []float64{
			meanDefined(aurocs[:ten]), meanDefined(paired[:ten]), meanDefined(z[:ten]), meanDefined(adapted[:ten]),
		})
	})
	for i, kind := range c.kinds {
		result.Kinds = append(result.Kinds, KindResult{
			Kind: kind, N: len(all[i].genuine), AUROC: intervals[i], Paired: intervals[len(all)+i],
		})
	}
	means := intervals[2*len(all):]
	result.MeanAUROC, result.MeanPaired, result.MeanZ, result.MeanAdapted = means[0], means[1], means[2], means[3]
	return result, nil
}

// meanDefined is the mean of the values that are defined: footage without motion has no kinds of motion.
func meanDefined(values []float64) float64 {
	return mean(slices.DeleteFunc(slices.Clone(values), math.IsNaN)...)
}

func mapOf(measured []Measured, name string, units int, seed uint64, found func([]Judged) Found) MapResult {
	var hits, cells []float64
	var of []int
	for _, m := range measured {
		if judged, ok := m.Negatives[negatives.Splice]; ok {
			f := found(judged)
			hits, cells = append(hits, f.Hit), append(cells, f.Cells)
			of = append(of, m.Unit)
		}
	}
	intervals := Bootstrap(units, bootstrapDraws, seed, func(weights []float64) []float64 {
		hit, cell, total := 0.0, 0.0, 0.0
		for i, unit := range of {
			hit, cell, total = hit+weights[unit]*hits[i], cell+weights[unit]*cells[i], total+weights[unit]
		}
		return []float64{hit / total, cell / total}
	})
	return MapResult{Name: name, N: len(of), Hit: intervals[0], Cells: intervals[1]}
}
