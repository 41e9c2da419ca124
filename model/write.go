package model

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// ShardBytes is how large a file of weights becomes before another one is begun, as in transformers (max_shard_size, 5 GB).
const ShardBytes = 5_000_000_000

// Named gives parameters a prefix: those of an encoder are "encoder.…" in a model, those of a predictor "predictor.…". The arrays are
// shared.
func Named(prefix string, parameters []*nn.Parameter) []*nn.Parameter {
	named := make([]*nn.Parameter, len(parameters))
	for i, p := range parameters {
		named[i] = nn.NewParameter(prefix+p.Name, p.Dense())
	}
	return named
}

// Write makes a directory, as transformers lays it out, of a model that is in memory: parameters are those of the encoder and, where there
// is one, of the predictor, under their whole names (see Named), as nn's layers keep them. Weights are written as float32. The files appear
// one by one, each of them whole, config.json last: a directory with a config.json is complete.
func Write(dir string, config Config, parameters ...*nn.Parameter) error {
	arrays, err := separated(config, parameters)
	if err == nil {
		err = checkArrays(config, arrays)
	}
	if err != nil {
		return fmt.Errorf("writing model %s: %w", dir, err)
	}
	entries := make([]entry, 0, len(arrays))
	for _, t := range config.Tensors() {
		if array, ok := arrays[t.Name]; ok {
			entries = append(entries, entry{t, "F32", func(w io.Writer) error {
				return binary.Write(w, binary.LittleEndian, array.Float32s())
			}})
		}
	}
	return writeModel(dir, config, entries, ShardBytes)
}

// separated are the parameters' arrays under transformers' names.
func separated(config Config, parameters []*nn.Parameter) (map[string]*tensor.Dense, error) {
	arrays := map[string]*tensor.Dense{}
	for _, p := range parameters {
		names, parts, err := Tensors(p, config)
		if err != nil {
			return nil, err
		}
		for i, name := range names {
			if _, twice := arrays[name]; twice {
				return nil, fmt.Errorf("tensor %s: given twice", name)
			}
			arrays[name] = parts[i]
		}
	}
	return arrays, nil
}

// checkArrays holds what is to be written against the configuration. A predictor may be absent as a whole.
func checkArrays(config Config, arrays map[string]*tensor.Dense) error {
	if err := config.Check(); err != nil {
		return err
	}
	known, predictor := map[string]bool{}, false
	for name := range arrays {
		predictor = predictor || strings.HasPrefix(name, predictorPrefix)
	}
	for _, t := range config.Tensors() {
		known[t.Name] = true
		array, ok := arrays[t.Name]
		switch {
		case !ok && !predictor && config.ModelType == FamilyVJEPA2 && strings.HasPrefix(t.Name, predictorPrefix):
		case !ok:
			return fmt.Errorf("tensor %s: missing; the configuration asks for it with shape %v", t.Name, t.Shape)
		case !slices.Equal([]int(array.Shape()), t.Shape):
			return fmt.Errorf("tensor %s: expected shape %v (by the configuration), found %v", t.Name, t.Shape, []int(array.Shape()))
		case array.Dtype() != tensor.Float32:
			return fmt.Errorf("tensor %s: found type %v; float32 is written", t.Name, array.Dtype())
		}
	}
	for name := range arrays {
		if !known[name] {
			return fmt.Errorf("tensor %s: the configuration does not know it", name)
		}
	}
	return nil
}

// entry is a tensor to be written: write gives its bytes.
type entry struct {
	Tensor
	dtype string
	write func(w io.Writer) error
}

func (e entry) bytes() int64 {
	if e.dtype == "F32" {
		return 4 * int64(e.Size())
	}
	return 2 * int64(e.Size())
}

