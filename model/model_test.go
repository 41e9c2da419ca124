package model

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/nn"
)

// small is a model that a test makes in no time.
func small() Config {
	c := Default()
	c.CropSize, c.PatchSize, c.FramesPerClip = 16, 8, 4
	c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads = 12, 2, 2
	c.PredHiddenSize, c.PredNumHiddenLayers, c.PredNumAttentionHeads, c.PredNumMaskTokens = 8, 1, 2, 3
	return c
}

// contents are the tensors of a model that is about to be written, by their names.
type contents map[string]tensorBytes

type tensorBytes struct {
	dtype string
	shape []int
	data  []byte
}

// filled are the tensors of a config with numbers that tell them apart.
func filled(c Config) contents {
	all := contents{}
	for i, t := range c.Tensors() {
		values := make([]float32, t.Size())
		for j := range values {
			values[j] = float32(math.Sin(float64(i*1000 + j)))
		}
		var data bytes.Buffer
		_ = binary.Write(&data, binary.LittleEndian, values)
		all[t.Name] = tensorBytes{"F32", t.Shape, data.Bytes()}
	}
	return all
}

func (c contents) write(tb testing.TB, path string, names ...string) {
	tb.Helper()
	if names == nil {
		names = slices.Sorted(maps.Keys(c))
	}
	file := &nn.TensorFile{}
	for _, name := range names {
		x := c[name]
		file.PutFrom(name, x.dtype, x.shape, func(w io.Writer) error {
			_, err := w.Write(x.data)
			return err
		})
	}
	require.NoError(tb, file.Write(path))
}

// saved is a directory with the config and the tensors.
func saved(tb testing.TB, config Config, all contents) string {
	tb.Helper()
	dir := tb.TempDir()
	text, err := config.Encode("float32")
	require.NoError(tb, err)
	require.NoError(tb, os.WriteFile(filepath.Join(dir, configFile), text, 0o600))
	all.write(tb, filepath.Join(dir, weightsFile))
	return dir
}

func opened(tb testing.TB, dir string) *Model {
	tb.Helper()
	m, err := Open(dir)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, m.Close()) })
	return m
}

func values(tb testing.TB, m *Model, name string) []float32 {
	tb.Helper()
	array, err := m.Source("")(name)
	require.NoError(tb, err)
	return array.Float32s()
}

func TestAModelIsWhatItsFilesSay(t *testing.T) {
	config := small()
	dir := saved(t, config, filled(config))
	m := opened(t, dir)
	require.True(t, m.HasPredictor())
	require.Equal(t, dir, m.Where())
	require.Equal(t, "F32", m.Dtype())
	require.Equal(t, config.HiddenSize, m.Config().HiddenSize)
	require.Equal(t, config.Tensors(), m.Tensors())
	for _, tensor := range m.Tensors() {
		require.Equal(t, filled(config)[tensor.Name].data, bytesOf(values(t, m, tensor.Name)))
	}
	array, err := m.Source("encoder.")("layernorm.weight", 12)
	require.NoError(t, err)
	require.Equal(t, values(t, m, "encoder.layernorm.weight"), array.Float32s())
	_, err = m.Source("encoder.")("layernorm.weight", 13)
	require.EqualError(t, err, "reading tensor encoder.layernorm.weight: expected shape [13], found [12]")
	_, err = m.Source("decoder.")("layernorm.weight", 12)
	require.ErrorContains(t, err, "reading tensor decoder.layernorm.weight: there is none of that name")

	embedded, err := OpenFS(os.DirFS(dir))
	require.NoError(t, err)
	require.Equal(t, m.Digest(), embedded.Digest())
	require.NoError(t, embedded.Close())
}

func bytesOf(values []float32) []byte {
	var data bytes.Buffer
	_ = binary.Write(&data, binary.LittleEndian, values)
	return data.Bytes()
}

