package encoder

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/nn/nntest"
	"github.com/ensue-video/ensue/stream"
)

// tinyConfig is a model of three layers for frames of 24×24 pixels, 3×3 places, whose sizes do not divide evenly. A token sees 8 frames.
func tinyConfig(mode string) model.Config {
	c := model.Default()
	c.CropSize, c.PatchSize, c.FramesPerClip = 24, 8, 8
	c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.MLPRatio = 44, 3, 2, 2.5
	c.PredHiddenSize, c.PredNumHiddenLayers, c.PredNumAttentionHeads, c.PredNumMaskTokens = 32, 1, 2, 2
	c.Ensue.Attention = mode
	return c
}

// vividWeights replaces what is drawn at random by numbers of the size that training leaves: with small weights everything is alike, and
// biases are zero.
func vividWeights(ps *nn.Parameters) {
	for i, p := range ps.All() {
		scale := 1.5 / math.Sqrt(float64(p.Shape()[len(p.Shape())-1]))
		values := p.Dense().Float32s()
		for k, x := range noise(len(values), uint64(i)+1) {
			if len(p.Shape()) == 1 {
				values[k] += 0.2 * x
			} else {
				values[k] = float32(scale) * x
			}
		}
		p.Changed()
	}
}

// writeEncoder writes a model with an encoder of vivid weights.
func writeEncoder(tb testing.TB, config model.Config) *model.Model {
	tb.Helper()
	ps := nn.NewParameters(1)
	NewVisionTransformer(ps, config)
	vividWeights(ps)
	dir := tb.TempDir()
	require.NoError(tb, model.Write(dir, config, model.Named("encoder.", ps.All())...))
	m, err := model.Open(dir)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, m.Close()) })
	return m
}

func newVJEPA2(tb testing.TB, config model.Config, options ...VJEPA2Option) *VJEPA2 {
	tb.Helper()
	e, err := NewVJEPA2(writeEncoder(tb, config), nntest.OpenDevice(tb), options...)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, e.Close()) })
	return e
}

// noiseFrames is t frames of side × side pixels of noise, 8 a second.
func noiseFrames(t, side int, seed uint64) *stream.Clip {
	clip := stream.NewClip(make([]byte, t*side*side*3), t, side, side, nil)
	for i, x := range noise(len(clip.Frames), seed) {
		clip.Frames[i] = byte(127.5 + 63*x)
	}
	clip.Step = time.Second / 8
	for i := range t {
		clip.Times = append(clip.Times, time.Duration(i)*clip.Step)
	}
	clip.End = time.Duration(t) * clip.Step
	return clip
}

// videoOf are the clip's pixels, normalised: [1, T, 3, H, W].
func videoOf(e *VJEPA2, clip *stream.Clip) Video {
	v := Video{B: 1, T: clip.T, C: 3, H: clip.H, W: clip.W}
	mean, std := e.config.Ensue.Mean, e.config.Ensue.Std
	for t := range clip.T {
		for channel := range 3 {
			for i := channel; i < len(clip.Frame(t)); i += 3 {
				v.Data = append(v.Data, float32((float64(clip.Frame(t)[i])/255-mean[channel])/std[channel]))
			}
		}
	}
	return v
}

// encodeInParts encodes a clip as one stream, cut into parts of those lengths, the last one as often as needed.
func encodeInParts(tb testing.TB, e *VJEPA2, whole *stream.Clip, lengths ...int) *stream.Tokens {
	tb.Helper()
	state, all := e.NewState(), &stream.Tokens{}
	for from, i := 0, 0; from < whole.T; i++ {
		to := min(from+lengths[min(i, len(lengths)-1)], whole.T)
		tokens, err := e.Encode(tb.Context(), part(whole, from, to), state)
		require.NoError(tb, err)
		all.Data = append(all.Data, tokens.Data...)
		all.Spans = append(all.Spans, tokens.Spans...)
		t := all.T + tokens.T
		all.Shape = tokens.Shape
		all.T = t
		from = to
	}
	return all
}

