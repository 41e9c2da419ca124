package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/nn"
)

// opened opens a safetensors file for the length of the test.
func opened(t *testing.T, path string) *nn.Safetensors {
	t.Helper()
	file, err := nn.OpenSafetensors(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	return file
}

// framesOf writes a tensor of a fixture as transformers' processor names it, and returns the file.
func framesOf(t *testing.T, cases *nn.Safetensors, name string) string {
	t.Helper()
	frames, err := cases.Float32(name)
	require.NoError(t, err)
	return framesFile(t, frames)
}

func framesFile(t *testing.T, frames *tensor.Dense) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "frames.safetensors")
	var file nn.TensorFile
	file.Put("pixel_values_videos", frames)
	require.NoError(t, file.Write(path))
	return path
}

// requireNear compares a tensor of a file with one of a fixture; shapes may differ in how tokens are counted.
func requireNear(t *testing.T, want *nn.Safetensors, wantName string, got *nn.Safetensors, gotName string, within float64) {
	t.Helper()
	w, err := want.Float32(wantName)
	require.NoError(t, err)
	g, err := got.Float32(gotName)
	require.NoError(t, err)
	require.Equal(t, w.Shape().TotalSize(), g.Shape().TotalSize(), "%s %v, %s %v", wantName, w.Shape(), gotName, g.Shape())
	require.InDeltaSlice(t, w.Float32s(), g.Float32s(), within)
}

// TestEncodedFramesAreTransformers gives ready frames to the program and compares with what transformers makes of them.
func TestEncodedFramesAreTransformers(t *testing.T) {
	const exact, half = 1e-4, 0.1 // bfloat16 has 8 bits
	tests := []struct {
		model, frames, want, array string
		args                       []string
		within                     float64
	}{
		{"vjepa2_tiny", "a", "a.last_hidden_state", "tokens", nil, exact},
		{"vjepa2_tiny", "e10", "e10.last_hidden_state", "tokens", nil, exact},
		{"vjepa2_tiny", "f32x48", "f32x48.last_hidden_state", "tokens", nil, exact},
		{"vjepa2_tiny", "a", "d.predicted", "expected", []string{"--context-frames", "4"}, exact},
		{"vjepa2_tiny", "a", "d.target_normed", "target", []string{"--context-frames", "4"}, exact},
		{"vjepa2_tiny", "a", "d.energy_per_token", "energy", []string{"--context-frames", "4"}, exact},
		{"vjepa2_tiny", "a", "a.last_hidden_state", "tokens", []string{"--context-frames", "4"}, exact},
		{"vjepa2_rest", "a", "a.last_hidden_state", "tokens", nil, exact},
		{"vjepa2_rest", "a", "d.predicted", "expected", []string{"--context-frames", "2"}, exact},
		{"vjepa2_rest", "a", "d.energy_per_token", "energy", []string{"--context-frames", "2"}, exact},
		{"vjepa2_tiny", "a", "a.last_hidden_state", "tokens", []string{"--precision", "bf16"}, half},
		{"vjepa2_tiny", "a", "d.predicted", "expected", []string{"--context-frames", "4", "--precision", "bf16"}, half},
		{"vjepa2_tiny", "a", "d.energy_per_token", "energy", []string{"--context-frames", "4", "--precision", "bf16"}, half / 10},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.model, " ", test.want, " ", test.args), func(t *testing.T) {
			model := fixture.Shared(t, "fixtures", test.model)
			cases := opened(t, filepath.Join(model, "cases.safetensors"))
			out := filepath.Join(t.TempDir(), "out.safetensors")
			args := []string{"encode", "--frames", framesOf(t, cases, test.frames+".pixel_values_videos"), "--model", model, "--out", out}
			program := start(t, append(args, test.args...)...)
			require.Zero(t, program.end(t), program.err.String())
			requireNear(t, cases, test.want, opened(t, out), test.array, test.within)
		})
	}
}

// lossless makes a video whose pictures are known exactly: RGB, a key frame at every frame.
func lossless(t *testing.T, name, size string, seconds float64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	source := fmt.Sprintf("testsrc2=size=%s:rate=8:duration=%v", size, seconds)
	said, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "lavfi", "-i", source,
		"-c:v", "ffv1", "-pix_fmt", "gbrp", path).CombinedOutput()
	if err != nil {
		t.Skipf("needs the ffmpeg command: %v %s", err, said)
	}
	return path
}

