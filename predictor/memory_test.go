package predictor

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// elephant remembers all steps it was shown: how many, and a sum in which earlier ones count for less. It expects that sum, and checks
// that what it remembers is what it would remember had it seen the stream straight from where it began.
type elephant struct {
	t      *testing.T
	warmup int
	log    *elephantLog
}

type elephantLog struct {
	begun      int // the step at which the stream began, or began anew
	remembered int // the last step it was shown
	expects    int
	fail       error
}

func newElephant(t *testing.T) elephant {
	t.Helper()
	return elephant{t: t, log: &elephantLog{remembered: -1}}
}

func (e elephant) Info() Info { return Info{Name: "elephant", Digest: "elephant", Warmup: e.warmup} }

func (elephant) Memory() int { return 2 }

func (e elephant) Remember(_ context.Context, tokens *stream.Tokens, before, out []float32) error {
	if e.log.fail != nil {
		return e.log.fail
	}
	require.Len(e.t, out, tokens.T*2)
	first := int(tokens.At(0)[0]) // the ramp: the number of the step
	if before == nil {
		before = make([]float32, 2)
		e.log.begun = first
	} else {
		require.Equal(e.t, e.log.remembered+1, first, "every step is remembered once")
	}
	for i := range tokens.T {
		out[2*i], out[2*i+1] = before[0]+1, before[1]/2+tokens.At(i)[0]
		before = out[2*i:]
		e.log.remembered = first + i
	}
	return nil
}

// straight is what is remembered after a step.
func (e elephant) straight(step int) []float32 {
	memory := []float32{float32(step - e.log.begun + 1), 0}
	for i := e.log.begun; i <= step; i++ {
		memory[1] = memory[1]/2 + float32(i)
	}
	return memory
}

func (e elephant) Expect(_ context.Context, past Past, _, _ int, out []float32) error {
	e.log.expects++
	require.Equal(e.t, e.straight(int(past.Tokens.At(past.Tokens.T - 1)[0])), past.Memory)
	for i := range out {
		out[i] = past.Memory[1]
	}
	return nil
}

func TestThePredictorRemembersWhatAStraightRunWould(t *testing.T) {
	for _, perStep := range []int{1, 2} {
		enc := toy
		enc.FramesPerStep = perStep
		camera := newCameraOf(t, enc, newElephant(t), toyConfig())
		for _, count := range []int{1, 7, 0, 8, 3, 1, 1, 40, 9, 16, 5, 1, 1, 1} {
			camera.send(count)
		}
	}
}

// Invariant 7.
func TestWithAMemoryWindowsSayTheSameHoweverTheStreamIsCut(t *testing.T) {
	scored := func(segment int) map[float64]float64 {
		camera := newCamera(t, newElephant(t), toyConfig())
		energies := map[float64]float64{}
		for range 48 / segment {
			for _, window := range camera.send(segment).Windows {
				energies[window.Start] = window.Energy
			}
		}
		return energies
	}
	whole := scored(48)
	require.Len(t, whole, 11)
	for _, segment := range []int{4, 8, 16} {
		pieces := scored(segment)
		for start, energy := range whole {
			require.Equal(t, energy, pieces[start], "segments of %d steps, the window at %v s", segment, start)
		}
	}
}

func TestAMemoryBeginsAnewWithTheStream(t *testing.T) {
	tests := []struct {
		name    string
		disturb func(*camera)
		options []func(*stream.Segment)
		anew    bool
	}{
		{"nothing", func(*camera) {}, nil, false},
		{"a lost frame or two", func(c *camera) { c.clock += 2 * toyStep }, nil, false},
		{"a gap that ingest saw", func(*camera) {}, []func(*stream.Segment){gap}, true},
		{"a hole in time", func(c *camera) { c.clock += time.Second }, nil, true},
		{"another frame rate", func(c *camera) { c.step = toyStep * 4 / 5 }, nil, true},
		{"a reset by the engine", func(c *camera) { c.state.Reset() }, nil, true},
		{"read again for its context", func(*camera) {}, []func(*stream.Segment){contextOnly}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			predictor := newElephant(t)
			camera := newCamera(t, predictor, toyConfig())
			camera.send(8)
			test.disturb(camera)
			camera.send(8, test.options...)
			camera.send(8)
			if test.anew {
				require.Equal(t, 8, predictor.log.begun)
			} else {
				require.Equal(t, 0, predictor.log.begun)
			}
		})
	}
}

func TestASegmentOutOfItsPlaceLeavesNothingInTheMemory(t *testing.T) {
	predictor := newElephant(t)
	with, without := newCamera(t, predictor, toyConfig()), newCamera(t, newElephant(t), toyConfig())
	with.send(8)
	without.send(8)
	log := *predictor.log
	clip, tokens := newCamera(t, predictor, toyConfig()).clip(8)
	_, err := with.scorer.Score(t.Context(), with.state, &stream.Segment{Stream: "cam", Sequence: 9, Alone: true}, clip, tokens)
	require.NoError(t, err)
	*predictor.log = log
	require.Equal(t, without.send(8), with.send(8))
}

