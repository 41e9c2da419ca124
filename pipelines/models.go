package pipelines

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/weights"
)

// ModelDirectory is the directory of the definition's model, and false where its encoder has none. A relative one is relative to the
// definition's file; where the definition did not come from a file, to where the program runs.
func (d *Definition) ModelDirectory() (string, bool) {
	path := d.Encoder.Model
	if !encoder.IsDirectory(path) {
		return "", false
	}
	if filepath.IsAbs(path) || !d.source.isFile() {
		return path, true
	}
	return filepath.Join(filepath.Dir(d.source.name()), path), true
}

// isFile tells whether the definition stands in a file: it may also have come from the standard input or from the program.
func (s *source) isFile() bool {
	if s == nil || s.file == "-" || s.file == "" {
		return false
	}
	info, err := os.Stat(s.file)
	return err == nil && info.Mode().IsRegular()
}

// openModel opens the definition's model: the one that comes with the program, or that of a directory; nil where the encoder has none.
func (d *Definition) openModel() (*model.Model, error) {
	if d.Encoder.Default().Model == encoder.Builtin {
		return weights.Open()
	}
	dir, ok := d.ModelDirectory()
	if !ok {
		return nil, nil //nolint:nilnil // an encoder without a model is usual
	}
	return model.Open(dir)
}

// openModelBriefly opens the definition's model and closes it again: its configuration and the names of its tensors can be asked for. It is
// nil where the encoder has none.
func (d *Definition) openModelBriefly() (*model.Model, error) {
	m, err := d.openModel()
	if err != nil || m == nil {
		return nil, err
	}
	if err := m.Close(); err != nil {
		return nil, err
	}
	return m, nil
}

func badModel(err error) error {
	return stream.Fail(stageEncode, "encode.bad_model", "encoder.model: %w", err)
}

// nets are encoder, predictor and energy of a definition and the device that they compute on. One device serves all: it owns the
// processors, and whoever waits for it waits for a step.
type nets struct {
	device *nn.Device // nil for an encoder without a model
	// encoder is shown frames as large as the energy's sources want them.
	encoder   encoder.Encoder
	predictor predictor.Predictor
	energy    energy
}

// buildNets makes encoder, predictor and energy. What they keep of a model's files they keep in memory of their own: the model is closed
// again.
func buildNets(def *Definition) (n *nets, err error) {
	n = &nets{}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	config, m, err := n.open(def)
	if err != nil {
		return n, err
	}
	if m != nil {
		defer func() { err = errors.Join(err, m.Close()) }()
	}
	if n.encoder, err = encoder.New(config, encoder.WithDevice(n.device), encoder.WithModel(m)); err != nil {
		return n, fmt.Errorf("making the encoder: %w", err)
	}
	if err := n.buildEnergy(def, m); err != nil {
		return n, fmt.Errorf("making the energy: %w", err)
	}
	if side := n.energy.side(); side > n.encoder.Info().Width {
		if n.encoder, err = encoder.Shrunk(n.encoder, side); err != nil {
			return n, fmt.Errorf("making the encoder: %w", err)
		}
	}
	n.predictor, err = predictor.New(def.Predictor, n.encoder, predictor.WithDevice(n.device), predictor.WithModel(m))
	if err != nil {
		return n, fmt.Errorf("making the predictor: %w", err)
	}
	return n, nil
}

// open opens model and device, where the definition wants them. The model is the caller's.
func (n *nets) open(def *Definition) (encoder.Config, *model.Model, error) {
	config := def.Encoder.Default()
	m, err := def.openModel()
	if err != nil {
		return config, nil, badModel(err)
	}
	if m == nil {
		return config, nil, nil
	}
	if dir, ok := def.ModelDirectory(); ok {
		config.Model = dir
	}
	if n.device, err = nn.Open(nn.Config{Threads: config.Threads}); err != nil {
		return config, nil, errors.Join(fmt.Errorf("opening a device for the model: %w", err), m.Close())
	}
	return config, m, nil
}