func TestEncodeCutsVideosIntoClips(t *testing.T) {
	model := fixture.Shared(t, "fixtures", "vjepa2_tiny") // 8 frames a clip, 2 a tubelet, 32 by 32 pixels, patches of 8
	a, b := lossless(t, "a.mkv", "96x64", 4), lossless(t, "b.mkv", "64x64", 1.5)
	out := filepath.Join(t.TempDir(), "out.safetensors")
	said, got := envelopeOf(t, "encode", a, b, "--model", model, "--context-frames", "4", "--out", out)
	require.Zero(t, got.code, got.err)
	file := opened(t, out)
	data := said.Data.(map[string]any)
	require.EqualValues(t, 4+2, data["clips"], "4 whole ones, and 12 frames make 2 that overlap")
	require.EqualValues(t, 6*8, data["frames"])
	require.Len(t, data["files"], 2)
	for name, shape := range map[string][]int{
		"tokens": {6, 4, 4, 4, 48}, "expected": {6, 2, 4, 4, 48}, "target": {6, 2, 4, 4, 48}, "energy": {6, 2, 4, 4},
		"span": {6, 4, 2}, "file": {6},
	} {
		info, ok := file.Info(name)
		require.True(t, ok, name)
		require.Equal(t, shape, info.Shape, name)
	}
	spans, err := file.Float64("span")
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1}, spans.Float64s()[:8], 1e-9)
	require.InDeltaSlice(t, []float64{0.5, 0.75, 0.75, 1, 1, 1.25, 1.25, 1.5}, spans.Float64s()[5*8:], 1e-9)
	files, err := file.Float32("file")
	require.NoError(t, err)
	require.Equal(t, []float32{0, 0, 0, 0, 1, 1}, files.Float32s())
	require.JSONEq(t, fmt.Sprintf("[%q, %q]", a, b), file.Metadata["files"])
	require.Equal(t, "full", file.Metadata["attention"])
}

func TestEncodeWritesAFileForEachVideo(t *testing.T) {
	folder := t.TempDir()
	got := ensue(t, "encode", lossless(t, "a.mkv", "96x64", 2), lossless(t, "b.mkv", "96x64", 1), "--out", filepath.Join(folder, "{name}.npy"))
	require.Zero(t, got.code, got.err)
	for name, shape := range map[string]string{"a.npy": "(1, 16, 8, 8, 14,)", "b.npy": "(1, 8, 8, 8, 14,)"} {
		data, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		require.Contains(t, string(data[:128]), shape)
	}
	require.Contains(t, got.out, "tokens [1 16 8 8 14]")
}

// TestBuiltInTokensAreExpectedToStay: what pixels expects is the last it saw of the context.
func TestBuiltInTokensAreExpectedToStay(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.safetensors")
	got := ensue(t, "encode", samples()[0], "--clip-frames", "12", "--context-frames", "8", "--out", out)
	require.Zero(t, got.code, got.err)
	file := opened(t, out)
	array := func(name string) []float32 {
		values, err := file.Float32(name)
		require.NoError(t, err)
		return values.Float32s()
	}
	const step = 8 * 8 * 14
	tokens, expected, target, energy := array("tokens"), array("expected"), array("target"), array("energy")
	for i := range 4 {
		require.Equal(t, tokens[7*step:8*step], expected[i*step:(i+1)*step])
	}
	require.Equal(t, tokens[8*step:12*step], target[:4*step])
	sum := float32(0)
	for i := range 14 {
		sum += max(target[i]-expected[i], expected[i]-target[i])
	}
	require.InDelta(t, sum/14, energy[0], 1e-6)
}

