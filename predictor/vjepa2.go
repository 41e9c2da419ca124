package predictor

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/stream"
)

const (
	vjepaVersion = "1" // part of the digest
	// targetEps is the eps of the LayerNorm, without parameters, that targets go through: PyTorch's default, as in V-JEPA 2's loss.
	// (The one inside the model has 1e-6.)
	targetEps = 1e-5
)

// VJEPA2 is V-JEPA 2's predictor asked what its users want to know: the next segment. It sees the encoding of the context alone (the
// context's places begin at 0), and a mask token for each token of the steps it is asked about; all of them in one call, so that
// several horizons cost one.
//
// Where the attention is model.Full, the tokens of a stream are embeddings (see encoder.VJEPA2): the predictor runs the encoder's
// transformer on the context to expect, and on context and window together to know what came. So nothing that is expected has seen what
// comes, and what came is encoded as in training; it costs two encodings a window. Elsewhere tokens are what the encoder made of them.
//
// What came goes through a LayerNorm without parameters, as V-JEPA 2 was trained to expect it.
type VJEPA2 struct {
	info    Info
	encoder *encoder.VJEPA2
	config  model.Config
	net     *MaskedTransformer
	tape    *nn.Tape // used inside the device's Run only
	places  map[asked]*nn.Rotary
}

// asked is how many tokens are seen, and which are asked about.
type asked struct{ seen, from, to int }

// placesLimit is how many tables of places are kept: a stream asks the same few questions again and again.
const placesLimit = 64

// NewVJEPA2 makes the predictor of a model, for the tokens of its encoder: on the encoder's device, in its precision and attention.
// Close it before the encoder. The model is not used after NewVJEPA2.
func NewVJEPA2(m *model.Model, enc *encoder.VJEPA2) (*VJEPA2, error) {
	config := enc.Config()
	p := &VJEPA2{
		encoder: enc, config: config, places: map[asked]*nn.Rotary{},
		tape: enc.Device().NewTape(nn.TapeConfig{Precision: enc.Precision()}),
		info: Info{Name: config.ModelType, Digest: encoder.Digest(config.ModelType+" predictor", vjepaVersion, m.Digest(),
			config.Ensue.Attention, strconv.Itoa(int(enc.Precision())))},
	}
	if err := p.load(m); err != nil {
		return nil, errors.Join(fmt.Errorf("loading the predictor of %s: %w", m.Where(), err), p.Close())
	}
	return p, nil
}

func (p *VJEPA2) load(m *model.Model) error {
	if !m.HasPredictor() {
		return errors.New("the model has none, only an encoder; choose another predictor")
	}
	ps := nn.NewParametersFrom(model.Layers(encoder.KeepSmall(m.Source("predictor.")), p.config))
	net := NewMaskedTransformer(ps, p.config)
	if err := ps.Err(); err != nil {
		return err
	}
	if err := p.encoder.Device().Pack(p.encoder.Precision(), net.Matrices()...); err != nil {
		return err
	}
	ps.Freeze(true)
	p.net = net
	return nil
}

// Info describes the predictor.
func (p *VJEPA2) Info() Info { return p.info }

// Close gives back the memory of the weights and of the computation. Nothing may use the predictor any more; the device may be closed
// already.
func (p *VJEPA2) Close() error {
	err := p.encoder.Device().Run(func() error {
		p.tape.Close()
		if p.net == nil {
			return nil
		}
		return p.encoder.Device().Forget(p.net.Matrices()...)
	})
	if errors.Is(err, nn.ErrClosed) {
		return nil
	}
	return err
}

// Expect writes the tokens that the model expects for the steps [lead, lead+steps) after the past.
func (p *VJEPA2) Expect(ctx context.Context, past Past, lead, steps int, out []float32) error {
	return p.ExpectEach(ctx, []Question{{Past: past, Lead: lead, Steps: steps, Out: out}})
}

