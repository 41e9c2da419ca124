package eval

import (
	"context"
	"sync"
	"time"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// Source is an encoder with a predictor of its tokens: what statistics and energies are measured with, by the code that measures them live
// (predictor.Source). It is used from several goroutines.
type Source struct {
	// Name is how tables call it.
	Name      string
	Encoder   encoder.Encoder
	Predictor predictor.Predictor
	// Verifier judges windows, too, where it is not nil; it was trained with the encoder and the predictor.
	Verifier *predictor.Verifier
	// Live is what a pipeline knows the source by (predictor.NewSource), and Model the digest of the model that it is made of; Live is ""
	// where no pipeline has it.
	Live, Model string

	once     sync.Once
	measures *predictor.Source
}

// live is the source as a pipeline has it.
func (s *Source) live() *predictor.Source {
	s.once.Do(func() {
		s.measures = &predictor.Source{Name: s.Name, Encoder: s.Encoder, Predictor: s.Predictor}
	})
	return s.measures
}

// reading is what a source makes of a window: tokens of X and Y in the space of the predictor's targets, and what was expected of Y,
// all [steps, places, dim].
type reading struct {
	shape          stream.Shape // of X, and of Y
	x, y, expected []float32
}

// expectation is what a source expects after X: what it says of several Y is measured against the same expectation.
type expectation struct {
	source *Source
	after  *predictor.Expectation
	side   int // of the frames that come in
}

// expect encodes the frames of X and predicts as many.
func (s *Source) expect(ctx context.Context, x [][]byte, side int) (*expectation, error) {
	after, err := s.live().Expect(ctx, x, side)
	if err != nil {
		return nil, err
	}
	return &expectation{source: s, after: after, side: side}, nil
}

// close lets the memory be used again.
func (e *expectation) close() { e.after.Close() }

// read encodes the frames of a Y after the X of the expectation. What it returns is valid until the next call.
func (e *expectation) read(ctx context.Context, y [][]byte) (*reading, error) {
	seen, err := e.after.Read(ctx, y)
	if err != nil {
		return nil, err
	}
	return &reading{shape: seen.Shape, x: seen.X, y: seen.Y, expected: seen.Expected}, nil
}

// distances writes the energy of every token to out: how far it is from what was expected.
func (r *reading) distances(out []float32) { predictor.EnergyMap(r.expected, r.y, r.shape.D, out) }

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
