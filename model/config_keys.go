package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// What a value may be at most. Nobody's model comes near; a file that says more is broken, and a broken file allocates nothing.
const (
	maxConfig        = 1 << 20 // bytes of config.json; a classifier with thousands of labels has 0.3 MB
	maxSize          = 1 << 14 // of hidden_size and crop_size
	maxLayers        = 1 << 9
	maxGrid          = 1 << 9
	maxMLPRatio      = 64
	maxContextFrames = 1 << 16
	maxMean          = 256.0
	minStd           = 1e-6
)

// configKeys are transformers' keys that determine what a model computes.
var configKeys = []configKey{
	integer("crop_size", 1, maxSize, func(c *Config) *int { return &c.CropSize }),
	integer("patch_size", 1, maxSize, func(c *Config) *int { return &c.PatchSize }),
	integer("tubelet_size", 1, 64, func(c *Config) *int { return &c.TubeletSize }),
	integer("frames_per_clip", 1, maxContextFrames, func(c *Config) *int { return &c.FramesPerClip }),
	integer("in_chans", 1, 64, func(c *Config) *int { return &c.InChans }),
	integer("hidden_size", 1, maxSize, func(c *Config) *int { return &c.HiddenSize }),
	integer("num_hidden_layers", 1, maxLayers, func(c *Config) *int { return &c.NumHiddenLayers }),
	integer("num_attention_heads", 1, maxSize, func(c *Config) *int { return &c.NumAttentionHeads }),
	number("mlp_ratio", 0, maxMLPRatio, func(c *Config) *float64 { return &c.MLPRatio }),
	number("layer_norm_eps", 0, 1, func(c *Config) *float64 { return &c.LayerNormEps }),
	anything("qkv_bias", func(c *Config) *bool { return &c.QKVBias }),
	anything("hidden_act", func(c *Config) *string { return &c.HiddenAct }),
	integer("pred_hidden_size", 1, maxSize, func(c *Config) *int { return &c.PredHiddenSize }),
	integer("pred_num_hidden_layers", 1, maxLayers, func(c *Config) *int { return &c.PredNumHiddenLayers }),
	integer("pred_num_attention_heads", 1, maxSize, func(c *Config) *int { return &c.PredNumAttentionHeads }),
	integer("pred_num_mask_tokens", 1, maxSize, func(c *Config) *int { return &c.PredNumMaskTokens }),
	number("pred_mlp_ratio", 0, maxMLPRatio, func(c *Config) *float64 { return &c.PredMLPRatio }),
}

// configKey is one key of config.json.
type configKey struct {
	name string
	// field is where its value is kept, a pointer.
	field func(c *Config) any
	// check tells what is wrong with the value.
	check func(c *Config) error
}

func (k configKey) read(fields fields, c *Config) error { return fields.take(k.name, k.field(c)) }

func integer(name string, low, high int, field func(c *Config) *int) configKey {
	return configKey{name, func(c *Config) any { return field(c) }, func(c *Config) error {
		if value := *field(c); value < low || value > high {
			return fmt.Errorf("%s: %d: from %d to %d", name, value, low, high)
		}
		return nil
	}}
}

// number is a key whose values are above low.
func number(name string, low, high float64, field func(c *Config) *float64) configKey {
	return configKey{name, func(c *Config) any { return field(c) }, func(c *Config) error {
		if value := *field(c); math.IsNaN(value) || value <= low || value > high {
			return fmt.Errorf("%s: %v: above %v and at most %v", name, value, low, high)
		}
		return nil
	}}
}

func anything[T any](name string, field func(c *Config) *T) configKey {
	return configKey{name, func(c *Config) any { return field(c) }, func(*Config) error { return nil }}
}

// fields are the values of a JSON object by their keys, as written. Keys are case-sensitive, as Python's are; of two of the same name the
// last one counts, as there.
type fields map[string]json.RawMessage

func parseFields(data []byte) (fields, error) {
	if len(data) > maxConfig {
		return nil, fmt.Errorf("%d bytes: at most %d", len(data), maxConfig)
	}
	var f fields
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&f); err != nil {
		return nil, fmt.Errorf("expected a JSON object: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("expected one JSON object: there is more after its end at byte %d", decoder.InputOffset())
	}
	if f == nil {
		return nil, errors.New("expected a JSON object, found null")
	}
	return f, nil
}

// take moves the value of a key, where there is one, to a variable.
func (f fields) take(name string, to any) error {
	raw, ok := f[name]
	if !ok {
		return nil
	}
	delete(f, name)
	if slices.Equal(raw, []byte("null")) || unmarshal(raw, to) != nil {
		return fmt.Errorf("%s: %s: expected %s", name, shortened(raw), kindOf(to))
	}
	return nil
}

// unmarshal reads a value; a size may also be a list of the same size twice, as transformers allows for patch_size.
func unmarshal(raw json.RawMessage, to any) error {
	err := json.Unmarshal(raw, to)
	size, ok := to.(*int)
	if err == nil || !ok {
		return err
	}
	var pair []int
	if json.Unmarshal(raw, &pair) != nil || len(pair) != 2 || pair[0] != pair[1] {
		return err
	}
	*size = pair[0]
	return nil
}

func kindOf(to any) string {
	switch to.(type) {
	case *int:
		return "a whole number"
	case *float64:
		return "a number"
	case *bool:
		return "true or false"
	case *string:
		return "a string"
	case *[]float64:
		return "a list of numbers"
	case *fields:
		return "an object"
	}
	return "another kind of value"
}

func shortened(raw []byte) string {
	const most = 40
	if text := strings.ToValidUTF8(string(raw), "?"); len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(string(raw[:most]), "") + "…"
}
