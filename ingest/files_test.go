package ingest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/container"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
)

// segmentsOf cuts a file and checks what holds for every file.
func segmentsOf(t *testing.T, path string) []*stream.Segment {
	t.Helper()
	var got []*stream.Segment
	require.NoError(t, SegmentsOf(context.Background(), path, "cam", 2*time.Second, func(s *stream.Segment) error {
		got = append(got, s)
		return nil
	}))
	require.NotEmpty(t, got)
	for i, s := range got {
		require.Equal(t, "cam", s.Stream)
		require.EqualValues(t, i, s.Sequence)
		require.True(t, s.Sequenced)
		require.Equal(t, time.Unix(0, 0).UTC(), s.Epoch)
		require.Equal(t, stream.Origin{File: path}, s.Origin)
		require.Equal(t, i == len(got)-1, s.Mark == stream.MarkEnd, "the last one and no other ends the stream")
		require.NotNil(t, s.Receipt)
		require.False(t, s.Received.IsZero())
	}
	return got
}

func TestSegmentsOfAFileAreItsPieces(t *testing.T) {
	path := fixture.Shared(t, "video", "dev", "intel_bottle-detection.mp4")
	got := segmentsOf(t, path)
	require.Greater(t, len(got), 3)

	var pieces []container.Piece
	file, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	require.NoError(t, container.Cut(context.Background(), file, path, 2*time.Second, func(p container.Piece) error {
		pieces = append(pieces, p)
		return nil
	}))
	require.Len(t, got, len(pieces))
	for i, p := range pieces {
		require.NoError(t, got[i].Problem)
		require.Equal(t, time.Unix(0, 0).UTC().Add(p.Start), got[i].Start)
		require.Equal(t, p.Duration, got[i].Duration)
		require.Equal(t, p.ContentType, got[i].ContentType)
		require.Equal(t, p.Payload, got[i].Payload)
	}
}

func TestSegmentsOfWhatIsNoVideo(t *testing.T) {
	root := tree(t, "folder/")
	require.NoError(t, syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(root, "empty.mp4"), nil, 0o600))
	tests := map[string]stream.Code{"missing.mp4": CodeOpen, "folder": CodeNoFile, "pipe": CodeNoFile, "empty.mp4": CodeNoVideo}
	for name, code := range tests {
		t.Run(name, func(t *testing.T) {
			got := segmentsOf(t, filepath.Join(root, name))
			require.Len(t, got, 1)
			require.Equal(t, code, stream.AsFailure(got[0].Problem, "").Code)
			require.ErrorContains(t, got[0].Problem, name)
		})
	}
}

