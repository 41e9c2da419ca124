package main

import (
	"fmt"
	"path/filepath"
	"regexp"

	"github.com/ensue-video/ensue/model"
)

// What is asked for, as ratios theirs/ours.
const (
	goalForward  = 2.0 // float32, to PyTorch float32
	goalHalf     = 1.0 // bfloat16, to PyTorch bfloat16
	goalHalfFull = 3.0 // bfloat16, to PyTorch float32
	goalTrain    = 1.5 // to PyTorch float32
	goalProduct  = 0.9 // to oneDNN's own speed
)

// netCase is one model on one input.
type netCase struct {
	name                string
	size, layers, heads int
	crop, frames, batch int
	train               bool
	large               bool // with one thread PyTorch bfloat16 is left out, it takes half a minute a call
	// recurrent is a training step of the recurrent family at the sizes and with the windows of weights/train.yaml: see recurrent.go.
	recurrent bool
}

// The small model's frames are tubelets of two frames of video: 64 tokens at 128 pixels, 256 at 256.
var netCases = []netCase{
	{name: "vit-b 16 frames at 224", size: 768, layers: 12, heads: 12, crop: 224, frames: 16, batch: 1},
	{name: "vit-l 16 frames at 256", size: 1024, layers: 24, heads: 16, crop: 256, frames: 16, batch: 1, large: true},
	small("forward", 192, 128, 1, false),
	small("forward", 192, 128, 8, false),
	small("forward", 192, 256, 1, false),
	small("forward", 384, 128, 1, false),
	small("forward", 384, 256, 1, false),
	small("forward", 384, 256, 8, false),
	small("train", 192, 128, 1, true),
	small("train", 192, 128, 8, true),
	small("train", 384, 128, 4, true),
	small("train", 384, 256, 2, true),
	small("train", 384, 256, 8, true),
	{name: "train recurrent batch 8", recurrent: true, train: true, crop: 64, frames: 24, batch: 8},
}

func small(what string, size, crop, batch int, train bool) netCase {
	tokens := (crop / 16) * (crop / 16)
	return netCase{
		name: fmt.Sprintf("%s d%d %d tokens batch %d", what, size, tokens, batch),
		size: size, layers: 6, heads: size / 64, crop: crop, frames: 2, batch: batch, train: train,
	}
}

// productCases are y [m, n] = x [m, k] w [k, n]: linear maps of the models above.
var productCases = [][3]int{
	{1568, 2304, 768},
	{1568, 768, 768},
	{1568, 3072, 768},
	{1568, 768, 3072},
	{2048, 4096, 1024},
	{2048, 1024, 4096},
	{64, 576, 192},
	{512, 192, 768},
	{256, 1536, 384},
	{2048, 384, 1536},
}

func productName(s [3]int) string { return fmt.Sprintf("product %dx%dx%d", s[0], s[1], s[2]) }

func (c netCase) config() model.Config {
	if c.recurrent {
		return recurrentConfig()
	}
	m := model.Default()
	m.HiddenSize, m.NumHiddenLayers, m.NumAttentionHeads = c.size, c.layers, c.heads
	m.CropSize, m.FramesPerClip, m.MLPRatio = c.crop, c.frames, 4
	m.QKVBias = true
	return m
}

// targets is how many numbers the target of a training step has.
func (c netCase) targets() int {
	if c.recurrent {
		grid := c.config().Grid()
		return c.batch * c.frames * grid * grid * c.width()
	}
	return c.batch * c.tokens() * c.width()
}

// width is how many numbers a place of the result has.
func (c netCase) width() int {
	if c.recurrent {
		r := c.config().Ensue.Recurrent
		return len(r.Ahead) * r.Dim
	}
	return c.size
}

// tokens is how many tokens an item of the batch has.
func (c netCase) tokens() int { return c.frames / 2 * (c.crop / 16) * (c.crop / 16) }

// gflop is the work of a call, in products alone: tubelets, linear maps, attention; a training step does it three times.
func (c netCase) gflop() float64 {
	if c.recurrent {
		return recurrentGFLOP(c)
	}
	n, d, b := float64(c.tokens()), float64(c.size), float64(c.batch)
	work := b * (2*n*d*2*16*16*3 + float64(c.layers)*(24*n*d*d+4*n*n*d))
	if c.train {
		work *= 3
	}
	return work * 1e-9
}

// files is where the case's model and input lie.
func (c netCase) files(cache string) files {
	dir := filepath.Join(cache, fmt.Sprintf("d%d-l%d-p%d-f%d", c.size, c.layers, c.crop, c.frames))
	if c.recurrent {
		dir = filepath.Join(cache, "recurrent")
	}
	numbered := func(what string) string { return filepath.Join(dir, fmt.Sprintf("%s-%d.f32", what, c.batch)) }
	return files{model: dir, input: numbered("input"), target: numbered("target")}
}

// selection says what --cases chose.
type selection struct{ *regexp.Regexp }

func (s selection) nets() (chosen []netCase) {
	for _, c := range netCases {
		if s.MatchString(c.name) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

func (s selection) products() (chosen [][3]int) {
	for _, c := range productCases {
		if s.MatchString(productName(c)) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}
