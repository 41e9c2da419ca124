package clips

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
)

// small is what a model of little pictures says of itself.
var small = Info{Width: 64, Height: 64, Crop: true, FramesPerStep: 2, FramesPerClip: 16}

// read is all clips of a recording.
func read(tb testing.TB, path string, info Info, length int) (all []*stream.Clip, problems []*stream.Failure) {
	tb.Helper()
	reader, err := NewReader(info, length, 8)
	require.NoError(tb, err)
	defer reader.Close()
	reader.OnProblem = func(failure *stream.Failure) { problems = append(problems, failure) }
	segments := 0
	reader.OnSegment = func(*stream.Segment) { segments++ }
	require.NoError(tb, reader.Read(context.Background(), path, func(clip *stream.Clip) error {
		kept := stream.NewClip(bytes.Clone(clip.Frames), clip.T, clip.H, clip.W, nil)
		kept.Times, kept.Step = append([]time.Duration{}, clip.Times...), clip.Step
		all = append(all, kept)
		return nil
	}))
	require.Positive(tb, segments)
	return all, problems
}

// TestClipsShowThePipelinesFrames compares with decoding the whole file at once.
func TestClipsShowThePipelinesFrames(t *testing.T) {
	path := fixture.Repository("examples", "video", "shelf.mp4")
	payload, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, crop := range []bool{true, false} {
		info, fit := small, decode.Crop
		if info.Crop = crop; !crop {
			fit = decode.Squash
		}
		t.Run(fit.String(), func(t *testing.T) {
			decoder, err := decode.New(decode.Default(), decode.Size{Width: 64, Height: 64}, decode.WithFit(fit))
			require.NoError(t, err)
			defer decoder.Close()
			whole, err := decoder.Decode(t.Context(), &stream.Segment{Stream: "x", Payload: payload}, 0)
			require.NoError(t, err)
			defer whole.Release()
			clips, problems := read(t, path, info, 16)
			require.Empty(t, problems)
			require.Len(t, clips, (whole.T+15)/16)
			for i, clip := range clips {
				first := min(16*i, whole.T-16)
				require.Equal(t, whole.Frames[first*64*64*3:(first+16)*64*64*3], clip.Frames)
				require.InDelta(t, whole.Times[first], clip.Times[0], 1)
			}
		})
	}
}

func TestAllOfARecordingCanBeOneClip(t *testing.T) {
	clips, _ := read(t, fixture.Repository("examples", "video", "shelf.mp4"), small, 0)
	require.Len(t, clips, 1)
	require.Greater(t, clips[0].T, 200)
}

func TestWhatCannotBeReadIsToldAndTheRestGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rubbish.mp4")
	require.NoError(t, os.WriteFile(path, []byte("this is no video"), 0o644))
	clips, problems := read(t, path, small, 16)
	require.Empty(t, clips)
	require.Len(t, problems, 1)
	require.Equal(t, stream.Code("decode.not_video"), problems[0].Code)
	_, problems = read(t, filepath.Join(t.TempDir(), "nowhere.mp4"), small, 16)
	require.Len(t, problems, 1)
	require.Equal(t, stream.Code("ingest.open"), problems[0].Code)
}

func TestReadingEndsWithItsReceiver(t *testing.T) {
	reader, err := NewReader(small, 16, 8)
	require.NoError(t, err)
	defer reader.Close()
	path, told := fixture.Repository("examples", "video", "shelf.mp4"), errors.New("enough")
	require.ErrorIs(t, reader.Read(t.Context(), path, func(*stream.Clip) error { return told }), told)
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, reader.Read(ctx, path, func(*stream.Clip) error { cancel(); return nil }), context.Canceled)
}
