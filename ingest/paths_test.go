package ingest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// tree makes files (and folders, where a name ends in a slash) in a new folder.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		path := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			require.NoError(t, os.MkdirAll(path, 0o755))
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(name), 0o644))
	}
	return root
}

func TestExpandPaths(t *testing.T) {
	root := tree(t, "b.mp4", "a.mkv", "A.ts", "sub/c.mp4", "odd[1].mp4", "empty/",
		"notes.txt", "half.mp4.part", ".hidden.mp4", "draft.mp4~")
	require.NoError(t, syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600))
	tests := map[string]struct {
		paths, want []string
	}{
		"a folder, sorted, without the folders in it": {[]string{""}, []string{"A.ts", "a.mkv", "b.mp4", "odd[1].mp4", "pipe"}},
		"files in the order given, whatever they are": {[]string{"notes.txt", ".hidden.mp4"}, []string{"notes.txt", ".hidden.mp4"}},
		"a pattern":                                        {[]string{"*.m*4"}, []string{"b.mp4", "odd[1].mp4"}},
		"a pattern that matches a folder":                  {[]string{"su?"}, []string{"sub/c.mp4"}},
		"each file once, however it is written":            {[]string{"b.mp4", "*.mp4", "sub/../b.mp4"}, []string{"b.mp4", "odd[1].mp4"}},
		"a file whose name looks like a pattern is a file": {[]string{"odd[1].mp4"}, []string{"odd[1].mp4"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var paths, want []string
			for _, p := range test.paths {
				paths = append(paths, root+"/"+p)
			}
			for _, p := range test.want {
				want = append(want, filepath.Join(root, p))
			}
			got, err := ExpandPaths(paths)
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
	t.Run("what matches nothing is told all at once", func(t *testing.T) {
		_, err := ExpandPaths([]string{
			root + "/missing.mp4", root + "/*.avi", root + "/b.mp4", root + "/empty", root + "/[", root + "/sub/*.nope",
		})
		require.Equal(t, CodeNoMatch, stream.AsFailure(err, "").Code)
		require.True(t, stream.AsFailure(err, "").Permanent)
		for _, part := range []string{
			"missing.mp4\": no such file", "*.avi\": the pattern matches no file", "empty\": the folder holds no",
			"/[\": it is no valid pattern", "*.nope",
		} {
			require.ErrorContains(t, err, part)
		}
		require.NotContains(t, err.Error(), "b.mp4")
	})
}

func TestStreamNames(t *testing.T) {
	tests := map[string]struct{ paths, want []string }{
		"base names":             {[]string{"x/cam.mp4", "/y/lobby.one.mkv"}, []string{"cam", "lobby.one"}},
		"the same name":          {[]string{"flower.mp4", "flower.webm", "z/flower.mp4"}, []string{"flower", "flower-2", "flower-3"}},
		"a number that is taken": {[]string{"a/cam.mp4", "a/cam.webm", "a/cam-2.mp4"}, []string{"cam", "cam-3", "cam-2"}},
		"no extension":           {[]string{"cam", ".h264"}, []string{"cam", ".h264"}},
		"unprintable":            {[]string{"a\nb\xff.mp4"}, []string{"a_b_"}},
		"too long":               {[]string{strings.Repeat("é", 127) + ".mp4"}, []string{strings.Repeat("é", 120)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, StreamNames(test.paths)) })
	}
}

// FuzzStreamNames: whatever the paths, the names are different, and fit to be keys of records.
func FuzzStreamNames(f *testing.F) {
	f.Add("a.mp4\x00a.webm\x00a-2.mp4\x00b")
	f.Add("\x00.\x00..\x00/\x00\xff")
	f.Fuzz(func(t *testing.T, joined string) {
		paths := strings.Split(joined, "\x00")
		if len(paths) > 100 {
			return
		}
		seen := map[string]bool{}
		for _, name := range StreamNames(paths) {
			require.False(t, seen[name], "%q twice", name)
			seen[name] = true
			segment := stream.SegmentFromRecord(stream.Record{Key: []byte(name), Value: []byte("video")})
			require.NoError(t, segment.Problem)
			require.Equal(t, name, segment.Stream)
		}
	})
}
