package predictor

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/stream"
)

// toy is an encoder of which only the shapes matter: four steps a second of two places with two channels.
var toy = encoder.Info{
	Name: "toy", Digest: "toy", Width: 2, Height: 1, GridHeight: 1, GridWidth: 2, Dim: 2, FramesPerStep: 1,
}

const toyStep = time.Second / 4

// toyConfig is windows of four steps, a context of eight and a second horizon at eight.
func toyConfig() Config {
	return Config{Context: 2 * time.Second, Horizons: []time.Duration{time.Second, 2 * time.Second}}.Default()
}

// camera is a stream on its way through a scorer. Its tokens are a ramp: step t is all t, whatever is sent.
type camera struct {
	t        *testing.T
	scorer   *Scorer
	state    *State
	encoder  encoder.Info
	step     time.Duration
	clock    time.Duration
	frames   int // sent so far
	steps    int // made of them so far
	sequence int64
}

func newCamera(t *testing.T, predictor Predictor, cfg Config, options ...ScorerOption) *camera {
	t.Helper()
	return newCameraOf(t, toy, predictor, cfg, options...)
}

func newCameraOf(t *testing.T, enc encoder.Info, predictor Predictor, cfg Config, options ...ScorerOption) *camera {
	t.Helper()
	scorer, err := NewScorer(enc, predictor, cfg, 4, options...)
	require.NoError(t, err)
	return &camera{t: t, scorer: scorer, state: scorer.NewState(), encoder: enc, step: toyStep}
}

// clip is the next count frames and the steps they complete.
func (c *camera) clip(count int) (*stream.Clip, *stream.Tokens) {
	size := c.encoder.Width * c.encoder.Height * 3
	clip := stream.NewClip(make([]byte, count*size), count, c.encoder.Height, c.encoder.Width, nil)
	clip.Step, clip.Start, clip.End = c.step, c.clock, c.clock+time.Duration(count)*c.step
	for i := range count {
		clip.Times = append(clip.Times, c.clock+time.Duration(i)*c.step)
		clip.Frame(i)[0] = byte(c.frames + i)
	}
	per := c.encoder.FramesPerStep
	c.frames += count
	made := c.frames/per - c.steps
	tokens := &stream.Tokens{Shape: stream.Shape{T: made, H: c.encoder.GridHeight, W: c.encoder.GridWidth, D: c.encoder.Dim}}
	for i := range made {
		for range tokens.Step() {
			tokens.Data = append(tokens.Data, float32(c.steps+i))
		}
		end := clip.End - time.Duration(c.frames-(c.steps+i+1)*per)*c.step
		tokens.Spans = append(tokens.Spans, stream.Span{Start: end - time.Duration(per)*c.step, End: end})
	}
	c.steps += made
	c.clock = clip.End
	return clip, tokens
}

// send scores a segment with the next count frames.
func (c *camera) send(count int, options ...func(*stream.Segment)) *stream.Result {
	c.t.Helper()
	clip, tokens := c.clip(count)
	result, err := c.scorer.Score(c.t.Context(), c.state, c.segment(options...), clip, tokens)
	require.NoError(c.t, err)
	if result != nil {
		require.NoError(c.t, result.Check())
	}
	return result
}

func (c *camera) segment(options ...func(*stream.Segment)) *stream.Segment {
	segment := &stream.Segment{Stream: "cam", Sequence: c.sequence}
	c.sequence++
	for _, option := range options {
		option(segment)
	}
	return segment
}

func gap(s *stream.Segment)         { s.Gap = true }
func contextOnly(s *stream.Segment) { s.ContextOnly = true }

// On the ramp, persistence is off by 1, 2, … steps from the end of its context on.
func TestEveryWindowIsPredictedFromWhatCameDirectlyBefore(t *testing.T) {
	camera := newCamera(t, NewPersistence(), toyConfig())
	camera.send(8)
	result := camera.send(8)

	require.Equal(t, "cam/0", result.X.Segment)
	require.Equal(t, "cam/1", result.Y.Segment)
	require.Equal(t, []stream.Window{{Start: 2, Energy: 2.5}, {Start: 3, Energy: 2.5}}, result.Windows)
	require.Equal(t, 2.5, *result.Energy)
	// From four steps earlier it is off by four more.
	require.Equal(t, []stream.Horizon{{Seconds: 1, Energy: 2.5}, {Seconds: 2, Energy: 6.5}}, result.Horizons)
	require.Equal(t, stream.WarmingUp, result.Verdict)
	require.Empty(t, result.Reason)
	require.Nil(t, result.PValue)
	require.Nil(t, result.Expected)
	require.Equal(t, camera.scorer.Model(), result.Model)
	require.Equal(t, stream.ResultID("cam", "cam/0", "cam/1", result.Model), result.ID)
	require.Equal(t, stream.Decode{Frames: 8, FPS: 4}, result.Decode)
}

