package sink

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/resultfile"
	"github.com/ensue-video/ensue/stream"
)

func TestAFileIsWrittenWhenItsSinkCloses(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "out.parquet")
	s, err := NewFile(path, resultfile.Options{Maps: true})
	require.NoError(t, err)
	want := []*stream.Result{result("lobby", 1), largeResult("lobby", 2, 64)}
	require.NoError(t, s.Write(t.Context(), want[:1]))
	require.NoError(t, s.Write(t.Context(), want[1:]))
	require.NoFileExists(t, path)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.Equal(t, CodeClosed, failureOf(t, s.Write(t.Context(), want)).Code)
	opened, err := resultfile.Open(path)
	require.NoError(t, err)
	var got []*stream.Result
	for result, err := range opened {
		require.NoError(t, err)
		got = append(got, result)
	}
	require.Equal(t, want, got)
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, left, 1)

	_, err = NewFile("out.csv", resultfile.Options{})
	require.Equal(t, CodeBadConfig, failureOf(t, err).Code)
}
