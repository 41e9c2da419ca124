package publish

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheHookTakesItsStartFromTheNameElseFromTheFile(t *testing.T) {
	folder := t.TempDir()
	written := time.Date(2026, 5, 1, 12, 0, 10, 0, time.UTC)
	cases := map[string]time.Time{
		"2026-05-01_09-30-00-250000.mp4": time.Date(2026, 5, 1, 9, 30, 0, 250_000_000, time.Local).UTC(),
		"2026-05-01_09-30-00.mp4":        time.Date(2026, 5, 1, 9, 30, 0, 0, time.Local).UTC(),
		"recording.mp4":                  written.Add(-2500 * time.Millisecond),
		"2026-99-01_09-30-00.mp4":        written.Add(-2500 * time.Millisecond),
	}
	for name, want := range cases {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Chtimes(path, written, written))
		env := map[string]string{"MTX_PATH": "door", "MTX_SEGMENT_PATH": path, "MTX_SEGMENT_DURATION": "2.5"}
		hook, err := MediaMTXHook(func(key string) (string, bool) { value, ok := env[key]; return value, ok })
		require.NoError(t, err)
		require.Equal(t, Hook{Path: path, Stream: "door", Start: want}, hook, name)
	}
}

func TestTheHookSaysWhatIsMissing(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	_, err := MediaMTXHook(none)
	require.ErrorContains(t, err, "MTX_SEGMENT_PATH is not set")
	_, err = MediaMTXHook(func(key string) (string, bool) { return "/nowhere.mp4", key == "MTX_SEGMENT_PATH" })
	require.ErrorContains(t, err, "nowhere.mp4")
}
