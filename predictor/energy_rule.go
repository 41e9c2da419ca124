package predictor

import (
	"fmt"
	"slices"
)

// Rule is how a learned energy is made of a Head and its OneClass, both on the scale of genuine windows (Standard).
type Rule string

// The rules. The head is the best judge of what is like the negatives it has seen, the one-class energy knows none and misses none; the
// mix and the maximum take something of both.
const (
	RuleOneClass Rule = "one_class"
	RuleHead     Rule = "head"
	RuleMix      Rule = "mix" // 0.65 head + 0.35 one-class
	RuleMax      Rule = "max" // the larger of both
)

// Rules are all of them.
func Rules() []Rule { return []Rule{RuleOneClass, RuleHead, RuleMix, RuleMax} }

// The weights of RuleMix.
const (
	mixHead     = 0.65
	mixOneClass = 0.35
)

// ParseRule reads the name of a rule.
func ParseRule(name string) (Rule, error) {
	if slices.Contains(Rules(), Rule(name)) {
		return Rule(name), nil
	}
	return "", fmt.Errorf("%q is no rule for an energy: take one of %v", name, Rules())
}

// Fuse makes one energy of two, both standard.
func (r Rule) Fuse(head, oneClass float64) float64 {
	switch r {
	case RuleHead:
		return head
	case RuleMix:
		return mixHead*head + mixOneClass*oneClass
	case RuleMax:
		return max(head, oneClass)
	default:
		return oneClass
	}
}

// Part is what an energy knows of the statistics of one source, or of several that were fitted together.
type Part struct {
	OneClass *OneClass
	// Head may be nil in an energy by RuleOneClass.
	Head *Head
}

// energy is that of the part's own statistics.
func (p Part) energy(rule Rule, s Statistics) (float64, error) {
	oneClass, err := p.OneClass.Energy(s)
	if err != nil {
		return 0, err
	}
	oneClass = p.OneClass.Standard(oneClass)
	if rule == RuleOneClass {
		return oneClass, nil
	}
	head, err := p.Head.Energy(s)
	if err != nil {
		return 0, err
	}
	return rule.Fuse(p.Head.Standard(head), oneClass), nil
}

// Energy is a learned energy of the statistics of a window, in standard deviations of genuine windows: around 0 for those, larger for
// what does not ensue. It is the mean of what its parts say, each of its own source: of few windows more can be learned about the numbers
// of one source than about those of all at once. It is read only, so any number of goroutines may use it.
type Energy struct {
	Rule Rule

	parts []Part
	// genuine are the moments of the energies of genuine windows, by rule.
	genuine map[Rule]moment
	// brief is the energy of windows of BriefFrames frames; nil where there is none.
	brief *Energy
}

type moment struct{ mean, scale float64 }

// NewEnergy makes an energy of parts, whose statistics stand side by side in this order. genuine windows, none of them varied, settle its
// scale. Without heads the only rule is RuleOneClass.
func NewEnergy(parts []Part, rule Rule, genuine []Statistics) (*Energy, error) {
	if len(genuine) == 0 || len(parts) == 0 {
		return nil, fmt.Errorf("making an energy of %d parts: %w to settle its scale by: %d", len(parts), ErrTooFewWindows, len(genuine))
	}
	e := &Energy{Rule: rule, parts: parts, genuine: map[Rule]moment{}}
	for _, possible := range e.rules() {
		values := make([]float64, 0, len(genuine))
		for _, s := range genuine {
			value, err := e.raw(possible, s)
			if err != nil {
				return nil, fmt.Errorf("making an energy: %w", err)
			}
			values = append(values, value)
		}
		mean, scale := moments(values)
		e.genuine[possible] = moment{mean, scale}
	}
	return e.WithRule(rule)
}

// rules are those that the parts allow.
func (e *Energy) rules() []Rule {
	for _, part := range e.parts {
		if part.Head == nil {
			return []Rule{RuleOneClass}
		}
	}
	return Rules()
}

// WithRule is the energy by another rule of the same numbers.
func (e *Energy) WithRule(rule Rule) (*Energy, error) {
	if _, ok := e.genuine[rule]; !ok {
		return nil, fmt.Errorf("the rule %s needs a head, and the energy has none: it was fitted for %s alone", rule, RuleOneClass)
	}
	with := &Energy{Rule: rule, parts: e.parts, genuine: e.genuine}
	if e.brief != nil {
		var err error
		if with.brief, err = e.brief.WithRule(rule); err != nil {
			return nil, fmt.Errorf("of brief windows: %w", err)
		}
	}
	return with, nil
}

// WithBrief is the energy with another one beside it, fitted to brief windows of the same sources, for where there are no longer ones.
func (e *Energy) WithBrief(brief *Energy) (*Energy, error) {
	with := &Energy{Rule: e.Rule, parts: e.parts, genuine: e.genuine, brief: brief}
	return with.WithRule(e.Rule)
}

// Brief is the energy of windows of BriefFrames frames; nil where there is none.
func (e *Energy) Brief() *Energy { return e.brief }

// size is how many statistics the energy is of.
func (e *Energy) size() (observed, given int) {
	for _, part := range e.parts {
		observed, given = observed+part.OneClass.observed, given+part.OneClass.given
	}
	return observed, given
}

// split calls do with the statistics of each part.
func (e *Energy) split(s Statistics, do func(Part, Statistics) error) error {
	if observed, given := e.size(); len(s.Observed) != observed || len(s.Given) != given {
		return fmt.Errorf("judging a window by %d numbers given %d others: the energy was fitted to %d given %d, of other sources",
			len(s.Observed), len(s.Given), observed, given)
	}
	for _, part := range e.parts {
		own := Statistics{Observed: s.Observed[:part.OneClass.observed], Given: s.Given[:part.OneClass.given]}
		if err := do(part, own); err != nil {
			return err
		}
		s.Observed, s.Given = s.Observed[len(own.Observed):], s.Given[len(own.Given):]
	}
	return nil
}

// raw is the mean of the parts.
func (e *Energy) raw(rule Rule, s Statistics) (float64, error) {
	sum := 0.0
	err := e.split(s, func(part Part, own Statistics) error {
		energy, err := part.energy(rule, own)
		sum += energy
		return err
	})
	return sum / float64(len(e.parts)), err
}

// Of is the energy of a window.
func (e *Energy) Of(s Statistics) (float64, error) {
	energy, err := e.raw(e.Rule, s)
	of := e.genuine[e.Rule]
	return (energy - of.mean) / of.scale, err
}
