package predictor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ensue-video/ensue/nn"
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

// Energy is a learned energy of the statistics of a window, in standard deviations of genuine windows: around 0 for those, larger for
// what does not ensue. It is read only, so any number of goroutines may use it.
type Energy struct {
	OneClass *OneClass
	// Head may be nil under RuleOneClass.
	Head *Head
	Rule Rule
}

// Of is the energy of a window.
func (e *Energy) Of(s Statistics) (float64, error) {
	oneClass, err := e.OneClass.Energy(s)
	if err != nil {
		return 0, err
	}
	oneClass = e.OneClass.Standard(oneClass)
	if e.Rule == RuleOneClass {
		return oneClass, nil
	}
	head, err := e.Head.Energy(s)
	if err != nil {
		return 0, err
	}
	return e.Rule.Fuse(e.Head.Standard(head), oneClass), nil
}

// What a file of an energy says about itself.
const (
	energyFormat     = "ensue-energy"
	energyVersion    = "1"
	energyFormatKey  = "format"
	energyVersionKey = "version"
	energyRuleKey    = "rule"
)

// WriteEnergy writes an energy to a file. about is told in the file's metadata, beside what is needed to read it: what it was learned
// from, which sources its statistics are of.
func WriteEnergy(path string, e *Energy, about map[string]string) error {
	file := nn.TensorFile{Metadata: map[string]string{
		energyFormatKey: energyFormat, energyVersionKey: energyVersion, energyRuleKey: string(e.Rule),
	}}
	for key, value := range about {
		if _, taken := file.Metadata[key]; taken {
			return fmt.Errorf("writing the energy %s: %q is told by the energy itself", path, key)
		}
		file.Metadata[key] = value
	}
	if e.Head != nil {
		e.Head.Put(&file, "head.")
	} else {
		e.OneClass.Put(&file, "head.one_class.")
	}
	if err := file.Write(path); err != nil {
		return fmt.Errorf("writing the energy %s: %w", path, err)
	}
	return nil
}

// OpenEnergy reads what WriteEnergy wrote, and what it says about itself.
func OpenEnergy(path string) (_ *Energy, about map[string]string, err error) {
	s, err := nn.OpenSafetensors(path)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the energy: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	e, err := ReadEnergy(s)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the energy %s: %w", path, err)
	}
	return e, s.Metadata, nil
}

// ReadEnergy reads an energy from tensors.
func ReadEnergy(s *nn.Safetensors) (*Energy, error) {
	if s.Metadata[energyFormatKey] != energyFormat || s.Metadata[energyVersionKey] != energyVersion {
		return nil, fmt.Errorf("its format is %q version %q, not %s version %s",
			s.Metadata[energyFormatKey], s.Metadata[energyVersionKey], energyFormat, energyVersion)
	}
	rule, err := ParseRule(s.Metadata[energyRuleKey])
	if err != nil {
		return nil, err
	}
	if _, ok := s.Info("head.genuine"); !ok && rule == RuleOneClass {
		o, err := LoadOneClass(s, "head.one_class.")
		if err != nil {
			return nil, err
		}
		return &Energy{OneClass: o, Rule: rule}, nil
	}
	h, err := LoadHead(s, "head.")
	if err != nil {
		return nil, err
	}
	return &Energy{OneClass: h.OneClass(), Head: h, Rule: rule}, nil
}
