package model

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/nn"
)

// parametersOf are the parameters of a model as nn's layers would have them.
func parametersOf(t *testing.T, m *Model) []*nn.Parameter {
	t.Helper()
	config, done := m.Config(), map[string]bool{}
	var all []*nn.Parameter
	for _, tensor := range m.Tensors() {
		name, shape := layerName(tensor, config)
		if done[name] {
			continue
		}
		done[name] = true
		array, err := Layers(m.Source(""), config)(name, shape...)
		require.NoError(t, err)
		all = append(all, nn.NewParameter(name, array))
	}
	return all
}

func TestAWrittenModelIsTheSameModel(t *testing.T) {
	from := opened(t, saved(t, small(), filled(small())))
	dir := filepath.Join(t.TempDir(), "a", "model")
	require.NoError(t, Write(dir, from.Config(), parametersOf(t, from)...))
	to := opened(t, dir)
	require.Equal(t, from.Digest(), to.Digest())
	left, err := filepath.Glob(filepath.Join(dir, "*.part"))
	require.NoError(t, err)
	require.Empty(t, left)

	encoder := slices.DeleteFunc(parametersOf(t, from), func(p *nn.Parameter) bool { return p.Name[0] == 'p' })
	alone := filepath.Join(t.TempDir(), "encoder")
	require.NoError(t, Write(alone, from.Config(), encoder...))
	require.False(t, opened(t, alone).HasPredictor())
}

func TestNamedGivesParametersAPrefix(t *testing.T) {
	p := nn.NewParameter("layernorm.weight", tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{1, 2})))
	named := Named("encoder.", []*nn.Parameter{p})
	require.Equal(t, "encoder.layernorm.weight", named[0].Name)
	require.Equal(t, "layernorm.weight", p.Name)
	require.Same(t, p.Dense(), named[0].Dense())
}

func TestWhatDoesNotFitTheConfigIsNotWritten(t *testing.T) {
	from := opened(t, saved(t, small(), filled(small())))
	all := parametersOf(t, from)
	vector := func(name string, n int) *nn.Parameter {
		return nn.NewParameter(name, tensor.New(tensor.WithShape(n), tensor.WithBacking(make([]float32, n))))
	}
	doubles := nn.NewParameter("encoder.layernorm.bias", tensor.New(tensor.WithShape(12), tensor.WithBacking(make([]float64, 12))))
	bias := slices.IndexFunc(all, func(p *nn.Parameter) bool { return p.Name == "encoder.layernorm.bias" })
	with := func(p *nn.Parameter) []*nn.Parameter {
		return append(slices.Delete(slices.Clone(all), bias, bias+1), p)
	}
	wrong := from.Config()
	wrong.HiddenAct = "relu"
	for name, test := range map[string]struct {
		config     Config
		parameters []*nn.Parameter
		says       string
	}{
		"missing": {from.Config(), all[1:], "tensor encoder.embeddings.patch_embeddings.proj.weight: missing"},
		"unknown": {from.Config(), append(slices.Clone(all), vector("encoder.x", 2)), "tensor encoder.x: the configuration does not know it"},
		"twice":   {from.Config(), append(slices.Clone(all), vector("encoder.layernorm.bias", 12)), "tensor encoder.layernorm.bias: given twice"},
		"shape":   {from.Config(), with(vector("encoder.layernorm.bias", 11)), "expected shape [12] (by the configuration), found [11]"},
		"type":    {from.Config(), with(doubles), "found type float64; float32 is written"},
		"config":  {wrong, all, `hidden_act: "relu": expected gelu`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "model")
			require.ErrorContains(t, Write(dir, test.config, test.parameters...), test.says)
			require.NoDirExists(t, dir)
		})
	}
}

func TestACopyIsInTheTypeAndTheModeAskedFor(t *testing.T) {
	from := opened(t, saved(t, small(), filled(small())))
	half, wide := filepath.Join(t.TempDir(), "half"), filepath.Join(t.TempDir(), "wide")
	require.NoError(t, Copy(from, half, CopyOptions{Dtype: "bf16", Attention: BlockCausal, ContextFrames: 2}))
	m := opened(t, half)
	require.Equal(t, "BF16", m.Dtype())
	require.Equal(t, BlockCausal, m.Config().Ensue.Attention)
	require.Equal(t, 2, m.Config().Ensue.ContextFrames)
	require.Equal(t, values(t, from, "encoder.layernorm.bias"), values(t, m, "encoder.layernorm.bias"), "norms stay as they are")
	const matrix = "encoder.layer.0.mlp.fc1.weight"
	require.Equal(t, nn.FromBFloat16(nn.ToBFloat16(values(t, from, matrix))), values(t, m, matrix))
	require.NoError(t, Copy(m, wide, CopyOptions{Dtype: "f32"}))
	w := opened(t, wide)
	require.Equal(t, "F32", w.Dtype())
	require.Equal(t, values(t, m, matrix), values(t, w, matrix))
	require.Equal(t, "bfloat16", keys(t, half)["dtype"])
	require.Equal(t, "float32", keys(t, wide)["dtype"])
}

