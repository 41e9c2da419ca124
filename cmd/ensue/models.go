package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/weights"
)

// openModel opens the model that a flag names: a directory, or the one that comes with the program.
func openModel(name string) (*model.Model, error) {
	if name == encoder.Builtin {
		return weights.Open()
	}
	return model.Open(name)
}

// energyOf is the learned energy that lies beside a model; nil where there is none.
func energyOf(m *model.Model) (_ *predictor.Energy, about predictor.EnergyAbout, err error) {
	if !m.HasExtra(predictor.EnergyFile) {
		return nil, about, nil
	}
	s, err := m.Extra(predictor.EnergyFile)
	if err != nil {
		return nil, about, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	e, about, err := predictor.ReadEnergy(s)
	if err != nil {
		return nil, about, fmt.Errorf("reading %s of the model %s: %w", predictor.EnergyFile, m.Where(), err)
	}
	return e, about, nil
}

// openVerifier opens the verifier that lies beside a model; nil where there is none.
func openVerifier(m *model.Model, device *nn.Device) (v *predictor.Verifier, err error) {
	s, err := m.Extra(predictor.VerifierFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // none is usual
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return predictor.ReadVerifier(s, m.Digest(), device)
}
