package eval

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// How speed is measured.
const (
	speedStreams  = 16 // side by side, as a pipeline has them
	speedSegments = 4  // of a second each, after one that warms up
	speedFrames   = (speedSegments + 1) * negatives.Length
)

// Speed is what a second of a live stream costs, from frames of the right size on: encoding, remembering, predicting the next second,
// comparing it, measuring its statistics and, of a learned energy, scoring them.
type Speed struct {
	Name string `json:"name"`
	// Milliseconds of processor time per frame, and how many streams of 8 frames a second one core has time for.
	Milliseconds float64 `json:"milliseconds_per_frame"`
	Streams      float64 `json:"streams_per_core"`
}

func newSpeed(name string, perSegment time.Duration) Speed {
	return Speed{
		Name: name, Milliseconds: perSegment.Seconds() * 1e3 / negatives.Length,
		Streams: negatives.Length / windowRate / perSegment.Seconds(),
	}
}

// longEnough says whether there is a recording that speed can be measured on.
func (w *Windows) longEnough() bool {
	return slices.ContainsFunc(w.Recordings, func(r *Recording) bool { return r.Len() >= speedFrames })
}

// MeasureSpeed is the processor time that a segment of a second costs a source. Nothing else may be computing in the process meanwhile, and
// its device must have one thread: threads that wait for each other cost time, too.
func (s *Source) MeasureSpeed(ctx context.Context, w *Windows) (time.Duration, error) {
	var streams []*liveStream
	for _, r := range w.Recordings {
		if r.Len() >= speedFrames && len(streams) < speedStreams {
			streams = append(streams, &liveStream{source: s, recording: r, side: w.Side, state: s.Encoder.NewState()})
		}
	}
	if len(streams) == 0 {
		return 0, fmt.Errorf("measuring the speed of %s: no recording has %d frames", s.Name, speedFrames)
	}
	var spent time.Duration
	for segment := range speedSegments + 1 {
		for _, live := range streams {
			live.load(segment)
		}
		taken, err := secondOf(ctx, streams)
		if err != nil {
			return 0, fmt.Errorf("measuring the speed of %s: %w", s.Name, err)
		}
		if segment > 0 { // the first warms up
			spent += taken
		}
	}
	return spent / time.Duration(speedSegments*len(streams)), nil
}

// secondOf works on the next segment of every stream, and says what that took.
func secondOf(ctx context.Context, streams []*liveStream) (time.Duration, error) {
	begun, err := processorTime()
	if err != nil {
		return 0, err
	}
	group, working := errgroup.WithContext(ctx)
	for _, live := range streams {
		group.Go(func() error { return live.segment(working) })
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	ended, err := processorTime()
	return ended - begun, err
}

// liveStream is a stream that comes second by second.
type liveStream struct {
	source    *Source
	recording *Recording
	side      int
	state     encoder.State
	clip      *stream.Clip
	memory    []float32
	before    *stream.Tokens // the segment before, as it was encoded; before that nothing is expected
	expected  []float32
}

// load makes the frames of a segment ready, which decoding does in a pipeline.
func (l *liveStream) load(segment int) {
	first := segment * negatives.Length
	l.clip = newWindowClip(negatives.Length, l.source.Encoder.Info().Width)
	shift := time.Duration(first) * l.clip.Step
	for i := range l.clip.T {
		shrink(l.recording.Frame(first+i), l.side, l.clip.Frame(i), l.clip.W)
		l.clip.Times[i] += shift
	}
	l.clip.Start, l.clip.End = shift, l.clip.End+shift
}

// segment does what a pipeline does of a segment.
func (l *liveStream) segment(ctx context.Context) error {
	s := l.source
	tokens, err := s.Encoder.Encode(ctx, l.clip, l.state)
	if err != nil {
		return err
	}
	if l.before != nil {
		if err := l.compare(ctx, tokens); err != nil {
			return err
		}
	}
	past := predictor.Past{Tokens: tokens, Frames: lastFrames(l.clip, l.clip.T, s.Predictor.Info().Frames)}
	if remembering, ok := s.Predictor.(predictor.Remembering); ok {
		all := make([]float32, tokens.T*remembering.Memory())
		if err := remembering.Remember(ctx, tokens, l.memory, all); err != nil {
			return err
		}
		l.memory = all[len(all)-remembering.Memory():]
		past.Memory = l.memory
	}
	l.before, l.expected = tokens, make([]float32, tokens.Len())
	return s.Predictor.Expect(ctx, past, 0, tokens.T, l.expected)
}

// compare scores what was expected.
func (l *liveStream) compare(ctx context.Context, tokens *stream.Tokens) error {
	x, y := l.before, tokens
	if targeting, ok := l.source.Predictor.(predictor.Targeting); ok {
		x = &stream.Tokens{Shape: x.Shape, Data: make([]float32, x.Len())}
		y = &stream.Tokens{Shape: y.Shape, Data: make([]float32, y.Len())}
		whole := &stream.Tokens{
			Shape: tokens.Shape, Data: slices.Concat(l.before.Data, tokens.Data), Spans: slices.Concat(l.before.Spans, tokens.Spans),
		}
		whole.T *= 2
		if err := targeting.Target(ctx, l.before, 0, x.Data); err != nil {
			return err
		}
		if err := targeting.Target(ctx, whole, tokens.T, y.Data); err != nil {
			return err
		}
	}
	predictor.EnergyMap(l.expected, y.Data, y.D, make([]float32, y.T*y.Places()))
	if l.source.Verifier != nil {
		if _, _, err := l.source.Verifier.Judge(ctx, x, y, l.expected); err != nil {
			return err
		}
	}
	gauge, err := predictor.NewGauge(y.T, y.Places(), y.D)
	if err != nil {
		return nil //nolint:nilerr // statistics need four steps; the other energies do not
	}
	_, err = gauge.Measure(x.Data, y.Data, l.expected)
	return err
}

// scoring is the processor time that a learned energy takes for the statistics of a window.
func (e *Energies) scoring(measured []Measured) (time.Duration, error) {
	const windows = 64
	count := min(windows, len(measured))
	if count == 0 {
		return 0, nil
	}
	begun, err := processorTime()
	if err != nil {
		return 0, err
	}
	for _, m := range measured[:count] {
		if _, err := e.Fused.Of(join(m.Genuine, e.Sources, whole)); err != nil {
			return 0, err
		}
	}
	ended, err := processorTime()
	return (ended - begun) / time.Duration(count), err
}
