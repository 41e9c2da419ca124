package predictor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/nn/nntest"
	"github.com/ensue-video/ensue/stream"
)

// recurrentModel is a model with weights drawn at random.
func recurrentModel(tb testing.TB, config model.Config) *model.Model {
	tb.Helper()
	encoding, predicting := nn.NewParameters(7), nn.NewParameters(8)
	encoder.NewConvEncoder(encoding, config)
	NewRecurrentNet(predicting, config)
	dir := tb.TempDir()
	all := append(model.Named("encoder.", encoding.All()), model.Named("predictor.", predicting.All())...)
	require.NoError(tb, model.Write(dir, config, all...))
	m, err := model.Open(dir)
	require.NoError(tb, err)
	return m
}

// newRecurrent makes encoder and predictor and closes their model: they must not need it any more.
func newRecurrent(tb testing.TB, config model.Config) (*encoder.Recurrent, *Recurrent) {
	tb.Helper()
	return newRecurrentOn(tb, config, 1)
}

func newRecurrentOn(tb testing.TB, config model.Config, threads int) (*encoder.Recurrent, *Recurrent) {
	tb.Helper()
	device, err := nn.Open(nn.Config{Threads: threads})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, device.Close()) })
	m := recurrentModel(tb, config)
	e, err := encoder.NewRecurrent(m, device)
	require.NoError(tb, err)
	p, err := NewRecurrent(m, device)
	require.NoError(tb, err)
	require.NoError(tb, m.Close())
	tb.Cleanup(func() {
		require.NoError(tb, p.Close())
		require.NoError(tb, e.Close())
	})
	return e, p
}

// withAhead is the recipe's configuration with other heads.
func withAhead(ahead ...int) model.Config {
	config := model.RecurrentConfig()
	config.Ensue.Recurrent.Ahead = ahead
	return config
}

// someTokens are steps of 8×8×48 tokens.
func someTokens(steps int, seed uint64) *stream.Tokens {
	tokens := &stream.Tokens{Shape: stream.Shape{T: steps, H: 8, W: 8, D: 48}, Spans: make([]stream.Span, steps)}
	for _, v := range nntest.Normals(seed, tokens.Len()) {
		tokens.Data = append(tokens.Data, float32(v))
	}
	return tokens
}

// stepsOf are the steps [from, to).
func stepsOf(tokens *stream.Tokens, from, to int) *stream.Tokens {
	some := &stream.Tokens{Shape: tokens.Shape, Data: tokens.Data[from*tokens.Step() : to*tokens.Step()], Spans: tokens.Spans[from:to]}
	some.T = to - from
	return some
}

// remembered is what is remembered after all steps, straight.
func remembered(tb testing.TB, p *Recurrent, tokens *stream.Tokens) []float32 {
	tb.Helper()
	out := make([]float32, tokens.T*p.Memory())
	require.NoError(tb, p.Remember(tb.Context(), tokens, nil, out))
	return out
}

// pastAfter is the past after so many steps.
func pastAfter(p *Recurrent, tokens *stream.Tokens, memories []float32, end int) Past {
	return Past{Tokens: stepsOf(tokens, max(0, end-3), end), Memory: memories[(end-1)*p.Memory() : end*p.Memory()]}
}

func TestRecurrentDescribesItself(t *testing.T) {
	_, p := newRecurrent(t, model.RecurrentConfig())
	info := p.Info()
	require.Regexp(t, "^sha256:[0-9a-f]{64}$", info.Digest)
	info.Digest = ""
	require.Equal(t, Info{Name: "ensue_recurrent", Warmup: 64}, info)
	require.Equal(t, 8*8*96, p.Memory())
	require.Equal(t, recurrentGroup, p.group, "this processor's products do not depend on what is beside them")
}

// Invariant 7: live, cut anyhow, beside other streams or alone, it is what the net says of the whole clip, bit for bit.
func TestRecurrentRemembersTheSameHoweverAStreamIsCutAndWhateverIsBesideIt(t *testing.T) {
	_, p := newRecurrent(t, model.RecurrentConfig())
	const length, streams = 45, 19
	all, want := make([]*stream.Tokens, streams), make([][]float32, streams)
	for i := range all {
		all[i] = someTokens(length, uint64(i))
		want[i] = make([]float32, length*p.Memory())
		require.NoError(t, p.device.Run(func() error {
			p.tape.Reset()
			out := p.net.Forward(p.tape, p.tape.Floats(all[i].Data, length, 1, 8, 8, 48), nil, nil)
			copy(want[i], out.Memory.Float32s())
			return nil
		}))
	}
	var group sync.WaitGroup
	for i, tokens := range all {
		group.Go(func() {
			var before []float32
			for first := 0; first < length; {
				last := min(first+1+(i*5+first)%20, length)
				got := make([]float32, (last-first)*p.Memory())
				if err := p.Remember(t.Context(), stepsOf(tokens, first, last), before, got); err != nil {
					t.Error(err)
				}
				if !slices.Equal(got, want[i][first*p.Memory():last*p.Memory()]) {
					t.Errorf("stream %d, steps [%d, %d): another memory", i, first, last)
				}
				before, first = got[len(got)-p.Memory():], last
			}
		})
	}
	group.Wait()
}

