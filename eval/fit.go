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

// of is which statistics of a window are meant: those of all of it, or the brief ones.
type of func(Judged) predictor.Statistics

func whole(j Judged) predictor.Statistics { return j.Statistics }
func brief(j Judged) predictor.Statistics { return j.Brief }

// FitConfig says how energies are fitted.
type FitConfig struct {
	// LeaveOut are the kinds for which a head without them is trained, too.
	LeaveOut []negatives.Kind
	Head     predictor.HeadConfig
}

// Fitter learns energies of windows that were measured, each part once, however many combinations of sources it is in.
type Fitter struct {
	device          *nn.Device
	natural, varied []Measured
	config          FitConfig

	oneClasses map[fitted]*predictor.OneClass
	parts      map[fitted]predictor.Part
}

// fitted names a part: its source, whether it is of brief windows, and the kind that its head never saw.
type fitted struct {
	source int
	brief  bool
	kind   negatives.Kind
}

// statistics is what the part judges by.
func (f fitted) statistics() of {
	if f.brief {
		return brief
	}
	return whole
}

// NewFitter makes a fitter. natural windows are as they are, varied ones have negatives.
func NewFitter(device *nn.Device, natural, varied []Measured, config FitConfig) *Fitter {
	return &Fitter{
		device: device, natural: natural, varied: varied, config: config,
		oneClasses: map[fitted]*predictor.OneClass{}, parts: map[fitted]predictor.Part{},
	}
}

// Fit learns the energies of some sources, of each its own part: the one-class energy from genuine windows, as they are and varied (there
// are few of the first kind, and the law it fits has many numbers), the heads from varied ones with their negatives. The scales of both are
// settled by genuine windows as they are.
func Fit(ctx context.Context, device *nn.Device, natural, varied []Measured, sources []int, config FitConfig) (*Energies, error) {
	return NewFitter(device, natural, varied, config).Fit(ctx, sources)
}

// Fit is the function Fit.
func (f *Fitter) Fit(ctx context.Context, sources []int) (*Energies, error) {
	e := &Energies{Sources: sources, Without: map[negatives.Kind]*predictor.Energy{}}
	var err error
	if e.Fused, err = f.energy(ctx, sources, fitted{}); err != nil {
		return nil, err
	}
	for _, kind := range f.config.LeaveOut {
		if e.Without[kind], err = f.energy(ctx, sources, fitted{kind: kind}); err != nil {
			return nil, err
		}
	}
	for _, source := range sources {
		if len(f.natural) == 0 || len(f.natural[0].Genuine[source].Brief.Observed) == 0 {
			return e, nil
		}
	}
	small, err := f.energy(ctx, sources, fitted{brief: true})
	if err != nil {
		return nil, fmt.Errorf("of brief windows: %w", err)
	}
	e.Fused, err = e.Fused.WithBrief(small)
	return e, err
}

// energy is made of the parts of some sources.
func (f *Fitter) energy(ctx context.Context, sources []int, like fitted) (*predictor.Energy, error) {
	parts := make([]predictor.Part, 0, len(sources))
	for _, source := range sources {
		like.source = source
		part, err := f.part(ctx, like)
		if err != nil {
			if like.kind != "" {
				err = fmt.Errorf("leaving out %s: %w", like.kind, err)
			}
			return nil, err
		}
		parts = append(parts, part)
	}
	return predictor.NewEnergy(parts, predictor.RuleMix, genuineOf(f.natural, sources, like.statistics()))
}

// part learns the part of one source, or knows it.
func (f *Fitter) part(ctx context.Context, which fitted) (predictor.Part, error) {
	if part, ok := f.parts[which]; ok {
		return part, nil
	}
	own, what := []int{which.source}, which.statistics()
	genuine := genuineOf(f.natural, own, what)
	unlike := fitted{source: which.source, brief: which.brief} // it sees no negatives
	oneClass, ok := f.oneClasses[unlike]
	if !ok {
		var err error
		if oneClass, err = predictor.FitOneClass(append(genuineOf(f.varied, own, what), genuine...)); err != nil {
			return predictor.Part{}, err
		}
		if err := oneClass.Settle(genuine); err != nil {
			return predictor.Part{}, err
		}
		f.oneClasses[unlike] = oneClass
	}
	pairs := slices.DeleteFunc(pairsOf(f.varied, own, what), func(p predictor.Pair) bool { return p.Kind == string(which.kind) })
	head, err := predictor.FitHead(ctx, f.device, oneClass, pairs, genuine, f.config.Head)
	if err != nil {
		return predictor.Part{}, err
	}
	f.parts[which] = predictor.Part{OneClass: oneClass, Head: head}
	return f.parts[which], nil
}

