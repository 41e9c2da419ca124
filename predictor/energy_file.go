package predictor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// EnergyFile is the file of a model directory that holds the energy fitted for it.
const EnergyFile = "energy.safetensors"

// What a file of an energy says about itself.
const (
	energyFormat     = "ensue-energy"
	energyVersion    = "2" // of the statistics: what was fitted to others means nothing to these
	energyFormatKey  = "format"
	energyVersionKey = "version"
	energyRuleKey    = "rule"
	energySourcesKey = "sources"
	energyModelKey   = "model"
	energyFramesKey  = "frames"
	energyBriefKey   = "brief"
	energyNoteKey    = "note"
)

// EnergyAbout is what a file of an energy says beside its numbers.
type EnergyAbout struct {
	// Sources are the names of the sources whose statistics it judges by, in their order; see NewSource.
	Sources []string
	// Model is the digest of the model it was fitted with (model.Model.Digest), where SourceModel is one of the sources.
	Model string
	// Note is for people: what it was fitted on.
	Note string
}

// check tells what no energy can be about.
func (a EnergyAbout) check() error {
	if len(a.Sources) == 0 {
		return errors.New("it does not say which sources its statistics are of")
	}
	for _, name := range a.Sources {
		if name == SourceModel && a.Model == "" {
			return fmt.Errorf("it does not say which model the source %s is", SourceModel)
		}
		if name == "" || strings.ContainsRune(name, ',') {
			return fmt.Errorf("%q is no name of a source", name)
		}
	}
	return nil
}

// WriteEnergy writes an energy to a file.
func WriteEnergy(path string, e *Energy, about EnergyAbout) error {
	if err := about.check(); err != nil {
		return fmt.Errorf("writing the energy %s: %w", path, err)
	}
	file := e.file()
	file.Metadata[energySourcesKey], file.Metadata[energyModelKey] = strings.Join(about.Sources, ","), about.Model
	file.Metadata[energyNoteKey] = about.Note
	if err := file.Write(path); err != nil {
		return fmt.Errorf("writing the energy %s: %w", path, err)
	}
	return nil
}

// file is the energy as it is written.
func (e *Energy) file() *nn.TensorFile {
	file := &nn.TensorFile{Metadata: map[string]string{
		energyFormatKey: energyFormat, energyVersionKey: energyVersion, energyRuleKey: string(e.Rule),
		energyFramesKey: strconv.Itoa(WindowFrames),
	}}
	e.put(file, "")
	if e.brief != nil {
		file.Metadata[energyBriefKey] = strconv.Itoa(BriefFrames)
		e.brief.put(file, briefPrefix)
	}
	return file
}

// briefPrefix is how the names of the numbers for brief windows begin.
const briefPrefix = "brief."

// put adds the numbers of the energy to a file.
func (e *Energy) put(file *nn.TensorFile, before string) {
	for i, part := range e.parts {
		prefix := fmt.Sprintf("%spart.%d.", before, i)
		if part.Head != nil {
			part.Head.Put(file, prefix)
		} else {
			part.OneClass.Put(file, prefix+"one_class.")
		}
	}
	for _, rule := range e.rules() {
		of := e.genuine[rule]
		file.Put(before+"genuine."+string(rule), tensor.New(tensor.WithShape(2), tensor.WithBacking([]float64{of.mean, of.scale})))
	}
}

// Digest is a SHA-256 over all numbers of the energy and its rule ("sha256:…").
func (e *Energy) Digest() string {
	sum := sha256.New()
	if err := e.file().Encode(sum); err != nil {
		panic(err) // a hash takes everything
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// OpenEnergy reads what WriteEnergy wrote.
func OpenEnergy(path string) (_ *Energy, about EnergyAbout, err error) {
	s, err := nn.OpenSafetensors(path)
	if err != nil {
		return nil, about, fmt.Errorf("opening the energy: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	e, about, err := ReadEnergy(s)
	if err != nil {
		return nil, about, fmt.Errorf("opening the energy %s: %w", path, err)
	}
	return e, about, nil
}

// ReadEnergy reads an energy from tensors.
func ReadEnergy(s *nn.Safetensors) (*Energy, EnergyAbout, error) {
	said := s.Metadata
	about := EnergyAbout{Sources: strings.Split(said[energySourcesKey], ","), Model: said[energyModelKey], Note: said[energyNoteKey]}
	if said[energyFormatKey] != energyFormat || said[energyVersionKey] != energyVersion {
		return nil, about, fmt.Errorf("its format is %q version %q, not %s version %s: fit it again",
			said[energyFormatKey], said[energyVersionKey], energyFormat, energyVersion)
	}
	if frames := said[energyFramesKey]; frames != strconv.Itoa(WindowFrames) {
		return nil, about, fmt.Errorf("it was fitted to windows of %q frames, not %d", frames, WindowFrames)
	}
	if err := about.check(); err != nil {
		return nil, about, err
	}
	rule, err := ParseRule(said[energyRuleKey])
	if err != nil {
		return nil, about, err
	}
	e, err := readParts(s, "")
	if err != nil {
		return nil, about, err
	}
	if frames, ok := said[energyBriefKey]; ok {
		if frames != strconv.Itoa(BriefFrames) {
			return nil, about, fmt.Errorf("it was fitted to brief windows of %q frames, not %d", frames, BriefFrames)
		}
		if e.brief, err = readParts(s, briefPrefix); err != nil {
			return nil, about, err
		}
	}
	if e, err = e.WithRule(rule); err != nil {
		return nil, about, err
	}
	return e, about, nil
}

// readParts reads the numbers whose names begin in one way.
func readParts(s *nn.Safetensors, before string) (*Energy, error) {
	e := &Energy{genuine: map[Rule]moment{}}
	for {
		prefix := fmt.Sprintf("%spart.%d.", before, len(e.parts))
		_, ok := s.Info(prefix + "one_class.fit")
		if !ok && len(e.parts) > 0 {
			break
		}
		part, err := readPart(s, prefix)
		if err != nil {
			return nil, err
		}
		e.parts = append(e.parts, part)
	}
	for _, rule := range e.rules() {
		of, err := s.Float64(before+"genuine."+string(rule), 2)
		if err != nil {
			return nil, err
		}
		e.genuine[rule] = moment{of.Float64s()[0], of.Float64s()[1]}
	}
	return e, nil
}

func readPart(s *nn.Safetensors, prefix string) (Part, error) {
	if _, ok := s.Info(prefix + "genuine"); !ok {
		o, err := LoadOneClass(s, prefix+"one_class.")
		return Part{OneClass: o}, err
	}
	h, err := LoadHead(s, prefix)
	if err != nil {
		return Part{}, err
	}
	return Part{OneClass: h.OneClass(), Head: h}, nil
}