// writeModel writes weights, what says how frames are prepared, and config.json, in this order.
func writeModel(dir string, config Config, entries []entry, shard int64) error {
	text, err := config.Encode(dtypeOf(entries))
	if err != nil {
		return fmt.Errorf("writing model %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing model %s: %w", dir, err)
	}
	if err := writeWeights(dir, entries, shard); err != nil {
		return fmt.Errorf("writing model %s: %w", dir, err)
	}
	if config.ModelType == FamilyVJEPA2 {
		if err := writeWhole(filepath.Join(dir, videoProcessorFile), config.encodeProcessor()); err != nil {
			return fmt.Errorf("writing model %s: %w", dir, err)
		}
	}
	if err := writeWhole(filepath.Join(dir, configFile), text); err != nil {
		return fmt.Errorf("writing model %s: %w", dir, err)
	}
	return nil
}

// dtypeOf is transformers' name of the type that most numbers have.
func dtypeOf(entries []entry) string {
	sizes := map[string]int{}
	for _, e := range entries {
		sizes[e.dtype] += e.Size()
	}
	switch {
	case sizes["BF16"] > sizes["F32"]+sizes["F16"]:
		return "bfloat16"
	case sizes["F16"] > sizes["F32"]+sizes["BF16"]:
		return "float16"
	}
	return "float32"
}

// writeWeights writes one file, or several and their index where they would be larger than shard bytes.
func writeWeights(dir string, entries []entry, shard int64) error {
	shards := split(entries, shard)
	if len(shards) == 1 {
		return writeShard(filepath.Join(dir, weightsFile), shards[0])
	}
	index := shardIndex{Files: map[string]string{}}
	for i, part := range shards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		for _, e := range part {
			index.Metadata.Size += e.bytes()
			index.Files[e.Name] = name
		}
		if err := writeShard(filepath.Join(dir, name), part); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(dir, indexFile), append(data, '\n'))
}

// shardIndex is model.safetensors.index.json.
type shardIndex struct {
	Metadata struct {
		Size int64 `json:"total_size"`
	} `json:"metadata"`
	// Files are the files' names by the tensors'.
	Files map[string]string `json:"weight_map"`
}

// split cuts a list of tensors into parts of up to size bytes; a larger tensor is a part of its own.
func split(entries []entry, size int64) [][]entry {
	shards, sum := [][]entry{nil}, int64(0)
	for _, e := range entries {
		last := len(shards) - 1
		if len(shards[last]) > 0 && sum+e.bytes() > size {
			shards, sum = append(shards, nil), 0
			last++
		}
		shards[last] = append(shards[last], e)
		sum += e.bytes()
	}
	return shards
}

func writeShard(path string, entries []entry) error {
	file := &nn.TensorFile{Metadata: map[string]string{"format": "pt"}} // transformers asks for it
	for _, e := range entries {
		file.PutFrom(e.Name, e.dtype, e.Shape, e.write)
	}
	return file.Write(path)
}

// encodeProcessor is the file that makes transformers' AutoVideoProcessor prepare frames as ensue does.
func (c Config) encodeProcessor() []byte {
	square := func(side int) string {
		return `{"height": ` + strconv.Itoa(side) + `, "width": ` + strconv.Itoa(side) + `}`
	}
	channels := func(values [3]float64) string {
		text, _ := json.Marshal(values) // finite, by Check
		return string(text)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{
  "video_processor_type": "VJEPA2VideoProcessor",
  "crop_size": %s,
  "do_center_crop": true,
  "do_normalize": true,
  "do_rescale": true,
  "do_resize": true,
  "image_mean": %s,
  "image_std": %s,
  "resample": 2,
  "rescale_factor": 0.00392156862745098,
  "size": {"shortest_edge": %d}
}
`, square(c.CropSize), channels(c.Ensue.Mean), channels(c.Ensue.Std), c.CropSize*256/224)
	return b.Bytes()
}

// writeWhole writes a file beside its place and moves it there: a reader never sees half of one.
func writeWhole(path string, data []byte) error {
	temporary := path + ".part"
	if err := os.WriteFile(temporary, data, 0o644); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return os.Rename(temporary, path)
}
