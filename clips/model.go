package clips

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/tokenfile"
	"github.com/ensue-video/ensue/weights"
)

// Codes of what can be wrong with a clip.
const (
	// CodeContext: the context leaves nothing to be expected.
	CodeContext stream.Code = "encode.context"
	// CodeFrames: frames are not such as the model takes.
	CodeFrames stream.Code = "encode.frames"
)

// Config says which model, and how it computes.
type Config struct {
	// Model is the name of an encoder (encoder.Names), or a directory.
	Model string
	// Attention and Precision are as in encoder.Config.
	Attention, Precision string
	// Threads is how many threads compute; 0: as many as the process may use.
	Threads int
}

// Info describes a Model.
type Info struct {
	// Name is the family's, Digest identifies what it computes ("sha256:…").
	Name, Digest string
	// Width and Height are the size of the pictures it takes. Crop says that they are resized by their shorter side and cropped,
	// not squashed.
	Width, Height int
	Crop          bool
	// FramesPerStep is how many frames a step of tokens covers, FramesPerClip for how many the model was made; 0: for any number.
	FramesPerStep, FramesPerClip int
	// Expects says that the model has a predictor.
	Expects bool
	// Attention and Precision are what tokens see and what they are computed in; "" where there is no choice.
	Attention, Precision string
}

// Model makes tokens of clips. One goroutine uses it at a time.
type Model interface {
	Info() Info
	// Encode encodes a clip. With context frames, a positive multiple of Info().FramesPerStep, it also says which tokens it expects
	// after them, having seen nothing else, and how far those that came are from it: Expected, Target and Energy.
	//
	// A context that leaves nothing of the clip is a stream.Failure with CodeContext.
	Encode(ctx context.Context, clip *stream.Clip, context int) (*tokenfile.Clip, error)
	Close() error
}

// FrameModel is a Model that takes frames that somebody else has prepared.
type FrameModel interface {
	Model
	// EncodeFrames is Encode of frames, [T, C, H, W], that are resized and normalised. Frames that the model cannot take are a
	// stream.Failure with CodeFrames.
	EncodeFrames(ctx context.Context, frames Frames, context int) (*tokenfile.Clip, error)
}

// Frames are the frames of a clip, [T, C, H, W], normalised.
type Frames struct {
	T, C, H, W int
	Values     []float32
}

// ErrOpen is wrapped by what Open returns where the model itself is at fault, not the machine.
var ErrOpen = errors.New("the model cannot be used")

// Open opens a model. Close it.
func Open(config Config) (Model, error) {
	if config.Model != encoder.Builtin && slices.Contains(encoder.Names(), config.Model) {
		return openUnlearned(config)
	}
	m, err := openLearned(config.Model)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	choice := encoder.Config{Model: config.Model, Attention: config.Attention, Precision: config.Precision}
	if err := choice.Fits(m.Config()); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrOpen, config.Model, err), m.Close())
	}
	device, err := nn.Open(nn.Config{Threads: config.Threads})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening model %s: %w", config.Model, err), m.Close())
	}
	o := &opened{model: m, device: device}
	learned, err := o.open(choice)
	if err != nil {
		return nil, errors.Join(err, o.close())
	}
	return learned, nil
}

// openLearned opens the model of a directory, or the one that comes with the program.
func openLearned(name string) (*model.Model, error) {
	switch {
	case name == encoder.Builtin:
		return weights.Open()
	case !encoder.IsDirectory(name):
		return nil, fmt.Errorf("%q is neither a directory nor one of %s", name, strings.Join(encoder.Names(), ", "))
	}
	return model.Open(name)
}

// openUnlearned is an encoder that needs no directory; its tokens are expected to stay as they are.
func openUnlearned(config Config) (Model, error) {
	if config.Attention != "" || config.Precision == encoder.PrecisionBF16 {
		return nil, fmt.Errorf("%w: %s has neither attention nor precision to choose", ErrOpen, config.Model)
	}
	o := &opened{}
	var err error
	if o.encoder, err = encoder.New(encoder.Config{Model: config.Model}); err != nil {
		return nil, err
	}
	o.predictor = predictor.NewPersistence()
	return newStaged(o, ""), nil
}

// opened is what a Model is made of, to be closed with it.
type opened struct {
	model     *model.Model // nil of an encoder that learned nothing, and so is device
	device    *nn.Device
	encoder   encoder.Encoder
	predictor predictor.Predictor
}

func (o *opened) open(choice encoder.Config) (made Model, err error) {
	if o.encoder, err = encoder.New(choice, encoder.WithModel(o.model), encoder.WithDevice(o.device)); err != nil {
		return nil, err
	}
	name := predictor.Config{Model: predictor.Auto}
	o.predictor, err = predictor.New(name, o.encoder, predictor.WithModel(o.model), predictor.WithDevice(o.device))
	if err != nil {
		return nil, err
	}
	if whole, ok := o.encoder.(*encoder.VJEPA2); ok {
		return newVJEPA2(o, whole), nil
	}
	return newStaged(o, o.model.Digest()), nil
}

// close closes what there is, the last one first.
func (o *opened) close() error {
	var errs []error
	if o.predictor != nil {
		errs = append(errs, predictor.Close(o.predictor))
	}
	if o.encoder != nil {
		errs = append(errs, encoder.Close(o.encoder))
	}
	if o.device != nil {
		errs = append(errs, o.device.Close(), o.model.Close())
	}
	return errors.Join(errs...)
}

// CheckContext tells before any clip is there what contextSteps would say of one of so many frames, 0: of any number.
func (i Info) CheckContext(frames, context int) error {
	if frames == 0 {
		frames = context + i.FramesPerStep
	}
	_, err := i.contextSteps(frames, context)
	return err
}

// contextSteps is how many steps so many frames of context are. There must be frames left after them.
func (i Info) contextSteps(frames, context int) (int, error) {
	per := i.FramesPerStep
	switch {
	case context == 0:
		return 0, nil
	case !i.Expects:
		return 0, stream.Fail("encode", CodeContext, "%d frames of context: the model has no predictor, so nothing can be expected", context)
	case context < 0 || context%per != 0:
		return 0, stream.Fail("encode", CodeContext, "%d frames of context: a step of this model is %d frames; give a multiple of it",
			context, per)
	case context/per >= frames/per:
		return 0, stream.Fail("encode", CodeContext, "%d frames of context: the clip has %d, which leaves no step of %d after them",
			context, frames, per)
	}
	return context / per, nil
}
