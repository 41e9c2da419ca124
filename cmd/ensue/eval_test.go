package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/predictor"
)

// tableOf is the table of an evaluation's envelope.
func tableOf(t *testing.T, args ...string) map[string]any {
	t.Helper()
	said, got := envelopeOf(t, args...)
	require.Zero(t, got.code, got.out)
	text, err := json.Marshal(said.Data)
	require.NoError(t, err)
	var data struct{ Table map[string]any }
	require.NoError(t, json.Unmarshal(text, &data))
	return data.Table
}

func TestEvalVOEComparesTheBaselines(t *testing.T) {
	page := filepath.Join(t.TempDir(), "voe.html")
	table := tableOf(t, "eval", "voe", "--pairs", "1", "--threads", "1", "--plot", page)
	require.Len(t, table["models"], 3)
	require.InDelta(t, 500, table["seed"], 0)
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, word := range []string{"untrained encoder", "pixel linear", "flow", "pass_wall", "<svg", "data:image/png"} {
		require.Contains(t, string(text), word)
	}
}

// TestEvalContinuationLearnsAndJudges runs the whole on the sample streams, with little of everything: what is learned is saved, and
// read again.
func TestEvalContinuationLearnsAndJudges(t *testing.T) {
	folder := t.TempDir()
	table := tableOf(t, "eval", "continuation", "--data", samples()[0], "--fit", samples()[1], "--fit", samples()[2],
		"--windows", "60", "--head-steps", "20", "--threads", "1", "--cache", filepath.Join(folder, "cache"), "--save", folder, "--rule", "head",
		"--plot", filepath.Join(folder, "plot.svg"))
	require.Len(t, table["scores"], 4+3*5) // raw ones; flow, the untrained encoder and both, by every rule and of brief windows
	require.InDelta(t, 12, table["windows"], 0)
	energy, about, err := predictor.OpenEnergy(filepath.Join(folder, "flow.safetensors"))
	require.NoError(t, err)
	require.Equal(t, predictor.RuleHead, energy.Rule)
	require.Equal(t, []string{predictor.SourceFlow}, about.Sources)
	require.NoFileExists(t, filepath.Join(folder, "untrained_encoder.safetensors"), "no pipeline has that source")
	require.FileExists(t, filepath.Join(folder, "plot.svg"))

	alone := tableOf(t, "eval", "continuation", "--data", samples()[0], "--no-baselines", "--threads", "1",
		"--energy", filepath.Join(folder, "flow.safetensors"), "--cache", filepath.Join(folder, "cache"))
	require.Len(t, alone["scores"], 1+3) // of flow: raw; the file's rule, one_class, brief windows
	byName := func(table map[string]any, name string) any {
		for _, score := range table["scores"].([]any) {
			if score := score.(map[string]any); score["name"] == name {
				return score["kinds"]
			}
		}
		return nil
	}
	require.NotNil(t, byName(table, "flow: head"))
	require.Equal(t, byName(table, "flow: head"), byName(alone, "flow.safetensors: head"), "what was saved judges as what was learned")
	require.Equal(t, byName(table, "flow: one_class"), byName(alone, "flow.safetensors: one_class"))
}

func TestEvalRetrievalAsksSecondsAhead(t *testing.T) {
	table := tableOf(t, "eval", "retrieval", "--data", samples()[0], "--threads", "1", "--cache", t.TempDir())
	require.Len(t, table["results"], 4*4)
}

// TestEvalObjectivesKeepsItsRows makes the smallest table there is; asked again, it has it already.
func TestEvalObjectivesKeepsItsRows(t *testing.T) {
	folder := t.TempDir()
	args := []string{
		"eval", "objectives", "--data", samples()[0], "--fit", samples()[1], "--fit", samples()[2], "--quick", "--only", "pixels",
		"--steps", "4", "--windows", "60", "--pairs", "1", "--threads", "1", "--cache", filepath.Join(folder, "cache"),
		"--output", filepath.Join(folder, "rows"), "--plot", filepath.Join(folder, "plot.html"),
	}
	table := tableOf(t, args...)
	require.Len(t, table["rows"], 2)
	require.FileExists(t, filepath.Join(folder, "rows", "pixels", "model", "config.json"))
	require.FileExists(t, filepath.Join(folder, "plot.html"))
	require.Equal(t, table, tableOf(t, args...))
	said, got := envelopeOf(t, append(args, "--seed", "1")...)
	require.Equal(t, exitInput, got.code, got.out)
	require.Equal(t, "eval.other", said.Error.Code)
}

func TestEvalRefusesWhatItCannotJudge(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		code string
		want string
	}{
		"no data":           {[]string{"continuation"}, "flags.value", "--data"},
		"no footage":        {[]string{"continuation", "--data", t.TempDir(), "--cache", t.TempDir()}, "eval.footage", ""},
		"no such model":     {[]string{"voe", "--model", "/nowhere/model"}, "eval.model", "/nowhere/model"},
		"save, no fit":      {[]string{"continuation", "--data", ".", "--save", "x"}, "flags.value", "--fit"},
		"nothing to judge":  {[]string{"continuation", "--data", ".", "--no-baselines"}, "flags.value", "--no-baselines"},
		"no such rule":      {[]string{"continuation", "--data", ".", "--rule", "median"}, "flags.value", "median"},
		"odd plot":          {[]string{"voe", "--plot", "table.pdf"}, "flags.value", ".pdf"},
		"no pairs":          {[]string{"voe", "--pairs", "0"}, "flags.value", "--pairs"},
		"no such objective": {[]string{"objectives", "--data", ".", "--fit", ".", "--only", "magic"}, "flags.value", "magic"},
		"no fit":            {[]string{"objectives", "--data", "."}, "flags.value", "--fit"},
		"odd side":          {[]string{"ped2", "--data", ".", "--normal", ".", "--labels", "l.csv", "--side", "3"}, "flags.value", "--side"},
		"ped2, no label":    {[]string{"ped2", "--data", ".", "--normal", "."}, "flags.value", "--labels"},
		"odd labels":        {[]string{"ped2", "--data", ".", "--normal", ".", "--labels", write(t, "l.csv", "a,b\n")}, "eval.labels", "clip"},
	} {
		t.Run(name, func(t *testing.T) {
			said, got := envelopeOf(t, append([]string{"eval"}, test.args...)...)
			require.Equal(t, exitInput, got.code, got.out)
			require.Equal(t, test.code, said.Error.Code)
			require.Contains(t, said.Error.Message, test.want)
		})
	}
}
