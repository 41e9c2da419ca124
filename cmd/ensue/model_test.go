package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
)

func tinyModel(t *testing.T) string {
	t.Helper()
	return fixture.Shared(t, "fixtures", "vjepa2_tiny")
}

// informed is what ensue model info says.
func informed(t *testing.T, dir string) modelData {
	t.Helper()
	got := ensue(t, "model", "info", dir, "--json")
	require.Zero(t, got.code, got.err+got.out)
	var said struct{ Data modelData }
	require.NoError(t, json.Unmarshal([]byte(got.out), &said))
	return said.Data
}

func TestModelInfoTellsWhatAModelIs(t *testing.T) {
	dir := tinyModel(t)
	got := ensue(t, "model", "info", dir)
	require.Zero(t, got.code, got.err)
	for _, line := range []string{
		"family          vjepa2", "parameters      103392 of the encoder, 16944 of the predictor", "weights         F32",
		"frames          32x32 pixels, 2 a step", "tokens          4x4 a step, of 48 numbers",
		"encoder         3 layers of 48 numbers, 4 heads, 192 inside", "predictor       2 layers of 24 numbers, 2 heads, 96 inside",
		"attention       full", "memory in bf16  about weights 235 KiB, computing ",
	} {
		require.Contains(t, got.out, line)
	}
	said, _ := envelopeOf(t, "model", "info", dir)
	require.Equal(t, "model info", said.Command)
	data := informed(t, dir)
	m, err := model.Open(dir)
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, m.Digest(), data.Digest)
	require.Equal(t, int64(4*(103392+16944)), data.Memory[0].Weights)
}

func TestModelInfoTellsWhatIsWrong(t *testing.T) {
	broken := t.TempDir()
	text, err := os.ReadFile(filepath.Join(tinyModel(t), "config.json"))
	require.NoError(t, err)
	for name, data := range map[string][]byte{
		"config.json": bytes.Replace(text, []byte(`"hidden_size": 48`), []byte(`"hidden_size": 64`), 1), "model.safetensors": nil,
	} {
		if data == nil {
			data, err = os.ReadFile(filepath.Join(tinyModel(t), name))
			require.NoError(t, err)
		}
		require.NoError(t, os.WriteFile(filepath.Join(broken, name), data, 0o600))
	}
	for dir, says := range map[string]string{
		"./nothing": "there is no config.json: a model is a directory",
		broken: "tensor encoder.embeddings.patch_embeddings.proj.weight: expected shape [64 3 2 8 8] (by config.json), " +
			"found [48 3 2 8 8] [model.invalid]",
	} {
		got := ensue(t, "model", "info", dir)
		require.Equal(t, exitInput, got.code)
		require.Contains(t, got.err, says)
		require.Contains(t, got.err, "hint: a model is a directory with")
	}
}

// classifier is the tiny model as transformers saves a VJEPA2ForVideoClassification.
func classifier(t *testing.T) string {
	t.Helper()
	from, err := nn.OpenSafetensors(filepath.Join(tinyModel(t), "model.safetensors"))
	require.NoError(t, err)
	defer from.Close()
	file := &nn.TensorFile{}
	for _, name := range from.Names() {
		info, _ := from.Info(name)
		file.PutFrom("vjepa2."+name, info.Dtype, info.Shape, func(w io.Writer) error { return from.CopyTo(w, name) })
	}
	file.PutFrom("classifier.bias", "F32", []int{2}, func(w io.Writer) error {
		_, err := w.Write(make([]byte, 8))
		return err
	})
	dir := t.TempDir()
	require.NoError(t, file.Write(filepath.Join(dir, "model.safetensors")))
	text, err := os.ReadFile(filepath.Join(tinyModel(t), "config.json"))
	require.NoError(t, err)
	text = bytes.Replace(text, []byte("{"), []byte(`{"id2label": {"0": "a", "1": "b"},`), 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600))
	return dir
}

