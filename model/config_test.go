package model

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
)

func TestMissingKeysHaveTransformersDefaults(t *testing.T) {
	c, err := ParseConfig([]byte(`{"model_type": "vjepa2"}`))
	require.NoError(t, err)
	c.Extra = nil
	require.Equal(t, Default(), c)
	encoder, predictor := c.Parameters()
	require.Equal(t, 303_885_312, encoder)  // ViT-L: 24 blocks of 12,596,224, tubelets 1,573,888, a norm
	require.Equal(t, 22_086_016, predictor) // as transformers counts them
}

func TestTheFixturesConfigsAreRead(t *testing.T) {
	tests := []struct {
		folder             string
		hidden, mlp, heads int
		bias               bool
		predictorMLP       int
	}{
		{"vjepa2_tiny", 48, 192, 4, true, 96},
		{"vjepa2_rest", 44, 192, 2, false, 80},
		{"vjepa2_medium", 768, 3072, 12, true, 1536},
	}
	for _, test := range tests {
		data, err := os.ReadFile(fixture.Shared(t, "fixtures", test.folder, configFile))
		require.NoError(t, err)
		c, err := ParseConfig(data)
		require.NoError(t, err)
		require.Equal(t, test.hidden, c.HiddenSize)
		require.Equal(t, test.mlp, c.MLPSize())
		require.Equal(t, test.predictorMLP, c.PredMLPSize())
		require.Equal(t, test.heads, c.NumAttentionHeads)
		require.Equal(t, test.bias, c.QKVBias)
		require.Contains(t, c.Extra, "transformers_version")
	}
}

func TestTheRestOfAConfigIsKept(t *testing.T) {
	text := `{"model_type": "vjepa2", "num_pooler_layers": 3, "id2label": {"0": "a"}, "image_size": 256, "torch_dtype": "float16",
		"ensue": {"attention": "tubelet"}}`
	c, err := ParseConfig([]byte(text))
	require.NoError(t, err)
	require.Equal(t, Tubelet, c.Ensue.Attention)
	data, err := c.Encode("float32")
	require.NoError(t, err)
	var written map[string]any
	require.NoError(t, json.Unmarshal(data, &written))
	require.InDelta(t, 3, written["num_pooler_layers"], 0)
	require.InDelta(t, 256, written["image_size"], 0)
	require.Equal(t, "float32", written["dtype"])
	require.NotContains(t, written, "id2label")
	require.NotContains(t, written, "torch_dtype")
	again, err := ParseConfig(data)
	require.NoError(t, err)
	require.Equal(t, 64, again.Ensue.ContextFrames, "what a zero stands for is written out")
	again.Extra, c.Extra, again.Ensue.ContextFrames = nil, nil, 0
	require.Equal(t, c, again)
}

func TestTheSectionEnsueIsRead(t *testing.T) {
	c, err := ParseConfig([]byte(`{"model_type": "vjepa2", "patch_size": [8, 8], "ensue":
		{"attention": "block_causal", "context_frames": 16, "image_mean": 0.5, "image_std": [0.1, 0.2, 0.3]}}`))
	require.NoError(t, err)
	require.Equal(t, Ensue{
		Attention: BlockCausal, ContextFrames: 16, Mean: [3]float64{0.5, 0.5, 0.5}, Std: [3]float64{0.1, 0.2, 0.3},
	}, c.Ensue)
	require.Equal(t, 8, c.PatchSize)
	c, err = ParseConfig([]byte(`{"model_type": "ensue_recurrent", "ensue": {"recurrent": {"dim": 32, "ahead": [2, 4]}}}`))
	require.NoError(t, err)
	want := RecurrentConfig()
	want.Ensue.Recurrent.Dim, want.Ensue.Recurrent.Ahead = 32, []int{2, 4}
	require.Equal(t, want.Ensue, c.Ensue)
	require.Equal(t, 64, c.Side())
	require.Equal(t, 8, c.Grid())
}