// A stream's tokens are those of the whole clip: with a window longer than the clip, and with one that slides.
func TestAStreamIsEncodedLikeTheWholeClip(t *testing.T) {
	tests := []struct {
		mode           string
		frames, window int
	}{
		{model.Tubelet, 12, 8},
		{model.BlockCausal, 12, 16},
		{model.BlockCausal, 8, 8},
		{model.BlockCausal, 30, 8},
		{model.BlockCausal, 9, 2},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s, %d frames, %d seen", test.mode, test.frames, test.window), func(t *testing.T) {
			e := newVJEPA2(t, tinyConfig(test.mode), WithContextFrames(test.window))
			clip := noiseFrames(test.frames, 24, 1)
			whole, err := e.EncodeVideo(t.Context(), videoOf(e, clip))
			require.NoError(t, err)
			tokens := encodeInParts(t, e, clip, 1)
			require.Equal(t, stream.Shape{T: whole.T, H: whole.H, W: whole.W, D: whole.D}, tokens.Shape)
			distance := apart(t, whole.Data, tokens.Data)
			t.Logf("%.2g apart", distance)
			require.LessOrEqual(t, distance, 1e-4)
		})
	}
}

// A window of one tubelet is attention inside tubelets; a longer one is something else.
func TestAWindowOfOneTubeletIsTubeletAttention(t *testing.T) {
	clip := noiseFrames(8, 24, 1)
	tubelet := encodeInParts(t, newVJEPA2(t, tinyConfig(model.Tubelet)), clip, 8)
	causal := newVJEPA2(t, tinyConfig(model.BlockCausal), WithContextFrames(2))
	require.LessOrEqual(t, apart(t, tubelet.Data, encodeInParts(t, causal, clip, 8).Data), 1e-4)
	longer := newVJEPA2(t, tinyConfig(model.BlockCausal), WithContextFrames(4))
	require.Greater(t, apart(t, tubelet.Data, encodeInParts(t, longer, clip, 8).Data), 0.1)
}

func TestInFullAttentionAStreamsTokensAreItsEmbeddings(t *testing.T) {
	e := newVJEPA2(t, tinyConfig(model.Full))
	clip := noiseFrames(6, 24, 1)
	tokens := encodeInParts(t, e, clip, 1)
	nntest.OnTape(t, e.device, nn.TapeConfig{}, func(tape *nn.Tape) {
		pixels := tape.Zeros(1, 6, 24, 24, 3)
		videoOf(e, clip).item(0, pixels.Float32s())
		require.LessOrEqual(t, apart(t, e.net.Embed.Forward(tape, pixels).Float32s(), tokens.Data), 1e-5)
		x := tape.Floats(tokens.Data, 1, tokens.T*tokens.Places(), tokens.D)
		whole, err := e.EncodeVideo(t.Context(), videoOf(e, clip))
		require.NoError(t, err)
		require.LessOrEqual(t, apart(t, whole.Data, e.net.Encode(tape, x, tokens.Places()).Float32s()), 1e-4)
	})
}

// eachMode runs f with an encoder of every attention.
func eachMode(t *testing.T, f func(t *testing.T, e *VJEPA2)) {
	t.Helper()
	for _, mode := range model.Attentions() {
		t.Run(mode, func(t *testing.T) { f(t, newVJEPA2(t, tinyConfig(mode))) })
	}
}

// Invariant 5, bit for bit: what frame t+1 shows does not change the tokens of tubelets that ended before it.
func TestNoTokenOfAStreamDependsOnALaterFrame(t *testing.T) {
	eachMode(t, func(t *testing.T, e *VJEPA2) {
		const frames = 14
		before := encodeInParts(t, e, noiseFrames(frames, 24, 1), frames)
		for changed := 1; changed < frames; changed++ {
			other := noiseFrames(frames, 24, 1)
			copy(other.Frame(changed), noiseFrames(1, 24, 2).Frames)
			after := encodeInParts(t, e, other, frames)
			for step := range changed / 2 {
				require.Equal(t, bits(before.At(step)), bits(after.At(step)), "frame %d changed, step %d too", changed, step)
			}
			require.NotEqual(t, bits(before.At(changed/2)), bits(after.At(changed/2)))
		}
	})
}

