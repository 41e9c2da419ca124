package model

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ensue-video/ensue/nn"
)

// CopyOptions say how Copy writes a model.
type CopyOptions struct {
	// Dtype is the type of the weights: "f32", "bf16" (matrices in bfloat16, norms and biases as they are), "" as they are.
	Dtype string
	// Attention and ContextFrames replace those of the configuration where they are not "" and 0.
	Attention     string
	ContextFrames int
	// Plain leaves out the section ensue, as far as it says nothing that transformers does not do: then it is a model like any other.
	Plain bool
	// ShardBytes is how large a file of weights becomes; 0: ShardBytes.
	ShardBytes int64
}

// Dtypes are the types that weights can be written in.
func Dtypes() []string { return []string{"f32", "bf16"} }

// Copy writes an open model to another directory: without a classifier's prefix and head, in another type, with another mode of attention,
// in one file or in several. A tensor at a time is in memory. The directory must be new or hold no model.
func Copy(m *Model, dir string, options CopyOptions) error {
	config, err := options.config(m)
	if err != nil {
		return fmt.Errorf("writing model %s: %w", dir, err)
	}
	if err := vacant(dir); err != nil {
		return fmt.Errorf("writing model %s: %w", dir, err)
	}
	entries := make([]entry, 0, len(m.Tensors()))
	for _, t := range m.Tensors() {
		entries = append(entries, m.entry(t, options.Dtype))
	}
	shard := options.ShardBytes
	if shard == 0 {
		shard = ShardBytes
	}
	return writeModel(dir, config, entries, shard)
}

// config is what config.json is to say.
func (o CopyOptions) config(m *Model) (Config, error) {
	config, err := m.Config().WithAttention(o.Attention)
	if err != nil {
		return Config{}, err
	}
	if o.ContextFrames != 0 {
		config.Ensue.ContextFrames = o.ContextFrames
		if err := checkAttention(config); err != nil {
			return Config{}, err
		}
	}
	config.plain = o.Plain && config.ModelType == FamilyVJEPA2 && config.Ensue.Attention == Full
	return config, nil
}

// vacant tells whether a model can be written to a directory: not over another one, and not over the one that is being read.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if name == configFile || name == indexFile || filepath.Ext(name) == filepath.Ext(weightsFile) {
			return fmt.Errorf("there is a %s already; name a new directory, or remove the old model", name)
		}
	}
	return nil
}

// entry is a tensor of the model as it is to be written.
func (m *Model) entry(t Tensor, dtype string) entry {
	name := m.prefix + t.Name
	info, _ := m.weights.info(name)
	want := info.Dtype
	switch {
	case dtype == "f32":
		want = "F32"
	case dtype == "bf16" && len(t.Shape) > 1:
		want = "BF16"
	}
	if want == info.Dtype {
		return entry{t, want, func(w io.Writer) error { return m.weights.copyTo(w, name) }}
	}
	return entry{t, want, func(w io.Writer) error { return m.convert(w, t, want) }}
}

// convert writes a tensor in another type.
func (m *Model) convert(w io.Writer, t Tensor, dtype string) error {
	array, err := m.weights.view(m.prefix+t.Name, t.Shape)
	if err != nil {
		return err
	}
	var data bytes.Buffer
	if dtype == "BF16" {
		err = binary.Write(&data, binary.LittleEndian, nn.ToBFloat16(array.Float32s()))
	} else {
		err = binary.Write(&data, binary.LittleEndian, array.Float32s())
	}
	if err != nil {
		return err
	}
	_, err = w.Write(data.Bytes())
	return err
}