func TestErrorsOfAConfigNameKeyValueAndWhatIsAllowed(t *testing.T) {
	tests := map[string]string{
		``:                                     "expected a JSON object",
		`[]`:                                   "expected a JSON object",
		`null`:                                 "expected a JSON object",
		`{} {}`:                                "there is more after its end",
		`{}`:                                   `model_type: "": expected vjepa2 or ensue_recurrent`,
		`{"model_type": "vit"}`:                `model_type: "vit": expected vjepa2 or ensue_recurrent`,
		`{"model_type": 3}`:                    `model_type: 3: expected a string`,
		`{"hidden_size": "1024"}`:              `hidden_size: "1024": expected a whole number`,
		`{"hidden_size": null}`:                `hidden_size: null: expected a whole number`,
		`{"hidden_size": 1024.5}`:              `hidden_size: 1024.5: expected a whole number`,
		`{"hidden_size": 1e9}`:                 `hidden_size: 1e9: expected a whole number`,
		`{"hidden_size": -1}`:                  `hidden_size: -1: from 1 to 16384`,
		`{"hidden_size": 99999999}`:            `hidden_size: 99999999: from 1 to 16384`,
		`{"num_hidden_layers": 0}`:             `num_hidden_layers: 0: from 1 to 512`,
		`{"patch_size": [16, 8]}`:              `patch_size: [16, 8]: expected a whole number`,
		`{"patch_size": 512}`:                  `patch_size: 512: at most crop_size, which is 256`,
		`{"crop_size": 9999, "patch_size": 2}`: `crop_size: 9999: at most 512 patches on a side; patch_size 2 makes 4999`,
		`{"tubelet_size": 32, "frames_per_clip": 16}`: `tubelet_size: 32: at most frames_per_clip, which is 16`,
		`{"in_chans": 1}`:                                  `in_chans: 1: expected 3`,
		`{"num_attention_heads": 15}`:                      `num_attention_heads: 15: must divide hidden_size, which is 1024`,
		`{"pred_num_attention_heads": 5}`:                  `pred_num_attention_heads: 5: must divide pred_hidden_size, which is 384`,
		`{"hidden_act": "relu"}`:                           `hidden_act: "relu": expected gelu`,
		`{"mlp_ratio": 0}`:                                 `mlp_ratio: 0: above 0 and at most 64`,
		`{"mlp_ratio": 1e-9}`:                              `mlp_ratio: 1e-09: leaves nothing of hidden_size`,
		`{"pred_mlp_ratio": 1e-9}`:                         `pred_mlp_ratio: 1e-09: leaves nothing of pred_hidden_size`,
		`{"qkv_bias": 1}`:                                  `qkv_bias: 1: expected true or false`,
		`{"layer_norm_eps": -1}`:                           `layer_norm_eps: -1: above 0 and at most 1`,
		`{"ensue": 3}`:                                     `ensue: 3: expected an object`,
		`{"ensue": {"attention": "causal"}}`:               `ensue.attention: "causal": expected one of full, block_causal, tubelet`,
		`{"ensue": {"context_frames": 1}}`:                 `ensue.context_frames: 1: from tubelet_size, which is 2`,
		`{"ensue": {"image_std": [1, 1]}}`:                 `ensue.image_std: [1 1]: expected three numbers`,
		`{"ensue": {"image_std": [1, 0, 1]}}`:              `image_std: [1 0 1]: each from 1e-06`,
		`{"ensue": {"image_mean": "0.5"}}`:                 `ensue.image_mean: "0.5": expected a list of numbers`,
		`{"ensue": {"image_mean": [1000, 0, 0]}}`:          `image_mean: [1000 0 0]: each from -256`,
		`{"ensue": {"atention": "full"}}`:                  `ensue.atention: unknown (known: attention,`,
		`{"ensue": {"recurrent": {"heads": 3}}}`:           `ensue.recurrent: {"heads": 3}: json: unknown field "heads"`,
		`{"model_type": "ensue_recurrent", "ensue": 3}`:    `ensue: 3: expected an object`,
		`{"hidden_size": ` + strings.Repeat("9", 60) + `}`: `hidden_size: ` + strings.Repeat("9", 40) + `…: expected a whole number`,
	}
	for text, says := range tests {
		if strings.HasPrefix(text, "{\"") && !strings.Contains(text, "model_type") {
			text = `{"model_type": "vjepa2", ` + text[1:]
		}
		_, err := ParseConfig([]byte(text))
		require.ErrorContains(t, err, says, text)
		require.ErrorContains(t, err, "reading config.json: ", text)
	}
	_, err := ParseConfig([]byte(`{"a": "` + strings.Repeat("x", maxConfig) + `"}`))
	require.ErrorContains(t, err, "at most 1048576")
	_, err = ParseConfig([]byte(`{"model_type": "ensue_recurrent", "ensue": {"recurrent": {"dim": 0}}}`))
	require.ErrorContains(t, err, "ensue.recurrent.dim: 0: from 1 to")
}

func TestTheLargestConfigTakesLittleMemory(t *testing.T) {
	text := `{"model_type": "vjepa2", "hidden_size": 16384, "num_hidden_layers": 512, "num_attention_heads": 16384, "mlp_ratio": 64,
		"pred_hidden_size": 16384, "pred_num_hidden_layers": 512, "pred_num_attention_heads": 1, "pred_num_mask_tokens": 16384}`
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := ParseConfig([]byte(text))
	require.NoError(t, err)
	require.Len(t, c.Tensors(), 2+2*512*16+2+1+2+2+2)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20))
}

func TestAttentionIsChosenOverTheConfigs(t *testing.T) {
	c, err := Default().WithAttention("auto")
	require.NoError(t, err)
	require.Equal(t, Full, c.Ensue.Attention)
	c, err = Default().WithAttention(BlockCausal)
	require.NoError(t, err)
	require.Equal(t, BlockCausal, c.Ensue.Attention)
	_, err = Default().WithAttention("causal")
	require.ErrorContains(t, err, "expected one of full, block_causal, tubelet")
	_, err = RecurrentConfig().WithAttention(Full)
	require.ErrorContains(t, err, "a model of the family ensue_recurrent has none")
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"model_type": "vjepa2", "hidden_size": 48, "num_attention_heads": 4, "ensue": {"attention": "tubelet"}}`))
	f.Add([]byte(`{"model_type": "ensue_recurrent", "ensue": {"recurrent": {"dim": 32, "ahead": [2, 4]}}}`))
	f.Add([]byte(`{"model_type": "vjepa2", "patch_size": [8, 8], "mlp_ratio": 4.363636363636363, "ensue": {"image_mean": 0.5}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			return
		}
		for _, tensor := range c.Tensors() {
			require.Positive(t, tensor.Size(), tensor.Name)
		}
		text, err := c.Encode("float32")
		require.NoError(t, err)
		again, err := ParseConfig(text)
		require.NoError(t, err)
		require.Equal(t, c.canonical(), again.canonical())
	})
}
