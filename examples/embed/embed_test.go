package embed

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
)

// build compiles one of the programs.
func build(t *testing.T, name string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./"+name).CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	command.Dir = filepath.Dir(program)
	out, err := command.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

func sample(name string) string { return fixture.Repository("examples", "video", name+".mp4") }

func TestAPipelineRunsInTheProcess(t *testing.T) {
	definition := filepath.Join(t.TempDir(), "garden.yaml")
	require.NoError(t, os.WriteFile(definition, []byte("version: 1\nname: garden\ningest:\n  files: {paths: ["+sample("garden")+"]}\n"+
		"predictor:\n  calibrate: {warmup: 8s}\nsink:\n  jsonl: {path: \"-\"}\n  dead_letter: {jsonl: {path: dead.jsonl}}\n"), 0o600))
	out := run(t, build(t, "pipeline"), definition)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Greater(t, len(lines), 10)
	for _, line := range lines {
		require.Regexp(t, `^garden/\d+ (warming_up|continues|breaks|stalls) energy \d\.\d{4}$`, line)
	}
}

func TestWhatContinuesHasALowerEnergyThanWhatDoesNot(t *testing.T) {
	program, folder := build(t, "score"), t.TempDir()
	cut := func(name, from string) string {
		path := filepath.Join(folder, name+from+".mp4")
		if _, err := exec.LookPath("ffmpeg"); err != nil {
			t.Skipf("needs the ffmpeg command: %v", err)
		}
		out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-ss", from, "-t", "3", "-i", sample(name), "-an",
			"-c:v", "libx264", "-preset", "ultrafast", path).CombinedOutput()
		require.NoError(t, err, string(out))
		return path
	}
	energy := func(x, y string) float64 {
		value, err := strconv.ParseFloat(strings.TrimSpace(run(t, program, x, y)), 64)
		require.NoError(t, err)
		return value
	}
	x := cut("garden", "5")
	next, other := energy(x, cut("garden", "8")), energy(x, cut("yard", "8"))
	require.Less(t, next, other)
	require.Positive(t, next)
}
