package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// parse reads the section over the defaults that are there. A key it does not know may change what the model computes, in a version of
// ensue to come: it is refused.
func (e *Ensue) parse(raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	section := fields{}
	if err := (fields{"ensue": raw}).take("ensue", &section); err != nil {
		return err
	}
	if err := section.take("attention", &e.Attention); err != nil {
		return err
	}
	if err := section.take("context_frames", &e.ContextFrames); err != nil {
		return err
	}
	if err := section.takeChannels("image_mean", &e.Mean); err != nil {
		return err
	}
	if err := section.takeChannels("image_std", &e.Std); err != nil {
		return err
	}
	if raw, ok := section["recurrent"]; ok {
		delete(section, "recurrent")
		if err := strictly(raw, &e.Recurrent); err != nil {
			return fmt.Errorf("recurrent: %s: %w", shortened(raw), err)
		}
	}
	if unknown := slices.Sorted(maps.Keys(section)); len(unknown) > 0 {
		return fmt.Errorf("%s: unknown (known: attention, context_frames, image_mean, image_std, recurrent)", strings.Join(unknown, ", "))
	}
	return nil
}

// takeChannels moves a list of three numbers to an array; a single number stands for three.
func (f fields) takeChannels(name string, to *[3]float64) error {
	raw, ok := f[name]
	if !ok {
		return nil
	}
	var one float64
	if json.Unmarshal(raw, &one) == nil && !bytes.Equal(raw, []byte("null")) {
		*to = [3]float64{one, one, one}
		delete(f, name)
		return nil
	}
	var list []float64
	if err := f.take(name, &list); err != nil {
		return err
	}
	if len(list) != 3 {
		return fmt.Errorf("%s: %v: expected three numbers, of red, green and blue", name, list)
	}
	*to = [3]float64(list)
	return nil
}

// strictly reads a JSON object whose keys are all known.
func strictly(raw json.RawMessage, to any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	return decoder.Decode(to)
}

// section is what config.json says under "ensue".
func (c Config) section() map[string]any {
	section := map[string]any{"image_mean": c.Ensue.Mean, "image_std": c.Ensue.Std}
	if c.ModelType == FamilyRecurrent {
		section["recurrent"] = c.Ensue.Recurrent
		return section
	}
	section["attention"] = c.Ensue.Attention
	section["context_frames"] = c.Ensue.ContextFrames
	if c.Ensue.ContextFrames == 0 {
		section["context_frames"] = c.FramesPerClip
	}
	return section
}