func TestWhatIsConstantVelocityHasNoEnergyForLinear(t *testing.T) {
	camera := newCamera(t, NewLinear(), toyConfig())
	camera.send(8)
	result := camera.send(9)
	require.Zero(t, *result.Energy)
	require.Equal(t, []stream.Horizon{{Seconds: 1}, {Seconds: 2}}, result.Horizons)
}

func TestABandOfSeveralWindowsIsPredictedFromSeveralContexts(t *testing.T) {
	cfg := toyConfig()
	cfg.Horizons = []time.Duration{time.Second, 3500 * time.Millisecond} // bands of 4 and of 10 steps
	camera := newCamera(t, NewPersistence(), cfg)
	camera.send(13)
	result := camera.send(4)
	// The window from leads of 4 and 8: off by 5 to 8 and by 9 to 12; of a lead of 12 only the first two steps are in the band.
	want := (5 + 6 + 7 + 8 + 9 + 10 + 11 + 12 + 13 + 14) / 10.0
	require.InDelta(t, want, result.Horizons[1].Energy, 1e-12)
}

func TestWithoutAPastTheBeginningIsTheContext(t *testing.T) {
	tests := []struct {
		name     string
		steps    int
		windows  []stream.Window // nil when there is nothing to score
		reason   stream.Reason
		horizons int
		scored   time.Duration // where Y begins
	}{
		{"no step", 0, nil, stream.ReasonShort, 0, 0},
		{"one step", 1, nil, stream.ReasonFirst, 0, 0},
		{"two steps", 2, []stream.Window{{Start: 0.25, Energy: 1}}, stream.ReasonFirst, 1, toyStep},
		{"half of five", 5, []stream.Window{{Start: 0.5, Energy: 2}}, stream.ReasonFirst, 1, 2 * toyStep},
		{"half of seven", 7, []stream.Window{{Start: 0.75, Energy: 2.5}}, stream.ReasonFirst, 1, 3 * toyStep},
		{"two windows", 8, []stream.Window{{Start: 1, Energy: 2.5}}, stream.ReasonFirst, 1, 4 * toyStep},
		{"a remainder joins", 9, []stream.Window{{Start: 1, Energy: 3}}, stream.ReasonFirst, 1, 4 * toyStep},
		{
			"a remainder of its own", 10,
			[]stream.Window{{Start: 1, Energy: 2.5}, {Start: 2, Energy: 1.5}},
			stream.ReasonFirst, 2, 4 * toyStep,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			result := newCamera(t, NewPersistence(), toyConfig()).send(test.steps)
			require.Equal(t, test.windows, result.Windows)
			require.Equal(t, test.reason, result.Reason)
			require.Len(t, result.Horizons, test.horizons)
			zero := time.Unix(0, 0).UTC()
			require.Equal(t, zero.Add(test.scored), result.Y.Start)
			require.Equal(t, zero.Add(time.Duration(test.steps)*toyStep), result.Y.End)
			if test.windows == nil {
				require.Equal(t, stream.Unscored, result.Verdict)
				require.Nil(t, result.X)
				require.Nil(t, result.Energy)
				require.Equal(t, stream.ResultID("cam", "", "cam/0", result.Model), result.ID)
				return
			}
			require.Equal(t, stream.WarmingUp, result.Verdict)
			require.Equal(t, &stream.Extent{Segment: "cam/0", Start: zero, End: result.Y.Start}, result.X)
			require.Equal(t, stream.ResultID("cam", "cam/0", "cam/0", result.Model), result.ID)
		})
	}
}

