package decode

import (
	"bytes"
	"context"
	"encoding/csv"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/container"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
)

func load(tb testing.TB, elem ...string) []byte {
	tb.Helper()
	data, err := os.ReadFile(fixture.Shared(tb, append([]string{"video"}, elem...)...))
	require.NoError(tb, err)
	return data
}

// lenient is the default configuration for recordings of any length.
func lenient() Config {
	config := Default()
	config.Limits.Duration = time.Hour
	return config
}

func newDecoder(tb testing.TB, config Config, options ...Option) *Decoder {
	tb.Helper()
	d, err := New(config, Size{Width: 128, Height: 128}, options...)
	require.NoError(tb, err)
	tb.Cleanup(d.Close)
	return d
}

func segment(payload []byte) *stream.Segment {
	return &stream.Segment{Stream: "test", Payload: payload}
}

// film is a clip's content after its memory is given back.
type film struct {
	frames           []byte
	times            []time.Duration
	start, end, step time.Duration
	decoded, dropped int
}

func decodeFilm(tb testing.TB, d *Decoder, s *stream.Segment, offset time.Duration) film {
	tb.Helper()
	clip, err := d.Decode(context.Background(), s, offset)
	require.NoError(tb, err)
	defer clip.Release()
	require.Len(tb, clip.Times, clip.T)
	require.Len(tb, clip.Frames, clip.T*128*128*3)
	for i := 1; i < clip.T; i++ {
		require.Greater(tb, clip.Times[i], clip.Times[i-1])
	}
	return film{
		frames: bytes.Clone(clip.Frames), times: append([]time.Duration(nil), clip.Times...),
		start: clip.Start, end: clip.End, step: clip.Step, decoded: clip.Decoded, dropped: clip.Dropped,
	}
}

// decodePieces cuts a recording and decodes its pieces one after another, as a pipeline does.
func decodePieces(tb testing.TB, d *Decoder, data []byte, every time.Duration, told bool) (whole film, pieces int) {
	tb.Helper()
	var line Timeline
	epoch := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	err := container.Cut(context.Background(), bytes.NewReader(data), "recording", every, func(p container.Piece) error {
		s := &stream.Segment{Stream: "test", Sequence: int64(p.Index), Payload: p.Payload}
		if told {
			s.Start, s.Epoch, s.Duration = epoch.Add(p.Start), epoch, p.Duration
		}
		clip, err := d.Decode(context.Background(), s, line.Offset(s))
		if err != nil {
			return err
		}
		defer clip.Release()
		line.Advance(clip)
		whole.frames = append(whole.frames, clip.Frames...)
		whole.times = append(whole.times, clip.Times...)
		whole.end = clip.End
		if pieces == 0 {
			whole.step = clip.Step // of a last piece of three frames in milliseconds nobody can tell 24 fps from 23.976
		}
		whole.decoded += clip.Decoded
		whole.dropped += clip.Dropped
		pieces++
		return nil
	})
	require.NoError(tb, err)
	return whole, pieces
}

// manifest is the robust footage's own table, by file.
func manifest(tb testing.TB) map[string]map[string]string {
	tb.Helper()
	return readTable(tb, fixture.Shared(tb, "video", "robust", "manifest.csv"), "file")
}

// readTable reads a CSV file with a head, by one of its columns.
func readTable(tb testing.TB, path, by string) map[string]map[string]string {
	tb.Helper()
	file, err := os.Open(path)
	require.NoError(tb, err)
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(tb, err)
	table := map[string]map[string]string{}
	for _, cells := range rows[1:] {
		row := map[string]string{}
		for i, key := range rows[0] {
			row[key] = cells[i]
		}
		table[row[by]] = row
	}
	return table
}

// requireLength compares with how long the video of a file lasts by the footage's table: its seconds are the whole container's, with
// sound; its frames at its rate, to one decimal and of some files the rate before they were converted.
func requireLength(tb testing.TB, file string, row map[string]string, got float64) {
	tb.Helper()
	number := func(key string) float64 {
		value, err := strconv.ParseFloat(row[key], 64)
		require.NoError(tb, err)
		return value
	}
	seconds, length := number("seconds"), number("frames")/number("fps")
	if other, ok := believed1000[file]; ok {
		seconds, length = other, other
	}
	require.Less(tb, min(math.Abs(got-seconds), math.Abs(got-length)), 0.08, "%v s; %v s or %v s are told", got, seconds, length)
}

// encode makes a video with the ffmpeg command and skips the test where there is none.
func encode(tb testing.TB, name string, arguments ...string) []byte {
	tb.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		tb.Skip("needs the ffmpeg command")
	}
	path := filepath.Join(tb.TempDir(), name)
	output, err := exec.CommandContext(tb.Context(), ffmpeg, append(append([]string{"-v", "error", "-y"}, arguments...),
		path)...).CombinedOutput()
	require.NoError(tb, err, string(output))
	data, err := os.ReadFile(path)
	require.NoError(tb, err)
	return data
}
