package predictor

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/stream"
)

// glimpse is a source of small frames that costs little: patches of 16×16 pixels, whose change fades on.
func glimpse(t *testing.T) *Source {
	t.Helper()
	patches, err := encoder.NewPatchesOf(16, 4)
	require.NoError(t, err)
	return &Source{Name: "glimpse", Encoder: patches, Predictor: NewDamped(WindowFrames)}
}

// drift is frames of 32×32 pixels of a picture that moves: at first as fast as velocity says, then as if somebody shook it a little.
func drift(frames int, velocity float64, seed uint64) *stream.Clip {
	const side = 32
	random := rand.New(rand.NewPCG(seed, 9))
	clip := stream.NewClip(make([]byte, frames*side*side*3), frames, side, side, nil)
	clip.Step = time.Second / 8
	clip.End = time.Duration(frames) * clip.Step
	at := 10 * random.Float64()
	for t := range frames {
		clip.Times = append(clip.Times, time.Duration(t)*clip.Step)
		at += velocity * (1 + 0.2*random.NormFloat64())
		for i := range side * side {
			x, y := float64(i%side), float64(i/side)
			level := 128 + 60*math.Sin((x+at)/4)*math.Cos(y/5) + 3*random.NormFloat64()
			for c := range 3 {
				clip.Frame(t)[3*i+c] = byte(level)
			}
		}
	}
	return clip
}

// drifting is a one-class energy of drifting pictures, X and Y of so many frames each, by a source.
func drifting(t *testing.T, source *Source, frames int) *Energy {
	t.Helper()
	gauge, err := NewGauge(frames/source.Encoder.Info().FramesPerStep, 16, source.Encoder.Info().Dim)
	require.NoError(t, err)
	var genuine []Statistics
	for i := range uint64(160) {
		clip := drift(2*frames, 0.3+float64(i%20)/10, i)
		s, err := source.measure(t.Context(), gauge, framesOf(clip, 0, frames), framesOf(clip, frames, 2*frames), clip.H,
			make([]float32, gauge.Values()/source.Encoder.Info().Dim))
		require.NoError(t, err)
		genuine = append(genuine, s)
	}
	oneClass, err := FitOneClass(genuine)
	require.NoError(t, err)
	energy, err := NewEnergy([]Part{{OneClass: oneClass}}, RuleOneClass, genuine)
	require.NoError(t, err)
	return energy
}

// learnedOf is an energy at work.
func learnedOf(t *testing.T, source *Source, energy *Energy) *LearnedEnergy {
	t.Helper()
	learned, err := NewLearnedEnergy(energy, []*Source{source})
	require.NoError(t, err)
	require.Equal(t, 16, learned.Side())
	return learned
}

func framesOf(clip *stream.Clip, from, to int) [][]byte {
	var frames [][]byte
	for i := from; i < to; i++ {
		frames = append(frames, clip.Frame(i))
	}
	return frames
}

// watcher scores streams of 32×32 pixels by a learned energy; the tokens are patches.
type watcher struct {
	t       *testing.T
	learned *LearnedEnergy
	encoder encoder.Encoder
	scorer  *Scorer
}

func newWatcher(t *testing.T, window time.Duration) *watcher {
	t.Helper()
	source := glimpse(t)
	return watcherWith(t, window, learnedOf(t, source, drifting(t, source, WindowFrames)))
}

func watcherWith(t *testing.T, window time.Duration, learned *LearnedEnergy) *watcher {
	t.Helper()
	enc, err := encoder.NewPatchesOf(32, 4)
	require.NoError(t, err)
	w := &watcher{t: t, learned: learned, encoder: enc}
	cfg := Config{
		Context: window, Horizons: []time.Duration{window, 2 * window}, Map: true,
		Calibrate: CalibrateConfig{Warmup: 8 * time.Second, FalseAlarmsPerDay: 864},
	}
	w.scorer, err = NewScorer(enc.Info(), NewPersistence(), cfg, 8, WithEnergy(w.learned))
	require.NoError(t, err)
	return w
}

