package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/model"
)

// tinyTraining is a definition that trains for a second on generated video.
const tinyTraining = `
version: 1
name: tiny
model: {recurrent: {side: 32, widths: [8, 8, 12], dim: 12, hidden: 12, ahead: [1, 2], first: 1}}
data: {batch: 4, frames: 8, sprites: {weight: 1}}
objective: {spread: {rows: 256}}
optimiser: {warmup: 2}
budget: {steps: 8}
telemetry: {every: 4, rows: 128}
`

func TestTrainLeavesAModelAndSaysHowItWent(t *testing.T) {
	definition, output := write(t, "train.yaml", tinyTraining), filepath.Join(t.TempDir(), "out")
	got := ensue(t, "train", "--definition", definition, "--output", output, "--threads", "1")
	require.Zero(t, got.code, got.err)
	require.Contains(t, got.out, "8 steps")
	require.Contains(t, got.out, "0.25 s ahead: prediction ")
	m, err := model.Open(filepath.Join(output, "model"))
	require.NoError(t, err)
	require.NoError(t, m.Close())

	got = ensue(t, "train", "--definition", definition, "--output", output)
	require.Equal(t, exitInput, got.code)
	require.Contains(t, got.err, "[train.exists]")
	require.Contains(t, got.err, "hint: --resume")

	// The definition that is left beside the model goes on with it.
	said, got := envelopeOf(t, "train", "--definition", filepath.Join(output, "train.yaml"), "--resume", "--steps", "12", "--threads", "1")
	require.Zero(t, got.code, got.err)
	text, err := json.Marshal(said.Data)
	require.NoError(t, err)
	var data trainData
	require.NoError(t, json.Unmarshal(text, &data))
	require.Equal(t, 12, data.Steps)
	require.Equal(t, output, data.Output)
	require.NotNil(t, data.Last)
	require.Nil(t, data.Collapse)
}

func TestTrainTellsWhatIsWrong(t *testing.T) {
	good := write(t, "good.yaml", tinyTraining)
	for name, test := range map[string]struct {
		args []string
		code string
		want string
	}{
		"no such definition": {[]string{"--definition", "/nowhere.yaml"}, "train.definition", "/nowhere.yaml"},
		"unknown key":        {[]string{"--definition", write(t, "bad.yaml", "data: {bach: 3}\n")}, "train.definition", "did you mean batch?"},
		"wrong settings": {
			[]string{"--definition", write(t, "worse.yaml", tinyTraining+"seed: 1\noutput: \"\"\n")}, "train.config", "output is empty",
		},
		"nothing to learn": {[]string{"--output", t.TempDir()}, "train.config", "there is nothing to learn from"},
		"no such footage": {
			[]string{"--definition", good, "--output", t.TempDir(), "/nowhere/*.mp4"}, "train.footage", `"/nowhere/*.mp4" matches no file`,
		},
		"nothing to resume": {[]string{"--definition", good, "--output", t.TempDir(), "--resume"}, "train.no_checkpoint", "no checkpoint"},
		"licence unknown": {
			[]string{"--definition", good, "--output", t.TempDir(), "--redistributable-only", samples()[0]}, "train.config", "data.footage.manifest",
		},
	} {
		t.Run(name, func(t *testing.T) {
			said, got := envelopeOf(t, append([]string{"train"}, test.args...)...)
			require.Equal(t, exitInput, got.code)
			require.Equal(t, test.code, said.Error.Code)
			require.Contains(t, said.Error.Message, test.want)
		})
	}
}

func TestTrainStopsAtACollapse(t *testing.T) {
	definition := write(t, "train.yaml", strings.NewReplacer(
		"spread: {rows: 256}", "target: online, spread: {weight: 0}, scale: {weight: 0}",
		"warmup: 2", "warmup: 2, rate: 0.01", "steps: 8", "steps: 400", "every: 4", "every: 5",
	).Replace(tinyTraining)+"collapse: {after: 10, patience: 2}\n")
	output := filepath.Join(t.TempDir(), "out")
	said, got := envelopeOf(t, "train", "--definition", definition, "--output", output, "--stop-on-collapse", "--threads", "1")
	require.Equal(t, exitRuntime, got.code, got.out)
	require.Equal(t, "train.collapsed", said.Error.Code)
	require.Contains(t, got.err, "THE REPRESENTATION COLLAPSED")
	require.NoDirExists(t, filepath.Join(output, "model"))
	page, err := os.ReadFile(filepath.Join(output, "telemetry.html"))
	require.NoError(t, err)
	require.Contains(t, string(page), "collapsed at step")
}
