package encoder

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/nn/nntest"
	"github.com/ensue-video/ensue/stream"
)

// recurrentModel is a model with weights drawn at random.
func recurrentModel(tb testing.TB, config model.Config) *model.Model {
	tb.Helper()
	ps := nn.NewParameters(7)
	NewConvEncoder(ps, config)
	all := model.Named("encoder.", ps.All())
	rest := nn.NewParameters(7)
	for _, tensor := range config.Tensors()[len(all):] { // the predictor's
		all = append(all, rest.New(tensor.Name, nn.Zeros, tensor.Shape...))
	}
	dir := tb.TempDir()
	require.NoError(tb, model.Write(dir, config, all...))
	m, err := model.Open(dir)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, m.Close()) })
	return m
}

// newRecurrent makes the encoder and closes its model: it must not need it any more.
func newRecurrent(tb testing.TB, config model.Config, threads int) *Recurrent {
	tb.Helper()
	device, err := nn.Open(nn.Config{Threads: threads})
	require.NoError(tb, err)
	e, err := NewRecurrent(recurrentModel(tb, config), device)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		require.NoError(tb, e.Close())
		require.NoError(tb, device.Close())
		require.NoError(tb, e.Close(), "after its device")
	})
	return e
}

func TestRecurrentDescribesItself(t *testing.T) {
	config := model.RecurrentConfig()
	config.Ensue.Recurrent.Size = 128
	e := newRecurrent(t, config, 1)
	info := e.Info()
	require.Regexp(t, "^sha256:[0-9a-f]{64}$", info.Digest)
	info.Digest = ""
	require.Equal(t, Info{Name: "ensue_recurrent", Width: 128, Height: 128, GridHeight: 16, GridWidth: 16, Dim: 48, FramesPerStep: 1}, info)
	require.Equal(t, convGroup, e.group, "this processor's products do not depend on what is beside them")
}

// Invariant 7: the tokens of a stream do not depend on how it was cut, nor on the streams beside it, nor on the number of threads.
func TestRecurrentTokensDependOnTheirFrameAlone(t *testing.T) {
	e := newRecurrent(t, model.RecurrentConfig(), 1)
	const length, streams = 70, 9
	clips, want := make([]*stream.Clip, streams), make([]*stream.Tokens, streams)
	for i := range clips {
		clips[i] = noiseFrames(length, 64, uint64(i))
		for f := range length {
			one, err := e.Encode(t.Context(), part(clips[i], f, f+1), e.NewState())
			require.NoError(t, err)
			if f == 0 {
				want[i] = one
				continue
			}
			want[i].T++
			want[i].Data, want[i].Spans = append(want[i].Data, one.Data...), append(want[i].Spans, one.Spans...)
		}
	}
	require.NotEqual(t, want[0].At(0), want[0].At(1))
	var group sync.WaitGroup
	for i, clip := range clips {
		group.Go(func() {
			for first := 0; first < length; {
				last := min(first+1+(i*7+first)%length, length)
				got, err := e.Encode(t.Context(), part(clip, first, last), e.NewState())
				if err != nil || !equalBits(got.Data, want[i].Data[first*got.Step():last*got.Step()]) {
					t.Errorf("stream %d, frames [%d, %d): other tokens (error: %v)", i, first, last, err)
				}
				first = last
			}
		})
	}
	group.Wait()
	whole, err := e.Encode(t.Context(), clips[0], e.NewState())
	require.NoError(t, err)
	require.Equal(t, want[0], whole)

	other := newRecurrent(t, model.RecurrentConfig(), 2)
	two, err := other.Encode(t.Context(), clips[0], other.NewState())
	require.NoError(t, err)
	require.Equal(t, want[0].Data, two.Data, "two threads")
	require.Equal(t, e.Info(), other.Info())
}

func equalBits(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Where the processor's products depended on what is beside them, frames would be encoded one by one.
func TestRecurrentEncodesFrameByFrameWhereItMust(t *testing.T) {
	e := newRecurrent(t, model.RecurrentConfig(), 1)
	clip := noiseFrames(20, 64, 1)
	want, err := e.Encode(t.Context(), clip, nil)
	require.NoError(t, err)
	e.group = 1
	got, err := e.Encode(t.Context(), clip, nil)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestRecurrentEncodesAnEmptyClip(t *testing.T) {
	e := newRecurrent(t, model.RecurrentConfig(), 1)
	tokens, err := e.Encode(t.Context(), &stream.Clip{}, e.NewState())
	require.NoError(t, err)
	require.Zero(t, tokens.T)
}

func TestRecurrentRefusesWhatItCannotEncode(t *testing.T) {
	e := newRecurrent(t, model.RecurrentConfig(), 1)
	tests := []struct {
		name string
		clip *stream.Clip
		code stream.Code
	}{
		{"another size", noiseFrames(1, 128, 1), "encode.frame_size"},
		{"no times", stream.NewClip(make([]byte, 64*64*3), 1, 64, 64, nil), "encode.clip"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := e.Encode(t.Context(), test.clip, e.NewState())
			var failure *stream.Failure
			require.ErrorAs(t, err, &failure)
			require.Equal(t, test.code, failure.Code)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.Encode(ctx, noiseFrames(1, 64, 1), e.NewState())
	require.ErrorIs(t, err, context.Canceled)
}

func TestRecurrentIsNotMadeOfAnotherFamily(t *testing.T) {
	device := nntest.OpenDevice(t)
	_, err := NewRecurrent(writeEncoder(t, tinyConfig(model.Tubelet)), device)
	require.ErrorContains(t, err, `model_type: "vjepa2"`)
}

// BenchmarkRecurrent encodes a frame of each of some streams that come at the same time.
func BenchmarkRecurrent(b *testing.B) {
	for _, streams := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("%d-streams", streams), func(b *testing.B) {
			e := newRecurrent(b, model.RecurrentConfig(), 1)
			clip := noiseFrames(1, 64, 1)
			b.ReportAllocs()
			start := time.Now()
			for b.Loop() {
				var group sync.WaitGroup
				for range streams {
					group.Go(func() {
						if _, err := e.Encode(b.Context(), clip, nil); err != nil {
							b.Error(err)
						}
					})
				}
				group.Wait()
			}
			b.ReportMetric(float64(b.N*streams)/time.Since(start).Seconds(), "frames/s")
		})
	}
}
