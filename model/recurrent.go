package model

import (
	"errors"
	"fmt"
	"slices"
)

// Recurrent is the section "recurrent" of config.json's "ensue": the sizes of a model of the family FamilyRecurrent, a convolutional
// encoder that sees each frame alone, and a convolutional GRU that remembers what it made of them.
type Recurrent struct {
	// Size is the side of the frames in pixels, a multiple of 8: the grid has Size/8 places a side.
	Size int `json:"size"`
	// Widths are the channels of the encoder's three convolutions.
	Widths [3]int `json:"widths"`
	// Dim is the channels of a token.
	Dim int `json:"dim"`
	// Hidden is the channels of the memory.
	Hidden int `json:"hidden"`
	// Ahead are how many steps ahead the heads predict, increasing.
	Ahead []int `json:"ahead"`
	// Trunk is the channels of the layer between the memory and the heads; 0: Hidden.
	Trunk int `json:"trunk,omitempty"`
	// Glance says that the heads see the last tokens beside the memory.
	Glance bool `json:"glance,omitempty"`
}

// RecurrentConfig is a configuration of the family FamilyRecurrent with the sizes of the recipe: frames of 64×64 pixels, 8×8 tokens of 48
// channels, a memory of 96, heads for one to four steps ahead; pixels are normalised as (x/255 - 0.45) / 0.25. A model of it has 559,176
// learned numbers.
func RecurrentConfig() Config {
	return Config{ModelType: FamilyRecurrent, Ensue: Ensue{
		Mean: [3]float64{0.45, 0.45, 0.45}, Std: [3]float64{0.25, 0.25, 0.25},
		Recurrent: Recurrent{Size: 64, Widths: [3]int{32, 48, 64}, Dim: 48, Hidden: 96, Ahead: []int{1, 2, 3, 4}},
	}}
}

// recurrentStride is how many pixels a side a place covers: three convolutions of stride 2.
const recurrentStride = 8

// Grid is how many places a side the tokens have.
func (r Recurrent) Grid() int { return r.Size / recurrentStride }

// TrunkWidth is the channels of the layer between the memory and the heads.
func (r Recurrent) TrunkWidth() int {
	if r.Trunk == 0 {
		return r.Hidden
	}
	return r.Trunk
}

// What a recurrent model may be at most.
const (
	maxRecurrentSize  = 512
	maxRecurrentWidth = 2048
	maxRecurrentAhead = 256
)

// Check tells the first thing that no model can have.
func (r Recurrent) Check() error {
	if r.Size < recurrentStride || r.Size > maxRecurrentSize || r.Size%recurrentStride != 0 {
		return fmt.Errorf("size: %d: a multiple of %d, up to %d", r.Size, recurrentStride, maxRecurrentSize)
	}
	widths := []struct {
		name  string
		value int
	}{
		{"widths[0]", r.Widths[0]},
		{"widths[1]", r.Widths[1]},
		{"widths[2]", r.Widths[2]},
		{"dim", r.Dim},
		{"hidden", r.Hidden},
		{"trunk", r.TrunkWidth()},
	}
	for _, width := range widths {
		if width.value < 1 || width.value > maxRecurrentWidth {
			return fmt.Errorf("%s: %d: from 1 to %d", width.name, width.value, maxRecurrentWidth)
		}
	}
	if len(r.Ahead) == 0 {
		return errors.New("ahead: there must be at least one: how many steps ahead the model predicts")
	}
	before := 0
	for i, ahead := range r.Ahead {
		if ahead <= before || ahead > maxRecurrentAhead {
			return fmt.Errorf("ahead[%d]: %d: after %d and up to %d", i, ahead, before, maxRecurrentAhead)
		}
		before = ahead
	}
	return nil
}

// Tensors are the arrays that a model of the sizes consists of: "encoder.…" first, then "predictor.…". A convolution's weight is
// [out, kernel*kernel*in], the window row by row, pixel by pixel, channel by channel, as nn.Conv2d keeps it.
//
//	encoder.conv1      4×4, stride 2, padding 1    3 → Widths[0]
//	encoder.conv2      3×3, stride 2, padding 1    Widths[0] → Widths[1]
//	encoder.conv3      3×3, stride 2, padding 1    Widths[1] → Widths[2]
//	encoder.residual   3×3, padding 1              Widths[2] → Widths[2]
//	encoder.project    1×1                         Widths[2] → Dim
//	predictor.input      3×3, padding 1            Dim → 3 Hidden: the gates r and u, and n
//	predictor.gates      3×3, padding 1, no bias   Hidden → 2 Hidden: r and u
//	predictor.candidate  3×3, padding 1, no bias   Hidden → Hidden: n
//	predictor.trunk      3×3, padding 1            Hidden → TrunkWidth
//	predictor.change     1×1                       TrunkWidth → len(Ahead) Dim, head by head
//	predictor.keep       1×1                       TrunkWidth → len(Ahead)
//	predictor.scale      1×1                       TrunkWidth → len(Ahead)
//	predictor.glance     3×3, padding 1, no bias   Dim → TrunkWidth; where Glance says so
func (r Recurrent) Tensors() []Tensor {
	var l layout
	conv := func(name string, in, out, kernel int, bias bool) { l.linear(name, kernel*kernel*in, out, bias) }
	conv("encoder.conv1", 3, r.Widths[0], 4, true)
	conv("encoder.conv2", r.Widths[0], r.Widths[1], 3, true)
	conv("encoder.conv3", r.Widths[1], r.Widths[2], 3, true)
	conv("encoder.residual", r.Widths[2], r.Widths[2], 3, true)
	conv("encoder.project", r.Widths[2], r.Dim, 1, true)
	conv("predictor.input", r.Dim, 3*r.Hidden, 3, true)
	conv("predictor.gates", r.Hidden, 2*r.Hidden, 3, false)
	conv("predictor.candidate", r.Hidden, r.Hidden, 3, false)
	conv("predictor.trunk", r.Hidden, r.TrunkWidth(), 3, true)
	conv("predictor.change", r.TrunkWidth(), len(r.Ahead)*r.Dim, 1, true)
	conv("predictor.keep", r.TrunkWidth(), len(r.Ahead), 1, true)
	conv("predictor.scale", r.TrunkWidth(), len(r.Ahead), 1, true)
	if r.Glance {
		conv("predictor.glance", r.Dim, r.TrunkWidth(), 3, false)
	}
	return slices.Clip(l)
}
