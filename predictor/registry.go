package predictor

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/stream"
)

// constructors is the table of predictors: to add one, add a line.
var constructors = map[string]func(encoder.Encoder) Predictor{
	"persistence": func(encoder.Encoder) Predictor { return NewPersistence() },
	"linear":      func(encoder.Encoder) Predictor { return NewLinear() },
	"flow":        func(enc encoder.Encoder) Predictor { return NewFlow(enc) },
}

// Names are the predictors New knows, sorted.
func Names() []string {
	names := make([]string, 0, len(constructors))
	for name := range constructors {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// New makes the predictor that cfg names, for the tokens of enc; no name means DefaultModel. A name that is not in the table is
// a permanent failure predict.unknown_model around an *encoder.UnknownModel.
func New(cfg Config, enc encoder.Encoder) (Predictor, error) {
	cfg = cfg.Default()
	construct, ok := constructors[cfg.Model]
	if !ok {
		unknown := &encoder.UnknownModel{Key: "predictor.model", Name: cfg.Model, Known: Names()}
		return nil, &stream.Failure{Code: "predict.unknown_model", Stage: "predict", Permanent: true, Err: unknown}
	}
	return construct(enc), nil
}

// Model is how results name what they come from: "<encoder>+<predictor>@sha256:…". The digest covers all that determines their
// energies: both models, the sampling rate, the context and the horizons; neither the calibration nor where results go.
func Model(enc encoder.Info, predictor Info, decodeFPS float64, cfg Config) string {
	cfg = cfg.Default()
	digest := encoder.Digest("model", "1", enc.Digest, predictor.Digest,
		strconv.FormatFloat(decodeFPS, 'g', -1, 64), cfg.Context.String(), fmt.Sprint(cfg.Horizons))
	return enc.Name + "+" + predictor.Name + "@" + digest
}