func TestWhatWasGivenOutStaysWhatItWas(t *testing.T) {
	config := small()
	m := opened(t, saved(t, config, filled(config)))
	m.weights.viewedLimit = 2000
	given := map[string][]float32{}
	for range 2 {
		for _, tensor := range m.Tensors() {
			given[tensor.Name] = values(t, m, tensor.Name)
		}
	}
	require.LessOrEqual(t, m.weights.viewedBytes, 2000)
	require.Less(t, len(m.weights.viewed), len(m.Tensors()))
	for _, tensor := range m.Tensors() {
		require.Equal(t, filled(config)[tensor.Name].data, bytesOf(given[tensor.Name]), "its pages are read again")
	}
}

func TestTheFixturesModelsAreOpened(t *testing.T) {
	for _, name := range []string{"vjepa2_tiny", "vjepa2_rest"} {
		m := opened(t, fixture.Shared(t, "fixtures", name))
		require.True(t, m.HasPredictor())
		require.Equal(t, Full, m.Config().Ensue.Attention)
		require.Regexp(t, "^sha256:[0-9a-f]{64}$", m.Digest())
	}
}

func TestARecurrentModelIsOpened(t *testing.T) {
	config := RecurrentConfig()
	m := opened(t, saved(t, config, filled(config)))
	require.True(t, m.HasPredictor())
	require.Equal(t, config.Ensue, m.Config().Ensue)
}

func TestAClassifiersBackboneIsOpened(t *testing.T) {
	config, all := small(), contents{}
	for name, x := range filled(config) {
		all[classifierPrefix+name] = x
	}
	all["pooler.query_tokens"] = tensorBytes{"F32", []int{1, 1, 12}, make([]byte, 48)}
	all["classifier.weight"] = tensorBytes{"F32", []int{2, 12}, make([]byte, 96)}
	m := opened(t, saved(t, config, all))
	require.Equal(t, config.Tensors(), m.Tensors())
	require.Equal(t, opened(t, saved(t, config, filled(config))).Digest(), m.Digest())
	require.Equal(t, filled(config)["predictor.proj.bias"].data, bytesOf(values(t, m, "predictor.proj.bias")))
}

func TestAModelWithoutAPredictorIsOpened(t *testing.T) {
	config, all := small(), filled(small())
	maps.DeleteFunc(all, func(name string, _ tensorBytes) bool { return strings.HasPrefix(name, predictorPrefix) })
	m := opened(t, saved(t, config, all))
	require.False(t, m.HasPredictor())
	require.Len(t, m.Tensors(), len(all))
}

func TestHalfPrecisionIsWidened(t *testing.T) {
	config, all := small(), filled(small())
	all["encoder.layernorm.weight"] = tensorBytes{"BF16", []int{12}, bytes.Repeat([]byte{0xc0, 0x3f}, 12)}
	all["encoder.layernorm.bias"] = tensorBytes{"F16", []int{12}, bytes.Repeat([]byte{0x00, 0xc1}, 12)}
	m := opened(t, saved(t, config, all))
	require.Equal(t, slices.Repeat([]float32{1.5}, 12), values(t, m, "encoder.layernorm.weight"))
	require.Equal(t, slices.Repeat([]float32{-2.5}, 12), values(t, m, "encoder.layernorm.bias"))
}

func TestShardsAreOneModel(t *testing.T) {
	config := small()
	whole := saved(t, config, filled(config))
	dir := filepath.Join(t.TempDir(), "sharded")
	require.NoError(t, Copy(opened(t, whole), dir, CopyOptions{ShardBytes: 4000}))
	shards, err := filepath.Glob(filepath.Join(dir, "model-*-of-*.safetensors"))
	require.NoError(t, err)
	require.Greater(t, len(shards), 3)
	m := opened(t, dir)
	require.Equal(t, opened(t, whole).Digest(), m.Digest())
	for _, tensor := range m.Tensors() {
		require.Equal(t, filled(config)[tensor.Name].data, bytesOf(values(t, m, tensor.Name)))
	}
	require.NoError(t, os.Truncate(shards[1], 100))
	_, err = Open(dir)
	require.ErrorContains(t, err, filepath.Base(shards[1]))
	require.NoError(t, os.Remove(shards[1]))
	_, err = Open(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, filepath.Base(shards[1]))
}