func keys(t *testing.T, dir string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, configFile))
	require.NoError(t, err)
	var all map[string]any
	require.NoError(t, json.Unmarshal(data, &all))
	return all
}

func TestAPlainCopyHasOnlyTransformersKeys(t *testing.T) {
	from := opened(t, saved(t, small(), filled(small())))
	plain, causal := filepath.Join(t.TempDir(), "plain"), filepath.Join(t.TempDir(), "causal")
	require.NoError(t, Copy(from, plain, CopyOptions{Plain: true}))
	require.NotContains(t, keys(t, plain), "ensue")
	require.Equal(t, from.Digest(), opened(t, plain).Digest())
	require.NoError(t, Copy(from, causal, CopyOptions{Plain: true, Attention: Tubelet}))
	require.Contains(t, keys(t, causal), "ensue", "without it the model would attend to everything")
}

func TestNoModelIsWrittenOverAnother(t *testing.T) {
	dir := saved(t, small(), filled(small()))
	m := opened(t, dir)
	require.ErrorContains(t, Copy(m, dir, CopyOptions{}), "there is a config.json already")
	require.ErrorContains(t, Copy(m, t.TempDir(), CopyOptions{Attention: "causal"}), "expected one of full, block_causal, tubelet")
	require.ErrorContains(t, Copy(m, t.TempDir(), CopyOptions{ContextFrames: 1}), "ensue.context_frames: 1")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Error(t, Copy(m, file, CopyOptions{}))
}

func TestShardsAreCutWhereTheyBecomeTooLarge(t *testing.T) {
	of := func(sizes ...int) []entry {
		var all []entry
		for i, size := range sizes {
			all = append(all, entry{Tensor{fmt.Sprint(i), []int{size}}, "F16", func(io.Writer) error { return nil }})
		}
		return all
	}
	for _, test := range []struct {
		sizes []int
		want  []int
	}{{[]int{1, 1, 1}, []int{3}}, {[]int{2, 1, 1}, []int{2, 1}}, {[]int{9, 1, 1, 9}, []int{1, 2, 1}}, {nil, []int{0}}} {
		var got []int
		for _, shard := range split(of(test.sizes...), 6) {
			got = append(got, len(shard))
		}
		require.Equal(t, test.want, got)
	}
}

// layerName is the name and shape under which nn's layers keep a tensor, or the part of an array that it is.
func layerName(t Tensor, c Config) (name string, shape []int) {
	for _, part := range separate {
		if strings.Contains(t.Name, part) {
			return strings.Replace(t.Name, part, fused, 1), append([]int{3 * t.Shape[0]}, t.Shape[1:]...)
		}
	}
	if strings.HasSuffix(t.Name, patchName) {
		return t.Name, []int{t.Shape[0], c.InChans * c.TubeletSize * c.PatchSize * c.PatchSize}
	}
	return t.Name, t.Shape
}

// transformersScript loads a directory as VJEPA2Model and prints how far it is from the fixture's case a.
const transformersScript = `
import sys, torch
from safetensors.torch import load_file
from transformers import AutoVideoProcessor, VJEPA2Model
model, info = VJEPA2Model.from_pretrained(sys.argv[1], output_loading_info=True, dtype=torch.float32, attn_implementation="eager")
assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
cases = load_file(sys.argv[2])
with torch.no_grad():
    out = model.eval()(pixel_values_videos=cases["a.pixel_values_videos"], skip_predictor=True).last_hidden_state
processor = AutoVideoProcessor.from_pretrained(sys.argv[1])
crop, mean = processor.crop_size, processor.image_mean
print(float((out - cases[sys.argv[3]]).abs().max()), crop["height"] if hasattr(crop, "keys") else crop.height, mean[0])
`

func TestWhatIsWrittenLoadsInTransformers(t *testing.T) {
	from := opened(t, fixture.Shared(t, "fixtures", "vjepa2_tiny"))
	cases := fixture.Shared(t, "fixtures", "vjepa2_tiny", "cases.safetensors")
	python := fixture.Python(t, "torch", "transformers", "safetensors")
	written, sharded := filepath.Join(t.TempDir(), "written"), filepath.Join(t.TempDir(), "sharded")
	require.NoError(t, Write(written, from.Config(), parametersOf(t, from)...))
	require.NoError(t, Copy(from, sharded, CopyOptions{Plain: true, ShardBytes: 100_000}))
	for _, dir := range []string{written, sharded} {
		command := exec.CommandContext(t.Context(), python, "-c", transformersScript, dir, cases, "a.last_hidden_state")
		command.Env = append(os.Environ(), "HF_HUB_OFFLINE=1")
		output, err := command.CombinedOutput()
		require.NoError(t, err, string(output))
		var apart, mean float64
		var crop int
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		_, err = fmt.Sscan(lines[len(lines)-1], &apart, &crop, &mean)
		require.NoError(t, err, string(output))
		require.Less(t, apart, 1e-4)
		require.Equal(t, 32, crop)
		require.InDelta(t, 0.485, mean, 1e-9)
	}
}