// Invariant 7, bit for bit: how a stream is cut into segments changes nothing, however long the frames left over have to wait.
func TestTokensOfAStreamDoNotDependOnHowItIsCut(t *testing.T) {
	eachMode(t, func(t *testing.T, e *VJEPA2) {
		whole := noiseFrames(31, 24, 3)
		want := encodeInParts(t, e, whole, 31)
		for _, lengths := range [][]int{{1}, {2}, {3}, {5, 1, 1, 8}, {30}, {7}} {
			got := encodeInParts(t, e, whole, lengths...)
			require.Equal(t, want.Spans, got.Spans, "%v", lengths)
			require.Equal(t, bits(want.Data), bits(got.Data), "%v", lengths)
		}
	})
}

// Invariant 7, bit for bit: what is encoded at the same time changes nothing.
func TestTokensDoNotDependOnOtherStreams(t *testing.T) {
	eachMode(t, func(t *testing.T, e *VJEPA2) {
		const streams = 12
		var want, got [streams]*stream.Tokens
		for i := range streams {
			want[i] = encodeInParts(t, e, noiseFrames(10+3*i, 24, uint64(i)), 3)
		}
		var group sync.WaitGroup
		for i := range streams {
			group.Go(func() { got[i] = encodeInParts(t, e, noiseFrames(10+3*i, 24, uint64(i)), 1+i) })
		}
		group.Wait()
		for i := range streams {
			require.Equal(t, bits(want[i].Data), bits(got[i].Data), "stream %d", i)
		}
	})
}

// Together or alone, in groups of any size: the same bits. (The one above cannot choose who waits for whom.)
func TestGroupsGiveTheBitsOfSingleTubelets(t *testing.T) {
	eachMode(t, func(t *testing.T, e *VJEPA2) {
		require.Greater(t, e.group, 8)
		tokens := e.places() * e.info.Dim
		run := func(together bool) []float32 {
			var jobs []*job
			out := make([]float32, 13*tokens)
			for i, at := 0, 0; at < 13; i++ {
				steps := []int{1, 3, 2, 5, 2}[i]
				jobs = append(jobs, &job{
					clip: noiseFrames(2*steps, 24, uint64(i)), state: e.NewState().(*vjepaState), steps: steps,
					out: out[at*tokens : (at+steps)*tokens],
				})
				at += steps
			}
			if together {
				require.NoError(t, e.compute(jobs))
				return out
			}
			for _, j := range jobs {
				require.NoError(t, e.compute([]*job{j}))
			}
			return out
		}
		require.Equal(t, bits(run(false)), bits(run(true)))
		require.NotZero(t, run(true)[13*tokens-1])
	})
}

// Invariant 7 across a restart, bit for bit: after Info.Warmup steps nothing is left of where the reading began.
func TestAfterTheWarmupItDoesNotMatterWhereReadingBegan(t *testing.T) {
	eachMode(t, func(t *testing.T, e *VJEPA2) {
		warmup := e.Info().Warmup
		if mode := e.config.Ensue.Attention; mode == model.BlockCausal {
			require.Equal(t, 3*(8/2-1), warmup)
		} else {
			require.Zero(t, warmup, mode)
		}
		const frames = 50
		clip := noiseFrames(frames, 24, 1)
		want := encodeInParts(t, e, clip, frames)
		for begin := range 6 {
			got := encodeInParts(t, e, part(clip, 2*begin, frames), frames)
			for step := begin + warmup; step < want.T; step++ {
				require.Equal(t, bits(want.At(step)), bits(got.At(step-begin)), "read from step %d on, step %d", begin, step)
			}
			if begin > 0 && warmup > 0 {
				require.NotEqual(t, bits(want.At(begin+warmup-1)), bits(got.At(warmup-1)), "the warm-up is not longer than needed")
			}
		}
	})
}

// Invariant 7 across a restart: frames are paired by their place in the stream, and what is half of a tubelet begins nothing.
func TestAStreamReadFromTheMiddleOfATubeletPairsItsFramesAsBefore(t *testing.T) {
	e := newVJEPA2(t, tinyConfig(model.Tubelet))
	clip := noiseFrames(9, 24, 1)
	want := encodeInParts(t, e, clip, 9)
	for _, lengths := range [][]int{{8}, {1}, {3, 2}} {
		got := encodeInParts(t, e, part(clip, 1, 9), lengths...)
		require.Equal(t, want.Spans[1:], got.Spans, "%v", lengths)
		require.Equal(t, bits(want.Data[want.Step():]), bits(got.Data), "%v", lengths)
	}
}