func TestSegmentsOfStops(t *testing.T) {
	path := fixture.Shared(t, "video", "dev", "intel_bottle-detection.mp4")
	refused := errors.New("the pipeline is closed")
	calls := 0
	err := SegmentsOf(context.Background(), path, "cam", 2*time.Second, func(*stream.Segment) error {
		calls++
		return refused
	})
	require.ErrorIs(t, err, refused)
	require.Equal(t, 1, calls)

	ctx, cancel := context.WithCancel(context.Background())
	err = SegmentsOf(ctx, path, "cam", 2*time.Second, func(*stream.Segment) error {
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// runFiles runs a source to its end and returns the segments by stream; each is acknowledged at once.
func runFiles(t *testing.T, f *Files) (map[string][]*stream.Segment, error) {
	t.Helper()
	out, ended := make(chan *stream.Segment), make(chan error, 1)
	go func() {
		ended <- f.Run(context.Background(), out)
		close(out)
	}()
	got := map[string][]*stream.Segment{}
	for s := range out {
		got[s.Stream] = append(got[s.Stream], s)
		s.Receipt.Done(s.ID())
	}
	return got, <-ended
}

func TestFilesReadsAllAndGoesOnBesideABadOne(t *testing.T) {
	first := fixture.Shared(t, "video", "dev", "mdn_flower.mp4")
	second := fixture.Shared(t, "video", "dev", "mdn_flower.webm")
	root := tree(t, "noise.mp4", "notes.txt")
	f := NewFiles(FilesConfig{Paths: []string{first, second, root}, Segment: 2 * time.Second}, quietLog())
	got, err := runFiles(t, f)
	require.NoError(t, err)
	require.Equal(t, []string{"mdn_flower", "mdn_flower-2", "noise"}, sortedKeys(got))
	total := 0
	for name, segments := range got {
		total += len(segments)
		for i, s := range segments {
			require.EqualValues(t, i, s.Sequence, name)
		}
		require.Equal(t, stream.MarkEnd, segments[len(segments)-1].Mark, name)
	}
	require.Equal(t, "video/mp4", got["mdn_flower"][0].ContentType)
	require.Len(t, got["noise"], 1, "what cannot be cut goes on whole, for decoding to refuse")
	require.EqualValues(t, total, f.Stats().Emitted)
	require.EqualValues(t, total, f.Stats().Received)
}

func TestFilesWithoutAMatchFailsBeforeItStarts(t *testing.T) {
	f := NewFiles(FilesConfig{Paths: []string{"/nowhere/*.mp4"}, Segment: time.Second}, quietLog())
	got, err := runFiles(t, f)
	require.Empty(t, got)
	require.Equal(t, CodeNoMatch, stream.AsFailure(err, "").Code)
	require.ErrorContains(t, err, "/nowhere/*.mp4")
}

func TestFilesDrains(t *testing.T) {
	path := fixture.Shared(t, "video", "dev", "intel_bottle-detection.mp4")
	run := func(t *testing.T, drain time.Duration, during func(s *stream.Segment, cancel func(), ended <-chan error)) {
		f := NewFiles(FilesConfig{Paths: []string{path}, Segment: time.Second}, quietLog())
		f.drain = drain
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		out, ended := make(chan *stream.Segment), make(chan error, 1)
		go func() { ended <- f.Run(ctx, out) }()
		during(<-out, cancel, ended)
	}
	t.Run("waits for what is in flight", func(t *testing.T) {
		run(t, time.Minute, func(s *stream.Segment, cancel func(), ended <-chan error) {
			cancel()
			select {
			case err := <-ended:
				require.NoError(t, err)
				t.Fatal("Run returned with a segment in flight")
			case <-time.After(100 * time.Millisecond):
			}
			s.Receipt.Done(s.ID())
			require.NoError(t, <-ended)
		})
	})
	t.Run("but not for ever", func(t *testing.T) {
		run(t, 50*time.Millisecond, func(_ *stream.Segment, cancel func(), ended <-chan error) {
			cancel()
			require.NoError(t, <-ended)
		})
	})
}

func TestFilesWatchesFolders(t *testing.T) {
	video, err := os.ReadFile(fixture.Shared(t, "video", "dev", "mdn_flower.mp4"))
	require.NoError(t, err)
	root := t.TempDir()
	f := NewFiles(FilesConfig{Paths: []string{root}, Segment: time.Minute, Watch: true, Settle: 400 * time.Millisecond}, quietLog())
	ctx, cancel := context.WithCancel(context.Background())
	out, ended := make(chan *stream.Segment), make(chan error, 1)
	go func() { ended <- f.Run(ctx, out) }()

	slow, err := os.Create(filepath.Join(root, "slow.mp4"))
	require.NoError(t, err)
	defer func() { require.NoError(t, slow.Close()) }()
	var writing sync.WaitGroup
	writing.Go(func() {
		for part := range 5 {
			at, to := part*len(video)/5, (part+1)*len(video)/5
			_, err := slow.Write(video[at:to])
			if err != nil {
				t.Errorf("writing: %v", err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	got := <-out
	require.Equal(t, "slow", got.Stream)
	require.NoError(t, got.Problem)
	require.Positive(t, got.Duration, "it was cut when it was finished")
	require.Equal(t, stream.MarkEnd, got.Mark)
	got.Receipt.Done(got.ID())
	writing.Wait()

	require.NoError(t, os.WriteFile(filepath.Join(root, "next.tmp"), video, 0o600))
	require.NoError(t, os.Rename(filepath.Join(root, "next.tmp"), filepath.Join(root, "next.mp4")))
	got = <-out
	require.Equal(t, "next", got.Stream)
	got.Receipt.Done(got.ID())
	cancel()
	require.NoError(t, <-ended)
}

func TestFilesOfTheRobustSet(t *testing.T) {
	// Every one of them becomes segments or a problem with a code, and none stops the others.
	folder := fixture.Shared(t, "video", "robust")
	paths, err := ExpandPaths([]string{folder})
	require.NoError(t, err)
	f := NewFiles(FilesConfig{Paths: []string{folder}, Segment: 2 * time.Second}, quietLog())
	got, err := runFiles(t, f)
	require.NoError(t, err)
	require.Len(t, got, len(paths))
	for name, segments := range got {
		for i, s := range segments {
			require.EqualValues(t, i, s.Sequence, name)
			require.True(t, s.Problem != nil || len(s.Payload) > 0 || s.Mark == stream.MarkEnd && i > 0, name)
		}
		require.Equal(t, stream.MarkEnd, segments[len(segments)-1].Mark, name)
	}
}

func TestADrainThatNobodyCanFinishIsNotWaitedFor(t *testing.T) {
	abandoned, abandon := context.WithCancelCause(t.Context())
	abandon(ErrAbandoned)
	require.Zero(t, patience(abandoned, time.Minute))
	stopped, stop := context.WithCancel(t.Context())
	stop()
	require.Equal(t, time.Minute, patience(stopped, time.Minute))
}
