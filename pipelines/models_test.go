package pipelines

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// smallConfig is a vision transformer that computes in no time.
func smallConfig() model.Config {
	c := model.Default()
	c.CropSize, c.PatchSize, c.FramesPerClip = 32, 16, 64
	c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads = 24, 2, 2
	c.PredHiddenSize, c.PredNumHiddenLayers, c.PredNumAttentionHeads, c.PredNumMaskTokens = 12, 1, 2, 2
	return c
}

// writeModel makes a model of random weights in a new directory.
func writeModel(t *testing.T, config model.Config, withPredictor bool) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	ps := nn.NewParameters(1)
	encoder.NewVisionTransformer(ps, config)
	all := model.Named("encoder.", ps.All())
	if withPredictor {
		ps = nn.NewParameters(2)
		predictor.NewMaskedTransformer(ps, config)
		all = append(all, model.Named("predictor.", ps.All())...)
	}
	require.NoError(t, model.Write(dir, config, all...))
	return dir
}

func TestEveryModelRule(t *testing.T) {
	whole, blind := writeModel(t, smallConfig(), true), writeModel(t, smallConfig(), false)
	damaged := writeModel(t, smallConfig(), true)
	require.NoError(t, os.Truncate(filepath.Join(damaged, "model.safetensors"), 1000))
	recurrent := writeRecurrent(t)

	type change func(*Definition)
	from := func(dir string, more ...change) []change {
		return append([]change{func(d *Definition) { d.Encoder.Model = dir }}, more...)
	}
	tests := []struct {
		code stream.Code
		path string
		says string
		good []change
		bad  []change
	}{
		{
			"definition.model_missing", "encoder.model", "there is no model in ./nothing", from(whole), from("./nothing"),
		},
		{
			"definition.model_broken", "encoder.model", "reading weights " + filepath.Join(damaged, "model.safetensors"), from(whole), from(damaged),
		},
		{
			"definition.model_unfit", "encoder.attention", "a model of the family ensue_recurrent has none",
			from(whole, func(d *Definition) { d.Encoder.Attention = model.Tubelet }),
			from(recurrent, func(d *Definition) { d.Encoder.Attention = model.Tubelet }),
		},
		{
			"definition.model_unfit", "encoder.precision", "bf16: a model of the family ensue_recurrent computes in f32",
			from(whole, func(d *Definition) { d.Encoder.Precision = "bf16" }),
			from(recurrent, func(d *Definition) { d.Encoder.Precision = "bf16" }),
		},
		{
			"definition.no_learned_predictor", "predictor.model", "the encoder pixels comes without a predictor",
			from(whole, func(d *Definition) { d.Predictor.Model = predictor.Learned }),
			[]change{func(d *Definition) { d.Predictor.Model = predictor.Learned }},
		},
		{
			"definition.no_learned_predictor", "predictor.model", "comes without a predictor", from(blind),
			from(blind, func(d *Definition) { d.Predictor.Model = predictor.Learned }),
		},
		{
			"definition.model_no_effect", "encoder.attention", "is for learned models, and pixels is none",
			from(whole, func(d *Definition) { d.Encoder.Attention = model.Tubelet }),
			[]change{func(d *Definition) { d.Encoder.Attention = model.Tubelet }},
		},
		{
			"definition.model_no_effect", "encoder.threads", "is for learned models, and pixels is none",
			from(whole, func(d *Definition) { d.Encoder.Threads = 2 }),
			[]change{func(d *Definition) { d.Encoder.Threads = 2 }},
		},
		{
			"definition.clip_long", "predictor.context", "65 frames at 8 a second; the model was trained with 64",
			from(whole, func(d *Definition) { d.Predictor.Context = 6 * time.Second }),
			from(whole, func(d *Definition) { d.Predictor.Context = 6*time.Second + time.Second/8 }),
		},
		{
			"definition.step_long", "predictor.horizons[0]", "a window of 249ms has 2 frames at 8 a second; a step of the model takes 2",
			from(whole, func(d *Definition) { d.Predictor.Horizons[0] = 250 * time.Millisecond }),
			from(whole, func(d *Definition) { d.Predictor.Horizons[0] = 249 * time.Millisecond }),
		},
	}
	covered := map[stream.Code]bool{}
	for _, test := range tests {
		covered[test.code] = true
		t.Run(string(test.code)+" "+test.path, func(t *testing.T) {
			good, bad := parsed(t, minimal), parsed(t, minimal)
			for _, c := range test.good {
				c(good)
			}
			require.NotContains(t, findingCodes(Review(good), SeverityError, SeverityWarning, SeverityNote), test.code)
			for _, c := range test.bad {
				c(bad)
			}
			found := 0
			for _, f := range Review(bad) {
				if f.Code == test.code {
					found++
					require.Equal(t, test.path, f.Path)
					require.Contains(t, f.Message, test.says)
					require.NotEmpty(t, f.Hint)
				}
			}
			require.Equal(t, 1, found)
		})
	}
	for _, r := range modelRules() {
		require.True(t, covered[r.code], "no test for the rule %s", r.code)
	}
}

