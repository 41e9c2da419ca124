package video

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStreamsNameFilesThatExistAndTogetherStaySmall(t *testing.T) {
	streams, err := Streams()
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(streams), 3)

	listed := map[string]bool{}
	kinds := map[Kind]int{}
	for _, stream := range streams {
		require.Falsef(t, listed[stream.File], "%s is listed twice", stream.File)
		listed[stream.File] = true
		require.Equal(t, stream.Name+".mp4", stream.File)
		require.NotEmpty(t, stream.Shows)
		require.Greater(t, stream.Duration, 30*time.Second)
		for _, event := range stream.Events {
			kinds[event.Kind]++
		}
	}
	require.Equal(t, map[Kind]int{Cut: 1, Freeze: 1}, kinds)

	var bytes int64
	paths, err := fs.Glob(FS(), "*.mp4")
	require.NoError(t, err)
	for _, path := range paths {
		require.Truef(t, listed[path], "%s is not in events.yaml", path)
		info, err := fs.Stat(FS(), path)
		require.NoError(t, err)
		bytes += info.Size()
	}
	require.Len(t, paths, len(streams))
	require.LessOrEqual(t, bytes, int64(8<<20))
}

func TestReadmeCreditsEveryStream(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	script, err := os.ReadFile("make.sh")
	require.NoError(t, err)
	streams, err := Streams()
	require.NoError(t, err)
	for _, stream := range streams {
		require.Contains(t, string(text), "`"+stream.File+"`")
	}
	for line := range strings.Lines(string(script)) {
		if _, clip, found := strings.Cut(strings.TrimSpace(line), "=$(source_clip "); found {
			require.Contains(t, string(text), "`"+strings.TrimSuffix(clip, ")")+"`", "a source clip without credit")
		}
	}
}

func TestParseRefusesWhatMakesNoSense(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"unknown key":    {"streams: [{name: a, fil: a.mp4}]", "field fil not found"},
		"unknown kind":   {"streams: [{name: a, seconds: 9, events: [{kind: blur, start: 1, end: 2}]}]", `event kind "blur"`},
		"event too late": {"streams: [{name: a, seconds: 9, events: [{kind: cut, start: 10, end: 10}]}]", "outside of 0 s to 9 s"},
		"ends too early": {"streams: [{name: a, seconds: 9, events: [{kind: freeze, start: 5, end: 4}]}]", "outside of 0 s to 9 s"},
		"no list":        {"", "parsing the list"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse([]byte(test.text))
			require.ErrorContains(t, err, test.want)
		})
	}
}

// TestFootageIsAsPromised asks FFmpeg's own detectors where pictures jump and where they stand still.
func TestFootageIsAsPromised(t *testing.T) {
	streams, err := Streams()
	require.NoError(t, err)
	for _, stream := range streams {
		t.Run(stream.Name, func(t *testing.T) {
			t.Parallel()
			path := extract(t, stream.File)

			require.Equal(t, []string{"video"}, lines(probe(t, path, "-show_entries", "stream=codec_type")))
			require.Equal(t, []string{"h264,640,360,yuv420p"},
				lines(probe(t, path, "-show_entries", "stream=codec_name,width,height,pix_fmt")))

			keys := times(t, probe(t, path, "-skip_frame", "nokey", "-show_entries", "frame=pts_time"))
			for i, key := range append(keys[1:], stream.Duration) {
				require.LessOrEqual(t, key-keys[i], 2*time.Second, "key frames too far apart")
			}
			all := times(t, probe(t, path, "-show_entries", "packet=pts_time"))
			require.InDelta(t, stream.Duration.Seconds(), last(all).Seconds()+step(all).Seconds(), 0.005)

			var cuts, freezes []Event
			for _, event := range stream.Events {
				if event.Kind == Cut {
					cuts = append(cuts, event)
				} else {
					freezes = append(freezes, event)
				}
			}
			requireTimes(t, starts(cuts), detected(t, path, "scdet=threshold=20", "lavfi.scd.time"))
			requireTimes(t, starts(freezes), detected(t, path, "freezedetect=noise=-45dB:duration=4", "lavfi.freezedetect.freeze_start"))
			requireTimes(t, ends(freezes), detected(t, path, "freezedetect=noise=-45dB:duration=4", "lavfi.freezedetect.freeze_end"))
		})
	}
}

func starts(events []Event) []time.Duration {
	var at []time.Duration
	for _, event := range events {
		at = append(at, event.Start)
	}
	return at
}

func ends(events []Event) []time.Duration {
	var at []time.Duration
	for _, event := range events {
		at = append(at, event.End)
	}
	return at
}

// requireTimes compares to within three frames: freezedetect counts a freeze from the frame that is repeated, and anew where the
// next key frame draws the same picture more sharply.
func requireTimes(t *testing.T, want, got []time.Duration) {
	t.Helper()
	require.Lenf(t, got, len(want), "detected at %v, events.yaml says %v", got, want)
	for i := range want {
		require.InDelta(t, want[i].Seconds(), got[i].Seconds(), 0.11)
	}
}

func extract(t *testing.T, file string) string {
	t.Helper()
	content, err := fs.ReadFile(FS(), file)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), file)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

func probe(t *testing.T, path string, args ...string) string {
	t.Helper()
	return command(t, "ffprobe", append(append([]string{"-v", "error"}, args...), "-of", "csv=p=0", path)...)
}

// detected is the values of a metadata key that an FFmpeg filter sets.
func detected(t *testing.T, path, filter, key string) []time.Duration {
	t.Helper()
	out := command(t, "ffmpeg", "-nostdin", "-v", "error", "-i", path, "-vf", filter+",metadata=mode=print:key="+key+":file=-",
		"-f", "null", "-")
	var found []time.Duration
	for line := range strings.Lines(out) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			found = append(found, parseSeconds(t, value))
		}
	}
	return found
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("needs %s: apt-get install ffmpeg (%v)", name, err)
	}
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	require.NoErrorf(t, err, "%s %s", name, strings.Join(args, " "))
	return string(out)
}

func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }

// times are the numbers that begin each line, in seconds, in order.
func times(t *testing.T, text string) []time.Duration {
	t.Helper()
	var found []time.Duration
	for _, line := range lines(text) {
		if number, _, _ := strings.Cut(line, ","); number != "" {
			found = append(found, parseSeconds(t, number))
		}
	}
	require.NotEmpty(t, found)
	return found
}

func parseSeconds(t *testing.T, text string) time.Duration {
	t.Helper()
	value, err := strconv.ParseFloat(text, 64)
	require.NoError(t, err)
	return seconds(value)
}

func last(at []time.Duration) time.Duration {
	latest := at[0]
	for _, time := range at {
		latest = max(latest, time)
	}
	return latest
}

// step is the mean distance of the times, which are those of consecutive frames in any order.
func step(at []time.Duration) time.Duration {
	return last(at) / time.Duration(len(at)-1)
}
