package model

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThePreprocessorTellsMeanDeviationAndCrop(t *testing.T) {
	p, err := parsePreprocessor([]byte(`{"crop_size": {"height": 256, "width": 256}, "do_center_crop": true, "do_pad": null, "resample": 2,
		"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 292}}`))
	require.NoError(t, err)
	require.Equal(t, &preprocessor{mean: [3]float64{0.1, 0.2, 0.3}, std: [3]float64{0.4, 0.5, 0.6}, crop: 256}, p)
	c, err := parseConfig([]byte(`{"model_type": "vjepa2"}`), p)
	require.NoError(t, err)
	require.Equal(t, p.mean, c.Ensue.Mean)
	c, err = parseConfig([]byte(`{"model_type": "vjepa2", "ensue": {"image_mean": [0, 0, 0]}}`), p)
	require.NoError(t, err)
	require.Equal(t, [3]float64{}, c.Ensue.Mean, "the section ensue has the last word")
	require.Equal(t, p.std, c.Ensue.Std)
}

func TestAPreprocessorThatDoesSomethingElseIsRefused(t *testing.T) {
	for text, says := range map[string]string{
		`3`:                       "expected a JSON object",
		`{"do_resize": false}`:    "do_resize: false: only true is supported",
		`{"do_normalize": "yes"}`: `do_normalize: "yes": expected true or false`,
		`{"rescale_factor": 1}`:   "rescale_factor: 1: only 1/255 is supported",
		`{"resample": 3}`:         "resample: 3: only 2, bilinear, is supported",
		`{"crop_size": {"height": 2, "width": 3}}`: "crop_size: height 2 and width 3: only squares",
		`{"crop_size": {"height": "2"}}`:           `crop_size: height: "2": expected a whole number`,
		`{"crop_size": "256"}`:                     `crop_size: "256": expected a whole number`,
		`{"image_mean": [1]}`:                      "image_mean: [1]: expected three numbers",
		`{"image_std": {}}`:                        "image_std: {}: expected a list of numbers",
	} {
		_, err := parsePreprocessor([]byte(text))
		require.ErrorContains(t, err, says)
	}
	p, err := parsePreprocessor([]byte(`{"crop_size": 224}`))
	require.NoError(t, err)
	p.file = videoProcessorFile
	_, err = parseConfig([]byte(`{"model_type": "vjepa2"}`), p)
	require.EqualError(t, err, "crop_size: 256: video_preprocessor_config.json has crop_size 224; they must agree")
}

func FuzzParsePreprocessor(f *testing.F) {
	f.Add([]byte(`{"crop_size": {"height": 256, "width": 256}, "image_mean": [0.1, 0.2, 0.3], "resample": 2}`))
	f.Add([]byte(`{"crop_size": 3, "image_std": 1, "rescale_factor": 0.00392156862745098, "do_rescale": null}`))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parsePreprocessor(data) })
}