func TestASpanLastsFromItsFirstFrameToTheEndOfItsLast(t *testing.T) {
	e := newVJEPA2(t, tinyConfig(model.Tubelet))
	state, clip := e.NewState(), noiseFrames(5, 24, 1)
	first, err := e.Encode(t.Context(), part(clip, 0, 3), state)
	require.NoError(t, err)
	require.Equal(t, []stream.Span{{Start: 0, End: 250 * time.Millisecond}}, first.Spans)
	second, err := e.Encode(t.Context(), part(clip, 3, 5), state)
	require.NoError(t, err)
	require.Equal(t, []stream.Span{{Start: 250 * time.Millisecond, End: 500 * time.Millisecond}}, second.Spans)
}

func TestAfterAResetAStreamBeginsAnew(t *testing.T) {
	eachMode(t, func(t *testing.T, e *VJEPA2) {
		clip := noiseFrames(9, 24, 1)
		state := e.NewState()
		_, err := e.Encode(t.Context(), clip, state)
		require.NoError(t, err)
		state.Reset()
		again, err := e.Encode(t.Context(), clip, state)
		require.NoError(t, err)
		require.Equal(t, bits(encodeInParts(t, e, clip, 9).Data), bits(again.Data))
	})
}

func TestAClipThatDoesNotFitTheModelIsRefused(t *testing.T) {
	e := newVJEPA2(t, tinyConfig(model.Tubelet))
	short := noiseFrames(2, 24, 1)
	short.Times = short.Times[:1]
	tests := []struct {
		name  string
		clip  *stream.Clip
		state State
		code  stream.Code
	}{
		{"another size", noiseFrames(1, 32, 1), e.NewState(), "encode.frame_size"},
		{"a time is missing", short, e.NewState(), "encode.clip"},
		{"the state of another encoder", noiseFrames(1, 24, 1), noState{}, "encode.state"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := e.Encode(t.Context(), test.clip, test.state)
			var failure *stream.Failure
			require.ErrorAs(t, err, &failure)
			require.Equal(t, test.code, failure.Code)
			require.True(t, failure.Permanent)
		})
	}
}

func TestEncodingAStreamStopsWithTheContext(t *testing.T) {
	e := newVJEPA2(t, tinyConfig(model.Tubelet))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.Encode(ctx, noiseFrames(2, 24, 1), e.NewState())
	require.ErrorIs(t, err, context.Canceled)
	_, err = e.EncodeVideo(ctx, videoOf(e, noiseFrames(2, 24, 1)))
	require.ErrorIs(t, err, context.Canceled)
}

func TestAClosedDeviceIsAnError(t *testing.T) {
	device, err := nn.Open(nn.Config{})
	require.NoError(t, err)
	e, err := NewVJEPA2(writeEncoder(t, tinyConfig(model.Tubelet)), device)
	require.NoError(t, err)
	require.NoError(t, device.Close())
	_, err = e.Encode(t.Context(), noiseFrames(2, 24, 1), e.NewState())
	require.ErrorIs(t, err, nn.ErrClosed)
	require.NoError(t, e.Close())
}

