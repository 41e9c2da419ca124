package encoder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
)

const (
	vjepaVersion = "1" // part of the digest
	// GroupTokens is about how many tokens are computed together, of one stream or of several: enough to keep the threads busy, few
	// enough for a layer's activations to stay near the processor.
	GroupTokens = 1024
)

// VJEPA2 is V-JEPA 2's encoder made to run live. It reads frames of CropSize × CropSize pixels and makes a step of every TubeletSize
// of them. Which tokens a token depends on is the model's attention:
//
//   - model.Tubelet: those of its own tubelet. Nothing is remembered but the frames of a tubelet that is not full yet.
//   - model.BlockCausal: those of its own tubelet and of the tubelets before it, ContextFrames in all, whose keys and values the State
//     remembers: a new tubelet costs one tubelet's work, and the memory is constant. A tubelet's place in time is counted from the
//     beginning of that window (see nn.Recent), so it never leaves what the model was trained with. What a layer sees of the oldest
//     tubelet of its window has seen a window itself: Info.Warmup tubelets decide a token, and after so many a State that began with
//     nothing gives the same bits as one that saw the stream from its beginning.
//   - model.Full, as V-JEPA 2 was published: those of the whole clip, later ones included, which no stream can know. The tokens of a
//     step are then the tubelets' embeddings; the predictor runs the transformer on as many steps as it looks at.
//
// Tubelets of several streams that wait at the same time are computed together. That changes no bit (invariant 7): NewVJEPA2 tries
// whether the processor's matrix products allow it and computes tubelet by tubelet where they do not.
type VJEPA2 struct {
	info      Info
	config    model.Config
	precision nn.Precision
	device    *nn.Device
	net       *VisionTransformer
	window    *nn.Rotary      // the tables of all tokens that a State remembers
	levels    [3][256]float32 // what a byte of each channel is, normalised
	group     int             // tubelets that are computed together at most, a power of two
	gather    nn.Gathering[*job]
	tape      *nn.Tape     // used inside device.Run only
	recents   []*nn.Recent // scratch, used beside tape
}

// VJEPA2Option changes what NewVJEPA2 makes.
type VJEPA2Option func(*VJEPA2)

// WithPrecision computes in bfloat16 instead of float32: half the memory for weights, and faster where the processor multiplies it.
// The tokens differ, so it is part of the digest.
func WithPrecision(p nn.Precision) VJEPA2Option { return func(e *VJEPA2) { e.precision = p } }

// WithAttention replaces the attention that the model names: model.Full, model.BlockCausal or model.Tubelet.
func WithAttention(mode string) VJEPA2Option {
	return func(e *VJEPA2) { e.config.Ensue.Attention = mode }
}

// WithContextFrames replaces the sliding context that the model names; it matters to model.BlockCausal only.
func WithContextFrames(n int) VJEPA2Option {
	return func(e *VJEPA2) { e.config.Ensue.ContextFrames = n }
}

// NewVJEPA2 makes the encoder of a model on a device, which stays the caller's; Close the encoder before it. The model is not used
// after NewVJEPA2. A layer's weights are packed for the device as they are read: beside the model's own file they are in memory once.
func NewVJEPA2(m *model.Model, device *nn.Device, options ...VJEPA2Option) (*VJEPA2, error) {
	e := &VJEPA2{config: m.Config(), device: device}
	for _, option := range options {
		option(e)
	}
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("loading the encoder of %s: %w", m.Where(), err)
	}
	e.describe(m.Digest())
	if err := e.load(m); err != nil {
		return nil, errors.Join(fmt.Errorf("loading the encoder of %s: %w", m.Where(), err), e.Close())
	}
	return e, nil
}

func (e *VJEPA2) check() error {
	if e.config.ModelType != model.FamilyVJEPA2 {
		return fmt.Errorf("model_type: %q: expected %s", e.config.ModelType, model.FamilyVJEPA2)
	}
	return e.config.Check()
}

