package eval

import (
	"errors"
	"fmt"
	"os"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/eval/scenes"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
)

// The names of the baselines in tables.
const (
	PixelPersistence = "pixel persistence"
	PixelLinear      = "pixel linear"
	PixelFlow        = "flow"
	UntrainedName    = "untrained encoder"
)

// PixelBaselines are predictions in pixels, which need no learning: the last frame stays; the last change goes on, fading; the picture
// moves on along the optical flow. side is the frames' width and height.
func PixelBaselines(side, horizon int) ([]*Source, error) {
	patches, err := encoder.NewPatchesOf(side, baselineGrid)
	if err != nil {
		return nil, err
	}
	live := ""
	if side == ContinuationSide { // what a pipeline has
		live = predictor.SourceFlow
	}
	return []*Source{
		{Name: PixelPersistence, Encoder: patches, Predictor: predictor.NewPersistence()},
		{Name: PixelLinear, Encoder: patches, Predictor: predictor.NewDamped(horizon)},
		{Name: PixelFlow, Encoder: patches, Predictor: predictor.NewFlow(patches), Live: live},
	}, nil
}

// ContinuationBaselines are those of continuation, on frames of 128 pixels; VOEBaselines those of generated scenes.
func ContinuationBaselines() ([]*Source, error) {
	return PixelBaselines(ContinuationSide, negatives.Length)
}

// VOEBaselines are PixelBaselines for generated scenes.
func VOEBaselines() ([]*Source, error) { return PixelBaselines(scenes.Side, VOEHorizon) }

const (
	// ContinuationSide is the width and height of the frames that baselines of continuation see.
	ContinuationSide = 128

	baselineGrid = 8
)

// Untrained is a source whose encoder is that of the recurrent family (frames of 64 pixels) as it is drawn, before any learning, and whose
// predictor extrapolates its tokens. What learning is worth is what it adds to this. Close it before the device.
type Untrained struct {
	Source

	encoder *encoder.Recurrent
}

// NewUntrained draws the encoder from a seed; horizon is as in predictor.NewDamped.
func NewUntrained(device *nn.Device, seed uint64, horizon int) (*Untrained, error) {
	u, err := newUntrained(device, seed, horizon)
	if err != nil {
		return nil, fmt.Errorf("making the untrained encoder: %w", err)
	}
	return u, nil
}

func newUntrained(device *nn.Device, seed uint64, horizon int) (u *Untrained, err error) {
	config := model.RecurrentConfig()
	dir, err := os.MkdirTemp("", "ensue-untrained-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	enc, pred := nn.NewParameters(seed), nn.NewParameters(seed)
	encoder.NewConvEncoder(enc, config)
	predictor.NewRecurrentNet(pred, config)
	all := append(model.Named("encoder.", enc.All()), model.Named("predictor.", pred.All())...)
	if err := model.Write(dir, config, all...); err != nil {
		return nil, err
	}
	m, err := model.Open(dir)
	if err != nil {
		return nil, err
	}
	made, err := encoder.NewRecurrent(m, device)
	if err := errors.Join(err, m.Close()); err != nil {
		return nil, err
	}
	return &Untrained{
		Source:  Source{Name: UntrainedName, Encoder: made, Predictor: predictor.NewDamped(horizon)},
		encoder: made,
	}, nil
}

// Close frees the encoder.
func (u *Untrained) Close() error { return u.encoder.Close() }
