package model

import (
	"encoding/json"
	"fmt"
	"maps"
)

// values are the keys that determine what the model computes, with their values.
func (c Config) values() map[string]any {
	values := map[string]any{"model_type": c.ModelType, "ensue": c.section()}
	if c.ModelType == FamilyVJEPA2 {
		for _, k := range configKeys {
			values[k.name] = k.field(&c)
		}
	}
	return values
}

// canonical is the configuration in the same bytes whenever the model computes the same: keys sorted, defaults filled in, other keys left
// out.
func (c Config) canonical() []byte {
	data, err := json.Marshal(c.values())
	if err != nil {
		panic(fmt.Sprintf("model: a checked configuration has no JSON form: %v", err)) // NaN only, which Check refuses
	}
	return data
}

// dropped are keys of other checkpoints that would be wrong in what is written: a classifier's head, the type of other weights.
var dropped = []string{"torch_dtype", "id2label", "label2id", "problem_type", "auto_map"}

// Encode is config.json: transformers' keys, the keys in Extra, and the section ensue. dtype is the type of the weights, as transformers
// names it ("float32", "bfloat16").
func (c Config) Encode(dtype string) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("writing %s: %w", configFile, err)
	}
	all := map[string]any{}
	for name, value := range c.Extra {
		all[name] = value
	}
	for _, name := range dropped {
		delete(all, name)
	}
	maps.Copy(all, c.values())
	all["dtype"] = dtype
	if c.plain {
		delete(all, "ensue")
	}
	if c.ModelType == FamilyVJEPA2 {
		all["architectures"] = []string{"VJEPA2Model"}
	}
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", configFile, err)
	}
	return append(data, '\n'), nil
}