// score scores frames [from, to) of a clip.
func (w *watcher) score(state *State, clip *stream.Clip, from, to int, options ...func(*stream.Segment)) *stream.Result {
	w.t.Helper()
	piece := part(clip, from, to)
	tokens, err := w.encoder.Encode(w.t.Context(), piece, w.encoder.NewState())
	require.NoError(w.t, err)
	segment := &stream.Segment{Stream: "s", Sequence: int64(from)}
	for _, option := range options {
		option(segment)
	}
	result, err := w.scorer.Score(w.t.Context(), state, segment, piece, tokens)
	require.NoError(w.t, err)
	if result != nil {
		require.NoError(w.t, result.Check())
	}
	return result
}

// pieces scores a clip in segments of so many frames, and gathers its windows by their beginning.
func (w *watcher) pieces(clip *stream.Clip, segment int) map[float64]float64 {
	w.t.Helper()
	state, windows := w.scorer.NewState(), map[float64]float64{}
	for from := 0; from < clip.T; from += segment {
		for _, window := range w.score(state, clip, from, min(from+segment, clip.T)).Windows {
			windows[window.Start] = window.Energy
		}
		require.LessOrEqual(w.t, len(state.frames), 2*WindowFrames) // invariant 6
	}
	return windows
}

// direct is what the energy says of the window that ends before a frame.
func (w *watcher) direct(clip *stream.Clip, end int) float64 {
	w.t.Helper()
	energy, err := w.learned.Judge(w.t.Context(), framesOf(clip, end-2*WindowFrames, end), clip.H, nil)
	require.NoError(w.t, err)
	return energy
}

// Invariant 7: a learned energy is a function of the window's frames and those before it, however the stream is cut.
func TestALearnedEnergySaysTheSameHoweverAStreamIsCut(t *testing.T) {
	w := newWatcher(t, time.Second)
	clip := drift(96, 1, 77)
	whole := w.pieces(clip, clip.T)
	require.Len(t, whole, 96/8-1)
	for start, energy := range whole {
		require.Equal(t, w.direct(clip, int(start*8)+WindowFrames), energy)
	}
	for _, segment := range []int{8, 16, 24, 40} {
		for start, energy := range w.pieces(clip, segment) {
			require.Equal(t, whole[start], energy, "segments of %d frames, the window at %v s", segment, start)
		}
	}
}

// After a crash the segments that are still needed are read again, for their frames only.
func TestALearnedEnergySaysTheSameAfterARestart(t *testing.T) {
	w := newWatcher(t, time.Second)
	clip := drift(64, 1, 3)
	state := w.scorer.NewState()
	var want []float64
	for from := 0; from < clip.T; from += 4 { // shorter than a window: it begins before the segment
		result := w.score(state, clip, from, from+4)
		if from < 32 {
			continue
		}
		require.Len(t, result.Windows, 1)
		want = append(want, result.Windows[0].Energy)
		if from == 32 {
			require.Equal(t, w.direct(clip, 36), want[0])
		}
	}
	before := w.scorer.NewState()
	for from := 0; from < 32; from += 4 {
		w.score(before, clip, from, from+4)
	}
	needed := w.scorer.Needed(before)
	require.LessOrEqual(t, needed.Sequence, int64(32-15), "15 frames may still be wanted")
	again := w.scorer.NewState()
	for from := int(needed.Sequence); from < 32; from += 4 {
		require.Nil(t, w.score(again, clip, from, from+4, contextOnly))
	}
	for i, energy := range want {
		from := 32 + 4*i
		require.Equal(t, energy, w.score(again, clip, from, from+4).Windows[0].Energy)
	}
}