func TestAfterOneStepThatCouldNotBeScoredThereIsAPast(t *testing.T) {
	camera := newCamera(t, NewPersistence(), toyConfig())
	camera.send(1)
	result := camera.send(4)
	require.Equal(t, "cam/0", result.X.Segment)
	require.Equal(t, 2.5, *result.Energy)
}

func TestASegmentTooShortIsUnscoredAndLosesNothing(t *testing.T) {
	camera := newCamera(t, NewPersistence(), toyConfig())
	camera.send(8)
	short := camera.send(0)
	require.Equal(t, stream.Unscored, short.Verdict)
	require.Equal(t, stream.ReasonShort, short.Reason)
	require.Nil(t, short.X)
	result := camera.send(4)
	require.Equal(t, "cam/0", result.X.Segment)
	require.Equal(t, 2.5, *result.Energy)
}

func TestWhatDoesNotFollowIsScoredLikeAFirstSegment(t *testing.T) {
	tests := []struct {
		name    string
		disturb func(*camera)
		options []func(*stream.Segment)
		reason  stream.Reason
	}{
		{"nothing", func(*camera) {}, nil, ""},
		{"a gap that ingest saw", func(*camera) {}, []func(*stream.Segment){gap}, stream.ReasonGap},
		{"a hole in time", func(c *camera) { c.clock += time.Second }, nil, stream.ReasonGap},
		{"a lost frame or two", func(c *camera) { c.clock += 2 * toyStep }, nil, ""},
		{"time that runs backwards", func(c *camera) { c.clock -= time.Second }, nil, stream.ReasonGap},
		{"another frame rate", func(c *camera) { c.step = toyStep * 4 / 5 }, nil, stream.ReasonGap},
		{"a frame rate told a little differently", func(c *camera) { c.step = toyStep * 101 / 100 }, nil, ""},
		{"a reset by the engine", func(c *camera) { c.state.Reset() }, nil, stream.ReasonGap},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			camera := newCamera(t, NewPersistence(), toyConfig())
			camera.send(8)
			test.disturb(camera)
			result := camera.send(8, test.options...)
			require.Equal(t, test.reason, result.Reason)
			if test.reason == "" {
				require.Equal(t, "cam/0", result.X.Segment)
				require.Len(t, result.Windows, 2)
				return
			}
			require.Equal(t, "cam/1", result.X.Segment)
			require.Len(t, result.Windows, 1)
			require.Equal(t, stream.SegmentID{Stream: "cam", Sequence: 1}, camera.scorer.Needed(camera.state))
			require.Equal(t, "cam/1", camera.send(4).X.Segment)
		})
	}
}

func TestAGapBeforeASegmentWithNothingToScoreIsTold(t *testing.T) {
	camera := newCamera(t, NewPersistence(), toyConfig())
	camera.send(8)
	require.Equal(t, stream.ReasonGap, camera.send(1, gap).Reason)
	camera.send(0, gap)
	require.Equal(t, stream.ReasonGap, camera.send(1).Reason, "the gap is still there")
}

func TestAVariableFrameRateIsNoHole(t *testing.T) {
	camera := newCamera(t, NewPersistence(), toyConfig())
	irregular := func() *stream.Result {
		clip, tokens := camera.clip(4)
		for i := range tokens.Spans { // a second apart
			at := clip.Start + time.Duration(i)*time.Second
			tokens.Spans[i] = stream.Span{Start: at, End: at + toyStep}
			clip.Times[i] = at
		}
		clip.End = clip.Start + 4*time.Second
		camera.clock = clip.End
		result, err := camera.scorer.Score(t.Context(), camera.state, camera.segment(), clip, tokens)
		require.NoError(t, err)
		return result
	}
	irregular()
	require.Empty(t, irregular().Reason)
}

func TestASegmentOutOfItsPlaceIsScoredWithinItselfAndLeavesNoTrace(t *testing.T) {
	with, without := newCamera(t, NewPersistence(), toyConfig()), newCamera(t, NewPersistence(), toyConfig())
	with.send(8)
	without.send(8)
	before := with.state.Calibrator().Export()

	clip, tokens := newCamera(t, NewPersistence(), toyConfig()).clip(8)
	segment := &stream.Segment{Stream: "cam", Sequence: 77, Alone: true}
	late, err := with.scorer.Score(t.Context(), with.state, segment, clip, tokens)
	require.NoError(t, err)
	require.Equal(t, stream.ReasonAlone, late.Reason)
	require.Equal(t, "cam/77", late.X.Segment)
	require.Equal(t, 2.5, *late.Energy)

	require.Equal(t, before, with.state.Calibrator().Export())
	require.Equal(t, without.scorer.Needed(without.state), with.scorer.Needed(with.state))
	require.Equal(t, without.send(8), with.send(8))

	short, err := with.scorer.Score(t.Context(), with.state, segment, &stream.Clip{}, &stream.Tokens{})
	require.NoError(t, err)
	require.Equal(t, stream.Unscored, short.Verdict)
}

