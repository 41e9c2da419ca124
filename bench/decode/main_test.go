package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
)

func TestMain(m *testing.M) { fixture.Main(m) }

func TestMedianOfRuns(t *testing.T) {
	require.InDelta(t, 2, median([]float64{3, 1, 2}), 0)
	require.InDelta(t, 2.5, median([]float64{4, 1, 2, 3}), 0)
}

func TestFoldersStandForTheirFiles(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "sub"), 0o700))
	file := filepath.Join(folder, "a.mp4")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, path := range []string{folder, file} {
		files, err := expand(path)
		require.NoError(t, err)
		require.Equal(t, []string{file}, files)
	}
	_, err := expand(filepath.Join(folder, "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