func TestTheNumberOfThreadsChangesNothingForRecurrent(t *testing.T) {
	tokens := someTokens(3, 1)
	said := func(threads int) []float32 {
		_, p := newRecurrentOn(t, model.RecurrentConfig(), threads)
		out := make([]float32, 6*p.step())
		require.NoError(t, p.Expect(t.Context(), Past{Tokens: tokens}, 0, 6, out))
		return out
	}
	require.Equal(t, said(1), said(2))
}

// What the heads say is what the net says of the whole clip.
func TestRecurrentExpectsWhatItsHeadsSay(t *testing.T) {
	glancing := model.RecurrentConfig()
	glancing.Ensue.Recurrent.Glance, glancing.Ensue.Recurrent.Trunk = true, 160
	for name, config := range map[string]model.Config{"memory alone": model.RecurrentConfig(), "with a glance": glancing} {
		t.Run(name, func(t *testing.T) { testHeads(t, config) })
	}
}

func testHeads(t *testing.T, config model.Config) {
	t.Helper()
	_, p := newRecurrent(t, config)
	tokens := someTokens(9, 1)
	memories := remembered(t, p, tokens)
	var expected []float32
	require.NoError(t, p.device.Run(func() error {
		p.tape.Reset()
		expected = slices.Clone(p.net.Forward(p.tape, p.tape.Floats(tokens.Data, 9, 1, 8, 8, 48), nil, nil).Expected.Float32s())
		return nil
	}))
	for end := 1; end <= 9; end++ {
		out := make([]float32, 4*tokens.Step())
		require.NoError(t, p.Expect(t.Context(), pastAfter(p, tokens, memories, end), 0, 4, out))
		for i, value := range out {
			k, place, channel := i/tokens.Step(), i%tokens.Step()/48, i%48
			require.Equal(t, expected[((end-1)*64+place)*4*48+k*48+channel], value)
		}
	}
}

// rolled are the expected steps by the rule, with the net's own pieces: the heads' steps, lines between, fed back to go on.
func rolled(tb testing.TB, p *Recurrent, past Past, reach int) [][]float32 {
	tb.Helper()
	var all [][]float32
	size, ahead := p.step(), p.config.Ahead
	memory, token := slices.Clone(past.Memory), slices.Clone(past.Tokens.At(past.Tokens.T-1))
	for len(all) < reach {
		require.NoError(tb, p.device.Run(func() error {
			p.tape.Reset()
			h, x := p.tape.Floats(memory, 1, 8, 8, 96), p.tape.Floats(token, 1, 8, 8, 48)
			heads := p.net.expect(p.tape, h, x).Float32s()
			said := map[int][]float32{0: token}
			for k, a := range ahead {
				for place := range 64 {
					said[a] = append(said[a], heads[(place*len(ahead)+k)*48:][:48]...)
				}
			}
			block := make([]float32, 0, size)
			for a := 1; a <= ahead[len(ahead)-1]; a++ {
				low, high := a, a
				for said[low] == nil || low == a && said[a] == nil {
					low--
				}
				for said[high] == nil {
					high++
				}
				step := slices.Clone(said[high])
				if high > a {
					for i := range step {
						step[i] = said[low][i] + float32(float32(a-low)/float32(high-low)*(step[i]-said[low][i]))
					}
				}
				all = append(all, step)
				block = append(block, step...)
			}
			fed := p.tape.LayerNorm(p.tape.Floats(block, len(block)/size, 1, 8, 8, 48), nil, nil, 1e-5)
			states := p.net.Memory.Forward(p.tape, fed, p.tape.Floats(memory, 1, 8, 8, 96)).Float32s()
			copy(memory, states[len(states)-len(memory):])
			copy(token, fed.Float32s()[len(block)-size:])
			return nil
		}))
	}
	return all[:reach]
}

