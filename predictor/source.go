package predictor

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/stream"
)

// Source is an encoder with a predictor of its tokens: what a learned energy is measured with. Of a window, frames X and then Y, it sees
// those frames alone, whatever came before: what it says of a window does not depend on how a stream was cut, nor on when it was picked up
// (invariant 7). It is used from several goroutines.
type Source struct {
	// Name is how tables and the files of energies call it.
	Name      string
	Encoder   encoder.Encoder
	Predictor Predictor

	scratch sync.Pool // of *sighting
}

// Sighting is what a source makes of a window: tokens of X and Y in the space of the predictor's targets, and what was expected of Y, all
// [Shape.T, places, Shape.D].
type Sighting struct {
	Shape          stream.Shape
	X, Y, Expected []float32
}

// sighting is the memory for one; it is used again.
type sighting struct {
	Sighting

	clip     *stream.Clip // of X and Y
	side     int          // of the frames that come in
	shrinker *encoder.Shrinker
	memory   []float32
	pastX    *stream.Tokens
	state    encoder.State // after X; nil when it has seen a Y
}

// Expectation is what a source expects after X: what it says of several Y is measured against the same expectation. One goroutine uses it.
type Expectation struct {
	source *Source
	room   *sighting
	frames int // of X, and of Y
}

// sourceStep is the time between the frames of a window. Nothing depends on it but that times increase.
const sourceStep = time.Second / 8

// newWindowClip is room for frames that are a step apart.
func newWindowClip(frames, side int) *stream.Clip {
	clip := stream.NewClip(make([]byte, frames*side*side*3), frames, side, side, nil)
	clip.Step = sourceStep
	clip.Times = make([]time.Duration, frames)
	for i := range clip.Times {
		clip.Times[i] = time.Duration(i) * clip.Step
	}
	clip.End = time.Duration(frames) * clip.Step
	return clip
}

// partOf is frames [from, to) of a clip, on its memory and its clock.
func partOf(clip *stream.Clip, from, to int) *stream.Clip {
	size := clip.H * clip.W * 3
	p := stream.NewClip(clip.Frames[from*size:to*size], to-from, clip.H, clip.W, nil)
	p.Step, p.Times = clip.Step, clip.Times[from:to]
	p.Start, p.End = time.Duration(from)*clip.Step, time.Duration(to)*clip.Step
	return p
}

