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
	t   *testing.T
	log *elephantLog
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

func (elephant) Info() Info { return Info{Name: "elephant", Digest: "elephant"} }

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

// counting remembers how many steps it was shown; it expects that number.
type counting struct {
	t   *testing.T
	era int
}

func (c counting) Info() Info { return Info{Name: "counting", Digest: "counting", Warmup: c.era} }

func (counting) Memory() int { return 1 }

func (counting) Remember(_ context.Context, tokens *stream.Tokens, before, out []float32) error {
	count := float32(0)
	if before != nil {
		count = before[0]
	}
	for i := range tokens.T {
		count++
		out[i] = count
	}
	return nil
}

func (c counting) Expect(_ context.Context, past Past, _, _ int, out []float32) error {
	for i := range out {
		out[i] = past.Memory[0]
	}
	return nil
}

// since is how many steps are known after a step: those from the beginning of the era before.
func (c counting) since(step int) float32 { return float32(step - max(0, step/c.era-1)*c.era + 1) }

// Invariant 7: what a predictor remembers begins anew at the same times however the stream was cut.
func TestAMemoryBeginsAnewByTheClockOfItsStream(t *testing.T) {
	const era, length = 10, 200
	predictor := counting{t: t, era: era}
	for _, size := range []int{4, 8, 20, length} {
		camera, windows := newCamera(t, predictor, toyConfig()), 0
		for i := range length / size {
			for _, window := range camera.send(size).Windows {
				if i == 0 && size < 8 { // half of it is context
					continue
				}
				first, sum := int(window.Start*4), 0.0
				for step := first; step < first+4; step++ {
					sum += math.Abs(float64(step)-float64(predictor.since(first-1))) / 4
				}
				require.InDelta(t, sum, window.Energy, 1e-6, "segments of %d steps, the window at %v s", size, window.Start)
				windows++
			}
		}
		require.GreaterOrEqual(t, windows, length/4-2)
	}
}

// Invariants 3 and 7: read again from the segment that is still needed, a memory is, bit for bit, what it would have been; so it is where
// what was remembered before that segment was kept.
func TestAfterARestartAMemoryIsWhatItWouldHaveBeen(t *testing.T) {
	const era, size, segments = 10, 4, 40
	for _, options := range [][]ScorerOption{nil, {WithKeptMemory()}} {
		for cut := 1; cut < segments; cut++ {
			live := newCamera(t, counting{t: t, era: era}, toyConfig(), options...)
			restarted := newCamera(t, counting{t: t, era: era}, toyConfig(), options...)
			var kept [][]byte // before each segment
			for range cut {
				kept = append(kept, live.scorer.Memory(live.state))
				live.send(size)
			}
			needed := live.scorer.Needed(live.state).Sequence
			if options != nil {
				require.NoError(t, restarted.scorer.Restore(restarted.state, kept[needed]))
			}
			for i := range int64(cut) {
				if i < needed { // only the camera's clock goes on
					restarted.clip(size)
					restarted.sequence++
					continue
				}
				require.Nil(t, restarted.send(size, contextOnly))
			}
			for range 4 {
				want, got := live.send(size), restarted.send(size)
				require.Equal(t, want.Windows, got.Windows, "after segment %d", cut)
				require.Equal(t, want.Horizons, got.Horizons)
				require.Equal(t, want.Next, got.Next)
			}
			require.Equal(t, live.scorer.Memory(live.state), restarted.scorer.Memory(restarted.state))
		}
	}
}

// Invariants 3 and 6: what is needed has a bound.
func TestWhatAMemoryIsBuiltUpFromIsNeeded(t *testing.T) {
	const era = 20
	camera := newCamera(t, counting{t: t, era: era}, toyConfig())
	for i := range int64(50) {
		camera.send(4)
		oldest := max(0, 4*(i+1)-12) // 8 steps of context and 4 of reach are kept
		require.Equal(t, max(0, oldest/era-1)*era/4, camera.scorer.Needed(camera.state).Sequence, "after segment %d", i)
		require.LessOrEqual(t, len(camera.state.pieces), (12+2*era)/4+1)
		require.LessOrEqual(t, len(camera.state.newer), 1)
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