func TestRecurrentRollsOutWhatLiesBeyondItsHeads(t *testing.T) {
	tests := []struct {
		name  string
		ahead []int
	}{
		{"one step at a time", []int{1}},
		{"four steps at a time", []int{1, 2, 3, 4}},
		{"heads with steps between and before them", []int{2, 5}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, p := newRecurrent(t, withAhead(test.ahead...))
			tokens := someTokens(4, 1)
			past := pastAfter(p, tokens, remembered(t, p, tokens), 4)
			want := rolled(t, p, past, 13)
			all := make([]float32, 13*p.step())
			require.NoError(t, p.Expect(t.Context(), past, 0, 13, all))
			require.Equal(t, slices.Concat(want...), all)
			for lead := range 13 {
				part := make([]float32, p.step()*(13-lead))
				require.NoError(t, p.Expect(t.Context(), past, lead, 13-lead, part))
				require.Equal(t, all[lead*p.step():], part, "from %d on", lead)
			}
		})
	}
}

func TestRecurrentMakesAMemoryOfTheContextWhereThereIsNone(t *testing.T) {
	_, p := newRecurrent(t, model.RecurrentConfig())
	tokens := someTokens(5, 1)
	with, without := make([]float32, p.step()), make([]float32, p.step())
	require.NoError(t, p.Expect(t.Context(), Past{Tokens: tokens, Memory: remembered(t, p, tokens)[4*p.Memory():]}, 0, 1, with))
	require.NoError(t, p.Expect(t.Context(), Past{Tokens: tokens}, 0, 1, without))
	require.Equal(t, with, without)
}

