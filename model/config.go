package model

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// The families of models: what config.json says as "model_type".
const (
	// FamilyVJEPA2 is V-JEPA 2 (Assran et al. 2025), as transformers lays it out.
	FamilyVJEPA2 = "vjepa2"
	// FamilyRecurrent is ensue's own, with a memory; see Recurrent.
	FamilyRecurrent = "ensue_recurrent"
)

// What the tokens of a vision transformer attend to (config.json: ensue.attention).
const (
	// Full: every token of a clip sees every other, as V-JEPA 2 was published.
	Full = "full"
	// BlockCausal: a token sees its own and earlier tubelets.
	BlockCausal = "block_causal"
	// Tubelet: a token sees its own tubelet.
	Tubelet = "tubelet"
)

// Attentions are the modes of attention, in the order of the documentation.
func Attentions() []string { return []string{Full, BlockCausal, Tubelet} }

// Config is what config.json says: the sizes of a model, under the names of transformers' VJEPA2Config, and ensue's own section.
type Config struct {
	// ModelType is the family: FamilyVJEPA2 or FamilyRecurrent. The fields from CropSize to PredMLPRatio are FamilyVJEPA2's; the sizes of
	// the other family are Ensue.Recurrent.
	ModelType string

	// CropSize is the height and width of a frame in pixels, PatchSize those of a patch, TubeletSize how many frames a token covers.
	CropSize, PatchSize, TubeletSize int
	// FramesPerClip is how many frames the model was trained with.
	FramesPerClip int
	// InChans is the number of channels of a pixel: 3.
	InChans int

	// HiddenSize is D. MLPRatio times it, rounded down, is the width inside a block.
	HiddenSize, NumHiddenLayers, NumAttentionHeads int
	MLPRatio, LayerNormEps                         float64
	// QKVBias says that queries, keys and values have biases, those of the predictor too.
	QKVBias bool
	// HiddenAct is "gelu".
	HiddenAct string

	// The predictor, under the same names.
	PredHiddenSize, PredNumHiddenLayers, PredNumAttentionHeads, PredNumMaskTokens int
	PredMLPRatio                                                                  float64

	// Ensue is ensue's own section, which transformers keeps and does not read.
	Ensue Ensue

	// Extra are the other keys of the file, as they were: they determine nothing and are written again.
	Extra map[string]json.RawMessage

	// plain leaves the section ensue out of what is written.
	plain bool
}

// Ensue is the section "ensue" of config.json: what transformers has no key for.
type Ensue struct {
	// Attention is what tokens attend to: Full, BlockCausal or Tubelet. The default is Full.
	Attention string
	// ContextFrames is how many frames a token of a BlockCausal encoder sees, its own tubelet included; 0: FramesPerClip.
	ContextFrames int
	// Mean and Std normalise channel values in [0, 1]: (value - Mean) / Std of red, green and blue. The defaults are those of
	// preprocessor_config.json where there is one, else ImageNet's.
	Mean, Std [3]float64
	// Recurrent are the sizes of a model of FamilyRecurrent.
	Recurrent Recurrent
}

// The mean and deviation of ImageNet's pixels, which V-JEPA 2's processor normalises with.
var (
	imageNetMean = [3]float64{0.485, 0.456, 0.406}
	imageNetStd  = [3]float64{0.229, 0.224, 0.225}
)

// Default is what transformers takes for keys that are not there, VJEPA2Config(): the sizes of ViT-L at 256 pixels.
func Default() Config {
	return Config{
		ModelType: FamilyVJEPA2, CropSize: 256, PatchSize: 16, TubeletSize: 2, FramesPerClip: 64, InChans: 3,
		HiddenSize: 1024, NumHiddenLayers: 24, NumAttentionHeads: 16, MLPRatio: 4, LayerNormEps: 1e-6, QKVBias: true, HiddenAct: "gelu",
		PredHiddenSize: 384, PredNumHiddenLayers: 12, PredNumAttentionHeads: 12, PredNumMaskTokens: 10, PredMLPRatio: 4,
		Ensue: Ensue{Attention: Full, Mean: imageNetMean, Std: imageNetStd},
	}
}

// Side is the height and width, in pixels, of the frames that the model sees.
func (c Config) Side() int {
	if c.ModelType == FamilyRecurrent {
		return c.Ensue.Recurrent.Size
	}
	return c.CropSize
}

// Grid is H' = W', how many places the tokens have on a side. Rows and columns of pixels that fill no patch are left out.
func (c Config) Grid() int {
	if c.ModelType == FamilyRecurrent {
		return c.Ensue.Recurrent.Grid()
	}
	return c.CropSize / c.PatchSize
}

// MLPSize is the width inside the encoder's blocks, rounded down as transformers does.
func (c Config) MLPSize() int { return int(float64(c.HiddenSize) * c.MLPRatio) }

// PredMLPSize is the width inside the predictor's blocks.
func (c Config) PredMLPSize() int { return int(float64(c.PredHiddenSize) * c.PredMLPRatio) }

// WithAttention is c with another mode of attention; "" and "auto" leave c as it is.
func (c Config) WithAttention(mode string) (Config, error) {
	if mode == "" || mode == "auto" {
		return c, nil
	}
	if c.ModelType != FamilyVJEPA2 {
		return c, fmt.Errorf("choosing attention %s: a model of the family %s has none; leave it at auto", mode, c.ModelType)
	}
	c.Ensue.Attention = mode
	return c, c.Check()
}

