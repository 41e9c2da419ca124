package eval

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
)

// Opened is a source that was read from a model directory. Close it before its device.
type Opened struct {
	Source

	closers []func() error
}

// OpenModel reads a model directory, with its verifier where it has one, and its own predictor.
func OpenModel(dir string, device *nn.Device) (*Opened, error) {
	o := &Opened{Source: Source{Name: dir}}
	if err := o.open(dir, device); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", dir, err), o.Close())
	}
	return o, nil
}

func (o *Opened) open(dir string, device *nn.Device) error {
	m, err := model.Open(dir)
	if err != nil {
		return err
	}
	o.closers = append(o.closers, m.Close)
	if o.Encoder, err = encoder.New(encoder.Config{Model: dir}, encoder.WithModel(m), encoder.WithDevice(device)); err != nil {
		return err
	}
	o.closers = append(o.closers, func() error { return encoder.Close(o.Encoder) })
	o.Predictor, err = predictor.New(predictor.Config{}, o.Encoder, predictor.WithModel(m), predictor.WithDevice(device))
	if err != nil {
		return err
	}
	o.closers = append(o.closers, func() error { return predictor.Close(o.Predictor) })
	if !predictor.HasVerifier(dir) {
		return nil
	}
	if o.Verifier, err = predictor.OpenVerifier(dir, m.Digest(), device); err != nil {
		return err
	}
	o.closers = append(o.closers, o.Verifier.Close)
	return nil
}

// Close frees everything, the newest first.
func (o *Opened) Close() error {
	var errs []error
	for _, closer := range slices.Backward(o.closers) {
		errs = append(errs, closer())
	}
	o.closers = nil
	return errors.Join(errs...)
}
