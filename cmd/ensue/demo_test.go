package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheDemoEndsByItselfAndFindsItsCutAndItsFreeze(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "demo")
	got := ensue(t, "demo", "--out", folder, "--speed", "0")
	require.Zero(t, got.code, got.err)
	require.Contains(t, got.out, "cut at 0:28.9: seen")
	require.Contains(t, got.out, "freeze at 0:29.9: seen")
	require.Contains(t, got.out, "dead letters: 1 with the code decode.")
	require.FileExists(t, filepath.Join(folder, "results.jsonl"))
	require.FileExists(t, filepath.Join(folder, "definition.yaml"))
	require.Zero(t, ensue(t, "lint", filepath.Join(folder, "definition.yaml")).code)
}