// ParseConfig reads a config.json. Keys that are not there have the defaults of transformers (Default), or of RecurrentConfig. Keys it does
// not know are kept in Extra; values that no model can have are refused, before anything is allocated for them. Errors name the key, the
// value and what is allowed.
func ParseConfig(data []byte) (Config, error) {
	config, err := parseConfig(data, nil)
	if err != nil {
		return Config{}, fmt.Errorf("reading %s: %w", configFile, err)
	}
	return config, nil
}

// parseConfig is ParseConfig with what says how frames are prepared, which the section ensue overrides; nil where nothing does.
func parseConfig(data []byte, p *preprocessor) (Config, error) {
	fields, err := parseFields(data)
	if err != nil {
		return Config{}, err
	}
	c, err := fields.family()
	if err != nil {
		return Config{}, err
	}
	if p != nil {
		c.Ensue.Mean, c.Ensue.Std = p.mean, p.std
	}
	if c.ModelType == FamilyVJEPA2 {
		for _, k := range configKeys {
			if err := k.read(fields, &c); err != nil {
				return Config{}, err
			}
		}
	}
	if err := c.Ensue.parse(fields["ensue"]); err != nil {
		return Config{}, fmt.Errorf("ensue.%w", err)
	}
	delete(fields, "ensue")
	c.Extra = fields
	if err := c.Check(); err != nil {
		return Config{}, err
	}
	return c, p.fits(c)
}

// family takes the family's defaults.
func (f fields) family() (Config, error) {
	name := ""
	if err := f.take("model_type", &name); err != nil {
		return Config{}, err
	}
	switch name {
	case FamilyVJEPA2:
		return Default(), nil
	case FamilyRecurrent:
		return RecurrentConfig(), nil
	}
	return Config{}, fmt.Errorf("model_type: %q: expected %s or %s", name, FamilyVJEPA2, FamilyRecurrent)
}

// Check tells the first thing that no model can have. ParseConfig has called it.
func (c Config) Check() error {
	checks := []func(Config) error{checkKeys, checkFrames, checkHeads, checkAttention, checkChannels}
	switch c.ModelType {
	case FamilyRecurrent:
		checks = []func(Config) error{checkRecurrent, checkChannels}
	case FamilyVJEPA2:
	default:
		return fmt.Errorf("model_type: %q: expected %s or %s", c.ModelType, FamilyVJEPA2, FamilyRecurrent)
	}
	for _, check := range checks {
		if err := check(c); err != nil {
			return err
		}
	}
	return nil
}

func checkKeys(c Config) error {
	for _, k := range configKeys {
		if err := k.check(&c); err != nil {
			return err
		}
	}
	return nil
}

func checkRecurrent(c Config) error {
	if err := c.Ensue.Recurrent.Check(); err != nil {
		return fmt.Errorf("ensue.recurrent.%w", err)
	}
	return nil
}

func checkFrames(c Config) error {
	switch {
	case c.InChans != 3:
		return fmt.Errorf("in_chans: %d: expected 3, red, green and blue", c.InChans)
	case c.PatchSize > c.CropSize:
		return fmt.Errorf("patch_size: %d: at most crop_size, which is %d", c.PatchSize, c.CropSize)
	case c.Grid() > maxGrid:
		return fmt.Errorf("crop_size: %d: at most %d patches on a side; patch_size %d makes %d", c.CropSize, maxGrid, c.PatchSize, c.Grid())
	case c.TubeletSize > c.FramesPerClip:
		return fmt.Errorf("tubelet_size: %d: at most frames_per_clip, which is %d", c.TubeletSize, c.FramesPerClip)
	}
	return nil
}

func checkHeads(c Config) error {
	switch {
	case c.HiddenSize%c.NumAttentionHeads != 0:
		return fmt.Errorf("num_attention_heads: %d: must divide hidden_size, which is %d", c.NumAttentionHeads, c.HiddenSize)
	case c.PredHiddenSize%c.PredNumAttentionHeads != 0:
		return fmt.Errorf("pred_num_attention_heads: %d: must divide pred_hidden_size, which is %d", c.PredNumAttentionHeads, c.PredHiddenSize)
	case c.HiddenAct != "gelu":
		return fmt.Errorf("hidden_act: %q: expected gelu", c.HiddenAct)
	case c.MLPSize() < 1:
		return fmt.Errorf("mlp_ratio: %v: leaves nothing of hidden_size, which is %d", c.MLPRatio, c.HiddenSize)
	case c.PredMLPSize() < 1:
		return fmt.Errorf("pred_mlp_ratio: %v: leaves nothing of pred_hidden_size, which is %d", c.PredMLPRatio, c.PredHiddenSize)
	}
	return nil
}

func checkAttention(c Config) error {
	if !slices.Contains(Attentions(), c.Ensue.Attention) {
		return fmt.Errorf("ensue.attention: %q: expected one of %s", c.Ensue.Attention, strings.Join(Attentions(), ", "))
	}
	frames := c.Ensue.ContextFrames
	if frames != 0 && frames < c.TubeletSize || frames > maxContextFrames || frames < 0 {
		return fmt.Errorf("ensue.context_frames: %d: from tubelet_size, which is %d, to %d", frames, c.TubeletSize, maxContextFrames)
	}
	return nil
}

func checkChannels(c Config) error {
	for i := range 3 {
		if mean := c.Ensue.Mean[i]; math.IsNaN(mean) || math.Abs(mean) > maxMean {
			return fmt.Errorf("image_mean: %v: each from -%v to %v, of channel values in [0, 1]", c.Ensue.Mean, maxMean, maxMean)
		}
		if std := c.Ensue.Std[i]; math.IsNaN(std) || std < minStd || std > maxMean {
			return fmt.Errorf("image_std: %v: each from %v to %v, of channel values in [0, 1]", c.Ensue.Std, minStd, maxMean)
		}
	}
	return nil
}