func TestAModelThatCannotBeStreamedIsRefused(t *testing.T) {
	tests := []struct {
		name   string
		option VJEPA2Option
		says   string
	}{
		{"an unknown attention", WithAttention("sideways"), `ensue.attention: "sideways": expected one of full`},
		{"no whole tubelet", WithContextFrames(1), "ensue.context_frames: 1"},
		{"another family", func(e *VJEPA2) { e.config = model.RecurrentConfig() }, `model_type: "ensue_recurrent"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewVJEPA2(writeEncoder(t, tinyConfig(model.BlockCausal)), nntest.OpenDevice(t), test.option)
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestTheDigestCoversWhatDeterminesTheTokens(t *testing.T) {
	config := tinyConfig(model.BlockCausal)
	digests := map[string]string{}
	for name, options := range map[string][]VJEPA2Option{
		"as it is":      nil,
		"attention":     {WithAttention(model.Tubelet)},
		"context":       {WithContextFrames(4)},
		"precision":     {WithPrecision(nn.BFloat16)},
		"the same once": {WithContextFrames(8)},
	} {
		e := newVJEPA2(t, config, options...)
		info := e.Info()
		require.Equal(t, e.config.Ensue.Attention == model.BlockCausal, info.Warmup > 0)
		info.Warmup = 0
		require.Equal(t, Info{
			Name: "vjepa2", Digest: info.Digest, Width: 24, Height: 24, GridHeight: 3, GridWidth: 3, Dim: 44, FramesPerStep: 2, Crop: true,
			Warmup: info.Warmup,
		}, info)
		digests[name] = info.Digest
	}
	require.Equal(t, digests["as it is"], digests["the same once"])
	delete(digests, "the same once")
	seen := map[string]string{}
	for name, digest := range digests {
		require.Regexp(t, `^sha256:[0-9a-f]{64}$`, digest)
		require.Empty(t, seen[digest], name)
		seen[digest] = name
	}
}

// Weights in bfloat16 have 8 bits: tokens of unit size move by some hundredths.
func TestBFloat16StaysNearFloat32(t *testing.T) {
	for _, mode := range model.Attentions() {
		for _, config := range []nn.Config{{WidenHalf: true}, {NativeHalf: true}} {
			t.Run(fmt.Sprintf("%s, %+v", mode, config), func(t *testing.T) {
				clip := noiseFrames(12, 24, 1)
				full := encodeInParts(t, newVJEPA2(t, tinyConfig(mode)), clip, 5)
				device, err := nn.Open(config)
				require.NoError(t, err)
				defer func() { require.NoError(t, device.Close()) }()
				e, err := NewVJEPA2(writeEncoder(t, tinyConfig(mode)), device, WithPrecision(nn.BFloat16))
				require.NoError(t, err)
				half := encodeInParts(t, e, clip, 5)
				t.Logf("%s: mean %.2g, largest %.2g", device.Describe(), meanApart(full.Data, half.Data), apart(t, full.Data, half.Data))
				require.NotZero(t, meanApart(full.Data, half.Data))
				require.Less(t, meanApart(full.Data, half.Data), 0.02)
				require.Less(t, apart(t, full.Data, half.Data), 0.2)
				require.Equal(t, bits(half.Data), bits(encodeInParts(t, e, clip, 1).Data))
				require.NoError(t, e.Close())
			})
		}
	}
}

// meanApart is the mean distance of two lists of numbers.
func meanApart(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += math.Abs(float64(a[i]) - float64(b[i]))
	}
	return sum / float64(len(a))
}

func TestAWholeVideoIsEncodedAsTransformersDoes(t *testing.T) {
	tests := []struct {
		video string
		want  string
		shape VideoTokens
	}{
		{"a.pixel_values_videos", "a.last_hidden_state", VideoTokens{B: 2, T: 4, H: 4, W: 4, D: 48}},
		{"e10.pixel_values_videos", "e10.last_hidden_state", VideoTokens{B: 1, T: 5, H: 4, W: 4, D: 48}},
		{"f32x48.pixel_values_videos", "f32x48.last_hidden_state", VideoTokens{B: 1, T: 2, H: 4, W: 6, D: 48}},
	}
	c := openCases(t, "vjepa2_tiny")
	e, err := NewVJEPA2(c.model, c.device)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	for _, test := range tests {
		x := c.read(t, test.video)
		s := x.Shape()
		tokens, err := e.EncodeVideo(t.Context(), Video{B: s[0], T: s[1], C: s[2], H: s[3], W: s[4], Data: x.Float32s()})
		require.NoError(t, err)
		require.LessOrEqual(t, apart(t, c.read(t, test.want).Float32s(), tokens.Data), vjepaTolerance)
		tokens.Data = nil
		require.Equal(t, test.shape, *tokens)
	}
	_, err = e.EncodeVideo(t.Context(), Video{B: 1, T: 2, C: 3, H: 4, W: 32, Data: make([]float32, 2*3*4*32)})
	require.ErrorContains(t, err, "no whole patch of 8×8")
	_, err = e.EncodeVideo(t.Context(), Video{B: 1, T: 2, C: 1, H: 32, W: 32, Data: make([]float32, 2*32*32)})
	require.ErrorContains(t, err, "the model wants [B, T, 3, H, W]")
}
