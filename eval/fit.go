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
	// Sources are the indexes, in what was measured, of the sources whose statistics stand side by side; each is a part of the energy.
	Sources []int
	// Fused is the energy, by any rule.
	Fused *predictor.Energy
	// Without are energies whose heads never saw a kind, by that kind.
	Without map[negatives.Kind]*predictor.Energy
}

// FitConfig says how energies are fitted.
type FitConfig struct {
	// LeaveOut are the kinds for which a head without them is trained, too.
	LeaveOut []negatives.Kind
	Head     predictor.HeadConfig
}

// Fit learns the energies of some sources, of each its own part: the one-class energy from genuine windows, as they are and varied (there
// are few of the first kind, and the law it fits has many numbers), the heads from varied ones with their negatives. The scales of both are
// settled by genuine windows as they are.
func Fit(ctx context.Context, device *nn.Device, natural, varied []Measured, sources []int, config FitConfig) (*Energies, error) {
	e := &Energies{Sources: sources, Without: map[negatives.Kind]*predictor.Energy{}}
	parts, without := []predictor.Part{}, map[negatives.Kind][]predictor.Part{}
	for _, source := range sources {
		if err := fitPart(ctx, device, natural, varied, source, config, func(kind negatives.Kind, part predictor.Part) {
			if kind == "" {
				parts = append(parts, part)
			} else {
				without[kind] = append(without[kind], part)
			}
		}); err != nil {
			return nil, err
		}
	}
	genuine := genuineOf(natural, sources)
	var err error
	if e.Fused, err = predictor.NewEnergy(parts, predictor.RuleMix, genuine); err != nil {
		return nil, err
	}
	for kind, parts := range without {
		if e.Without[kind], err = predictor.NewEnergy(parts, predictor.RuleMix, genuine); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// fitPart learns the part of one source, and for each kind that is to be left out the part whose head never saw it; fitted is called with
// each, first with the one that saw all (kind "").
func fitPart(
	ctx context.Context, device *nn.Device, natural, varied []Measured, source int, config FitConfig,
	fitted func(kind negatives.Kind, part predictor.Part),
) error {
	own := []int{source}
	genuine := genuineOf(natural, own)
	oneClass, err := predictor.FitOneClass(append(genuineOf(varied, own), genuine...))
	if err != nil {
		return err
	}
	if err := oneClass.Settle(genuine); err != nil {
		return err
	}
	pairs := pairsOf(varied, own)
	for _, kind := range append([]negatives.Kind{""}, config.LeaveOut...) {
		seen := slices.DeleteFunc(slices.Clone(pairs), func(p predictor.Pair) bool { return p.Kind == string(kind) })
		head, err := predictor.FitHead(ctx, device, oneClass, seen, genuine, config.Head)
		if err != nil {
			if kind != "" {
				err = fmt.Errorf("leaving out %s: %w", kind, err)
			}
			return err
		}
		fitted(kind, predictor.Part{OneClass: oneClass, Head: head})
	}
	return nil
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
	for _, rule := range predictor.Rules() {
		scores = append(scores, e.score(name+": "+string(rule), rule, false))
	}
	if len(e.Without) == 0 {
		return scores
	}
	for _, rule := range predictor.Rules()[1:] {
		scores = append(scores, e.score(name+": LOO "+string(rule), rule, true))
	}
	return scores
}

func (e *Energies) score(name string, rule predictor.Rule, leaveOut bool) Score {
	return Score{
		Name: name, NoNegatives: rule == predictor.RuleOneClass, LeftOut: leaveOut,
		energy: func(judged []Judged, kind negatives.Kind) (float64, error) {
			energy := e.Fused
			if without, ok := e.Without[kind]; ok && leaveOut {
				energy = without
			}
			energy, err := energy.WithRule(rule)
			if err != nil {
				return 0, err
			}
			return energy.Of(join(judged, e.Sources))
		},
	}
}

// Shipped is the score of an energy that was fitted before, of the sources at these indexes.
func Shipped(name string, energy *predictor.Energy, sources []int) Score {
	return Score{
		Name: name, NoNegatives: energy.Rule == predictor.RuleOneClass,
		energy: func(judged []Judged, _ negatives.Kind) (float64, error) { return energy.Of(join(judged, sources)) },
	}
}

// Verified is the energy that the verifier of a source gives. It saw negatives of all kinds, of the footage it was trained on.
func Verified(name string, source int) Score {
	return Score{Name: name + ": verifier", energy: func(judged []Judged, _ negatives.Kind) (float64, error) {
		return judged[source].Verified, nil
	}}
}

// Raw is the plain energy of a source: the mean distance between what was expected and what was seen.
func Raw(name string, source int) Score {
	return Score{Name: name + ": raw", NoNegatives: true, energy: func(judged []Judged, _ negatives.Kind) (float64, error) {
		return judged[source].Raw, nil
	}}
}