// besideModel writes a definition beside a model.
func besideModel(t *testing.T, encoder string) (path string) {
	t.Helper()
	path = filepath.Join(filepath.Dir(writeModel(t, smallConfig(), true)), "lobby.yaml")
	text := minimal + "encoder: " + encoder + "\npredictor: {context: 2s}\n"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestAModelsPathIsRelativeToTheDefinitionsFile(t *testing.T) {
	def, findings := Load(besideModel(t, "{model: ./model}"), noEnv)
	require.Empty(t, findingCodes(findings, SeverityError, SeverityWarning))
	dir, ok := def.ModelDirectory()
	require.True(t, ok)
	require.True(t, filepath.IsAbs(dir))
	_, findings = Load(besideModel(t, "{model: ./models}"), noEnv)
	missing := findings[len(findings)-1]
	require.Equal(t, stream.Code("definition.model_missing"), missing.Code)
	require.Equal(t, 5, missing.Line)
	require.Contains(t, missing.Hint, "relative paths are relative to the definition's file")
	_, findings = Load(besideModel(t, "{model: model}"), noEnv)
	require.Equal(t, stream.Code("definition.not_an_option"), findings[len(findings)-1].Code)
	require.Equal(t, `write builtin or pixels or patches, or a path with a slash in it: ./model`, findings[len(findings)-1].Hint)

	t.Chdir(filepath.Dir(writeModel(t, smallConfig(), true)))
	def, _ = Parse("-", []byte(minimal+"encoder: {model: ./model}\n"), noEnv)
	dir, _ = def.ModelDirectory()
	require.Equal(t, "./model", dir, "what comes from the standard input is nowhere")
}

func TestExplainAndCheckTellTheModel(t *testing.T) {
	path := besideModel(t, "{model: ./model, attention: block_causal, threads: 1}")
	def, findings := Load(path, noEnv)
	require.Empty(t, findingCodes(findings, SeverityError, SeverityWarning))
	m, err := model.Open(filepath.Join(filepath.Dir(path), "model"))
	require.NoError(t, err)
	defer m.Close()
	e := explain(def, 2)
	encoding := e.Stages[2].Does
	require.Contains(t, encoding, `turns frames of 32x32 with "vjepa2" into 2x2 tokens of 24 numbers, a step every 2 frames, by the model `+
		m.Where())
	require.Contains(t, encoding, m.Digest())
	require.Contains(t, encoding, "a step sees itself and the 31 before it, and after a restart 62 steps more are read again")
	require.Contains(t, e.Stages[3].Does, `with "learned" from 2s of past`)
	require.Contains(t, e.Memory.Formula, "tokens in queues + weights + computing")
	enc, pred := m.Config().Parameters()
	require.Equal(t, int64(4*(enc+pred)), e.Memory.Terms[3].Bytes)
	// 25 steps of past, the keys and values of 2 layers of 32 steps, two frames, the calibration.
	require.Equal(t, int64(25*4*24*4+2*2*32*4*24*4+2*32*32*3+8*600), e.Memory.PerStream.Bytes)

	checks := checkModel(def)
	require.Len(t, checks, 3)
	for _, check := range checks {
		require.True(t, check.OK, check.Detail)
	}
	require.Contains(t, checks[0].Detail, m.Digest())
	require.Contains(t, checks[0].Detail, "weights ")
	require.Equal(t, "predictor vjepa2", checks[1].Name)
	def.Encoder.Model = "./nothing"
	checks = checkModel(def)
	require.False(t, checks[0].OK)
	require.Contains(t, checks[0].Detail, "there is no config.json")
}

func TestTheModelsPartsAreFreedWhateverFails(t *testing.T) {
	for name, change := range map[string]func(*Definition){
		"no model":     func(d *Definition) { d.Encoder.Model = "./nothing" },
		"unfit":        func(d *Definition) { d.Encoder.Attention = "causal" },
		"no predictor": func(d *Definition) { d.Predictor.Model = "flo" },
		"no scorer":    func(d *Definition) { d.Predictor.Horizons = []time.Duration{2, 1} },
	} {
		t.Run(name, func(t *testing.T) {
			def := parsed(t, minimal)
			def.Encoder.Model = writeModel(t, smallConfig(), true)
			change(def)
			_, err := New(def) // a device that stays open is a goroutine that stays, which TestMain tells
			require.Error(t, err)
		})
	}
}

// Invariant 7, for every attention: the same results whatever the concurrency.
func TestALearnedModelsResultsAreTheSameWhateverTheConcurrency(t *testing.T) {
	dir := writeModel(t, smallConfig(), true)
	models := map[string]encoder.Config{}
	for _, attention := range model.Attentions() {
		models[attention] = encoder.Config{Model: dir, Attention: attention}
	}
	seen := map[string]bool{}
	for name, config := range models {
		t.Run(name, func(t *testing.T) {
			learned := func(workers int) *Definition {
				def := stockReplay(t, sample("shelf"), sample("yard"))
				def.Encoder, def.Decode.Workers = config, workers
				return def
			}
			want := byID(t, runs(t, learned(1)).results)
			require.NotEmpty(t, want)
			require.Equal(t, want, byID(t, runs(t, learned(3)).results))
			scored := 0
			for _, result := range want {
				seen[result.Model] = true
				if result.Energy != nil {
					scored++
				}
			}
			require.Greater(t, scored, len(want)/2)
		})
	}
	require.Len(t, seen, len(models), "a model is named by its attention, too")
}

func TestExplainCountsWhatARecurrentModelRemembers(t *testing.T) {
	def := parsed(t, minimal)
	def.Encoder.Model = writeRecurrent(t)
	require.Empty(t, findingCodes(Review(def), SeverityError, SeverityWarning))
	e := explain(def, 2)
	require.Contains(t, e.Stages[2].Does, `turns frames of 64x64 with "ensue_recurrent" into 8x8 tokens of 48 numbers`)
	// 49 steps of past: their tokens and the memory after each, and a newer memory; the calibration.
	require.Equal(t, int64(49*64*48*4+50*64*96*4+8*600), e.Memory.PerStream.Bytes)
}
