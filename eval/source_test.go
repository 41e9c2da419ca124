package eval

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

func pixelSource(t *testing.T, pred predictor.Predictor) *Source {
	t.Helper()
	patches, err := encoder.NewPatchesOf(testSide, 8)
	require.NoError(t, err)
	return &Source{Name: "pixels", Encoder: patches, Predictor: pred}
}

// tally is an encoder that remembers: its token is the mean of all frames of the stream so far.
type tally struct{ info encoder.Info }

type tallyState struct{ sum, count float32 }

func (s *tallyState) Reset() { *s = tallyState{} }

func newTally() *tally {
	return &tally{encoder.Info{Name: "tally", Width: testSide, Height: testSide, GridHeight: 1, GridWidth: 1, Dim: 1, FramesPerStep: 1}}
}

func (e *tally) Info() encoder.Info      { return e.info }
func (e *tally) NewState() encoder.State { return &tallyState{} }

func (e *tally) Encode(_ context.Context, clip *stream.Clip, state encoder.State) (*stream.Tokens, error) {
	s := state.(*tallyState)
	tokens := &stream.Tokens{
		Shape: stream.Shape{T: clip.T, H: 1, W: 1, D: 1}, Data: make([]float32, clip.T), Spans: make([]stream.Span, clip.T),
	}
	for i := range clip.T {
		s.sum, s.count = s.sum+float32(clip.Frame(i)[0]), s.count+1
		tokens.Data[i] = s.sum / s.count
	}
	return tokens, nil
}

// flat are frames of one brightness each.
func flat(values ...byte) [][]byte {
	frames := make([][]byte, len(values))
	for i, value := range values {
		frames[i] = make([]byte, testSide*testSide*3)
		for k := range frames[i] {
			frames[i][k] = value
		}
	}
	return frames
}

// TestEveryYFollowsItsX: an encoder that remembers sees X before every Y, and only that.
func TestEveryYFollowsItsX(t *testing.T) {
	s := &Source{Name: "tally", Encoder: newTally(), Predictor: predictor.NewPersistence()}
	e, err := s.expect(t.Context(), flat(10, 20, 30, 40), testSide)
	require.NoError(t, err)
	defer e.close()
	for _, y := range [][]byte{{50, 60, 70, 80}, {0, 0, 0, 0}, {50, 60, 70, 80}} {
		r, err := e.read(t.Context(), flat(y...))
		require.NoError(t, err)
		require.Equal(t, []float32{10, 15, 20, 25}, r.x)
		require.Equal(t, []float32{25, 25, 25, 25}, r.expected)
		if y[0] == 50 {
			require.Equal(t, []float32{30, 35, 40, 45}, r.y)
		} else {
			require.InDeltaSlice(t, []float32{20, 100.0 / 6, 100.0 / 7, 12.5}, r.y, 1e-4)
		}
	}
}

// doubled is a predictor with all that is optional: its targets are twice the tokens, its memory counts steps.
type doubled struct{}

func (doubled) Info() predictor.Info { return predictor.Info{Name: "doubled"} }

func (doubled) Memory() int { return 1 }

func (doubled) Expect(_ context.Context, past predictor.Past, _, steps int, out []float32) error {
	for i := range steps {
		out[i] = past.Memory[0]
	}
	return nil
}

func (doubled) Remember(_ context.Context, tokens *stream.Tokens, before, out []float32) error {
	count := float32(0)
	if before != nil {
		count = before[0]
	}
	for i := range tokens.T {
		out[i] = count + float32(i+1)
	}
	return nil
}

func (doubled) Target(_ context.Context, tokens *stream.Tokens, from int, out []float32) error {
	for i := range out {
		out[i] = 2 * tokens.Data[from+i]
	}
	return nil
}

func TestTargetsAndMemoryAreThePredictors(t *testing.T) {
	s := &Source{Name: "doubled", Encoder: newTally(), Predictor: doubled{}}
	e, err := s.expect(t.Context(), flat(10, 20, 30, 40), testSide)
	require.NoError(t, err)
	r, err := e.read(t.Context(), flat(50, 60, 70, 80))
	require.NoError(t, err)
	require.Equal(t, []float32{4, 4, 4, 4}, r.expected)
	require.Equal(t, []float32{20, 30, 40, 50}, r.x)
	require.Equal(t, []float32{60, 70, 80, 90}, r.y)
	e.close()
}

func TestFramesAreShrunkToTheEncodersSize(t *testing.T) {
	patches, err := encoder.NewPatchesOf(16, 8)
	require.NoError(t, err)
	s := &Source{Name: "small", Encoder: patches, Predictor: predictor.NewPersistence()}
	e, err := s.expect(t.Context(), flat(10, 20), testSide)
	require.NoError(t, err)
	defer e.close()
	r, err := e.read(t.Context(), flat(30, 40))
	require.NoError(t, err)
	require.Equal(t, stream.Shape{T: 2, H: 8, W: 8, D: 12}, r.shape)
	require.InDelta(t, 30.0/255, r.y[0], 1e-6)
	large := &Source{Name: "large", Encoder: encoder.NewPatches(), Predictor: predictor.NewPersistence()}
	_, err = large.expect(t.Context(), flat(10, 20), testSide)
	require.ErrorContains(t, err, "128")
}

// TestRawEnergiesAreTheMeanDifferenceOfPixels: persistence on patches.
func TestRawEnergiesAreTheMeanDifferenceOfPixels(t *testing.T) {
	s := pixelSource(t, predictor.NewPersistence())
	e, err := s.expect(t.Context(), flat(10, 20, 30, 51, 51, 51, 51, 51), testSide)
	require.NoError(t, err)
	defer e.close()
	judged, err := e.judge(t.Context(), negatives.Negative{Frames: flat(51, 51, 51, 51, 102, 102, 102, 102)})
	require.NoError(t, err)
	require.InDelta(t, 0.1, judged.Raw, 1e-6)
	observed, _ := predictor.StatisticsOf(negatives.Length)
	require.Len(t, judged.Statistics.Observed, observed)
}