func TestModelImportMakesACleanModel(t *testing.T) {
	digest := informed(t, tinyModel(t)).Digest
	dst := filepath.Join(t.TempDir(), "dst")
	said, got := envelopeOf(t, "model", "import", classifier(t), dst)
	require.Zero(t, got.code)
	require.Equal(t, digest, said.Data.(map[string]any)["digest"])
	weights, err := nn.OpenSafetensors(filepath.Join(dst, "model.safetensors"))
	require.NoError(t, err)
	defer weights.Close()
	require.NotContains(t, weights.Names(), "classifier.bias")
	require.Contains(t, weights.Names(), "encoder.layernorm.bias")

	half := filepath.Join(t.TempDir(), "half")
	got = ensue(t, "model", "import", tinyModel(t), half, "--dtype", "bf16", "--attention", "block_causal", "--context-frames", "6")
	require.Zero(t, got.code, got.err)
	require.Contains(t, got.out, "weights         BF16")
	require.Contains(t, got.out, "attention       block_causal, 6 frames")
}

func TestModelExportIsPlain(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "dst")
	got := ensue(t, "model", "export", tinyModel(t), dst, "--shard-bytes", "100000")
	require.Zero(t, got.code, got.err)
	shards, err := filepath.Glob(filepath.Join(dst, "model-*-of-*.safetensors"))
	require.NoError(t, err)
	require.Greater(t, len(shards), 4)
	text, err := os.ReadFile(filepath.Join(dst, "config.json"))
	require.NoError(t, err)
	require.NotContains(t, string(text), "ensue")
	require.Equal(t, informed(t, tinyModel(t)).Digest, informed(t, dst).Digest)
}

func TestTheModelInTheProgramCanBeLookedAtAndWrittenOut(t *testing.T) {
	builtin := informed(t, encoder.Builtin)
	require.NotNil(t, builtin.Energy, "it comes with an energy")
	require.Empty(t, builtin.Energy.Other)
	got := ensue(t, "model", "info", encoder.Builtin)
	require.Zero(t, got.code, got.err)
	require.Regexp(t, "(?m)^energy +"+builtin.Energy.Rule+" of ", got.out)

	dst := filepath.Join(t.TempDir(), "dst")
	require.Zero(t, ensue(t, "model", "export", encoder.Builtin, dst).code)
	written := informed(t, dst)
	require.Equal(t, builtin.Digest, written.Digest)
	require.Equal(t, builtin.Energy, written.Energy)
}

func TestWhatWasLearnedWithAModelComesAlongOnlyWhereTheNumbersStay(t *testing.T) {
	src := filepath.Join(t.TempDir(), "src")
	require.Zero(t, ensue(t, "model", "export", encoder.Builtin, src).code)
	digest := informed(t, src).Digest
	verifier := &nn.TensorFile{Metadata: map[string]string{"model": digest}}
	verifier.PutFrom("a", "F32", []int{1}, func(w io.Writer) error {
		_, err := w.Write([]byte{1, 2, 3, 4})
		return err
	})
	require.NoError(t, verifier.Write(filepath.Join(src, predictor.VerifierFile)))

	same := filepath.Join(t.TempDir(), "same")
	said, got := envelopeOf(t, "model", "import", src, same)
	require.Zero(t, got.code, got.err)
	require.NotContains(t, said.Data, "left_out")
	require.True(t, informed(t, same).Verifier)
	for _, name := range []string{predictor.VerifierFile, predictor.EnergyFile} {
		want, err := nn.OpenSafetensors(filepath.Join(src, name))
		require.NoError(t, err)
		have, err := nn.OpenSafetensors(filepath.Join(same, name))
		require.NoError(t, err)
		require.Equal(t, want.Metadata, have.Metadata)
		require.Equal(t, want.Names(), have.Names())
		for _, tensor := range want.Names() {
			var a, b bytes.Buffer
			require.NoError(t, errors.Join(want.CopyTo(&a, tensor), have.CopyTo(&b, tensor)))
			require.Equal(t, a.Bytes(), b.Bytes(), tensor)
		}
		require.NoError(t, errors.Join(want.Close(), have.Close()))
	}

	narrow := filepath.Join(t.TempDir(), "narrow")
	said, got = envelopeOf(t, "model", "import", src, narrow, "--dtype", "bf16")
	require.Zero(t, got.code, got.err)
	require.Equal(t, []any{predictor.EnergyFile, predictor.VerifierFile}, said.Data.(map[string]any)["left_out"])
	require.NoFileExists(t, filepath.Join(narrow, predictor.VerifierFile))
	require.NoFileExists(t, filepath.Join(narrow, predictor.EnergyFile), "it judges by the model's tokens too")
}

