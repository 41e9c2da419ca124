package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// files are the files of a model, by their names: a directory or a file system.
type files interface {
	// String is where they are, for messages.
	String() string
	// read reads a small file: more than limit bytes are an error.
	read(name string, limit int64) ([]byte, error)
	open(name string) (*nn.Safetensors, error)
	has(name string) bool
}

type directory string

func (d directory) String() string { return string(d) }

func (d directory) read(name string, limit int64) ([]byte, error) {
	return readSmall(os.DirFS(string(d)), name, limit)
}

func (d directory) open(name string) (*nn.Safetensors, error) {
	return nn.OpenSafetensors(filepath.Join(string(d), name))
}

func (d directory) has(name string) bool {
	_, err := os.Stat(filepath.Join(string(d), name))
	return err == nil
}

type system struct{ fs.FS }

func (s system) String() string { return "builtin" }

func (s system) read(name string, limit int64) ([]byte, error) { return readSmall(s.FS, name, limit) }

func (s system) open(name string) (*nn.Safetensors, error) {
	data, err := fs.ReadFile(s.FS, name)
	if err != nil {
		return nil, fmt.Errorf("opening weights %s: %w", name, err)
	}
	weights, err := nn.ParseSafetensors(data)
	if err != nil {
		return nil, fmt.Errorf("reading weights %s: %w", name, err)
	}
	return weights, nil
}

func (s system) has(name string) bool {
	_, err := fs.Stat(s.FS, name)
	return err == nil
}

func readSmall(system fs.FS, name string, limit int64) ([]byte, error) {
	file, err := system.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("reading %s: it is longer than %d bytes", name, limit)
	}
	return data, nil
}

// weights are the tensors of one file, or of several that an index lists.
type weights struct {
	shards []*nn.Safetensors
	// where tells which of them has a tensor.
	where map[string]*nn.Safetensors

	mu sync.Mutex
	// viewed are the tensors that were given out last, the oldest first, and viewedBytes how large they are together.
	viewed      []string
	viewedBytes int
	viewedLimit int
}

// viewedLimit is how many bytes of the files stay in memory after they were given out. A model is read once, layer by layer, into another
// form: without a limit the whole file would be in memory beside it in the end.
const viewedLimit = 64 << 20

// openWeights opens model.safetensors, or where there is none the files of the index, as transformers does.
func openWeights(files files) (*weights, error) {
	w := &weights{where: map[string]*nn.Safetensors{}, viewedLimit: viewedLimit}
	if !files.has(weightsFile) && files.has(indexFile) {
		if err := w.openShards(files); err != nil {
			return nil, errors.Join(err, w.close())
		}
		return w, nil
	}
	shard, err := files.open(weightsFile)
	if err != nil {
		return nil, noWeights(files, err)
	}
	w.shards = []*nn.Safetensors{shard}
	for _, name := range shard.Names() {
		w.where[name] = shard
	}
	return w, nil
}

func noWeights(files files, err error) error {
	const pickle = "pytorch_model.bin"
	if errors.Is(err, fs.ErrNotExist) && (files.has(pickle) || files.has(pickle+".index.json")) {
		return fmt.Errorf("there is no %s; %s is a pickle, which can run code and is not read: save the model again with transformers "+
			"(save_pretrained writes safetensors): %w", weightsFile, pickle, err)
	}
	return err
}

func (w *weights) openShards(files files) error {
	data, err := files.read(indexFile, maxIndex)
	if err != nil {
		return err
	}
	index, err := parseIndex(data)
	if err != nil {
		return fmt.Errorf("reading %s: %w", indexFile, err)
	}
	opened := map[string]*nn.Safetensors{}
	for _, name := range slices.Sorted(maps.Keys(index)) {
		file := index[name]
		shard := opened[file]
		if shard == nil {
			if shard, err = files.open(file); err != nil {
				return err
			}
			opened[file] = shard
			w.shards = append(w.shards, shard)
		}
		if _, ok := shard.Info(name); !ok {
			return fmt.Errorf("tensor %s: %s says it is in %s, where it is not", name, indexFile, file)
		}
		w.where[name] = shard
	}
	return nil
}

// What an index may hold: the largest model that Config allows has fewer than 20,000 tensors.
const (
	maxIndex  = 16 << 20
	maxShards = 1 << 10
)

// parseIndex reads model.safetensors.index.json: which file has which tensor. Files are named, not pathed: an index that points out of the
// directory is refused.
func parseIndex(data []byte) (map[string]string, error) {
	var index struct {
		Files map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("expected a JSON object with weight_map: %w", err)
	}
	if len(index.Files) == 0 {
		return nil, errors.New("weight_map: there is none, or it is empty")
	}
	shards := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(index.Files)) {
		file := index.Files[name]
		if strings.ContainsAny(file, `/\`) || !filepath.IsLocal(file) || !strings.HasSuffix(file, ".safetensors") {
			return nil, fmt.Errorf("weight_map: tensor %s: %q: expected the name of a .safetensors file in the same directory", name, file)
		}
		if shards[file] = true; len(shards) > maxShards {
			return nil, fmt.Errorf("weight_map: more than %d files", maxShards)
		}
	}
	return index.Files, nil
}

// names are the names of all tensors, sorted.
func (w *weights) names() []string { return slices.Sorted(maps.Keys(w.where)) }

func (w *weights) info(name string) (nn.TensorInfo, bool) {
	shard, ok := w.where[name]
	if !ok {
		return nn.TensorInfo{}, false
	}
	return shard.Info(name)
}

func (w *weights) view(name string, shape []int) (*tensor.Dense, error) {
	shard := w.where[name]
	if shard == nil {
		shard = w.shards[0] // it says what there is instead
	}
	x, err := shard.View(name, shape...)
	if err == nil {
		w.forget(name)
	}
	return x, err
}

// forget lets go of the pages of what was given out before the last viewedLimit bytes. Who still looks at them has them read again.
func (w *weights) forget(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.viewed, w.viewedBytes = append(w.viewed, name), w.viewedBytes+w.bytesOf(name)
	for len(w.viewed) > 1 && w.viewedBytes > w.viewedLimit {
		oldest := w.viewed[0]
		w.where[oldest].Forget(oldest)
		w.viewed, w.viewedBytes = w.viewed[1:], w.viewedBytes-w.bytesOf(oldest)
	}
}

// bytesOf is how large a tensor is as float32.
func (w *weights) bytesOf(name string) int {
	info, _ := w.info(name)
	return 4 * elements(info.Shape)
}

func elements(shape []int) int {
	size := 1
	for _, n := range shape {
		size *= n
	}
	return size
}

// copyTo writes the bytes of a tensor as the file has them.
func (w *weights) copyTo(to io.Writer, name string) error {
	shard, ok := w.where[name]
	if !ok {
		return fmt.Errorf("reading tensor %s: there is none of that name", name)
	}
	return shard.CopyTo(to, name)
}

func (w *weights) close() error {
	var errs []error
	for _, shard := range w.shards {
		errs = append(errs, shard.Close())
	}
	return errors.Join(errs...)
}
