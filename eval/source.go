package eval

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// Source is an encoder with a predictor of its tokens: what statistics and energies are measured with. It is used from several
// goroutines.
type Source struct {
	// Name is how tables call it.
	Name      string
	Encoder   encoder.Encoder
	Predictor predictor.Predictor

	scratch sync.Pool // of *reading
}

// reading is what a source makes of a window: tokens of X and Y in the space of the predictor's targets, and what was expected of Y,
// all [steps, places, dim]. The memory is used again.
type reading struct {
	shape          stream.Shape // of X, and of Y
	x, y, expected []float32

	clip   *stream.Clip
	memory []float32
	// pastX and state are what was made of X; whole are the tokens of X and Y.
	pastX *stream.Tokens
	state encoder.State
}

// newWindowClip is room for frames that are a step apart.
func newWindowClip(frames, side int) *stream.Clip {
	clip := stream.NewClip(make([]byte, frames*side*side*3), frames, side, side, nil)
	clip.Step = time.Duration(float64(time.Second) / windowRate)
	clip.Times = make([]time.Duration, frames)
	for i := range clip.Times {
		clip.Times[i] = time.Duration(i) * clip.Step
	}
	clip.End = time.Duration(frames) * clip.Step
	return clip
}

// part is frames [from, to) of a clip, on its memory and its clock.
func part(clip *stream.Clip, from, to int) *stream.Clip {
	size := clip.H * clip.W * 3
	p := stream.NewClip(clip.Frames[from*size:to*size], to-from, clip.H, clip.W, nil)
	p.Step, p.Times = clip.Step, clip.Times[from:to]
	p.Start, p.End = time.Duration(from)*clip.Step, time.Duration(to)*clip.Step
	return p
}

// expectation is what a source expects after X: what it says of several Y is measured against the same expectation.
type expectation struct {
	source *Source
	room   *reading
	frames int // of X, and of Y
	side   int // of the frames that come in
}

// take puts frames into the clip, from a place on, at the encoder's size.
func (e *expectation) take(from int, frames [][]byte) {
	for i, frame := range frames {
		shrink(frame, e.side, e.room.clip.Frame(from+i), e.room.clip.W)
	}
}

// expect encodes the frames of X and predicts as many.
func (s *Source) expect(ctx context.Context, x [][]byte, side int) (*expectation, error) {
	info := s.Encoder.Info()
	if info.Width != info.Height || info.Width > side {
		return nil, fmt.Errorf("predicting with %s: its encoder wants %d×%d pixels, the frames have %d×%d", s.Name,
			info.Width, info.Height, side, side)
	}
	room, ok := s.scratch.Get().(*reading)
	if !ok || room.clip.T != 2*len(x) {
		room = &reading{clip: newWindowClip(2*len(x), info.Width)}
	}
	e := &expectation{source: s, room: room, frames: len(x), side: side}
	e.take(0, x)
	if err := e.predict(ctx); err != nil {
		return nil, fmt.Errorf("predicting with %s: %w", s.Name, err)
	}
	return e, nil
}

// close lets the memory be used again.
func (e *expectation) close() { e.source.scratch.Put(e.room) }

func (e *expectation) predict(ctx context.Context) error {
	s, r := e.source, e.room
	r.state = s.Encoder.NewState()
	tokens, err := s.Encoder.Encode(ctx, part(r.clip, 0, e.frames), r.state)
	if err != nil {
		return err
	}
	if per := s.Encoder.Info().FramesPerStep; tokens.T != e.frames/per || tokens.T == 0 {
		return fmt.Errorf("%d frames gave %d steps of %d frames", e.frames, tokens.T, per)
	}
	r.pastX, r.shape = tokens, tokens.Shape
	past := predictor.Past{Tokens: tokens, Frames: lastFrames(r.clip, e.frames, s.Predictor.Info().Frames)}
	if remembering, ok := s.Predictor.(predictor.Remembering); ok {
		size := remembering.Memory()
		r.memory = slices.Grow(r.memory[:0], tokens.T*size)[:tokens.T*size]
		if err := remembering.Remember(ctx, tokens, nil, r.memory); err != nil {
			return err
		}
		past.Memory = r.memory[len(r.memory)-size:]
	}
	r.expected = slices.Grow(r.expected[:0], tokens.Len())[:tokens.Len()]
	return s.Predictor.Expect(ctx, past, 0, tokens.T, r.expected)
}

// read encodes the frames of a Y after the X of the expectation. What it returns is valid until the next call.
func (e *expectation) read(ctx context.Context, y [][]byte) (*reading, error) {
	e.take(e.frames, y)
	if err := e.follow(ctx); err != nil {
		return nil, fmt.Errorf("encoding with %s: %w", e.source.Name, err)
	}
	return e.room, nil
}

func (e *expectation) follow(ctx context.Context) error {
	s, r := e.source, e.room
	if e.room.state == nil { // the state has seen another Y
		r.state = s.Encoder.NewState()
		if _, err := s.Encoder.Encode(ctx, part(r.clip, 0, e.frames), r.state); err != nil {
			return err
		}
	}
	tokens, err := s.Encoder.Encode(ctx, part(r.clip, e.frames, 2*e.frames), r.state)
	if err != nil {
		return err
	}
	if reflect.TypeOf(r.state).Size() > 0 {
		r.state = nil
	}
	if tokens.T != r.shape.T {
		return fmt.Errorf("%d frames gave %d steps, not %d", e.frames, tokens.T, r.shape.T)
	}
	targeting, ok := s.Predictor.(predictor.Targeting)
	if !ok {
		r.x, r.y = r.pastX.Data, tokens.Data
		return nil
	}
	whole := &stream.Tokens{Shape: r.shape, Data: slices.Concat(r.pastX.Data, tokens.Data), Spans: slices.Concat(r.pastX.Spans, tokens.Spans)}
	whole.T *= 2
	r.x = slices.Grow(r.x[:0], r.pastX.Len())[:r.pastX.Len()]
	r.y = slices.Grow(r.y[:0], tokens.Len())[:tokens.Len()]
	if err := targeting.Target(ctx, r.pastX, 0, r.x); err != nil {
		return err
	}
	return targeting.Target(ctx, whole, r.shape.T, r.y)
}

// distances writes the energy of every token to out: how far it is from what was expected.
func (r *reading) distances(out []float32) { predictor.EnergyMap(r.expected, r.y, r.shape.D, out) }