func (e *VJEPA2) describe(digest string) {
	c := e.config
	e.info = Describe(c)
	e.info.Digest = Digest(c.ModelType, vjepaVersion, digest, c.Ensue.Attention, strconv.Itoa(Window(c)),
		strconv.Itoa(int(e.precision)), fmt.Sprint(c.Ensue.Mean, c.Ensue.Std))
	for channel := range e.levels {
		for level := range e.levels[channel] {
			e.levels[channel][level] = float32((float64(level)/255 - c.Ensue.Mean[channel]) / c.Ensue.Std[channel])
		}
	}
	e.group = 1
	for 2*e.group*e.places() <= GroupTokens {
		e.group *= 2
	}
}

// load makes the net from the model's file, packing each layer before the next one is read.
func (e *VJEPA2) load(m *model.Model) error {
	e.tape = e.device.NewTape(nn.TapeConfig{Precision: e.precision})
	ps := nn.NewParametersFrom(model.Layers(KeepSmall(m.Source("encoder.")), e.config))
	net, err := newVisionTransformer(ps, e.config, func(matrices []*nn.Parameter) error {
		if err := ps.Err(); err != nil {
			return err
		}
		return e.device.Pack(e.precision, matrices...)
	})
	if err == nil {
		err = ps.Err()
	}
	if err != nil {
		return err
	}
	ps.Freeze(true)
	e.net = net
	if e.config.Ensue.Attention == model.BlockCausal {
		e.window = net.table(Window(e.config) * e.places())
	}
	return e.tryGroups()
}

// KeepSmall copies what is no matrix (biases, norms, mask tokens) from a Source whose arrays lie in a file: a Device keeps its own form
// of the matrices, and then the file is not needed any more.
func KeepSmall(source nn.Source) nn.Source {
	return func(name string, shape ...int) (*tensor.Dense, error) {
		x, err := source(name, shape...)
		if err != nil || x.Dims() == 2 {
			return x, err
		}
		return tensor.New(tensor.WithShape(x.Shape()...), tensor.WithBacking(slices.Clone(x.Float32s()))), nil
	}
}

// tryGroups makes sure that a token's bits do not depend on what is computed beside it (invariant 7). oneDNN promises nothing about
// products of different sizes; on the processors it was tried on they agree.
func (e *VJEPA2) tryGroups() error {
	return e.device.Run(func() error {
		for e.group > 1 && !e.agrees(e.group) {
			e.group /= 2
		}
		return nil
	})
}

// agrees tells whether a group of tubelets gives the bits that each gives alone, in the first layers.
func (e *VJEPA2) agrees(group int) bool {
	pixels := e.places() * e.pixelsOfToken()
	for half := group; half > 1; half /= 2 {
		together := e.firstLayers(pixels, 0, half)
		for i := range half {
			alone := e.firstLayers(pixels, i, 1)
			if !slices.Equal(alone, together[i*len(alone):(i+1)*len(alone)]) {
				return false
			}
		}
	}
	return true
}

// firstLayers embeds some tubelets of noise, beginning with the one of that number, and runs the first block.
func (e *VJEPA2) firstLayers(pixels, first, count int) []float32 {
	e.tape.Reset()
	x := e.tape.Zeros(count*e.places(), e.pixelsOfToken())
	for i, values := 0, x.Float32s(); i < len(values); i++ {
		// Any numbers that are not round: a multiplicative sequence in [-2, 2).
		values[i] = float32(int32(uint32(first*pixels+i+1)*2654435769)) / (1 << 30)
	}
	y := e.embed(x, count)
	for _, b := range e.net.Blocks[:min(1, len(e.net.Blocks))] {
		y = b.Forward(e.tape, y, nn.Place{Rotary: e.net.table(e.places())})
	}
	return slices.Clone(y.Float32s())
}

// embed maps the pixels of count tubelets, a row for each token: [count, H'*W', D].
func (e *VJEPA2) embed(pixels *nn.Value, count int) *nn.Value {
	x := e.tape.Linear(pixels, e.net.Embed.Weight, e.net.Embed.Bias)
	e.tape.Release(pixels)
	y := e.tape.Reshape(x, count, e.places(), e.info.Dim)
	e.tape.Release(x)
	return y
}

func (e *VJEPA2) places() int { return e.info.GridHeight * e.info.GridWidth }