func TestModelsAreNotCopiedWhereThatIsAMistake(t *testing.T) {
	taken := filepath.Join(t.TempDir(), "taken")
	require.Zero(t, ensue(t, "model", "import", tinyModel(t), taken).code)
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"taken":        {[]string{"import", tinyModel(t), taken}, "there is a config.json already; name a new directory"},
		"type":         {[]string{"import", tinyModel(t), "x", "--dtype", "f16"}, `--dtype "f16" is not known [flags.value]`},
		"attention":    {[]string{"import", tinyModel(t), "x", "--attention", "causal"}, "expected one of full, block_causal, tubelet"},
		"shards":       {[]string{"export", tinyModel(t), "x", "--shard-bytes", "-1"}, "--shard-bytes -1 is not a size"},
		"source":       {[]string{"export", "./nothing", "x"}, "there is no config.json"},
		"an argument":  {[]string{"export", tinyModel(t)}, "accepts 2 arg(s)"},
		"a subcommand": {[]string{"improt"}, `unknown command "improt"`},
	} {
		t.Run(name, func(t *testing.T) {
			got := ensue(t, append([]string{"model"}, test.args...)...)
			require.Equal(t, exitInput, got.code)
			require.Contains(t, got.err, test.says)
		})
	}
	require.NoDirExists(t, "x")
}

// withModel says the tiny model and an attention to replay, and to a definition.
func withModel(t *testing.T, attention string) (flags []string, line string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	got := ensue(t, "model", "import", tinyModel(t), dir, "--attention", attention)
	require.Zero(t, got.code, got.err)
	return []string{"--model", dir}, "encoder: {model: " + dir + "}"
}

func TestReplayWithAModelGivesTheSameResultsAgain(t *testing.T) {
	files := samples()[:1]
	m, err := model.Open(tinyModel(t))
	require.NoError(t, err)
	defer m.Close()
	first := replay(t, files, "--model", tinyModel(t))
	require.NotEmpty(t, first)
	names := map[string]bool{}
	for _, result := range first {
		names[result.Model] = true
		require.Regexp(t, `^vjepa2\+vjepa2@sha256:[0-9a-f]{64}$`, result.Model)
	}
	require.Len(t, names, 1)
	requireSame(t, first, replay(t, files, "--model", tinyModel(t)))
	for _, result := range replay(t, files, "--model", tinyModel(t), "--predictor", "linear") {
		require.Regexp(t, `^vjepa2\+linear@`, result.Model)
	}
	for _, result := range replay(t, files, "--model", encoder.DefaultModel) {
		require.Regexp(t, `^pixels\+persistence@`, result.Model)
	}
	flags, _ := withModel(t, model.Tubelet)
	for _, result := range replay(t, files, flags...) {
		require.False(t, names[result.Model], "another attention is another model")
	}
	got := ensue(t, "replay", files[0], "--model", "./nothing")
	require.Equal(t, exitInput, got.code)
	require.Contains(t, got.err, "[encode.bad_model]")
}

// Invariant 7, for learned models: live as replayed, whatever the attention.
func TestPublishedVideoGivesTheResultsOfReplayWithAModel(t *testing.T) {
	for _, attention := range model.Attentions() {
		t.Run(attention, func(t *testing.T) {
			flags, line := withModel(t, attention)
			comparePublishedWithReplayed(t, embedded(t), samples(), flags, line)
		})
	}
}

// Invariants 1 and 3: so they are after crashes, what an encoder remembers is built up again from the segments that are read again.
// With block-causal attention it remembers most.
func TestNothingIsLostWhenRunWithAModelIsKilled(t *testing.T) {
	flags, line := withModel(t, model.BlockCausal)
	killInMidStream(t, embedded(t), flags, line)
}