// Invariant 3: a segment read again gives no result, and the next one the same as if it had not been read again.
func TestASegmentReadAgainIsContextOnly(t *testing.T) {
	first, again := newCamera(t, NewPersistence(), toyConfig()), newCamera(t, NewPersistence(), toyConfig())
	first.send(8)
	require.Nil(t, again.send(8, contextOnly))
	require.Equal(t, first.send(8), again.send(8))
	require.Equal(t, first.state.Calibrator().Export(), again.state.Calibrator().Export())
}

func TestTheEndOfAStreamIsTold(t *testing.T) {
	camera := newCamera(t, NewPersistence(), toyConfig())
	camera.send(8)
	ends := func(s *stream.Segment) { s.Mark = stream.MarkEnd }
	result, err := camera.scorer.Score(t.Context(), camera.state, camera.segment(ends), nil, nil)
	require.NoError(t, err)
	at := time.Unix(2, 0).UTC()
	require.Equal(t, &stream.Result{
		ID: stream.ResultID("cam", "", "cam/1", camera.scorer.Model()), Stream: "cam",
		Y: stream.Extent{Segment: "cam/1", Start: at, End: at}, Verdict: stream.Unscored, Reason: stream.ReasonEnd,
		Model: camera.scorer.Model(),
	}, result)

	// With video, the last segment is scored like any other.
	require.Equal(t, 2.5, *camera.send(4, ends).Energy)

	again, err := camera.scorer.Score(t.Context(), camera.state, camera.segment(ends, contextOnly), nil, nil)
	require.NoError(t, err)
	require.Nil(t, again)
}

func TestTimesAreAbsoluteWhereTheSenderToldThem(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("somewhere", 3600))
	tests := []struct {
		name   string
		option func(*stream.Segment)
		want   time.Time
	}{
		{"nothing told", func(*stream.Segment) {}, time.Unix(2, 0)},
		{"when the segment starts", func(s *stream.Segment) { s.Start = start }, start},
		{"when the stream started", func(s *stream.Segment) { s.Epoch = start }, start.Add(2 * time.Second)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			camera := newCamera(t, NewPersistence(), toyConfig())
			camera.send(8)
			result := camera.send(8, test.option)
			require.Equal(t, stream.Extent{Segment: "cam/1", Start: test.want.UTC(), End: test.want.Add(2 * time.Second).UTC()}, result.Y)
			require.Equal(t, 2.0, result.Windows[0].Start, "windows are on the stream's own clock")
		})
	}
}

func TestTheMapIsTheEnergyOfEveryScoredToken(t *testing.T) {
	cfg := toyConfig()
	cfg.Map = true
	camera := newCamera(t, NewPersistence(), cfg)
	first := camera.send(8)
	require.Equal(t, []int32{4, 1, 2}, first.Map.Shape)
	require.Equal(t, halfArray([]float32{1, 1, 2, 2, 3, 3, 4, 4}, 4, 1, 2), first.Map)
	require.Nil(t, newCamera(t, NewPersistence(), toyConfig()).send(8).Map)
}

func TestNextIsWhatIsExpectedOfEachBandPooled(t *testing.T) {
	camera := newCamera(t, NewLinear(), toyConfig())
	camera.send(8)
	result := camera.send(8) // the last step is 15: the bands are expected to be 16–19 and 20–23
	require.Len(t, result.Next, 2)
	for i, want := range []float32{17.5, 21.5} {
		next := result.Next[i]
		require.Equal(t, float64(i+1), next.Seconds)
		require.Equal(t, int32(2), next.Dim)
		require.Equal(t, "float32-base64", next.Encoding)
		data := binary.LittleEndian.AppendUint32(nil, math.Float32bits(want))
		require.Equal(t, append(data, data...), next.Data)
	}
}

