package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
)

// replayed is the energy of every window of a replay that has 2 s of context, by when it starts.
func replayed(t *testing.T, video, model string) map[string]float64 {
	t.Helper()
	path := filepath.Join(t.TempDir(), "results.jsonl")
	got := ensue(t, "replay", video, "--model", model, "--results", path)
	require.Zero(t, got.code, got.err)
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	energies := map[string]float64{}
	for _, result := range results(t, bufio.NewScanner(file)) {
		for _, window := range result.Windows {
			if window.Start > 1.99 {
				energies[at(window.Start)] = window.Energy
			}
		}
	}
	return energies
}

// at is a time as a key.
func at(seconds float64) string { return fmt.Sprintf("%.2f", seconds) }

// TestReplaysEnergiesAreThoseOfEncode computes the same windows twice: of a stream as it comes, and of clips of 2 s of context and 1 s of
// what came next.
func TestReplaysEnergiesAreThoseOfEncode(t *testing.T) {
	for _, model := range []string{"vjepa2_tiny", "vjepa2_rest"} {
		t.Run(model, func(t *testing.T) {
			model := fixture.Shared(t, "fixtures", model)
			video := lossless(t, "clip.mkv", "96x64", 12)
			streamed := replayed(t, video, model)
			require.Len(t, streamed, 10)
			out := filepath.Join(t.TempDir(), "out.safetensors")
			got := ensue(t, "encode", video, "--model", model, "--clip-frames", "24", "--context-frames", "16", "--out", out)
			require.Zero(t, got.code, got.err)
			file := opened(t, out)
			energy, err := file.Float32("energy")
			require.NoError(t, err)
			span, err := file.Float64("span")
			require.NoError(t, err)
			clips := energy.Shape()[0]
			require.Equal(t, 4, clips)
			window := energy.Shape().TotalSize() / clips
			for clip := range clips {
				mean := 0.0
				for _, e := range energy.Float32s()[clip*window : (clip+1)*window] {
					mean += float64(e) / float64(window)
				}
				starts := at(span.Float64s()[clip*24+16])
				require.InDelta(t, mean, streamed[starts], 1e-5, starts)
			}
		})
	}
}

// TestReplaysEnergiesAreTransformers computes the energies of a video's windows by transformers, from a model that it has saved itself, and
// by the program from the same directory and the same file.
func TestReplaysEnergiesAreTransformers(t *testing.T) {
	python := fixture.Python(t, "torch", "torchvision", "transformers", "numpy")
	for _, tool := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs the %s command", tool)
		}
	}
	model := filepath.Join(t.TempDir(), "model")
	folder := t.TempDir()
	tests := []struct {
		name   string
		args   []string
		within float64 // of the energy
	}{
		// RGB without loss is decoded to the same bytes by everybody: what differs is only how sums are rounded.
		{"rgb.mp4", []string{"-vf", "fps=8,format=gbrp", "-c:v", "libx264rgb", "-qp", "0", "-g", "16", "-t", "8"}, 1e-4},
		// The planes of other video are resized before their colours are converted here, and after it there: grey levels.
		{"yuv.mp4", []string{"-vf", "fps=8", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "20", "-g", "16", "-t", "8"}, 1e-2},
	}
	var videos []string
	for _, test := range tests {
		videos = append(videos, filepath.Join(folder, test.name))
		args := append([]string{"-v", "error", "-i", samples()[0]}, append(test.args, filepath.Join(folder, test.name))...)
		said, err := exec.CommandContext(t.Context(), "ffmpeg", args...).CombinedOutput()
		require.NoError(t, err, string(said))
	}
	want := windowsOf(t, python, videos, model)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := replayed(t, videos[i], model)
			require.Len(t, want[videos[i]], 6)
			for start, energy := range want[videos[i]] {
				require.Contains(t, got, start)
				require.InEpsilon(t, energy, got[start], test.within, "the window at %s s", start)
			}
		})
	}
}

// windowsOf makes a model and says which energies transformers finds in videos, by when a window starts.
func windowsOf(t *testing.T, python string, videos []string, model string) map[string]map[string]float64 {
	t.Helper()
	args := append([]string{fixture.Repository("examples", "transformers", "energies.py"), "--new", "--model", model}, videos...)
	command := exec.CommandContext(t.Context(), python, args...)
	var errs strings.Builder
	command.Stderr = &errs
	out, err := command.Output()
	require.NoError(t, err, errs.String())
	energies := map[string]map[string]float64{}
	for line := range strings.Lines(string(out)) {
		var window struct {
			Video         string
			Start, Energy float64
		}
		require.NoError(t, json.Unmarshal([]byte(line), &window))
		if energies[window.Video] == nil {
			energies[window.Video] = map[string]float64{}
		}
		energies[window.Video][at(window.Start)] = window.Energy
	}
	return energies
}