func (e *VJEPA2) pixelsOfToken() int {
	return e.config.TubeletSize * e.config.PatchSize * e.config.PatchSize * e.config.InChans
}

// Info describes the encoder.
func (e *VJEPA2) Info() Info { return e.info }

// Config is the model's configuration, with the options applied.
func (e *VJEPA2) Config() model.Config { return e.config }

// Device is what the encoder computes on, in the precision Precision.
func (e *VJEPA2) Device() *nn.Device { return e.device }

// Precision is what the encoder computes in.
func (e *VJEPA2) Precision() nn.Precision { return e.precision }

// Transformer is the net, for tapes of Device in Precision. It must not be changed.
func (e *VJEPA2) Transformer() *VisionTransformer { return e.net }

// Close gives back the memory of the weights and of the computation. Nothing may use the encoder any more; its device may be closed
// already.
func (e *VJEPA2) Close() error {
	err := e.device.Run(func() error {
		e.tape.Close()
		if e.net == nil {
			return nil
		}
		return e.device.Forget(e.net.Matrices()...)
	})
	if errors.Is(err, nn.ErrClosed) {
		return nil
	}
	return err
}

// Video is clips as transformers' processor gives them, ready for the model: `pixel_values_videos`, [B, T, C, H, W], normalised.
type Video struct {
	B, T, C, H, W int
	Data          []float32
}

// item is clip b with the channels last: [T, H, W, C].
func (v Video) item(b int, to []float32) {
	places := v.H * v.W
	for frame := range v.T {
		from := v.Data[(b*v.T+frame)*v.C*places:]
		into := to[frame*places*v.C:]
		for channel := range v.C {
			for place, x := range from[channel*places : (channel+1)*places] {
				into[place*v.C+channel] = x
			}
		}
	}
}

// VideoTokens are the tokens of clips: [B, T, H, W, D].
type VideoTokens struct {
	B, T, H, W, D int
	Data          []float32
}

// VideoShape is the shape of the tokens of clips: incomplete tubelets and patches are left out, and a clip that is shorter than a
// tubelet makes as many as its repetition does, as in transformers.
func (e *VJEPA2) VideoShape(video Video) VideoTokens {
	frames := video.T
	if frames < e.config.TubeletSize {
		frames *= e.config.TubeletSize
	}
	return VideoTokens{
		B: video.B, T: frames / e.config.TubeletSize, H: video.H / e.config.PatchSize, W: video.W / e.config.PatchSize, D: e.info.Dim,
	}
}

// EncodeVideo encodes whole clips: the numbers of transformers' VJEPA2Model(pixel_values_videos).last_hidden_state, where the
// attention is model.Full. Clips are computed one after another.
func (e *VJEPA2) EncodeVideo(ctx context.Context, video Video) (*VideoTokens, error) {
	tokens := e.VideoShape(video)
	size := tokens.T * tokens.H * tokens.W * tokens.D
	if err := e.checkVideo(video, size); err != nil {
		return nil, err
	}
	tokens.Data = make([]float32, video.B*size)
	for b := range video.B {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("encoding clip %d of %d: %w", b, video.B, err)
		}
		err := e.device.Run(func() error {
			e.tape.Reset()
			pixels := e.tape.Zeros(1, video.T, video.H, video.W, video.C)
			video.item(b, pixels.Float32s())
			e.net.Forward(e.tape, pixels).CopyTo(tokens.Data[b*size : (b+1)*size])
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("encoding clip %d of %d: %w", b, video.B, err)
		}
	}
	return &tokens, nil
}

func (e *VJEPA2) checkVideo(v Video, size int) error {
	if v.C != e.config.InChans || len(v.Data) != v.B*v.T*v.C*v.H*v.W {
		return fmt.Errorf("encoding a video [%d, %d, %d, %d, %d] of %d values: the model wants [B, T, %d, H, W]",
			v.B, v.T, v.C, v.H, v.W, len(v.Data), e.config.InChans)
	}
	if size == 0 {
		return fmt.Errorf("encoding a video of %d frames of %d×%d pixels: it has no whole patch of %d×%d", v.T, v.W, v.H,
			e.config.PatchSize, e.config.PatchSize)
	}
	return nil
}