func (n *nets) close() error {
	errs := []error{n.energy.close()}
	if n.predictor != nil {
		errs = append(errs, predictor.Close(n.predictor))
	}
	if n.encoder != nil {
		errs = append(errs, encoder.Close(n.encoder))
	}
	if n.device != nil {
		errs = append(errs, n.device.Close())
	}
	return errors.Join(errs...)
}

// frame is the size of the frames that an encoder wants, and how a picture is made to fit.
func frame(info encoder.Info) (decode.Size, decode.Fit) {
	fit := decode.Squash
	if info.Crop {
		fit = decode.Crop
	}
	return decode.Size{Width: info.Width, Height: info.Height}, fit
}

// described is what a definition's model comes to without being loaded.
type described struct {
	// info is that of the encoder, with the frames that the energy wants.
	info encoder.Info
	// model is nil for an encoder without one; it is closed already: only its configuration may be asked for.
	model *model.Model
	// predictor is the name of the predictor: never predictor.Auto.
	predictor string
	energy    describedEnergy
}

// describe tells what the definition's encoder and predictor are; not ok where they cannot be made, which a rule tells.
func describe(def *Definition) (described, bool) {
	m, err := def.openModel()
	if err != nil {
		return described{}, false
	}
	if m != nil {
		defer func() { _ = m.Close() }() // only read
	}
	d := described{model: m, predictor: predictor.Resolve(def.Predictor.Model, m)}
	if m == nil {
		made, err := encoder.New(def.Encoder)
		if err != nil {
			return described{}, false
		}
		d.info = made.Info()
	} else {
		d.info = encoder.Describe(d.config(def))
	}
	if d.energy, err = describeEnergy(def, m); err != nil {
		return d, true // a rule tells it
	}
	if side := d.energy.side(); side > d.info.Width {
		d.info.Width, d.info.Height = side, side
	}
	return d, true
}

// config is the model's configuration with the definition's attention.
func (d described) config(def *Definition) model.Config {
	config, err := d.model.Config().WithAttention(def.Encoder.Attention)
	if err != nil {
		return d.model.Config() // a rule tells it
	}
	return config
}

// modelRules look at the model's files and at what the definition asks of it.
func modelRules() []rule {
	reads := []string{"encoder.model", "encoder.attention", "encoder.precision"}
	return []rule{
		{
			code: "definition.model_missing", severity: SeverityError, doc: "There is no model in the directory that `encoder.model` names.",
			reads: []string{"encoder.model"}, find: modelMissing,
		},
		{
			code: "definition.model_broken", severity: SeverityError,
			doc:   "The files that `encoder.model` names are no model, are damaged, or do not belong together.",
			reads: []string{"encoder.model"}, find: modelBroken,
		},
		{
			code: "definition.model_unfit", severity: SeverityError, doc: "The model cannot do what `encoder` asks of it.",
			reads: reads, find: modelUnfit,
		},
		{
			code: "definition.no_learned_predictor", severity: SeverityError,
			doc:   "`predictor.model` is `learned`, and the encoder comes without a predictor.",
			reads: []string{"encoder.model", "predictor.model"}, find: noLearnedPredictor,
		},
		{
			code: "definition.model_no_effect", severity: SeverityNote, doc: "A key of `encoder` is written that changes nothing for its model.",
			reads: append(reads, "encoder.threads"), find: modelNoEffect,
		},
		{
			code: "definition.clip_long", severity: SeverityWarning,
			doc:   "Context and horizons together have more frames than the model was trained with.",
			reads: []string{"encoder.model", "predictor.model", "predictor.context", "predictor.horizons", "decode.fps"}, find: clipLong,
		},
		{
			code: "definition.step_long", severity: SeverityWarning,
			doc:   "A window is shorter than a step of the model.",
			reads: []string{"encoder.model", "predictor.horizons", "decode.fps"}, find: stepLong,
		},
	}
}

