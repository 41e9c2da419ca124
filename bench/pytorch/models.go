package main

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
)

// files are what both sides read.
type files struct {
	model         string // a directory as transformers lays it out
	input, target string // raw float32: [B, T, C, H, W] and [B, N, D]; recurrent models' [T, B, C, H, W] and [T, B, H', W', K D]
}

// make writes what is not there yet: random weights, biases and norms too, so that no part of the model goes unnoticed.
func (f files) make(c netCase) error {
	if _, err := os.Stat(filepath.Join(f.model, "config.json")); errors.Is(err, fs.ErrNotExist) {
		write := writeModel
		if c.recurrent {
			write = writeRecurrent
		}
		if err := write(f.model, c.config()); err != nil {
			return err
		}
	}
	pixels := c.batch * c.frames * 3 * c.crop * c.crop
	if err := writeRandom(f.input, 1, pixels); err != nil {
		return err
	}
	return writeRandom(f.target, 2, c.targets())
}

func writeModel(dir string, config model.Config) error {
	ps := nn.NewParameters(1)
	encoder.NewVisionTransformer(ps, config)
	random := rand.New(rand.NewPCG(3, 0))
	for _, p := range ps.All() {
		if len(p.Shape()) > 1 {
			continue
		}
		values := p.Dense().Float32s()
		for i := range values {
			values[i] = 0.02 * float32(random.NormFloat64())
			if strings.Contains(p.Name, "norm") && strings.HasSuffix(p.Name, ".weight") {
				values[i]++
			}
		}
	}
	return model.Write(dir, config, model.Named("encoder.", ps.All())...)
}

func writeRandom(path string, seed uint64, n int) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	random := rand.New(rand.NewPCG(seed, 0))
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(random.NormFloat64())
	}
	return os.WriteFile(path, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 4*n), 0o600)
}

func readFloats(path string) ([]float32, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := make([]float32, len(data)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return values, nil
}

// channelsLast turns [B, T, C, H, W] into [B, T, H, W, C].
func channelsLast(x []float32, channels, pixels int) []float32 {
	y := make([]float32, len(x))
	for first := 0; first < len(x); first += channels * pixels {
		for c := range channels {
			for i := range pixels {
				y[first+i*channels+c] = x[first+c*pixels+i]
			}
		}
	}
	return y
}