// ExpectEach answers several questions. Those about the same past share its encoding; each is asked with its own mask tokens, which see
// each other, so that an answer does not depend on the other questions.
func (p *VJEPA2) ExpectEach(ctx context.Context, questions []Question) error {
	for _, q := range questions {
		if err := p.check(q.Past.Tokens, q.Steps, len(q.Out)); err != nil {
			return err
		}
	}
	answered := make([]bool, len(questions))
	for i, q := range questions {
		if answered[i] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("answering question %d of %d: %w", i, len(questions), err)
		}
		err := p.encoder.Device().Run(func() error {
			p.tape.Reset()
			context := p.context(q.Past.Tokens)
			for k := i; k < len(questions); k++ {
				if sameTokens(questions[k].Past.Tokens, q.Past.Tokens) {
					answered[k] = true
					p.answer(context, questions[k])
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("answering question %d of %d: %w", i, len(questions), err)
		}
	}
	return nil
}

// sameTokens tells whether two are the same memory.
func sameTokens(a, b *stream.Tokens) bool {
	return len(a.Data) == len(b.Data) && &a.Data[0] == &b.Data[0]
}

func (p *VJEPA2) check(tokens *stream.Tokens, steps, out int) error {
	switch {
	case tokens.D != p.config.HiddenSize, tokens.T < 1, tokens.Places() < 1, len(tokens.Data) != tokens.Len():
		return stream.Fail("predict", "predict.shape", "predicting from tokens of shape %v with %d values: the model has %d channels",
			tokens.Shape, len(tokens.Data), p.config.HiddenSize)
	case steps < 1, out != steps*tokens.Step():
		return stream.Fail("predict", "predict.shape", "predicting %d steps of %v into %d values", steps, tokens.Shape, out)
	}
	return nil
}

// context is the encoding of tokens, and of nothing else: [1, T*H'*W', D].
func (p *VJEPA2) context(tokens *stream.Tokens) *nn.Value {
	n := tokens.T * tokens.Places()
	x := p.tape.Floats(tokens.Data, 1, n, tokens.D)
	if p.config.Ensue.Attention != model.Full {
		return x
	}
	y := p.encoder.Transformer().Encode(p.tape, x, tokens.Places())
	z := p.tape.Reshape(y, 1, n, tokens.D)
	p.tape.Release(y)
	return z
}

func (p *VJEPA2) answer(context *nn.Value, q Question) {
	places := q.Past.Tokens.Places()
	seen := context.Shape()[1]
	from := seen + q.Lead*places
	y := p.predict(context, asked{seen, from, from + q.Steps*places})
	y.CopyTo(q.Out)
	p.tape.Release(y)
}

// predict predicts the tokens [a.from, a.to) from the first a.seen ones, context [1, a.seen, D].
func (p *VJEPA2) predict(context *nn.Value, a asked) *nn.Value {
	places, ok := p.places[a]
	if !ok {
		if len(p.places) >= placesLimit {
			clear(p.places)
		}
		places = p.net.Places([][]int{count(0, a.seen)}, [][]int{count(a.from, a.to)})
		p.places[a] = places
	}
	return p.net.Predict(p.tape, context, a.to-a.from, places)
}

// count is from … to-1.
func count(from, to int) []int {
	ids := make([]int, to-from)
	for i := range ids {
		ids[i] = from + i
	}
	return ids
}

// Target writes the tokens of the steps [from, tokens.T) through a LayerNorm without parameters; where the attention is model.Full,
// after encoding all of tokens together.
func (p *VJEPA2) Target(ctx context.Context, tokens *stream.Tokens, from int, out []float32) error {
	if err := p.check(tokens, tokens.T-from, len(out)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("making targets: %w", err)
	}
	return p.encoder.Device().Run(func() error {
		p.tape.Reset()
		first, last := from*tokens.Places(), tokens.T*tokens.Places()
		var x *nn.Value
		if p.config.Ensue.Attention == model.Full {
			x = p.tape.Rows(p.tape.Reshape(p.context(tokens), last, tokens.D), first, last)
		} else {
			x = p.tape.Floats(tokens.Data[from*tokens.Step():], last-first, tokens.D)
		}
		p.tape.LayerNorm(x, nil, nil, targetEps).CopyTo(out)
		return nil
	})
}

// NextSegment is what NextSegment says about clips.
type NextSegment struct {
	// Tokens are the encoding of the whole clips, `[B, T', H', W', D]`.
	Tokens encoder.VideoTokens
	// Expected are the tokens expected after the context, from the context alone, and Target those that came, through a LayerNorm without
	// parameters: `[B, T'y, H', W', D]`.
	Expected, Target encoder.VideoTokens
	// Energy is the mean distance |Expected - Target| over the channels of every token, `[B, T'y, H', W']`.
	Energy []float32
}

// NextSegment encodes the first contextFrames frames of each clip, predicts the tokens of the rest, and compares them with the encoding
// of the whole clip. (transformers' own VJEPA2Model(video, context_mask, target_mask) encodes the whole clip first: its context has
// seen what it is to predict.)
func (p *VJEPA2) NextSegment(ctx context.Context, video encoder.Video, contextFrames int) (*NextSegment, error) {
	per := p.config.TubeletSize
	if contextFrames < per || contextFrames%per != 0 || video.T/per <= contextFrames/per {
		return nil, fmt.Errorf("predicting the next segment: a context of %d frames of %d: it must be whole tubelets of %d frames, "+
			"and leave at least one", contextFrames, video.T, per)
	}
	tokens, err := p.encoder.EncodeVideo(ctx, video)
	if err != nil {
		return nil, err
	}
	seen, err := p.encoder.EncodeVideo(ctx, firstFrames(video, contextFrames))
	if err != nil {
		return nil, err
	}
	next := newNextSegment(tokens, seen.T)
	err = p.encoder.Device().Run(func() error {
		for b := range tokens.B {
			p.fillNextSegment(next, seen, b)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("predicting the next segment: %w", err)
	}
	EnergyMap(next.Expected.Data, next.Target.Data, tokens.D, next.Energy)
	return next, nil
}

// newNextSegment is room for what is said about the steps of tokens from that one on.
func newNextSegment(tokens *encoder.VideoTokens, from int) *NextSegment {
	after := *tokens
	after.T -= from
	places := after.B * after.T * after.H * after.W
	next := &NextSegment{Tokens: *tokens, Expected: after, Target: after, Energy: make([]float32, places)}
	next.Expected.Data, next.Target.Data = make([]float32, places*after.D), make([]float32, places*after.D)
	return next
}

// fillNextSegment makes expectation and target of clip b, seen being the encoding of its context alone.
func (p *VJEPA2) fillNextSegment(next *NextSegment, seen *encoder.VideoTokens, b int) {
	p.tape.Reset()
	whole, after := next.Tokens, next.Target
	places := whole.H * whole.W
	first, last := seen.T*places, whole.T*places
	size := (last - first) * whole.D
	x := p.tape.Floats(seen.Data[b*first*seen.D:(b+1)*first*seen.D], 1, first, seen.D)
	p.predict(x, asked{first, first, last}).CopyTo(next.Expected.Data[b*size : (b+1)*size])
	y := p.tape.Floats(whole.Data[(b*last+first)*whole.D:(b+1)*last*whole.D], last-first, whole.D)
	p.tape.LayerNorm(y, nil, nil, targetEps).CopyTo(after.Data[b*size : (b+1)*size])
}

// firstFrames are the first frames of each clip.
func firstFrames(v encoder.Video, frames int) encoder.Video {
	size := v.C * v.H * v.W
	data := make([]float32, 0, v.B*frames*size)
	for b := range v.B {
		data = append(data, v.Data[b*v.T*size:(b*v.T+frames)*size]...)
	}
	v.T, v.Data = frames, data
	return v
}
