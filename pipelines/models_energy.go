package pipelines

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// energy is what `predictor.energy` comes to; all of it is nil for the distance.
type energy struct {
	learned  *predictor.LearnedEnergy
	verifier *predictor.Verifier
	// own is the model as a source of its own, where its predictor is not the definition's.
	own predictor.Predictor
}

// side is how large the frames are that the energy wants; 0 where it wants none.
func (e energy) side() int {
	if e.learned == nil {
		return 0
	}
	return e.learned.Side()
}

// options are those of the scorer.
func (e energy) options() []predictor.ScorerOption {
	switch {
	case e.learned != nil:
		return []predictor.ScorerOption{predictor.WithEnergy(e.learned)}
	case e.verifier != nil:
		return []predictor.ScorerOption{predictor.WithJudging(e.verifier)}
	}
	return nil
}

func (e energy) close() error {
	var errs []error
	if e.verifier != nil {
		errs = append(errs, e.verifier.Close())
	}
	if e.own != nil {
		errs = append(errs, predictor.Close(e.own))
	}
	return errors.Join(errs...)
}

// EnergyPath is the file that `predictor.energy` names, and false where it names none. A relative one is relative to the definition's file.
func (d *Definition) EnergyPath() (string, bool) {
	path := d.Predictor.Energy
	if !strings.ContainsRune(path, '/') && !strings.ContainsRune(path, filepath.Separator) {
		return "", false
	}
	if filepath.IsAbs(path) || !d.source.isFile() {
		return path, true
	}
	return filepath.Join(filepath.Dir(d.source.name()), path), true
}

// errNoEnergy says that the model has none, where one is asked for by name.
var errNoEnergy = errors.New("there is no learned energy")

// describedEnergy is what `predictor.energy` comes to without being loaded.
type describedEnergy struct {
	// name is "distance", "verifier", or the rule of a learned energy.
	name   string
	energy *predictor.Energy
	about  predictor.EnergyAbout
	// where the learned energy was read from.
	where string
}

// learned tells whether it is a learned one.
func (d describedEnergy) learned() bool { return d.energy != nil }

// side is how large the frames are that it wants.
func (d describedEnergy) side() int {
	side := 0
	for _, name := range d.about.Sources {
		if name == predictor.SourceModel {
			continue
		}
		if source, err := predictor.NewSource(name, nil); err == nil {
			side = max(side, source.Encoder.Info().Width)
		}
	}
	return side
}

// describeEnergy reads the energy of a definition; m, which may be closed, is its model, nil where it has none.
func describeEnergy(def *Definition, m *model.Model) (describedEnergy, error) {
	name := def.Predictor.Default().Energy
	if path, ok := def.EnergyPath(); ok {
		e, about, err := predictor.OpenEnergy(path)
		if err != nil {
			return describedEnergy{}, err
		}
		d := describedEnergy{string(e.Rule), e, about, path}
		return d, d.fits(m)
	}
	switch name {
	case predictor.EnergyDistance, predictor.EnergyVerifier:
		return describedEnergy{name: name}, nil
	case predictor.EnergyAuto:
		if m == nil || !m.HasExtra(predictor.EnergyFile) {
			return describedEnergy{name: predictor.EnergyDistance}, nil
		}
	}
	d, err := modelEnergy(m)
	if err != nil || name == predictor.EnergyAuto {
		return d, err
	}
	rule, err := predictor.ParseRule(name)
	if err != nil {
		return d, err
	}
	if d.energy, err = d.energy.WithRule(rule); err != nil {
		return describedEnergy{}, fmt.Errorf("%s: %w", d.where, err)
	}
	d.name = name
	return d, nil
}