func TestTheMostSurprisingWindowDecides(t *testing.T) {
	cfg := toyConfig()
	cfg.Calibrate.Warmup = 30 * time.Second
	tests := []struct {
		name    string
		spoil   func(tokens *stream.Tokens)
		verdict stream.Verdict
	}{
		{"the same goes on", func(*stream.Tokens) {}, stream.Continues},
		{"the second window jumps", func(k *stream.Tokens) { add(k, 5, 1000) }, stream.Breaks},
		{"the second window stands still", func(k *stream.Tokens) { hold(k, 3) }, stream.Stalls},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			camera := newCamera(t, NewPersistence(), cfg)
			for range 20 {
				camera.send(8)
			}
			clip, tokens := camera.clip(8)
			test.spoil(tokens)
			result, err := camera.scorer.Score(t.Context(), camera.state, camera.segment(), clip, tokens)
			require.NoError(t, err)
			require.Equal(t, test.verdict, result.Verdict)
			first, second := *result.Windows[0].PValue, *result.Windows[1].PValue
			require.Equal(t, min(first, second), *result.PValue)
			require.Greater(t, first, 0.5)
			require.InDelta(t, 2.5, result.Expected.Median, 1e-5)
			if test.verdict != stream.Continues {
				require.Less(t, second, cfg.Alpha())
			}
		})
	}
}

// add lifts all steps from one on.
func add(tokens *stream.Tokens, from int, by float32) {
	for i := from * tokens.Step(); i < len(tokens.Data); i++ {
		tokens.Data[i] += by
	}
}

// hold repeats a step until the end.
func hold(tokens *stream.Tokens, from int) {
	for t := from + 1; t < tokens.T; t++ {
		copy(tokens.At(t), tokens.At(from))
	}
}

// contextMean expects the mean of the whole context: it depends on all it may look at.
type contextMean struct{ frames int }

func (contextMean) expect(past Past, out []float32) {
	sums := make([]float32, past.Tokens.Step())
	for t := range past.Tokens.T {
		for i, value := range past.Tokens.At(t) {
			sums[i] += value
		}
	}
	for i := range out {
		out[i] = sums[i%len(sums)] / float32(past.Tokens.T)
	}
}

func (m contextMean) Info() Info { return Info{Name: "mean", Digest: "mean", Frames: m.frames} }

func (m contextMean) Expect(_ context.Context, past Past, _, _ int, out []float32) error {
	m.expect(past, out)
	return nil
}

// Invariant 7: how a stream is cut changes which windows there are, never what one of them says.
func TestWindowsSayTheSameHoweverTheStreamIsCut(t *testing.T) {
	const seconds = 12
	scored := func(segment int) map[float64]float64 {
		camera := newCamera(t, contextMean{}, toyConfig())
		energies := map[float64]float64{}
		for range seconds * 4 / segment {
			for _, window := range camera.send(segment).Windows {
				energies[window.Start] = window.Energy
			}
		}
		return energies
	}
	whole := scored(seconds * 4)
	require.Len(t, whole, seconds-1)
	for _, segment := range []int{4, 8, 16} {
		pieces := scored(segment)
		for start, energy := range whole {
			require.Contains(t, pieces, start)
			require.Equal(t, energy, pieces[start], "segments of %d steps, the window at %v s", segment, start)
		}
	}
}

// Invariant 7.
func TestTheSameSegmentsGiveTheSameResults(t *testing.T) {
	run := func() []byte {
		cfg := toyConfig()
		cfg.Map, cfg.Calibrate.Warmup = true, 10*time.Second
		camera := newCamera(t, contextMean{}, cfg)
		var all []*stream.Result
		for i := range 30 {
			all = append(all, camera.send(3+i%7))
		}
		data, err := json.Marshal(all)
		require.NoError(t, err)
		return data
	}
	first, second := run(), run()
	require.Equal(t, first, second)
}

// lookout checks that a predictor sees the frames that end its context.
type lookout struct {
	t *testing.T
	contextMean
	perStep int
}

func (l lookout) Expect(_ context.Context, past Past, _, _ int, out []float32) error {
	last := int(past.Tokens.At(past.Tokens.T - 1)[0]) // the ramp: the number of the step
	newest := (last+1)*l.perStep - 1
	require.Len(l.t, past.Frames, min(l.frames, newest+1))
	for i, frame := range past.Frames {
		require.Equal(l.t, byte(newest-len(past.Frames)+1+i), frame[0])
	}
	l.expect(past, out)
	return nil
}