// join is the statistics of some sources, side by side.
func join(judged []Judged, sources []int, what of) predictor.Statistics {
	parts := make([]predictor.Statistics, 0, len(sources))
	for _, source := range sources {
		parts = append(parts, what(judged[source]))
	}
	return predictor.Join(parts...)
}

func genuineOf(measured []Measured, sources []int, what of) []predictor.Statistics {
	genuine := make([]predictor.Statistics, 0, len(measured))
	for _, m := range measured {
		genuine = append(genuine, join(m.Genuine, sources, what))
	}
	return genuine
}

// pairsOf are the genuine windows with their negatives, in the order of windows and kinds.
func pairsOf(measured []Measured, sources []int, what of) []predictor.Pair {
	var pairs []predictor.Pair
	for _, m := range measured {
		genuine := join(m.Genuine, sources, what)
		for _, kind := range append(negatives.Kinds(), negatives.Reported()...) {
			if judged, ok := m.Negatives[kind]; ok {
				pairs = append(pairs, predictor.Pair{Kind: string(kind), Genuine: genuine, Negative: join(judged, sources, what)})
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
	// drawn are the sources that draw a map together which is told under the name of; none where it is not told.
	drawn   []int
	drawnOf string
}

// Scores are the scores that energies give, by every rule; those with a head also with the kind left out, where such heads were trained.
func (e *Energies) Scores(name string) []Score {
	var scores []Score
	for _, rule := range predictor.Rules() {
		scores = append(scores, e.score(name+": "+string(rule), rule, false))
	}
	if small := e.Fused.Brief(); small != nil {
		scores = append(scores, e.briefly(name, small))
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
			return energy.Of(join(judged, e.Sources, whole))
		},
	}
}

// Shipped are the scores of an energy that was fitted before: by its own rule, without its head, and of brief windows. ok is false where
// one of the sources it was fitted to is not among these.
func Shipped(name string, energy *predictor.Energy, about predictor.EnergyAbout, sources []*Source) (scores []Score, ok bool) {
	e := &Energies{Fused: energy}
	for _, live := range about.Sources {
		at := slices.IndexFunc(sources, func(s *Source) bool {
			return s.Live == live && (live != predictor.SourceModel || s.Model == about.Model)
		})
		if at < 0 {
			return nil, false
		}
		e.Sources = append(e.Sources, at)
	}
	rules := []predictor.Rule{energy.Rule}
	if energy.Rule != predictor.RuleOneClass {
		rules = append(rules, predictor.RuleOneClass)
	}
	for _, rule := range rules {
		scores = append(scores, e.score(name+": "+string(rule), rule, false))
	}
	scores[0].drawnOf, scores[0].drawn = name, sameSight(sources, e.Sources)
	if small := energy.Brief(); small != nil {
		scores = append(scores, e.briefly(name, small))
	}
	return scores, true
}

// sameSight are those sources of an energy if they see the same places and steps, so that they draw a map together.
func sameSight(sources []*Source, of []int) []int {
	first := sources[of[0]].Encoder.Info()
	for _, at := range of[1:] {
		if !sources[at].Encoder.Info().SeesAs(first) {
			return nil
		}
	}
	return of
}

// briefly is the score of brief windows.
func (e *Energies) briefly(name string, small *predictor.Energy) Score {
	return Score{
		Name: name + ": brief " + string(small.Rule),
		energy: func(judged []Judged, _ negatives.Kind) (float64, error) {
			return small.Of(join(judged, e.Sources, brief))
		},
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