// Where there are fewer than 16 frames, brief windows are judged; where there are as many, none is.
func TestWhatIsTooShortForAWindowIsJudgedByABriefOne(t *testing.T) {
	source := glimpse(t)
	energy, err := drifting(t, source, WindowFrames).WithBrief(drifting(t, source, BriefFrames))
	require.NoError(t, err)
	learned := learnedOf(t, source, energy)
	require.NotEqual(t, learnedOf(t, source, drifting(t, source, WindowFrames)).Digest(), learned.Digest())
	clip := drift(40, 1, 9)
	judge := func(end, frames int) float64 {
		energy, err := learned.Judge(t.Context(), framesOf(clip, end-2*frames, end), clip.H, nil)
		require.NoError(t, err)
		return energy
	}
	for frames := 1; frames < 16; frames++ {
		w := watcherWith(t, time.Second, learned)
		result := w.score(w.scorer.NewState(), clip, 0, frames)
		if frames < 2*BriefFrames {
			require.Nil(t, result.Energy, "%d frames", frames)
			continue
		}
		require.Len(t, result.Windows, 1)
		from, most := frames/2, math.Inf(-1)
		for _, end := range ends(frames-from, BriefFrames) {
			if from+end >= 2*BriefFrames {
				most = max(most, judge(from+end, BriefFrames))
			}
		}
		require.Equal(t, most, result.Windows[0].Energy, "%d frames", frames)
	}
	w := watcherWith(t, time.Second, learned)
	state := w.scorer.NewState()
	require.Len(t, w.score(state, clip, 0, 8).Windows, 1)
	for from := 8; from < clip.T; from += 8 {
		require.Equal(t, judge(from+8, WindowFrames), w.score(state, clip, from, from+8).Windows[0].Energy)
	}
	path := filepath.Join(t.TempDir(), EnergyFile)
	require.NoError(t, WriteEnergy(path, energy, EnergyAbout{Sources: []string{source.Name}}))
	read, _, err := OpenEnergy(path)
	require.NoError(t, err)
	require.Equal(t, learned.Digest(), learnedOf(t, source, read).Digest())
}

func TestWindowsOfOtherLengthsAreJudgedByStretchesThatEndInThem(t *testing.T) {
	require.Equal(t, []int{8}, ends(8, 8))
	require.Equal(t, []int{5}, ends(5, 8))
	require.Equal(t, []int{8, 10}, ends(10, 8))
	require.Equal(t, []int{8, 16}, ends(16, 8))
	require.Equal(t, []int{8, 16, 17}, ends(17, 8))
	require.Equal(t, []int{3, 5}, ends(5, 3))
	clip := drift(80, 1, 5)
	for frames, last := range map[int]int{12: 4, 16: 8, 5: 0} {
		w := newWatcher(t, time.Duration(frames)*time.Second/8)
		for start, energy := range w.pieces(clip, 80) {
			end := int(math.Round(start*8)) + frames
			if end > 80 || end < 40 { // a remainder, or a window without enough before it
				continue
			}
			most := w.direct(clip, end)
			if last > 0 {
				most = max(most, w.direct(clip, end-last))
			}
			require.Equal(t, most, energy, "windows of %d frames, that at %v s", frames, start)
		}
	}
}

// TestWhatHasTooFewFramesBeforeItIsNotJudged: no energy is made of fewer frames than it was fitted to.
func TestWhatHasTooFewFramesBeforeItIsNotJudged(t *testing.T) {
	w := newWatcher(t, time.Second)
	clip := drift(64, 1, 5)
	state := w.scorer.NewState()
	first := w.score(state, clip, 0, 12)
	require.Equal(t, stream.Unscored, first.Verdict)
	require.Equal(t, stream.ReasonFirst, first.Reason)
	require.Nil(t, first.Map)
	short := w.score(state, clip, 12, 15)
	require.Equal(t, stream.ReasonShort, short.Reason)
	require.Equal(t, "s/0", short.X.Segment)
	enough := w.score(state, clip, 15, 31)
	require.Empty(t, enough.Reason)
	require.Len(t, enough.Windows, 2)
	require.Equal(t, w.direct(clip, 23), enough.Windows[0].Energy)
	alone := w.score(state, clip, 31, 47, func(s *stream.Segment) { s.Alone = true })
	require.Equal(t, stream.ReasonAlone, alone.Reason)
	require.Len(t, alone.Windows, 1)
	require.Equal(t, w.direct(clip, 47), alone.Windows[0].Energy)
}