func TestThePredictorSeesTheFramesThatEndItsContext(t *testing.T) {
	for _, perStep := range []int{1, 2} {
		enc := toy
		enc.FramesPerStep = perStep
		for _, frames := range []int{1, 2, 3} {
			predictor := lookout{t: t, contextMean: contextMean{frames: frames}, perStep: perStep}
			camera := newCameraOf(t, enc, predictor, toyConfig())
			for _, count := range []int{1, 7, 8, 3, 1, 1, 9, 16, 5} {
				camera.send(count)
			}
		}
	}
}

// Invariant 3.
func TestNeededIsTheOldestSegmentOfTheContext(t *testing.T) {
	tests := []struct {
		name     string
		perStep  int
		segments []int // frames
		needed   []int64
	}{
		// Context and reach are 8 + 4 steps.
		{"segments longer than the context", 1, []int{16, 16, 16}, []int64{0, 1, 2}},
		{"two segments a context", 1, []int{8, 8, 8, 8}, []int64{0, 0, 1, 2}},
		{"short segments", 1, []int{4, 4, 4, 4, 4, 4}, []int64{0, 0, 0, 1, 2, 3}},
		{"segments without frames", 1, []int{12, 0, 0, 12, 0}, []int64{0, 0, 0, 3, 3}},
		{"nothing yet", 1, []int{0, 0}, []int64{0, 1}},
		// With two frames a step, context and reach are 4 + 2 steps, 12 frames and at most one waiting.
		{"a frame waits for its step", 2, []int{13, 12, 11, 12}, []int64{0, 0, 1, 3}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			enc := toy
			enc.FramesPerStep = test.perStep
			camera := newCameraOf(t, enc, NewPersistence(), toyConfig())
			for i, frames := range test.segments {
				camera.send(frames)
				require.Equal(t, stream.SegmentID{Stream: "cam", Sequence: test.needed[i]},
					camera.scorer.Needed(camera.state), "after segment %d", i)
			}
		})
	}
	scorer := newCamera(t, NewPersistence(), toyConfig()).scorer
	require.Zero(t, scorer.Needed(scorer.NewState()))
}

// Invariant 3, the other half: from the needed segment on, the next result comes out the same.
func TestReadingAgainFromTheNeededSegmentRestoresTheContext(t *testing.T) {
	sizes := []int{3, 5, 4, 8, 1, 2, 7, 4, 4, 12, 3}
	for cut := range sizes {
		if cut == 0 {
			continue
		}
		live := newCamera(t, contextMean{frames: 2}, toyConfig())
		restarted := newCamera(t, contextMean{frames: 2}, toyConfig())
		for _, size := range sizes[:cut] {
			live.send(size)
		}
		needed := live.scorer.Needed(live.state).Sequence
		for i, size := range sizes[:cut] {
			if int64(i) < needed { // only the camera's clock goes on
				restarted.clip(size)
				restarted.sequence++
				continue
			}
			require.Nil(t, restarted.send(size, contextOnly))
		}
		want, got := live.send(sizes[cut]), restarted.send(sizes[cut])
		require.Equal(t, want.ID, got.ID)
		require.Equal(t, want.Windows, got.Windows)
		require.Equal(t, want.Horizons, got.Horizons)
		require.Equal(t, want.Next, got.Next)
	}
}

// Invariant 6.
func TestTheStateDoesNotGrowWithTheStream(t *testing.T) {
	size := func(s *State) int {
		running := s.calibrator.(byDistance)
		bytes := cap(running.recent)*4 + cap(running.ordered)*4 + cap(s.tokens.Data)*4 + cap(s.tokens.Spans)*16 + cap(s.pieces)*64
		for _, frame := range s.frames {
			bytes += cap(frame)
		}
		return bytes
	}
	cfg := toyConfig()
	cfg.Calibrate.History = 50
	camera := newCamera(t, contextMean{frames: 2}, cfg)
	sizes := []int{8, 1, 0, 3, 40, 2, 2, 2}
	for i := range 200 {
		camera.send(sizes[i%len(sizes)])
	}
	before := size(camera.state)
	require.LessOrEqual(t, camera.state.tokens.T, 8+4)
	require.LessOrEqual(t, len(camera.state.frames), 4+2)
	for i := range 10_000 {
		camera.send(sizes[i%len(sizes)])
	}
	require.Equal(t, before, size(camera.state))
}

