package train

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
)

// footageOf caches clips of the example videos and of files of the test's own.
func footageOf(t *testing.T, config FootageConfig) (*Footage, []FootageProgress) {
	t.Helper()
	var told []FootageProgress
	f, err := OpenFootage(t.Context(), config, func(p FootageProgress) { told = append(told, p) })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f, told
}

// example is a sample video.
func example() string { return fixture.Repository("examples", "video", "shelf.mp4") }

func TestFootageIsDecodedOnceAndMapped(t *testing.T) {
	config := FootageConfig{Paths: []string{example()}, Side: 32, FPS: 8, Cache: t.TempDir()}
	first, told := footageOf(t, config)
	require.NotEmpty(t, first.Clips())
	require.Len(t, told, len(first.Clips()))
	for _, p := range told {
		require.False(t, p.Cached)
	}
	again, told := footageOf(t, config)
	require.Len(t, again.Clips(), len(first.Clips()))
	for i, p := range told {
		require.True(t, p.Cached, p.Path)
		a, b := first.Clips()[i], again.Clips()[i]
		require.Equal(t, a.Count, b.Count)
		require.Equal(t, a.Frame(a.Count-1), b.Frame(b.Count-1))
		require.InDelta(t, 8, a.FPS(), 3)
		require.Equal(t, strings.TrimSuffix(a.Name, filepath.Ext(a.Name)), a.Family)
	}
}

func TestCacheThatWasInterruptedIsGoneOnWith(t *testing.T) {
	config := FootageConfig{Paths: []string{example()}, Side: 16, FPS: 8, Cache: t.TempDir()}
	whole, _ := footageOf(t, config)
	// What a killed process leaves: frames without a description, frames cut short, a temporary file.
	entry, err := entryOf(whole.Clips()[0].Path, config)
	require.NoError(t, err)
	want := append([]byte(nil), whole.Clips()[0].Frame(3)...)
	require.NoError(t, os.Remove(entry.about))
	require.NoError(t, os.WriteFile(filepath.Join(config.Cache, ".decoding-1"), []byte("half"), 0o600))

	again, told := footageOf(t, config)
	decoded := 0
	for _, p := range told {
		if !p.Cached {
			decoded++
			require.Equal(t, whole.Clips()[0].Path, p.Path)
		}
	}
	require.Equal(t, 1, decoded)
	require.Equal(t, want, again.Clips()[0].Frame(3))
}

func TestOtherSettingsAreOtherEntries(t *testing.T) {
	cache := t.TempDir()
	small, _ := footageOf(t, FootageConfig{Paths: []string{example()}, Side: 16, FPS: 8, Cache: cache})
	_, told := footageOf(t, FootageConfig{Paths: []string{example()}, Side: 24, FPS: 8, Cache: cache})
	require.False(t, told[0].Cached)
	every, _ := footageOf(t, FootageConfig{Paths: []string{example()}, Side: 16, FPS: 0, Cache: cache})
	require.Greater(t, every.Clips()[0].Count, 2*small.Clips()[0].Count, "fps 0 keeps every frame")
	require.InDelta(t, small.Clips()[0].Seconds(), every.Clips()[0].Seconds(), 0.3)
}

func TestBrokenFilesAreToldAndTheOthersUsed(t *testing.T) {
	folder := t.TempDir()
	data, err := os.ReadFile(example())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "good.mp4"), data, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "broken.mp4"), []byte("no video at all"), 0o600))
	f, _ := footageOf(t, FootageConfig{Paths: []string{folder}, Side: 16, FPS: 8, Cache: t.TempDir()})
	require.Len(t, f.Clips(), 1)
	require.Len(t, f.Unusable(), 1)
	require.Contains(t, f.Unusable()[0].Path, "broken.mp4")
	require.Error(t, f.Unusable()[0].Err)
}

func TestOnlyRedistributableFootageIsUsedWhenAsked(t *testing.T) {
	folder := t.TempDir()
	data, err := os.ReadFile(example())
	require.NoError(t, err)
	for _, name := range []string{"yes.mp4", "no.mp4", "unknown.mp4"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), data, 0o600))
	}
	manifest := filepath.Join(folder, "manifest.csv")
	require.NoError(t, os.WriteFile(manifest, []byte("file,family,redistributable,licence\n"+
		"yes.mp4,hall,yes,CC0\nno.mp4,hall,no,all rights\n"), 0o600))
	config := FootageConfig{
		Paths: []string{filepath.Join(folder, "*.mp4")}, Side: 16, FPS: 8, Cache: t.TempDir(), Manifest: manifest, RedistributableOnly: true,
	}
	f, _ := footageOf(t, config)
	require.Len(t, f.Clips(), 1)
	require.Equal(t, "yes.mp4", f.Clips()[0].Name)
	require.Equal(t, Credit{Family: "hall", Licence: "CC0", Redistributable: true}, f.Clips()[0].Credit)
	require.Equal(t, 2, f.Withheld())

	config.Paths = []string{filepath.Join(folder, "no.mp4")}
	_, err = OpenFootage(t.Context(), config, nil)
	require.ErrorContains(t, err, "may be used")
}

func TestFootageThatCannotBeOpenedIsToldByKey(t *testing.T) {
	for name, test := range map[string]struct {
		config FootageConfig
		want   string
	}{
		"no path":     {FootageConfig{Side: 16, Cache: "x"}, "data.footage.paths"},
		"no such":     {FootageConfig{Paths: []string{"/does/not/exist"}, Side: 16, Cache: t.TempDir()}, `"/does/not/exist" matches no file`},
		"side":        {FootageConfig{Paths: []string{example()}, Side: 2, Cache: "x"}, "data.footage.side is 2"},
		"rate":        {FootageConfig{Paths: []string{example()}, Side: 16, FPS: -1, Cache: "x"}, "data.footage.fps is -1"},
		"no manifest": {FootageConfig{Paths: []string{example()}, Side: 16, Cache: "x", RedistributableOnly: true}, "data.footage.manifest"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := OpenFootage(t.Context(), test.config, nil)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestDecodingStopsWhenItIsToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := OpenFootage(ctx, FootageConfig{Paths: []string{example()}, Side: 16, Cache: t.TempDir()}, nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestFilesWithNewContentAreDecodedAgain(t *testing.T) {
	folder := t.TempDir()
	data, err := os.ReadFile(example())
	require.NoError(t, err)
	path := filepath.Join(folder, "clip.mp4")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	config := FootageConfig{Paths: []string{path}, Side: 16, FPS: 8, Cache: t.TempDir()}
	footageOf(t, config)
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
	_, told := footageOf(t, config)
	require.False(t, told[0].Cached)
}

func FuzzParseManifest(f *testing.F) {
	f.Add("file,split,redistributable\na.mp4,train,yes\n")
	f.Add("split\nx\n")
	f.Add("file,family\n\"a\nb\",c\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseManifest(strings.NewReader(text))
		if err != nil {
			require.Nil(t, m)
			return
		}
		for name, rows := range m.credits {
			require.NotEmpty(t, rows, name)
		}
	})
}