// modelEnergy reads the energy that lies beside a model.
func modelEnergy(m *model.Model) (d describedEnergy, err error) {
	if m == nil {
		return d, fmt.Errorf("%w: the encoder has no model that one could lie beside", errNoEnergy)
	}
	s, err := m.Extra(predictor.EnergyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return d, fmt.Errorf("%w: there is no %s beside the model %s", errNoEnergy, predictor.EnergyFile, m.Where())
	}
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	e, about, err := predictor.ReadEnergy(s)
	if err != nil {
		return d, fmt.Errorf("reading %s of the model %s: %w", predictor.EnergyFile, m.Where(), err)
	}
	d = describedEnergy{string(e.Rule), e, about, filepath.Join(m.Where(), predictor.EnergyFile)}
	return d, d.fits(m)
}

// fits tells whether the energy can be used beside a model.
func (d describedEnergy) fits(m *model.Model) error {
	for _, name := range d.about.Sources {
		if name != predictor.SourceModel {
			if _, err := predictor.NewSource(name, nil); err != nil {
				return fmt.Errorf("%s: %w; it was fitted by another version of this program", d.where, err)
			}
			continue
		}
		switch {
		case m == nil:
			return fmt.Errorf("%s judges by a model (%s), and the encoder has none", d.where, d.about.Model)
		case !m.HasPredictor():
			return fmt.Errorf("%s judges by a model with a predictor, and %s has none", d.where, m.Where())
		case m.Digest() != d.about.Model:
			return fmt.Errorf("%s was fitted for another model (%s) than %s (%s)", d.where, d.about.Model, m.Where(), m.Digest())
		}
	}
	return nil
}

// buildEnergy makes the definition's energy, for the encoder that is there already.
func (n *nets) buildEnergy(def *Definition, m *model.Model) error {
	d, err := describeEnergy(def, m)
	if err != nil {
		return badEnergy(def, err)
	}
	if d.name == predictor.EnergyVerifier {
		if n.energy.verifier, err = openVerifier(m, n.device); err != nil {
			return badEnergy(def, err)
		}
	}
	if !d.learned() {
		return nil
	}
	sources := make([]*predictor.Source, 0, len(d.about.Sources))
	for _, name := range d.about.Sources {
		source, err := n.source(name, m)
		if err != nil {
			return badEnergy(def, err)
		}
		sources = append(sources, source)
	}
	if n.energy.learned, err = predictor.NewLearnedEnergy(d.energy, sources); err != nil {
		return badEnergy(def, fmt.Errorf("%s: %w", d.where, err))
	}
	return nil
}

func (n *nets) source(name string, m *model.Model) (_ *predictor.Source, err error) {
	if name != predictor.SourceModel {
		return predictor.NewSource(name, nil)
	}
	own := predictor.Config{Model: predictor.Learned}
	n.energy.own, err = predictor.New(own, n.encoder, predictor.WithDevice(n.device), predictor.WithModel(m))
	if err != nil {
		return nil, err
	}
	return predictor.NewSource(name, &predictor.Source{Name: name, Encoder: n.encoder, Predictor: n.energy.own})
}