// stubborn fails from the n-th call on.
type stubborn struct {
	contextMean
	calls *int
}

var errStubborn = errors.New("no idea")

func (s stubborn) Expect(_ context.Context, past Past, _, _ int, out []float32) error {
	if *s.calls--; *s.calls < 0 {
		return errStubborn
	}
	s.expect(past, out)
	return nil
}

func TestAfterAnErrorTheStateIsWhatItWas(t *testing.T) {
	tests := []struct {
		name   string
		option func(*stream.Segment)
		calls  int // for windows, horizons and what comes next
	}{
		{"what follows", func(*stream.Segment) {}, 2 + 2 + 1},
		{"what follows a gap", gap, 1 + 0 + 1},
	}
	for _, test := range tests {
		for allowed := range test.calls {
			calls := math.MaxInt
			failing, calm := newCamera(t, stubborn{calls: &calls}, toyConfig()), newCamera(t, contextMean{}, toyConfig())
			failing.send(8)
			calm.send(8)

			clip, tokens := failing.clip(8)
			calls = allowed
			_, err := failing.scorer.Score(t.Context(), failing.state, failing.segment(test.option), clip, tokens)
			require.ErrorIs(t, err, errStubborn, "%s, call %d", test.name, allowed)

			calls = math.MaxInt
			require.Equal(t, calm.state.Calibrator().Export(), failing.state.Calibrator().Export())
			again := &stream.Segment{Stream: "cam", Sequence: 1}
			got, err := failing.scorer.Score(t.Context(), failing.state, again, clip, tokens)
			require.NoError(t, err)
			require.Equal(t, calm.send(8), got)
		}
	}
}

func TestWhatCannotBeScoredIsRefusedWithACode(t *testing.T) {
	nan := func(clip *stream.Clip, tokens *stream.Tokens) (*stream.Clip, *stream.Tokens) {
		tokens.Data[len(tokens.Data)-1] = float32(math.NaN())
		return clip, tokens
	}
	tests := []struct {
		name  string
		spoil func(*stream.Clip, *stream.Tokens) (*stream.Clip, *stream.Tokens)
		code  stream.Code
	}{
		{"nothing", func(*stream.Clip, *stream.Tokens) (*stream.Clip, *stream.Tokens) { return nil, nil }, "predict.no_tokens"},
		{"frames without tokens", func(c *stream.Clip, _ *stream.Tokens) (*stream.Clip, *stream.Tokens) { return c, nil }, "predict.no_tokens"},
		{"another grid", func(c *stream.Clip, k *stream.Tokens) (*stream.Clip, *stream.Tokens) { k.H, k.W = 2, 1; return c, k }, "predict.shape"},
		{"too few values", func(c *stream.Clip, k *stream.Tokens) (*stream.Clip, *stream.Tokens) {
			k.Data = k.Data[1:]
			return c, k
		}, "predict.shape"},
		{"too few spans", func(c *stream.Clip, k *stream.Tokens) (*stream.Clip, *stream.Tokens) {
			k.Spans = k.Spans[1:]
			return c, k
		}, "predict.shape"},
		{"no step", func(c *stream.Clip, k *stream.Tokens) (*stream.Clip, *stream.Tokens) { c.Step = 0; return c, k }, "predict.step"},
		{"not a number", nan, "predict.not_finite"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			camera := newCamera(t, NewPersistence(), toyConfig())
			clip, tokens := test.spoil(camera.clip(8))
			_, err := camera.scorer.Score(t.Context(), camera.state, camera.segment(), clip, tokens)
			var failure *stream.Failure
			require.ErrorAs(t, err, &failure)
			require.Equal(t, test.code, failure.Code)
			require.True(t, failure.Permanent)
		})
	}
}

func TestAScorerWithoutAValidConfigurationIsNotMade(t *testing.T) {
	_, err := NewScorer(toy, NewPersistence(), Config{Context: -1}, 8)
	require.ErrorContains(t, err, "predictor.context")
}