// notThere tells whether there is nothing where a model was said to be.
func notThere(dir string, err error) bool {
	return errors.Is(err, os.ErrNotExist) && !exists(filepath.Join(dir, "config.json"))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func modelMissing(def *Definition) []violation {
	dir, _ := def.ModelDirectory()
	_, err := def.openModelBriefly()
	hint := "name a directory with config.json and model.safetensors; docs/models.md tells where models come from"
	if !filepath.IsAbs(def.Encoder.Model) && def.source.isFile() {
		hint = "relative paths are relative to the definition's file; " + hint
	}
	return when(err != nil && notThere(dir, err), "encoder.model", "there is no model in "+dir, hint)
}

func modelBroken(def *Definition) []violation {
	dir, _ := def.ModelDirectory()
	_, err := def.openModelBriefly()
	if err == nil || notThere(dir, err) {
		return nil
	}
	return []violation{{"encoder.model", strings.TrimPrefix(err.Error(), "opening "), "ensue model info " + dir + " tells the same"}}
}

func modelUnfit(def *Definition) []violation {
	d, ok := describe(def)
	if !ok || d.model == nil {
		return nil
	}
	if _, err := d.model.Config().WithAttention(def.Encoder.Attention); err != nil {
		return []violation{{"encoder.attention", err.Error(), "remove the key"}}
	}
	err := def.Encoder.Fits(d.model.Config())
	if err == nil {
		return nil
	}
	path, message, found := strings.Cut(err.Error(), ": ")
	if !found || !strings.HasPrefix(path, "encoder.") {
		path, message = "encoder.model", err.Error()
	}
	return []violation{{path, message, "remove the key, or name another model"}}
}

func noLearnedPredictor(def *Definition) []violation {
	d, ok := describe(def)
	if !ok || def.Predictor.Model != predictor.Learned || d.model != nil && d.model.HasPredictor() {
		return nil
	}
	return []violation{{
		"predictor.model", fmt.Sprintf("the encoder %s comes without a predictor", def.Encoder.Model),
		"write auto, persistence, linear or flow, or an encoder.model that has one",
	}}
}

func modelNoEffect(def *Definition) []violation {
	if _, ok := def.ModelDirectory(); ok || def.Encoder.Default().Model == encoder.Builtin {
		return nil
	}
	var found []violation
	defaults := def.Encoder.Default()
	for path, changed := range map[string]bool{
		"encoder.attention": defaults.Attention != encoder.AttentionAuto,
		"encoder.precision": defaults.Precision != encoder.PrecisionF32,
		"encoder.threads":   defaults.Threads != 0,
	} {
		if changed {
			found = append(found, violation{path, "is for learned models, and " + def.Encoder.Model + " is none", "remove the key"})
		}
	}
	return found
}

// clipLong is about vision transformers: what lies beyond the frames that they were trained with has positions that they never saw.
func clipLong(def *Definition) []violation {
	d, ok := describe(def)
	if !ok || d.model == nil || d.predictor != predictor.Learned || d.model.Config().ModelType != model.FamilyVJEPA2 {
		return nil
	}
	seconds := (def.Predictor.Context + longest(def)).Seconds()
	frames, trained := int(seconds*def.Decode.FPS+0.5), d.model.Config().FramesPerClip
	return when(frames > trained, "predictor.context",
		fmt.Sprintf("%s and %s ahead (the last of predictor.horizons) are %d frames at %v a second; the model was trained with %d "+
			"(frames_per_clip)", formatDuration(def.Predictor.Context), formatDuration(longest(def)), frames, def.Decode.FPS, trained),
		fmt.Sprintf("write less of both, or at most %.3g frames a second (decode.fps)", float64(trained)/seconds))
}

func stepLong(def *Definition) []violation {
	d, ok := describe(def)
	if !ok || d.info.FramesPerStep < 2 || window(def) == 0 {
		return nil
	}
	frames := window(def).Seconds() * def.Decode.FPS
	return when(frames < float64(d.info.FramesPerStep), "predictor.horizons[0]",
		fmt.Sprintf("a window of %s has %.2g frames at %v a second; a step of the model takes %d", formatDuration(window(def)), frames,
			def.Decode.FPS, d.info.FramesPerStep),
		"write a longer first horizon, or a higher decode.fps")
}
