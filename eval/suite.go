package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/train"
)

// ContinuationSuite is the whole of `ensue eval continuation`: which sources are compared, what their energies are learned from, and on
// what they are judged.
type ContinuationSuite struct {
	// Sources are judged by their raw energies and maps.
	Sources []*Source
	// Combinations are the sources, by name, whose statistics stand side by side in a learned energy.
	Combinations [][]string
	// Augmented is the recipe of the heads' windows, Head that of the heads; LeaveOneOut also trains a head without each kind.
	Augmented   AugmentedConfig
	Head        predictor.HeadConfig
	LeaveOneOut bool
	// Shipped are scores of energies that were fitted before, of the sources.
	Shipped []Score
	Seed    uint64
	// Progress, which may be nil, is told what is being done and how much of it; calls do not overlap.
	Progress func(what string, done, total int)
}

// Learned are the energies of a combination.
type Learned struct {
	// Name is the combination's: the names of its sources with + between them.
	Name    string
	Sources []string
	*Energies
}

// Energy is the energy by a rule, and what its file says: false where a pipeline has not all of its sources.
func (l Learned) Energy(rule predictor.Rule, sources []*Source, note string) (*predictor.Energy, predictor.EnergyAbout, bool) {
	about := predictor.EnergyAbout{Note: note}
	for _, at := range l.Energies.Sources {
		source := sources[at]
		if source.Live == "" {
			return nil, about, false
		}
		about.Sources = append(about.Sources, source.Live)
		if source.Live == predictor.SourceModel {
			about.Model = source.Model
		}
	}
	energy, err := l.Fused.WithRule(rule)
	return energy, about, err == nil
}

// Learn fits the energies of every combination on footage.
func (s *ContinuationSuite) Learn(ctx context.Context, device *nn.Device, footage *train.Footage) ([]Learned, error) {
	needed := s.needed()
	w := FindWindows(footage)
	natural, err := Measure(ctx, w, needed, nil, s.Seed, s.tell("genuine windows"))
	if err != nil {
		return nil, err
	}
	varied, err := MeasureAugmented(ctx, footage, needed, s.Augmented, s.tell("varied windows"))
	if err != nil {
		return nil, err
	}
	config := FitConfig{Head: s.Head}
	if s.LeaveOneOut {
		config.LeaveOut = s.Augmented.Kinds
	}
	fitter := NewFitter(device, natural, varied, config)
	var learned []Learned
	for i, names := range s.Combinations {
		energies, err := fitter.Fit(ctx, indexes(needed, names))
		if err != nil {
			return nil, fmt.Errorf("learning the energy of %s: %w", strings.Join(names, " + "), err)
		}
		energies.Sources = indexes(s.Sources, names) // where they are judged
		learned = append(learned, Learned{Name: strings.Join(names, " + "), Sources: names, Energies: energies})
		s.tell("energies")(i+1, len(s.Combinations))
	}
	return learned, nil
}

// Judge measures footage and makes the table: raw energies first, then learned ones.
func (s *ContinuationSuite) Judge(ctx context.Context, footage *train.Footage, learned []Learned) (*Continuation, error) {
	w := FindWindows(footage)
	measured, err := Measure(ctx, w, s.Sources, append(negatives.Kinds(), negatives.Reported()...), s.Seed, s.tell("windows"))
	if err != nil {
		return nil, err
	}
	var scores []Score
	for i, source := range s.Sources {
		scores = append(scores, Raw(source.Name, i))
		if source.Verifier != nil {
			scores = append(scores, Verified(source.Name, i))
		}
	}
	scores = append(scores, s.Shipped...)
	for _, l := range learned {
		own := l.Scores(l.Name)
		if len(l.Energies.Sources) > 1 {
			own[0].drawnOf, own[0].drawn = l.Name, sameSight(s.Sources, l.Energies.Sources)
		}
		scores = append(scores, own...)
	}
	table, err := NewContinuation(w, measured, s.Sources, scores, s.Seed)
	if err != nil || !w.longEnough() {
		return table, err
	}
	table.Speeds, err = s.speeds(ctx, w, measured, learned)
	return table, err
}

// speeds are what the sources cost live, then what learned energies do: that of their sources and of scoring.
func (s *ContinuationSuite) speeds(ctx context.Context, w *Windows, measured []Measured, learned []Learned) ([]Speed, error) {
	costs := make([]time.Duration, len(s.Sources))
	var speeds []Speed
	for i, source := range s.Sources {
		var err error
		if costs[i], err = source.MeasureSpeed(ctx, w); err != nil {
			return nil, err
		}
		speeds = append(speeds, newSpeed(source.Name, costs[i]))
		s.tell("speed")(i+1, len(s.Sources))
	}
	for _, l := range learned {
		cost, err := l.scoring(measured)
		if err != nil {
			return nil, fmt.Errorf("measuring the speed of %s: %w", l.Name, err)
		}
		for _, source := range l.Energies.Sources {
			cost += costs[source]
		}
		speeds = append(speeds, newSpeed(l.Name+": energy", cost))
	}
	return speeds, nil
}

// needed are the sources that any combination uses.
func (s *ContinuationSuite) needed() []*Source {
	var needed []*Source
	for _, source := range s.Sources {
		if slices.ContainsFunc(s.Combinations, func(names []string) bool { return slices.Contains(names, source.Name) }) {
			needed = append(needed, source)
		}
	}
	return needed
}

func (s *ContinuationSuite) tell(what string) func(done, total int) {
	return func(done, total int) {
		if s.Progress != nil {
			s.Progress(what, done, total)
		}
	}
}

// indexes are where sources of these names are.
func indexes(sources []*Source, names []string) []int {
	at := make([]int, 0, len(names))
	for _, name := range names {
		at = append(at, slices.IndexFunc(sources, func(s *Source) bool { return s.Name == name }))
	}
	return at
}

// Validate tells a combination that names a source there is not, or one that is no use.
func (s *ContinuationSuite) Validate() error {
	for _, names := range s.Combinations {
		if len(names) == 0 {
			return errors.New("an energy of no source cannot be learned")
		}
		for i, at := range indexes(s.Sources, names) {
			if at < 0 {
				return fmt.Errorf("an energy of %q cannot be learned: there is no source of that name", names[i])
			}
			if err := predictor.Measurable(s.Sources[at].Encoder.Info(), negatives.Length); err != nil {
				return fmt.Errorf("an energy of %q cannot be learned: %w", names[i], err)
			}
		}
	}
	return nil
}