func TestADigestTellsModelsApartAndNothingElse(t *testing.T) {
	config := small()
	digest := func(change func(*Config, contents)) string {
		config, all := config, filled(config)
		change(&config, all)
		return opened(t, saved(t, config, all)).Digest()
	}
	nothing := digest(func(*Config, contents) {})
	require.Equal(t, nothing, digest(func(c *Config, _ contents) {
		c.Extra = map[string]json.RawMessage{"transformers_version": json.RawMessage(`"6"`)}
		c.Ensue.ContextFrames = c.FramesPerClip
	}))
	seen := map[string]bool{nothing: true}
	for name, change := range map[string]func(*Config, contents){
		"attention": func(c *Config, _ contents) { c.Ensue.Attention = Tubelet },
		"eps":       func(c *Config, _ contents) { c.LayerNormEps = 1e-5 },
		"mean":      func(c *Config, _ contents) { c.Ensue.Mean[0] = 0.5 },
		"heads":     func(c *Config, _ contents) { c.NumAttentionHeads = 1 },
		"a bit":     func(_ *Config, all contents) { all["predictor.proj.bias"].data[0] ^= 1 },
		"type": func(_ *Config, all contents) {
			all["encoder.layernorm.bias"] = tensorBytes{"F16", []int{12}, make([]byte, 24)}
		},
		"no predictor": func(_ *Config, all contents) {
			maps.DeleteFunc(all, func(name string, _ tensorBytes) bool { return strings.HasPrefix(name, predictorPrefix) })
		},
	} {
		d := digest(change)
		require.False(t, seen[d], name)
		seen[d] = true
	}
}

func TestBrokenModelsAreRefused(t *testing.T) {
	remove := func(name string) func(*testing.T, string, *Config, contents) {
		return func(_ *testing.T, _ string, _ *Config, all contents) { delete(all, name) }
	}
	put := func(name string, x tensorBytes) func(*testing.T, string, *Config, contents) {
		return func(_ *testing.T, _ string, _ *Config, all contents) { all[name] = x }
	}
	tests := map[string]struct {
		change func(*testing.T, string, *Config, contents)
		says   string
	}{
		"missing": {
			remove("encoder.layer.1.mlp.fc1.weight"),
			"tensor encoder.layer.1.mlp.fc1.weight: missing; config.json asks for it with shape [48 12]",
		},
		"missing in the predictor": {
			remove("predictor.embeddings.mask_tokens"),
			"tensor predictor.embeddings.mask_tokens: missing; config.json asks for it with shape [3 1 1 8]",
		},
		"wrong shape": {
			put("encoder.layernorm.bias", tensorBytes{"F32", []int{13}, make([]byte, 52)}),
			"tensor encoder.layernorm.bias: expected shape [12] (by config.json), found [13]",
		},
		"wrong type": {
			put("encoder.layernorm.bias", tensorBytes{"I32", []int{12}, make([]byte, 48)}),
			"tensor encoder.layernorm.bias: found type I32; F32, BF16 and F16 are read",
		},
		"more layers than the config": {
			put("encoder.layer.2.norm1.bias", tensorBytes{"F32", []int{12}, make([]byte, 48)}),
			"tensor encoder.layer.2.norm1.bias: shape [12]: config.json does not know it",
		},
		"another size in the config": {
			func(_ *testing.T, _ string, c *Config, _ contents) { c.HiddenSize = 16 },
			"tensor encoder.embeddings.patch_embeddings.proj.weight: expected shape [16 3 2 8 8] (by config.json), found [12 3 2 8 8]",
		},
		"a huge config": {
			func(_ *testing.T, _ string, c *Config, _ contents) {
				c.HiddenSize, c.NumHiddenLayers, c.MLPRatio, c.NumAttentionHeads = 16384, 512, 64, 1
			},
			"tensor encoder.embeddings.patch_embeddings.proj.weight: expected shape [16384 3 2 8 8] (by config.json), found [12 3 2 8 8]",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config, all := small(), filled(small())
			test.change(t, "", &config, all)
			dir := saved(t, config, all)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Open(dir)
			runtime.ReadMemStats(&after)
			require.EqualError(t, err, "opening model "+dir+": "+strings.TrimPrefix(err.Error(), "opening model "+dir+": "))
			require.ErrorContains(t, err, test.says)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20))
		})
	}
}

