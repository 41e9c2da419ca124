package encoder

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/stream"
)

const (
	recurrentVersion = "1" // part of the digest
	// convGroup is how many frames are encoded in one go, and gatherGroup how many of several streams are taken together.
	convGroup   = 16
	gatherGroup = 64
)

// Recurrent is the encoder of a model of the family model.FamilyRecurrent, a ConvEncoder, run live: a token step of every frame, which
// depends on nothing else. (It is the predictor of the family that remembers.)
//
// Frames of several streams that wait at the same time are encoded together. That changes no bit (invariant 7): NewRecurrent tries whether
// the processor's matrix products allow it and encodes frame by frame where they do not.
type Recurrent struct {
	info   Info
	device *nn.Device
	net    *ConvEncoder
	tape   *nn.Tape // used inside device.Run only
	group  int
	gather nn.Gathering[frames]
}

// frames are frames of one stream to be encoded: uint8 `[n, S, S, 3]` to `[n, H', W', D]`.
type frames struct {
	pixels []byte
	out    []float32
}

// NewRecurrent makes the encoder of a model on a device, which stays the caller's; Close the encoder before it. The model is not used after
// NewRecurrent.
func NewRecurrent(m *model.Model, device *nn.Device) (*Recurrent, error) {
	config := m.Config()
	e := &Recurrent{info: Describe(config), device: device, group: convGroup, tape: device.NewTape(nn.TapeConfig{})}
	e.info.Digest = Digest(config.ModelType, recurrentVersion, m.Digest())
	if err := e.load(m, config); err != nil {
		return nil, errors.Join(fmt.Errorf("loading the encoder of %s: %w", m.Where(), err), e.Close())
	}
	return e, nil
}

func (e *Recurrent) load(m *model.Model, config model.Config) error {
	if config.ModelType != model.FamilyRecurrent {
		return fmt.Errorf("model_type: %q: expected %s", config.ModelType, model.FamilyRecurrent)
	}
	ps := nn.NewParametersFrom(KeepSmall(m.Source("encoder.")))
	net := NewConvEncoder(ps, config)
	if err := ps.Err(); err != nil {
		return err
	}
	ps.Freeze(true)
	if err := e.device.Pack(nn.Float32, net.Matrices()...); err != nil {
		return err
	}
	e.net = net
	return e.device.Run(func() error {
		for e.group > 1 && !e.agrees() {
			e.group /= 2
		}
		return nil
	})
}

// agrees tells whether frames encoded together get the bits that each gets alone.
func (e *Recurrent) agrees() bool {
	noise := make([]byte, e.group*e.frameSize())
	for i := range noise {
		noise[i] = byte(uint32(i+1) * 2654435769 >> 24) // a multiplicative sequence
	}
	var alone []float32
	for i := range e.group {
		alone = append(alone, e.encode([][]byte{e.frame(noise, i)})...)
	}
	var together [][]byte
	for i := range e.group {
		together = append(together, e.frame(noise, i))
		if got := e.encode(together); !slices.Equal(alone[:len(got)], got) {
			return false
		}
	}
	return true
}

// Info describes the encoder.
func (e *Recurrent) Info() Info { return e.info }

// NewState is empty: a token depends on its own frame only.
func (e *Recurrent) NewState() State { return noState{} }

// Close gives back the memory of the weights and of the computation. Nothing may use the encoder any more; its device may be closed
// already.
func (e *Recurrent) Close() error {
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

// Encode makes a token step of every frame: `[T, S, S, 3]` becomes `[T, S/8, S/8, D]`; the step's span is from its frame's time to one
// Step later. It fails when the frames have another size.
func (e *Recurrent) Encode(ctx context.Context, clip *stream.Clip, _ State) (*stream.Tokens, error) {
	if err := e.check(clip); err != nil {
		return nil, err
	}
	tokens := &stream.Tokens{
		Shape: stream.Shape{T: clip.T, H: e.info.GridHeight, W: e.info.GridWidth, D: e.info.Dim},
		Spans: make([]stream.Span, clip.T),
	}
	tokens.Data = make([]float32, tokens.Len())
	for t := range clip.T {
		tokens.Spans[t] = stream.Span{Start: clip.Times[t], End: clip.Times[t] + clip.Step}
	}
	for first := 0; first < clip.T; first += gatherGroup {
		count := min(gatherGroup, clip.T-first)
		some := frames{clip.Frames[first*e.frameSize():][:count*e.frameSize()], tokens.Data[first*tokens.Step():][:count*tokens.Step()]}
		if err := e.gather.Do(ctx, some, count, gatherGroup, e.compute); err != nil {
			return nil, fmt.Errorf("encoding frames from %d of %d on: %w", first, clip.T, err)
		}
	}
	return tokens, nil
}

func (e *Recurrent) check(clip *stream.Clip) error {
	if clip.T > 0 && (clip.H != e.info.Height || clip.W != e.info.Width) {
		return stream.Fail("encode", "encode.frame_size", "encoding frames of %d×%d pixels: the model wants %d×%d; resize them first",
			clip.W, clip.H, e.info.Width, e.info.Height)
	}
	if len(clip.Times) != clip.T || len(clip.Frames) < clip.T*clip.H*clip.W*3 {
		return stream.Fail("encode", "encode.clip", "encoding a clip of %d frames: it has %d times and %d bytes",
			clip.T, len(clip.Times), len(clip.Frames))
	}
	return nil
}

func (e *Recurrent) frameSize() int { return e.info.Height * e.info.Width * 3 }

// frame is frame i.
func (e *Recurrent) frame(pixels []byte, i int) []byte {
	return pixels[i*e.frameSize() : (i+1)*e.frameSize()]
}

// compute encodes the frames of some streams, group by group. Invariant 5: a step is computed from its frame alone.
func (e *Recurrent) compute(some []frames) error {
	var pixels [][]byte
	var outs [][]float32
	for _, f := range some {
		count := len(f.pixels) / e.frameSize()
		for i := range count {
			pixels = append(pixels, e.frame(f.pixels, i))
			outs = append(outs, f.out[i*len(f.out)/count:(i+1)*len(f.out)/count])
		}
	}
	return e.device.Run(func() error {
		for first := 0; first < len(pixels); first += e.group {
			last := min(first+e.group, len(pixels))
			tokens := e.encode(pixels[first:last])
			for i, out := range outs[first:last] {
				copy(out, tokens[i*len(out):])
			}
		}
		return nil
	})
}

// encode encodes frames at once: the tokens are valid until the next call.
func (e *Recurrent) encode(pixels [][]byte) []float32 {
	e.tape.Reset()
	x := e.tape.Zeros(len(pixels), e.info.Height, e.info.Width, 3)
	for i, frame := range pixels {
		e.net.Normalize(frame, x.Float32s()[i*e.frameSize():])
	}
	return e.net.Forward(e.tape, x).Float32s()
}