// Invariant 6.
func TestMemoriesAreBoundedByTheHorizons(t *testing.T) {
	camera := newCamera(t, newElephant(t), toyConfig())
	sizes := []int{8, 1, 0, 3, 40, 2, 2, 2}
	room := 0
	for i := range 2000 {
		camera.send(sizes[i%len(sizes)])
		require.LessOrEqual(t, len(camera.state.memories), (4+1)*2)
		if i == 100 {
			room = cap(camera.state.memories)
		}
	}
	require.Equal(t, room, cap(camera.state.memories))
}

func TestOfASegmentReadAgainOnlyTheWindowsAreExpected(t *testing.T) {
	predictor := newElephant(t)
	camera := newCamera(t, predictor, toyConfig())
	camera.send(8)
	predictor.log.expects = 0
	camera.send(8, contextOnly)
	require.Equal(t, 2, predictor.log.expects)
	camera.send(8)
	require.Equal(t, 2+2+2+1, predictor.log.expects, "windows, these again from further away, and what comes next")
}

func TestAfterAMemoryThatFailedTheStateIsWhatItWas(t *testing.T) {
	predictor := newElephant(t)
	camera, calm := newCamera(t, predictor, toyConfig()), newCamera(t, newElephant(t), toyConfig())
	camera.send(8)
	calm.send(8)
	clip, tokens := camera.clip(8)
	predictor.log.fail = errStubborn
	_, err := camera.scorer.Score(t.Context(), camera.state, camera.segment(), clip, tokens)
	require.ErrorIs(t, err, errStubborn)
	predictor.log.fail = nil
	again := &stream.Segment{Stream: "cam", Sequence: 1}
	got, err := camera.scorer.Score(t.Context(), camera.state, again, clip, tokens)
	require.NoError(t, err)
	require.Equal(t, calm.send(8), got)
}

// Invariant 3: after a restart the memory is built up from the segments that are still needed.
func TestWhatAMemoryIsBuiltUpFromIsNeeded(t *testing.T) {
	predictor := newElephant(t)
	predictor.warmup = 20
	camera := newCamera(t, predictor, toyConfig())
	for i := range int64(12) {
		camera.send(4)
		// 8 steps of context, 4 of reach and 20 more: eight segments.
		require.Equal(t, max(0, i-7), camera.scorer.Needed(camera.state).Sequence)
		require.LessOrEqual(t, camera.state.tokens.T, 12)
		require.LessOrEqual(t, len(camera.state.pieces), 9)
	}
}

// negative compares with the tokens times minus one, as far as they lie after a context.
type negative struct {
	contextMean
	t       *testing.T
	targets *[][2]int // the steps that targets were made of
}

func (n negative) Target(_ context.Context, tokens *stream.Tokens, from int, out []float32) error {
	first := int(tokens.At(0)[0])
	require.Len(n.t, out, (tokens.T-from)*tokens.Step())
	require.LessOrEqual(n.t, from, 8)
	*n.targets = append(*n.targets, [2]int{first + from, first + tokens.T})
	for i := range out {
		out[i] = -tokens.Data[from*tokens.Step()+i]
	}
	return nil
}

func TestExpectationsAreComparedWithTheTargets(t *testing.T) {
	targets := [][2]int{}
	camera := newCamera(t, negative{t: t, targets: &targets}, toyConfig())
	camera.send(8)
	require.Equal(t, [][2]int{{4, 8}}, targets)
	result := camera.send(8)
	require.Equal(t, [][2]int{{4, 8}, {8, 12}, {12, 16}}, targets, "each window once")
	// The window of steps 8 to 11 after the mean of 0 to 7, that of 12 to 15 after the mean of 4 to 11.
	require.Equal(t, []stream.Window{{Start: 2, Energy: 9.5 + 3.5}, {Start: 3, Energy: 13.5 + 7.5}}, result.Windows)
	// From four steps earlier: 0 to 3 and 0 to 7.
	require.InDelta(t, (9.5+1.5+13.5+3.5)/2, result.Horizons[1].Energy, 1e-12)
}

// together answers as contextMean does, several questions at once.
type together struct {
	contextMean
	calls, questions *int
}

func (g together) ExpectEach(_ context.Context, questions []Question) error {
	*g.calls++
	*g.questions += len(questions)
	for _, q := range questions {
		g.expect(q.Past, q.Out[:q.Steps*q.Past.Tokens.Step()])
	}
	return nil
}

func TestQuestionsAskedTogetherAreAnsweredTheSame(t *testing.T) {
	calls, questions := 0, 0
	batched := newCamera(t, together{contextMean: contextMean{frames: 2}, calls: &calls, questions: &questions}, toyConfig())
	single := newCamera(t, contextMean{frames: 2}, toyConfig())
	for _, count := range []int{8, 8, 1, 50, 200, 3} {
		require.Equal(t, single.send(count), batched.send(count))
	}
	require.Greater(t, questions, 3*calls)
	require.Positive(t, calls)
}

func TestTheWindowWhoseEnergyIsNoNumberIsNamed(t *testing.T) {
	camera := newCamera(t, NewPersistence(), toyConfig())
	camera.send(8)
	clip, tokens := camera.clip(8)
	tokens.Data[5*tokens.Step()] = float32(math.Inf(1))
	_, err := camera.scorer.Score(t.Context(), camera.state, camera.segment(), clip, tokens)
	require.ErrorContains(t, err, "steps [12, 16), expected 0 steps before: the energy is +Inf")
}