func openVerifier(m *model.Model, device *nn.Device) (v *predictor.Verifier, err error) {
	if m == nil {
		return nil, fmt.Errorf("%w: the encoder has no model", predictor.ErrNoVerifier)
	}
	s, err := m.Extra(predictor.VerifierFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no %s beside %s", predictor.ErrNoVerifier, predictor.VerifierFile, m.Where())
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return predictor.ReadVerifier(s, m.Digest(), device)
}

func badEnergy(def *Definition, err error) error {
	return stream.Fail(stagePredict, "predict.bad_energy", "predictor.energy: %s: %w", def.Predictor.Default().Energy, err)
}

// energyRules look at the learned energy of a definition.
func energyRules() []rule {
	reads := []string{"predictor.energy", "encoder.model"}
	return []rule{
		{
			code: "definition.energy_missing", severity: SeverityError,
			doc:   "`predictor.energy` asks for a learned energy or a verifier, and there is none.",
			reads: reads, find: energyMissing,
		},
		{
			code: "definition.energy_broken", severity: SeverityError,
			doc:   "The file of the learned energy is none, is damaged, or was fitted for another model.",
			reads: reads, find: energyBroken,
		},
		{
			code: "definition.energy_window", severity: SeverityWarning,
			doc:   "Windows are not what the learned energy was fitted to: 8 frames at about 8 a second.",
			reads: append(reads, "predictor.horizons", "decode.fps"), find: energyWindow,
		},
	}
}

// energyProblem is what is wrong with a definition's energy, where its model is all right.
func energyProblem(def *Definition) error {
	m, err := def.openModel()
	if err != nil {
		return nil // a rule tells it
	}
	if m != nil {
		defer func() { _ = m.Close() }() // only read
	}
	if def.Predictor.Energy == predictor.EnergyVerifier && (m == nil || !m.HasExtra(predictor.VerifierFile)) {
		return errNoEnergy
	}
	_, err = describeEnergy(def, m)
	return err
}

func missingEnergy(err error) bool {
	return errors.Is(err, errNoEnergy) || errors.Is(err, fs.ErrNotExist)
}

func energyMissing(def *Definition) []violation {
	err := energyProblem(def)
	if !missingEnergy(err) {
		return nil
	}
	if path, ok := def.EnergyPath(); ok {
		return []violation{{
			"predictor.energy", "there is no file " + path, "relative paths are relative to the definition's file; ensue train energy makes one",
		}}
	}
	hint := "write auto or distance, name a file, or make one: ensue train energy --model DIR clips/"
	if def.Predictor.Energy == predictor.EnergyVerifier {
		hint = "write auto or distance, or train a model with a verifier (objective.verifier)"
	}
	return []violation{{"predictor.energy", "the model of encoder.model has none: " + def.Encoder.Default().Model, hint}}
}

func energyBroken(def *Definition) []violation {
	err := energyProblem(def)
	if err == nil || missingEnergy(err) {
		return nil
	}
	return []violation{{"predictor.energy", strings.TrimPrefix(err.Error(), "opening the energy "), "fit it again: ensue train energy"}}
}

// The rates at which the frames of windows look like those a learned energy was fitted to: a fixed number of frames of a file, at 6 to 10.
const (
	slowestWindow = 5.5
	fastestWindow = 10.5
)

func energyWindow(def *Definition) []violation {
	d, ok := describe(def)
	if !ok || !d.energy.learned() || window(def) == 0 {
		return nil
	}
	var found []violation
	if fps := def.Decode.FPS; fps < slowestWindow || fps > fastestWindow {
		found = append(found, violation{
			"decode.fps", fmt.Sprintf("the learned energy was fitted to about %v frames a second; at %v everything moves too fast or too slowly",
				predictor.WindowRate, fps),
			"write 8, or predictor.energy: distance",
		})
	}
	if frames := window(def).Seconds() * def.Decode.FPS; math.Abs(frames-predictor.WindowFrames) > predictor.WindowFrames/4 {
		found = append(found, violation{
			"predictor.horizons[0]", fmt.Sprintf("windows of %s have about %.3g frames; the learned energy judges %d: a longer window is as "+
				"surprising as its most surprising %d frames, a shorter one is judged with frames before it",
				formatDuration(window(def)), frames, predictor.WindowFrames, predictor.WindowFrames),
			fmt.Sprintf("write %.3gs", predictor.WindowFrames/def.Decode.FPS),
		})
	}
	return found
}

// explainEnergy says what the energy is.
func explainEnergy(def *Definition) string {
	d, ok := describe(def)
	switch {
	case !ok || d.energy.name == "":
		return fmt.Sprintf("the energy %q, which cannot be used", def.Predictor.Default().Energy)
	case d.energy.name == predictor.EnergyDistance:
		return "the energy is the mean distance between expected and seen tokens"
	case d.energy.name == predictor.EnergyVerifier:
		return "the energy is that of the model's verifier"
	}
	names := slices.Clone(d.energy.about.Sources)
	return fmt.Sprintf("the energy is %s, learned, of %s, in standard deviations of genuine windows, from %s (%s); it sees %d frames before "+
		"and %d of a window, %dx%d pixels", d.energy.name, strings.Join(names, " and "), d.energy.where, d.energy.energy.Digest(),
		predictor.WindowFrames, predictor.WindowFrames, d.info.Width, d.info.Height)
}