// Invariant 7.
func TestRecurrentAnswersTheSameHoweverItIsAsked(t *testing.T) {
	_, p := newRecurrent(t, model.RecurrentConfig())
	const streams = 21
	var questions []Question
	var want [][]float32
	for i := range streams {
		tokens := someTokens(6, uint64(i))
		memories := remembered(t, p, tokens)
		for end := 4; end <= 6; end++ {
			for lead := range 3 {
				steps := 1 + (i+7*lead)%11
				q := Question{Past: pastAfter(p, tokens, memories, end), Lead: 3 * lead, Steps: steps, Out: make([]float32, steps*p.step())}
				require.NoError(t, p.Expect(t.Context(), q.Past, q.Lead, q.Steps, q.Out))
				want = append(want, slices.Clone(q.Out))
				questions = append(questions, q)
			}
		}
	}
	check := func(name string) {
		for i, q := range questions {
			require.Equal(t, want[i], q.Out, "%s, question %d", name, i)
			clear(q.Out)
		}
	}
	check("one by one")
	require.NoError(t, p.ExpectEach(t.Context(), questions))
	check("all together")
	var group sync.WaitGroup
	for some := range slices.Chunk(questions, 9) {
		group.Go(func() {
			if err := p.ExpectEach(t.Context(), some); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	check("streams side by side")
	p.group = 1
	require.NoError(t, p.ExpectEach(t.Context(), questions))
	check("stream by stream, as where a processor demands it")
}

// Invariant 7: the whole of it over frames, live, in pieces and beside other streams.
func TestRecurrentSaysTheSameOfAStreamHoweverItIsCut(t *testing.T) {
	e, p := newRecurrent(t, model.RecurrentConfig())
	cfg := Config{Context: time.Second, Horizons: []time.Duration{time.Second / 2, time.Second}}
	scorer, err := NewScorer(e.Info(), p, cfg, 8)
	require.NoError(t, err)
	const length = 64
	scored := func(clip *stream.Clip, segment int) (windows map[float64]float64, last *stream.Result) {
		state, encoding := scorer.NewState(), e.NewState()
		windows = map[float64]float64{}
		for first := 0; first < length; first += segment {
			piece := part(clip, first, min(first+segment, length))
			tokens, err := e.Encode(t.Context(), piece, encoding)
			require.NoError(t, err)
			last, err = scorer.Score(t.Context(), state, &stream.Segment{Stream: "s", Sequence: int64(first)}, piece, tokens)
			require.NoError(t, err)
			for _, window := range last.Windows {
				windows[window.Start] = window.Energy
			}
			require.LessOrEqual(t, len(state.memories), (4+1)*p.Memory())
		}
		return windows, last
	}
	clips := []*stream.Clip{small(length, 1), small(length, 3), small(length, 2)}
	for _, clip := range clips {
		whole, end := scored(clip, length)
		require.Len(t, whole, length/4-1)
		for _, segment := range []int{4, 8, 20, 32} {
			pieces, last := scored(clip, segment)
			for start, energy := range whole {
				require.Equal(t, energy, pieces[start], "segments of %d frames, the window at %v s", segment, start)
			}
			require.Equal(t, end.Next, last.Next, "segments of %d frames", segment)
		}
	}
}

// small is a movie in frames of 64×64 pixels.
func small(frames int, velocity float64) *stream.Clip {
	large := movie(frames, velocity)
	clip := stream.NewClip(make([]byte, frames*64*64*3), frames, 64, 64, nil)
	clip.Step, clip.Times, clip.Start, clip.End = large.Step, large.Times, large.Start, large.End
	for t := range frames {
		for i := range 64 * 64 {
			copy(clip.Frame(t)[3*i:3*i+3], large.Frame(t)[3*(i/64*2*128+i%64*2):])
		}
	}
	return clip
}

func TestRecurrentRefusesWhatItCannotPredictFrom(t *testing.T) {
	_, p := newRecurrent(t, model.RecurrentConfig())
	tokens := someTokens(2, 1)
	memory, out := make([]float32, p.Memory()), make([]float32, p.step())
	wide := *tokens
	wide.D = 24
	tests := []struct {
		name string
		err  error
	}{
		{"other tokens", p.Expect(t.Context(), Past{Tokens: &wide, Memory: memory}, 0, 1, out)},
		{"no tokens", p.Expect(t.Context(), Past{Tokens: stepsOf(tokens, 0, 0), Memory: memory}, 0, 1, out)},
		{"a memory of another size", p.Expect(t.Context(), Past{Tokens: tokens, Memory: memory[1:]}, 0, 1, out)},
		{"too little room", p.Expect(t.Context(), Past{Tokens: tokens, Memory: memory}, 0, 2, out)},
		{"no steps", p.Expect(t.Context(), Past{Tokens: tokens, Memory: memory}, 0, 0, nil)},
		{"remembering into too little room", p.Remember(t.Context(), tokens, nil, memory)},
		{"remembering after a memory of another size", p.Remember(t.Context(), stepsOf(tokens, 0, 1), memory[1:], memory)},
	}
	for _, test := range tests {
		var failure *stream.Failure
		require.ErrorAs(t, test.err, &failure, test.name)
		require.Equal(t, stream.Code("predict.shape"), failure.Code, test.name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.Remember(ctx, tokens, nil, make([]float32, 2*p.Memory())), context.Canceled)
	require.ErrorIs(t, p.Expect(ctx, Past{Tokens: tokens, Memory: memory}, 0, 1, out), context.Canceled)
}

func TestRecurrentIsNotMadeOfAnotherFamily(t *testing.T) {
	_, err := NewRecurrent(smallModel(t, model.Tubelet, true), nntest.OpenDevice(t))
	require.ErrorContains(t, err, `model_type: "vjepa2"`)
}

// BenchmarkRecurrent scores a second of 8 frames of each of some streams that come at the same time, encoding included.
func BenchmarkRecurrent(b *testing.B) {
	for _, threads := range []int{1, 2} {
		for _, streams := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("%d-threads/%d-streams", threads, streams), func(b *testing.B) { benchmarkRecurrent(b, threads, streams) })
		}
	}
}

func benchmarkRecurrent(b *testing.B, threads, streams int) {
	b.Helper()
	e, p := newRecurrentOn(b, model.RecurrentConfig(), threads)
	scorer, err := NewScorer(e.Info(), p, Config{}, 8)
	require.NoError(b, err)
	states := make([]*State, streams)
	for i := range states {
		states[i] = scorer.NewState()
	}
	clip := small(8, 1)
	sequence := int64(0)
	second := func(state *State) {
		tokens, err := e.Encode(b.Context(), clip, nil)
		if err == nil {
			_, err = scorer.Score(b.Context(), state, &stream.Segment{Stream: "s", Sequence: sequence}, clip, tokens)
		}
		if err != nil {
			b.Error(err)
		}
	}
	all := func() {
		var group sync.WaitGroup
		for _, state := range states {
			group.Go(func() { second(state) })
		}
		group.Wait()
		sequence++
		later(clip, &stream.Tokens{Spans: make([]stream.Span, clip.T)})
	}
	for range 4 {
		all()
	}
	b.ReportAllocs()
	start, count := time.Now(), 0
	for b.Loop() {
		all()
		count++
	}
	b.ReportMetric(float64(count*streams*clip.T)/time.Since(start).Seconds(), "frames/s")
	b.ReportMetric(float64(4*(len(states[0].memories)+len(states[0].tokens.Data)))/1024, "KiB/stream")
}
