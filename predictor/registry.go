package predictor

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/stream"
)

// The names of the predictors that depend on the encoder's model.
const (
	// Auto is the model's own predictor where it has one, else persistence.
	Auto = "auto"
	// Learned is the model's own predictor.
	Learned = "learned"
)

// constructors is the table of predictors that need no model: to add one, add a line.
var constructors = map[string]func(encoder.Encoder) Predictor{
	"persistence": func(encoder.Encoder) Predictor { return NewPersistence() },
	"linear":      func(encoder.Encoder) Predictor { return NewLinear() },
	"flow":        func(enc encoder.Encoder) Predictor { return NewFlow(enc) },
}

// families is the table of those that are read from a model, by its family.
var families = map[string]func(*model.Model, encoder.Encoder, *nn.Device) (Predictor, error){
	model.FamilyVJEPA2: func(m *model.Model, enc encoder.Encoder, _ *nn.Device) (Predictor, error) {
		own, ok := encoder.Unshrunk(enc).(*encoder.VJEPA2)
		if !ok {
			return nil, fmt.Errorf("the encoder %s is not the one of %s", enc.Info().Name, m.Where())
		}
		return NewVJEPA2(m, own)
	},
	model.FamilyRecurrent: func(m *model.Model, _ encoder.Encoder, device *nn.Device) (Predictor, error) {
		return NewRecurrent(m, device)
	},
}

// Names are the predictors New knows, sorted.
func Names() []string {
	names := []string{Auto, Learned}
	for name := range constructors {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Option is what New needs beside the definition.
type Option func(*building)

type building struct {
	device *nn.Device
	model  *model.Model
}

// WithModel gives New the model whose encoder it makes the predictor for. It stays the caller's.
func WithModel(m *model.Model) Option { return func(b *building) { b.model = m } }

// WithDevice sets what a model's predictor computes on. The device stays the caller's: close it after the predictor.
func WithDevice(device *nn.Device) Option { return func(b *building) { b.device = device } }

// Resolve is the predictor that a name stands for, with a model or without one (nil): Auto becomes another name, the others stay.
func Resolve(name string, m *model.Model) string {
	if name != "" && name != Auto {
		return name
	}
	if m != nil && m.HasPredictor() {
		return Learned
	}
	return "persistence"
}

// New makes the predictor that cfg names, for the tokens of enc; no name means DefaultModel. A predictor that was read from a model is an
// io.Closer. A name that is not in the table is a permanent failure predict.unknown_model around an *encoder.UnknownModel; a learned
// predictor that is not there or cannot be read is predict.bad_model.
func New(cfg Config, enc encoder.Encoder, options ...Option) (Predictor, error) {
	var b building
	for _, option := range options {
		option(&b)
	}
	name := Resolve(cfg.Default().Model, b.model)
	if name == Learned {
		made, err := b.load(enc)
		if err != nil {
			return nil, stream.Fail("predict", "predict.bad_model", "predictor.model: %w", err)
		}
		return made, nil
	}
	construct, ok := constructors[name]
	if !ok {
		unknown := &encoder.UnknownModel{Key: "predictor.model", Name: name, Known: Names()}
		return nil, &stream.Failure{Code: "predict.unknown_model", Stage: "predict", Permanent: true, Err: unknown}
	}
	return construct(enc), nil
}

func (b building) load(enc encoder.Encoder) (Predictor, error) {
	if b.model == nil {
		return nil, fmt.Errorf("%s: the encoder %s comes without a predictor; choose another one", Learned, enc.Info().Name)
	}
	if !b.model.HasPredictor() {
		return nil, fmt.Errorf("%s: %s has no predictor, only an encoder; choose another one", Learned, b.model.Where())
	}
	construct := families[b.model.Config().ModelType]
	if construct == nil {
		return nil, fmt.Errorf("%s: there is no predictor of the family %s", Learned, b.model.Config().ModelType)
	}
	return construct(b.model, enc, b.device)
}

// Close frees what a predictor holds, where it holds something. Close it before its encoder.
func Close(made Predictor) error {
	if closer, ok := made.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// EnergyInfo describes an energy that is not the distance: its name, and a digest over everything that determines it.
type EnergyInfo struct{ Name, Digest string }

// Model is how results name what they come from: "<encoder>+<predictor>@sha256:…", with "+<energy>" before the @ where it is not the
// distance. The digest covers all that determines their energies: both models, the sampling rate, the context, the horizons and the energy;
// neither the calibration nor where results go.
func Model(enc encoder.Info, predictor Info, decodeFPS float64, cfg Config, energy EnergyInfo) string {
	cfg = cfg.Default()
	name, parts := enc.Name+"+"+predictor.Name, []string{
		enc.Digest, predictor.Digest, strconv.FormatFloat(decodeFPS, 'g', -1, 64), cfg.Context.String(), fmt.Sprint(cfg.Horizons),
	}
	if energy.Name != "" {
		name, parts = name+"+"+energy.Name, append(parts, energy.Name, energy.Digest)
	}
	return name + "@" + encoder.Digest("model", "1", parts...)
}