func TestBrokenDirectoriesAreRefused(t *testing.T) {
	write := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
	}
	remove := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, name := range names {
				require.NoError(t, os.Remove(filepath.Join(dir, name)))
			}
		}
	}
	index := func(file string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			remove(weightsFile)(t, dir)
			write(indexFile, `{"metadata": {"total_size": 1.5}, "weight_map": {"encoder.layernorm.bias": `+file+`}}`)(t, dir)
		}
	}
	tests := map[string]struct {
		change func(*testing.T, string)
		says   string
	}{
		"no config":    {remove(configFile), "there are weights and no config.json"},
		"empty":        {remove(configFile, weightsFile), "there is no config.json: a model is a directory"},
		"no weights":   {remove(weightsFile), "no such file or directory"},
		"half a file":  {func(t *testing.T, dir string) { require.NoError(t, os.Truncate(filepath.Join(dir, weightsFile), 9000)) }, "tensor "},
		"no header":    {write(weightsFile, "PK"), "the file has 2 bytes"},
		"an LFS note":  {write(weightsFile, "version https://git-lfs.github.com/spec/v1"), "the header is said to have"},
		"bad config":   {write(configFile, "{"), "reading config.json: expected a JSON object"},
		"long config":  {write(configFile, strings.Repeat(" ", maxConfig+1)), "reading config.json: it is longer than 1048576 bytes"},
		"preprocessor": {write(imageProcessorFile, `{"do_resize": false}`), "reading preprocessor_config.json: do_resize: false"},
		"other crop":   {write(videoProcessorFile, `{"crop_size": 24}`), "video_preprocessor_config.json has crop_size 24"},
		"a pickle": {
			func(t *testing.T, dir string) {
				remove(weightsFile)(t, dir)
				write("pytorch_model.bin", "x")(t, dir)
			},
			"pytorch_model.bin is a pickle, which can run code and is not read",
		},
		"index out of the folder": {index(`"../x.safetensors"`), `tensor encoder.layernorm.bias: "../x.safetensors": expected the name of`},
		"absolute index":          {index(`"/etc/x.safetensors"`), `"/etc/x.safetensors": expected the name of`},
		"index of a device":       {index(`"passwd"`), `"passwd": expected the name of a .safetensors file`},
		"index of the parent":     {index(`".."`), `"..": expected the name of`},
		"index of numbers":        {index(`3`), "reading model.safetensors.index.json: expected a JSON object with weight_map"},
		"index without a file":    {index(`"x.safetensors"`), "x.safetensors"},
		"empty index": {
			func(t *testing.T, dir string) {
				remove(weightsFile)(t, dir)
				write(indexFile, `{}`)(t, dir)
			},
			"weight_map: there is none, or it is empty",
		},
		"tensor not where the index says": {
			func(t *testing.T, dir string) {
				index(`"x.safetensors"`)(t, dir)
				filled(small()).write(t, filepath.Join(dir, "x.safetensors"), "encoder.layernorm.weight")
			},
			"tensor encoder.layernorm.bias: model.safetensors.index.json says it is in x.safetensors, where it is not",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := saved(t, small(), filled(small()))
			test.change(t, dir)
			_, err := Open(dir)
			require.ErrorContains(t, err, test.says)
			require.ErrorContains(t, err, "opening model "+dir)
		})
	}
	_, err := Open(filepath.Join(t.TempDir(), "nothing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(`{"metadata": {"total_size": 12}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}`))
	f.Add([]byte(`{"weight_map": {"a": "../a.safetensors"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		index, err := parseIndex(data)
		if err != nil {
			return
		}
		for _, file := range index {
			require.Equal(t, file, filepath.Base(file))
			require.True(t, filepath.IsLocal(file))
		}
	})
}

// A file of 1.2 GB, as ViT-L's, takes as many seconds as this says gigabytes a second.
func BenchmarkDigest(b *testing.B) {
	config := small()
	config.HiddenSize, config.NumAttentionHeads, config.NumHiddenLayers = 512, 8, 4
	dir := saved(b, config, filled(config))
	m := opened(b, dir)
	encoder, predictor := config.Parameters()
	b.SetBytes(4 * int64(encoder+predictor))
	for b.Loop() {
		m.computeDigest()
	}
}