func TestEncodeTellsWhatIsWrong(t *testing.T) {
	model := fixture.Shared(t, "fixtures", "vjepa2_tiny")
	grey := framesFile(t, tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 8, 1, 32, 32)))
	short := framesFile(t, tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(8, 32, 32)))
	ready := framesFile(t, tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 8, 3, 32, 32)))
	video, brief := lossless(t, "a.mkv", "96x64", 2), lossless(t, "b.mkv", "96x64", 0.5)
	rubbish := write(t, "rubbish.mp4", "this is no video")
	folder := t.TempDir()
	out := filepath.Join(folder, "out.safetensors")
	tests := []struct {
		name string
		args []string
		code string
		says string
	}{
		{"no file", []string{"--out", out}, "encode.no_files", "nothing to encode"},
		{"no such file", []string{"nowhere-*.mp4", "--out", out}, "ingest.no_match", "nowhere-*.mp4"},
		{"files and frames", []string{video, "--frames", ready, "--out", out}, "flags.value", "--frames and video files"},
		{"no output", []string{video}, "flags.value", "--out is missing"},
		{"an unknown kind", []string{video, "--out", "x.csv"}, "flags.value", ".npy, .npz, .parquet, .safetensors"},
		{"no folder", []string{video, "--out", filepath.Join(folder, "no", "x.npz")}, "flags.value", "there is no folder"},
		{"an unknown precision", []string{video, "--out", out, "--precision", "f16"}, "flags.value", `--precision "f16"`},
		{"an unknown attention", []string{video, "--out", out, "--model", model, "--attention", "some"}, "encode.model", `"some"`},
		{
			"an unknown model",
			[]string{video, "--out", out, "--model", "vitl"},
			"encode.model",
			`"vitl" is neither a directory nor one of builtin`,
		},
		{"no model", []string{video, "--out", out, "--model", folder}, "encode.model", "config.json"},
		{"too fast", []string{video, "--out", out, "--fps", "0"}, "flags.value", "--fps is 0"},
		{
			"channels",
			[]string{"--frames", grey, "--model", model, "--out", out},
			"encode.frames",
			"expected C = 3 channels (in_chans), found 1 in [8 1 32 32]",
		},
		{
			"axes",
			[]string{"--frames", short, "--model", model, "--out", out},
			"encode.frames",
			"tensor pixel_values_videos: expected shape [B, T, C, H, W], found [8 32 32]",
		},
		{"frames for pixels", []string{"--frames", ready, "--out", out}, "encode.frames", "pixels does not take"},
		{
			"a context of half a tubelet",
			[]string{video, "--model", model, "--out", out, "--context-frames", "3"},
			"encode.context",
			"3 frames of context: a step of this model is 2 frames",
		},
		{
			"a context as long as a clip",
			[]string{video, "--model", model, "--out", out, "--context-frames", "8"},
			"encode.context",
			"8 frames of context: the clip has 8",
		},
		{
			"a context as long as the frames",
			[]string{"--frames", ready, "--model", model, "--out", out, "--context-frames", "8"},
			"encode.context", "8 frames of context: the clip has 8",
		},
		{
			"clips of several lengths",
			[]string{video, brief, "--model", model, "--out", out},
			"encode.shape",
			"b.mkv: expected shape [4 2] as of the clips before it, found [2 2]",
		},
		{"rubbish", []string{rubbish, "--out", out}, "encode.nothing_encoded", "none of 1 files could be encoded"},
		{
			"nothing long enough",
			[]string{brief, "--model", model, "--out", out, "--context-frames", "6"},
			"encode.nothing_encoded",
			"none of 1 files",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			said, got := envelopeOf(t, append([]string{"encode"}, test.args...)...)
			require.Equal(t, exitInput, got.code, got.out)
			require.Equal(t, test.code, said.Error.Code, said.Error.Message)
			require.Contains(t, said.Error.Message, test.says)
			left, err := os.ReadDir(folder)
			require.NoError(t, err)
			require.Empty(t, left, "nothing is left behind")
		})
	}
}

func TestWhatCannotBeEncodedIsToldAndOthersGoOn(t *testing.T) {
	rubbish := write(t, "rubbish.mp4", "this is no video")
	out := filepath.Join(t.TempDir(), "out.parquet")
	said, got := envelopeOf(t, "encode", rubbish, lossless(t, "a.mkv", "96x64", 2), "--out", out)
	require.Zero(t, got.code, got.err)
	data := said.Data.(map[string]any)
	refused := data["refused"].([]any)[0].(map[string]any)
	require.Equal(t, rubbish, refused["file"])
	require.Equal(t, "decode.not_video", refused["code"])
	require.EqualValues(t, 16*64, data["written"].([]any)[0].(map[string]any)["rows"])
}

func TestAnInterruptedEncodeLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"out.npz", "out.parquet"} {
		var out, err bytes.Buffer
		args := []string{"encode", samples()[0], "--out", filepath.Join(folder, name)}
		code := run(ctx, args, newApp(strings.NewReader(""), &out, &err, os.LookupEnv))
		require.Equal(t, exitRuntime, code)
		require.Contains(t, err.String(), "[encode.interrupted]")
	}
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)
}