// TestALearnedEnergyTellsACutAndAStill: both are high, and told apart.
func TestALearnedEnergyTellsACutAndAStill(t *testing.T) {
	w := newWatcher(t, time.Second)
	clip, other, frozen := drift(160, 1, 11), drift(160, 1.7, 12), drift(160, 1, 11)
	for i := 128; i < 160; i++ {
		copy(frozen.Frame(i), frozen.Frame(127))
	}
	seen := func() *State { // what a stream without surprises leaves
		state := w.scorer.NewState()
		for from := 0; from < 128; from += 16 {
			verdict := w.score(state, clip, from, from+16).Verdict
			require.NotEqual(t, stream.Breaks, verdict)
			require.NotEqual(t, stream.Stalls, verdict)
		}
		return state
	}
	require.Equal(t, stream.Breaks, w.score(seen(), other, 128, 136).Verdict)
	still := seen()
	result := w.score(still, frozen, 128, 136)
	require.Equal(t, stream.Stalls, result.Verdict)
	require.Greater(t, *result.Energy, result.Expected.High)
	require.Equal(t, stream.Stalls, w.score(still, frozen, 136, 144).Verdict, "as long as it stands still")
}

func TestTheModelNamesTheLearnedEnergy(t *testing.T) {
	w := newWatcher(t, time.Second)
	require.Regexp(t, `^patches\+persistence\+one_class@sha256:[0-9a-f]{64}$`, w.scorer.Model())
	plain, err := NewScorer(w.encoder.Info(), NewPersistence(), Config{}, 8)
	require.NoError(t, err)
	require.NotContains(t, plain.Model(), "one_class")
	small, err := encoder.NewPatchesOf(8, 4)
	require.NoError(t, err)
	_, err = NewScorer(small.Info(), NewPersistence(), Config{}, 8, WithEnergy(w.learned))
	require.ErrorContains(t, err, "16 pixels")
}

func TestALearnedEnergyRefusesOtherSources(t *testing.T) {
	source := glimpse(t)
	learned := learnedOf(t, source, drifting(t, source, WindowFrames))
	_, err := NewLearnedEnergy(learned.energy, []*Source{glimpse(t), glimpse(t)})
	require.ErrorContains(t, err, "its sources tell")
	odd := &Source{Name: "odd", Encoder: pairsOf(3), Predictor: NewPersistence()}
	_, err = NewLearnedEnergy(learned.energy, []*Source{odd})
	require.ErrorContains(t, err, "steps of 3 frames do not divide")
	_, err = learned.Judge(t.Context(), make([][]byte, 3), 32, nil)
	require.ErrorContains(t, err, "3 frames")
	_, err = NewSource("learned", nil)
	require.ErrorContains(t, err, "flow model")
	_, err = NewSource(SourceModel, nil)
	require.ErrorContains(t, err, "there is no model")
	flow, err := NewSource(SourceFlow, nil)
	require.NoError(t, err)
	require.Equal(t, "patches", flow.Encoder.Info().Name)
}

// pairsOf is an encoder of which only the shape matters.
type pairsOf int

func (p pairsOf) Info() encoder.Info {
	return encoder.Info{Name: "pairs", Width: 16, Height: 16, GridHeight: 4, GridWidth: 4, Dim: 1, FramesPerStep: int(p)}
}

func (pairsOf) NewState() encoder.State { return nil }

func (pairsOf) Encode(ctx context.Context, clip *stream.Clip, _ encoder.State) (*stream.Tokens, error) {
	return nil, ctx.Err()
}
