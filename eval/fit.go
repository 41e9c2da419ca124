package eval

import (
	"context"
	"fmt"
	"slices"

	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
)

// Energies are the learned energies of some sources together: all fitted on training footage, none on what is reported.
type Energies struct {
	// Sources are the indexes, in what was measured, of the sources whose statistics stand side by side.
	Sources  []int
	OneClass *predictor.OneClass
	Head     *predictor.Head
	// Without are heads that never saw a kind, by that kind.
	Without map[negatives.Kind]*predictor.Head
}

// FitConfig says how energies are fitted.
type FitConfig struct {
	// LeaveOut are the kinds for which a head without them is trained, too.
	LeaveOut []negatives.Kind
	Head     predictor.HeadConfig
}

// Fit learns the energies of some sources: the one-class energy from genuine windows, as they are and varied (there are few of the first
// kind, and the law it fits has many numbers), the heads from varied ones with their negatives. The scales of both are settled by genuine
// windows as they are.
func Fit(ctx context.Context, device *nn.Device, natural, varied []Measured, sources []int, config FitConfig) (*Energies, error) {
	e := &Energies{Sources: sources, Without: map[negatives.Kind]*predictor.Head{}}
	genuine := genuineOf(natural, sources)
	var err error
	if e.OneClass, err = predictor.FitOneClass(append(genuineOf(varied, sources), genuine...)); err != nil {
		return nil, err
	}
	if err := e.OneClass.Settle(genuine); err != nil {
		return nil, err
	}
	pairs := pairsOf(varied, sources)
	if e.Head, err = predictor.FitHead(ctx, device, e.OneClass, pairs, genuine, config.Head); err != nil {
		return nil, err
	}
	for _, kind := range config.LeaveOut {
		seen := slices.DeleteFunc(slices.Clone(pairs), func(p predictor.Pair) bool { return p.Kind == string(kind) })
		head, err := predictor.FitHead(ctx, device, e.OneClass, seen, genuine, config.Head)
		if err != nil {
			return nil, fmt.Errorf("leaving out %s: %w", kind, err)
		}
		e.Without[kind] = head
	}
	return e, nil
}

// join is the statistics of some sources, side by side.
func join(judged []Judged, sources []int) predictor.Statistics {
	parts := make([]predictor.Statistics, 0, len(sources))
	for _, source := range sources {
		parts = append(parts, judged[source].Statistics)
	}
	return predictor.Join(parts...)
}

func genuineOf(measured []Measured, sources []int) []predictor.Statistics {
	genuine := make([]predictor.Statistics, 0, len(measured))
	for _, m := range measured {
		genuine = append(genuine, join(m.Genuine, sources))
	}
	return genuine
}

// pairsOf are the genuine windows with their negatives, in the order of windows and kinds.
func pairsOf(measured []Measured, sources []int) []predictor.Pair {
	var pairs []predictor.Pair
	for _, m := range measured {
		genuine := join(m.Genuine, sources)
		for _, kind := range append(negatives.Kinds(), negatives.Brightness) {
			if judged, ok := m.Negatives[kind]; ok {
				pairs = append(pairs, predictor.Pair{Kind: string(kind), Genuine: genuine, Negative: join(judged, sources)})
			}
		}
	}
	return pairs
}

// Score is an energy by a name: what a column of a table is about. The kind is that of the negative; of a genuine window it is the kind
// that the window is compared with, so that a leave-one-out score uses the same head for both.
type Score struct {
	Name string
	// NoNegatives says that it was learned from genuine windows only, or not at all; LeftOut that the kind was left out of what it saw.
	NoNegatives, LeftOut bool

	energy func(judged []Judged, kind negatives.Kind) (float64, error)
}

// Scores are the scores that energies give, by every rule; those with a head also with the kind left out, where such heads were trained.
func (e *Energies) Scores(name string) []Score {
	var scores []Score
	add := func(label string, rule predictor.Rule, head func(negatives.Kind) *predictor.Head) {
		scores = append(scores, Score{
			Name: name + ": " + label + string(rule), NoNegatives: rule == predictor.RuleOneClass, LeftOut: label != "",
			energy: func(judged []Judged, kind negatives.Kind) (float64, error) {
				energy := predictor.Energy{OneClass: e.OneClass, Head: head(kind), Rule: rule}
				return energy.Of(join(judged, e.Sources))
			},
		})
	}
	for _, rule := range predictor.Rules() {
		add("", rule, func(negatives.Kind) *predictor.Head { return e.Head })
	}
	if len(e.Without) == 0 {
		return scores
	}
	for _, rule := range predictor.Rules()[1:] {
		add("LOO ", rule, func(kind negatives.Kind) *predictor.Head {
			if head, ok := e.Without[kind]; ok {
				return head
			}
			return e.Head
		})
	}
	return scores
}

// Raw is the plain energy of a source: the mean distance between what was expected and what was seen.
func Raw(name string, source int) Score {
	return Score{Name: name + ": raw", NoNegatives: true, energy: func(judged []Judged, _ negatives.Kind) (float64, error) {
		return judged[source].Raw, nil
	}}
}
