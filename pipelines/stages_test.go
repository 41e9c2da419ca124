package pipelines

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// pairs is an encoder of two frames a token: the number of the first and of the second. It fails on a clip marked so.
type pairs struct{}

type pairsState struct{ left []byte }

func (s *pairsState) Reset() { s.left = nil }

func (pairs) Info() encoder.Info {
	return encoder.Info{Name: "pairs", Digest: "pairs", Width: 1, Height: 1, GridHeight: 1, GridWidth: 1, Dim: 2, FramesPerStep: 2}
}

func (pairs) NewState() encoder.State { return &pairsState{} }

var errPairs = errors.New("cannot be encoded")

func (pairs) Encode(_ context.Context, clip *stream.Clip, state encoder.State) (*stream.Tokens, error) {
	if clip.Dropped > 0 {
		return nil, errPairs
	}
	s := state.(*pairsState)
	tokens := &stream.Tokens{Shape: stream.Shape{H: 1, W: 1, D: 2}}
	for t := range clip.T {
		if s.left = append(s.left, clip.Frame(t)[0]); len(s.left) == 2 {
			tokens.T++
			tokens.Data = append(tokens.Data, float32(s.left[0]), float32(s.left[1]))
			tokens.Spans = append(tokens.Spans, stream.Span{Start: clip.Times[t] - clip.Step, End: clip.Times[t] + clip.Step})
			s.left = nil
		}
	}
	return tokens, nil
}

// film is a clip of frames a second apart, numbered from one on.
func film(first, count int, start time.Duration) *stream.Clip {
	clip := stream.NewClip(make([]byte, 3*count), count, 1, 1, nil)
	clip.Step, clip.Start, clip.End = time.Second, start, start+time.Duration(count)*time.Second
	for i := range count {
		clip.Frame(i)[0] = byte(first + i)
		clip.Times = append(clip.Times, start+time.Duration(i)*time.Second)
	}
	return clip
}

// What the scorer must not compare with what came before must not be encoded together with it either.
func TestAStreamThatIsTornIsTornForTheEncoderAndTheScorer(t *testing.T) {
	tests := []struct {
		name    string
		disturb func(second *item)
		pieces  bool // the second segment begins anew
	}{
		{"nothing", func(*item) {}, false},
		{"a lost frame or two", func(it *item) { it.clip = film(3, 4, 5*time.Second) }, false},
		{"a gap that ingest saw", func(it *item) { it.segment.Gap = true }, true},
		{"a hole in time", func(it *item) { it.clip = film(3, 4, 6*time.Second) }, true},
		{"time that runs backwards", func(it *item) { it.clip = film(3, 4, time.Second) }, true},
		{"another frame rate", func(it *item) { it.clip.Step = time.Second * 9 / 10 }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			line := newLine(t)
			line.send(t, film(0, 3, 0), nil)
			it := line.send(t, film(3, 4, 3*time.Second), test.disturb)
			require.Equal(t, test.pieces, it.segment.Gap)
			if test.pieces {
				require.Equal(t, []float32{3, 4, 5, 6}, it.tokens.Data)
				require.Equal(t, stream.ReasonGap, it.result.Reason)
				require.Equal(t, "cam/1", it.result.X.Segment)
				return
			}
			require.Equal(t, []float32{2, 3, 4, 5}, it.tokens.Data, "the frame left over came first")
			require.Equal(t, "cam/0", it.result.X.Segment)
		})
	}
}

func TestAfterAnEncodingThatFailedBothBeginAnew(t *testing.T) {
	line := newLine(t)
	line.send(t, film(0, 3, 0), nil)
	failed := line.send(t, film(3, 1, 3*time.Second), func(it *item) { it.clip.Dropped = 1 })
	require.ErrorIs(t, failed.failure, errPairs)
	it := line.send(t, film(4, 4, 4*time.Second), nil)
	require.Equal(t, []float32{4, 5, 6, 7}, it.tokens.Data)
	require.Equal(t, stream.ReasonGap, it.result.Reason)
}

func TestALateSegmentIsNoPartOfTheContinuity(t *testing.T) {
	line := newLine(t)
	line.send(t, film(0, 3, 0), nil)
	late := line.send(t, film(100, 2, 0), func(it *item) { it.segment.Alone = true })
	require.Equal(t, []float32{100, 101}, late.tokens.Data)
	require.Equal(t, []float32{2, 3}, line.send(t, film(3, 1, 3*time.Second), nil).tokens.Data)
}

// line is the stages from the encoder on.
type line struct {
	encode, predict step
	sequence        int64
}

func newLine(t *testing.T) *line {
	t.Helper()
	scorer, err := predictor.NewScorer(pairs{}.Info(), predictor.NewPersistence(), predictor.Config{}, 1)
	require.NoError(t, err)
	return &line{encode: newEncodeStage(pairs{}).newStep(), predict: newPredictStage(scorer, nil).newStep()}
}

func (l *line) send(t *testing.T, clip *stream.Clip, disturb func(*item)) *item {
	t.Helper()
	it := &item{segment: &stream.Segment{Stream: "cam", Sequence: l.sequence, Payload: []byte{1}}, clip: clip}
	l.sequence++
	if disturb != nil {
		disturb(it)
	}
	l.encode.work(t.Context(), it)
	l.predict.work(t.Context(), it)
	return it
}
