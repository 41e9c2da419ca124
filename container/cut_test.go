package container

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

func cutAll(tb testing.TB, data []byte, every time.Duration) []Piece {
	tb.Helper()
	var pieces []Piece
	err := Cut(context.Background(), bytes.NewReader(data), "recording", every, func(p Piece) error {
		pieces = append(pieces, p)
		return nil
	})
	require.NoError(tb, err)
	return pieces
}

func TestPiecesCoverTheRecording(t *testing.T) {
	tests := []struct {
		file, contentType string
		pieces            int
		duration          time.Duration
	}{
		{"mdn_flower.mp4", "video/mp4", 2, 5005 * time.Millisecond},
		{"intel_bottle-detection.mp4", "video/mp4", 5, 39854748603},
		{"mdn_flower.webm", "video/x-matroska", 2, 5005 * time.Millisecond},
		{"exoplayer_roadtrip-vp92-10bit.webm", "video/mp4", 2, 3002 * time.Millisecond},
		{"decord_flipping_a_pancake.mkv", "video/mp4", 3, 10333 * time.Millisecond},
		{"bgslib_video.avi", "video/x-msvideo", 7, 12466666667},
		{"vtest_arjun.avi", "video/x-msvideo", 4, 79500 * time.Millisecond},
		{"bridge64_ep15_cam0.avi", "video/x-msvideo", 1, 2 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			pieces := cutAll(t, load(t, "dev", test.file), 2*time.Second)
			require.Len(t, pieces, test.pieces)
			var end time.Duration
			for i, piece := range pieces {
				require.Equal(t, i, piece.Index)
				require.Equal(t, i == len(pieces)-1, piece.Last)
				require.Equal(t, test.contentType, piece.ContentType)
				require.InDelta(t, end, piece.Start, 1, "it begins where the one before it ended")
				if !piece.Last {
					require.GreaterOrEqual(t, piece.Duration, 2*time.Second)
				}
				end = piece.Start + piece.Duration
			}
			require.InDelta(t, test.duration, end, float64(2*time.Millisecond))
			require.Equal(t, pieces, cutAll(t, load(t, "dev", test.file), 2*time.Second), "same recording, same bytes")
		})
	}
}

func TestWhatCannotBeCutIsPassedOnWhole(t *testing.T) {
	for file, contentType := range map[string]string{
		"openh264_BA_MW_D.264":                 "video/h264",
		"derived_lfs_pointer.mp4":              "application/octet-stream",
		"derived_random_bytes.mp4":             "application/octet-stream",
		"exoplayer_sample_opus.mp4":            "video/mp4",
		"mp4parse_av1-clearkey-cbcs-video.mp4": "video/mp4",
		"mp4parse_invalid_userdata.mp4":        "video/mp4",
		"moviepy_doc_medias_result.webm":       "application/octet-stream",
		"derived_car_192x108.y4m":              "application/octet-stream",
	} {
		t.Run(file, func(t *testing.T) {
			data := load(t, "robust", file)
			pieces := cutAll(t, data, 2*time.Second)
			require.Len(t, pieces, 1)
			require.True(t, bytes.Equal(data, pieces[0].Payload))
			require.Equal(t, contentType, pieces[0].ContentType)
			require.True(t, pieces[0].Last)
			require.Zero(t, pieces[0].Duration)
		})
	}
}

func TestTurnedRecordingsStayTurned(t *testing.T) {
	for _, file := range []string{"exoplayer_video_1.mp4", "decord_video_180.mov", "exoplayer_h265_with_metadata_track.mp4"} {
		t.Run(file, func(t *testing.T) {
			data := load(t, "robust", file)
			in := newInput(t)
			require.NoError(t, in.OpenBytes(context.Background(), data))
			want, ok := in.Matrix()
			require.True(t, ok)
			require.NotEqual(t, [9]int32{1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30}, want)
			for _, piece := range cutAll(t, data, time.Second) {
				require.NoError(t, in.OpenBytes(context.Background(), piece.Payload))
				got, ok := in.Matrix()
				require.True(t, ok)
				require.Equal(t, want, got)
			}
		})
	}
}

// watched counts what was read.
type watched struct {
	*os.File
	bytes int64
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.File.Read(p)
	w.bytes += int64(n)
	return n, err
}

func TestARecordingIsReadWhileItIsCut(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("needs the ffmpeg command")
	}
	path := filepath.Join(t.TempDir(), "long.ts")
	// Noise, so that it is large: about 1 MB a second.
	output, err := exec.CommandContext(t.Context(), ffmpeg, "-v", "error", "-f", "lavfi", "-i",
		"nullsrc=s=160x120:r=25:d=20,geq=random(1)*255:128:128",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-qp", "10", path).CombinedOutput()
	require.NoError(t, err, string(output))
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	info, err := file.Stat()
	require.NoError(t, err)
	reader := &watched{File: file}
	var at []int64
	require.NoError(t, Cut(t.Context(), reader, path, time.Second, func(Piece) error {
		at = append(at, reader.bytes)
		return nil
	}))
	require.Len(t, at, 20)
	const ahead = 6 << 20 // the analysis looks at 5 MB at most, and stays that far ahead
	require.Greater(t, info.Size(), int64(2*ahead), "the recording is too small to show anything")
	for i, bytes := range at {
		require.Less(t, bytes, info.Size()*int64(i+1)/20+ahead)
	}
}

func TestCutEndsWithWhatEndedIt(t *testing.T) {
	data := load(t, "dev", "intel_bottle-detection.mp4")
	enough := errors.New("enough")
	calls := 0
	err := Cut(context.Background(), bytes.NewReader(data), "x", time.Second, func(Piece) error { calls++; return enough })
	require.Equal(t, enough, err)
	require.Equal(t, 1, calls)

	ctx, cancel := context.WithCancel(context.Background())
	err = Cut(ctx, bytes.NewReader(data), "x", time.Second, func(Piece) error { cancel(); return nil })
	require.ErrorIs(t, err, context.Canceled)

	gone := errors.New("the disk is gone")
	err = Cut(context.Background(), &faulty{Reader: bytes.NewReader(data), left: 9, do: func() error { return gone }}, "x", time.Second,
		func(Piece) error { return nil })
	require.ErrorIs(t, err, gone)
	failure := stream.AsFailure(err, "ingest")
	require.Equal(t, CodeRead, failure.Code)
	require.False(t, failure.Permanent)

	err = Cut(context.Background(), &endless{Reader: strings.NewReader("no video"), size: MaxWhole + 1}, "x", time.Second,
		func(Piece) error { return nil })
	failure = stream.AsFailure(err, "ingest")
	require.Equal(t, CodeUncuttable, failure.Code)
	require.True(t, failure.Permanent)
}

// endless says that it is larger than it is, and reads as spaces.
type endless struct {
	*strings.Reader
	size int64
}

func (e *endless) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return e.size, nil
	}
	return e.Reader.Seek(0, io.SeekStart)
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestCutLeavesNothingBehind(t *testing.T) {
	before := Live()
	for _, file := range []string{
		"exoplayer_sample_fragmented.mp4", "exoplayer_sample_h265.ts",
		"exoplayer_invalid-bitstream.webm", "derived_lfs_pointer.mp4",
	} {
		cutAll(t, load(t, "robust", file), time.Second)
	}
	require.Equal(t, before, Live())
}
