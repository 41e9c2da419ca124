package model

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// The files of a directory.
const (
	configFile  = "config.json"
	weightsFile = "model.safetensors"
	indexFile   = "model.safetensors.index.json"
)

// classifierPrefix is what the names of VJEPA2ForVideoClassification's backbone begin with.
const classifierPrefix = "vjepa2."

// Model is an open model: its configuration, and its weights as they lie in their files. It may be used by several goroutines until Close.
type Model struct {
	where   string
	files   files
	config  Config
	weights *weights
	// prefix is what the file's names begin with: "" or classifierPrefix.
	prefix    string
	predictor bool
	digest    func() string
}

// Open opens a directory. The configuration, and the name, type and shape of every tensor are checked; weights are not read yet, and are
// not when float32: they are mapped. Close the Model after everything that was made from it.
func Open(dir string) (*Model, error) { return open(directory(dir)) }

// OpenFS opens a model whose files lie at the root of a file system: embedded ones, say. Weights are read into memory.
func OpenFS(files fs.FS) (*Model, error) { return open(system{files}) }

func open(files files) (*Model, error) {
	m := &Model{where: files.String(), files: files}
	if err := m.open(files); err != nil {
		return nil, fmt.Errorf("opening model %s: %w", m.where, err)
	}
	return m, nil
}

func (m *Model) open(files files) error {
	config, err := readConfig(files)
	if err != nil {
		return err
	}
	m.config = config
	if m.weights, err = openWeights(files); err != nil {
		return err
	}
	if err := m.check(); err != nil {
		return errors.Join(err, m.weights.close())
	}
	m.digest = sync.OnceValue(m.computeDigest)
	return nil
}

// readConfig reads config.json and what says how frames are prepared.
func readConfig(files files) (Config, error) {
	data, err := files.read(configFile, maxConfig)
	if err != nil {
		return Config{}, missing(files, err)
	}
	processor, err := readPreprocessor(files)
	if err != nil {
		return Config{}, err
	}
	config, err := parseConfig(data, processor)
	if err != nil {
		return Config{}, fmt.Errorf("reading %s: %w", configFile, err)
	}
	return config, nil
}

func readPreprocessor(files files) (*preprocessor, error) {
	for _, name := range []string{videoProcessorFile, imageProcessorFile} {
		data, err := files.read(name, maxConfig)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p, err := parsePreprocessor(data)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		p.file = name
		return p, nil
	}
	return nil, nil //nolint:nilnil // none is usual
}

// check holds the weights against the configuration, and finds out under which prefix they are and whether there is a predictor.
func (m *Model) check() error {
	wanted := m.config.Tensors()
	if _, ok := m.weights.info(wanted[0].Name); !ok {
		if _, ok := m.weights.info(classifierPrefix + wanted[0].Name); ok {
			m.prefix = classifierPrefix
		}
	}
	m.predictor = slices.ContainsFunc(m.weights.names(), func(name string) bool {
		return strings.HasPrefix(name, m.prefix+predictorPrefix)
	})
	for _, t := range m.Tensors() {
		if err := m.checkTensor(t); err != nil {
			return err
		}
	}
	return m.checkNothingMore()
}

// checkTensor tells what is wrong with one tensor of the file.
func (m *Model) checkTensor(t Tensor) error {
	name := m.prefix + t.Name
	info, ok := m.weights.info(name)
	switch {
	case !ok:
		return fmt.Errorf("tensor %s: missing; %s asks for it with shape %v", name, configFile, t.Shape)
	case !slices.Equal(info.Shape, t.Shape):
		return fmt.Errorf("tensor %s: expected shape %v (by %s), found %v", name, t.Shape, configFile, info.Shape)
	case info.Dtype != "F32" && info.Dtype != "BF16" && info.Dtype != "F16":
		return fmt.Errorf("tensor %s: found type %s; F32, BF16 and F16 are read", name, info.Dtype)
	}
	return nil
}

// checkNothingMore refuses blocks and biases that the configuration does not know: the model would compute something else than the one
// whose weights these are. What belongs to a classifier's head is passed over.
func (m *Model) checkNothingMore() error {
	known := map[string]bool{}
	for _, t := range m.Tensors() {
		known[m.prefix+t.Name] = true
	}
	for _, name := range m.weights.names() {
		own := strings.HasPrefix(name, m.prefix+"encoder.") || strings.HasPrefix(name, m.prefix+predictorPrefix)
		if own && !known[name] {
			info, _ := m.weights.info(name)
			return fmt.Errorf("tensor %s: shape %v: %s does not know it; the two do not belong together", name, info.Shape, configFile)
		}
	}
	return nil
}

// Config is the configuration.
func (m *Model) Config() Config {
	c := m.config
	c.Extra = maps.Clone(c.Extra)
	return c
}

// HasPredictor tells whether the model brings a predictor.
func (m *Model) HasPredictor() bool { return m.predictor }

// Where is the directory, as it was given to Open.
func (m *Model) Where() string { return m.where }

// Tensors are the arrays that the model has, encoder first, under transformers' names: Config.Tensors, without a predictor where there is
// none.
func (m *Model) Tensors() []Tensor {
	all := m.config.Tensors()
	if m.predictor {
		return all
	}
	return slices.DeleteFunc(all, func(t Tensor) bool { return strings.HasPrefix(t.Name, predictorPrefix) })
}

// Dtype is the type that most of the model's numbers have in the file: F32, BF16 or F16.
func (m *Model) Dtype() string {
	sizes := map[string]int{}
	most := ""
	for _, t := range m.Tensors() {
		info, _ := m.weights.info(m.prefix + t.Name)
		sizes[info.Dtype] += t.Size()
		if sizes[info.Dtype] > sizes[most] {
			most = info.Dtype
		}
	}
	return most
}

// Source gives values by their names after the prefix ("encoder.", "predictor.", ""), as float32 whatever the file has. A float32 array
// lies in the file's own memory: it must not be written to and is valid until Close; others are copies.
func (m *Model) Source(prefix string) nn.Source {
	return func(name string, shape ...int) (*tensor.Dense, error) {
		return m.weights.view(m.prefix+prefix+name, shape)
	}
}

// Digest identifies what the model computes: "sha256:" and a SHA-256, in hex, over the configuration and the weights. It is computed once,
// by reading all weights (about a second per gigabyte), when it is first asked for.
func (m *Model) Digest() string { return m.digest() }

// HasExtra tells whether there is another file of that name beside the model's own.
func (m *Model) HasExtra(name string) bool { return m.files.has(name) }

// Extra opens another file of tensors that lies beside the model's own: an energy or a verifier that was learned with it. It is the
// caller's to close, and an fs.ErrNotExist where there is none of that name.
func (m *Model) Extra(name string) (*nn.Safetensors, error) {
	if !m.files.has(name) {
		return nil, fmt.Errorf("opening %s of model %s: %w", name, m.where, fs.ErrNotExist)
	}
	s, err := m.files.open(name)
	if err != nil {
		return nil, fmt.Errorf("opening %s of model %s: %w", name, m.where, err)
	}
	return s, nil
}

// Close ends the mapping of the weights.
func (m *Model) Close() error { return m.weights.close() }

// missing says what a directory without config.json is more likely to be.
func missing(files files, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if files.has("pytorch_model.bin") || files.has("open_clip_config.json") || files.has(weightsFile) {
		return fmt.Errorf("there are weights and no %s; a model is a directory as transformers' save_pretrained writes it", configFile)
	}
	return fmt.Errorf("there is no %s: a model is a directory as transformers' save_pretrained writes it: %w", configFile, fs.ErrNotExist)
}