// Expect encodes the frames of X, side by side pixels each, and predicts as many. Close it before another one is wanted, or the memory is
// made anew.
func (s *Source) Expect(ctx context.Context, x [][]byte, side int) (*Expectation, error) {
	room, err := s.room(2*len(x), side)
	if err != nil {
		return nil, fmt.Errorf("predicting with %s: %w", s.Name, err)
	}
	e := &Expectation{source: s, room: room, frames: len(x)}
	e.take(0, x)
	r := e.room
	r.state = s.Encoder.NewState()
	if r.pastX, err = s.Encoder.Encode(ctx, partOf(r.clip, 0, e.frames), r.state); err == nil {
		err = e.predict(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("predicting with %s: %w", s.Name, err)
	}
	return e, nil
}

// room is memory for windows of so many frames.
func (s *Source) room(frames, side int) (*sighting, error) {
	room, ok := s.scratch.Get().(*sighting)
	if ok && room.clip.T == frames && room.side == side {
		return room, nil
	}
	info := s.Encoder.Info()
	if info.Width != info.Height || info.Width > side {
		return nil, fmt.Errorf("its encoder wants %d×%d pixels, the frames have %d×%d", info.Width, info.Height, side, side)
	}
	shrinker, err := encoder.NewShrinker(side, info.Width)
	if err != nil {
		return nil, err
	}
	return &sighting{clip: newWindowClip(frames, info.Width), side: side, shrinker: shrinker}, nil
}

// Close lets the memory be used again; what Read returned is no longer valid.
func (e *Expectation) Close() { e.source.scratch.Put(e.room) }

// take puts frames into the clip, from a place on, at the encoder's size.
func (e *Expectation) take(from int, frames [][]byte) {
	for i, frame := range frames {
		e.room.shrinker.Shrink(frame, e.room.clip.Frame(from+i))
	}
}

// predict says what is expected after pastX. What a predictor remembers begins with X.
func (e *Expectation) predict(ctx context.Context) error {
	s, r := e.source, e.room
	tokens := r.pastX
	if per := s.Encoder.Info().FramesPerStep; tokens.T != e.frames/per || tokens.T == 0 {
		return fmt.Errorf("%d frames gave %d steps of %d frames", e.frames, tokens.T, per)
	}
	r.Shape = tokens.Shape
	past := Past{Tokens: tokens, Frames: lastFrames(r.clip, e.frames, s.Predictor.Info().Frames)}
	if remembering, ok := s.Predictor.(Remembering); ok {
		size := remembering.Memory()
		if err := remembering.Remember(ctx, tokens, nil, room(&r.memory, tokens.T*size)); err != nil {
			return err
		}
		past.Memory = r.memory[(tokens.T-1)*size : tokens.T*size]
	}
	r.Expected = room(&r.Expected, tokens.Len())
	return s.Predictor.Expect(ctx, past, 0, tokens.T, r.Expected)
}

// lastFrames are the count frames before frame end.
func lastFrames(clip *stream.Clip, end, count int) [][]byte {
	var frames [][]byte
	for i := max(0, end-count); i < end; i++ {
		frames = append(frames, clip.Frame(i))
	}
	return frames
}

// Read encodes the frames of a Y after the X of the expectation. What it returns is valid until the next call.
func (e *Expectation) Read(ctx context.Context, y [][]byte) (*Sighting, error) {
	e.take(e.frames, y)
	tokens, err := e.follow(ctx)
	if err == nil {
		err = e.aim(ctx, tokens)
	}
	if err != nil {
		return nil, fmt.Errorf("encoding with %s: %w", e.source.Name, err)
	}
	return &e.room.Sighting, nil
}

// follow encodes Y as what comes after X.
func (e *Expectation) follow(ctx context.Context) (*stream.Tokens, error) {
	s, r := e.source, e.room
	if r.state == nil { // the state has seen another Y
		r.state = s.Encoder.NewState()
		if _, err := s.Encoder.Encode(ctx, partOf(r.clip, 0, e.frames), r.state); err != nil {
			return nil, err
		}
	}
	tokens, err := s.Encoder.Encode(ctx, partOf(r.clip, e.frames, 2*e.frames), r.state)
	if err != nil {
		return nil, err
	}
	if !forgetful(r.state) {
		r.state = nil
	}
	if tokens.T != r.Shape.T {
		return nil, fmt.Errorf("%d frames gave %d steps, not %d", e.frames, tokens.T, r.Shape.T)
	}
	return tokens, nil
}

// forgetful tells whether there is nothing that a state could remember.
func forgetful(state encoder.State) bool { return reflect.TypeOf(state).Size() == 0 }

// aim brings X and Y into the space of the predictor's targets.
func (e *Expectation) aim(ctx context.Context, tokens *stream.Tokens) error {
	r := e.room
	targeting, ok := e.source.Predictor.(Targeting)
	if !ok {
		r.X, r.Y = r.pastX.Data, tokens.Data
		return nil
	}
	whole := &stream.Tokens{
		Shape: r.Shape, Data: slices.Concat(r.pastX.Data, tokens.Data), Spans: slices.Concat(r.pastX.Spans, tokens.Spans),
	}
	whole.T *= 2
	// New memory: X and Y may be the tokens' own from another call.
	r.X, r.Y = make([]float32, r.pastX.Len()), make([]float32, tokens.Len())
	if err := targeting.Target(ctx, r.pastX, 0, r.X); err != nil {
		return err
	}
	return targeting.Target(ctx, whole, r.Shape.T, r.Y)
}

// Distances writes the energy of every token to out: how far it is from what was expected.
func (s *Sighting) Distances(out []float32) { EnergyMap(s.Expected, s.Y, s.Shape.D, out) }
