package model

import (
	"strconv"
	"strings"
)

// Tensor is the name and the shape of one array of a model.
type Tensor struct {
	Name  string
	Shape []int
}

// Size is the number of elements.
func (t Tensor) Size() int { return elements(t.Shape) }

// predictorPrefix is what the names of the predictor's tensors begin with.
const predictorPrefix = "predictor."

// Tensors are the arrays that a model of the config consists of, encoder first, under transformers' names. A VJEPA2 model may lack those of
// the predictor, all together.
func (c Config) Tensors() []Tensor {
	if c.ModelType == FamilyRecurrent {
		return c.Ensue.Recurrent.Tensors()
	}
	var l layout
	d, p := c.HiddenSize, c.PredHiddenSize
	l.add("encoder.embeddings.patch_embeddings.proj.weight", d, c.InChans, c.TubeletSize, c.PatchSize, c.PatchSize)
	l.add("encoder.embeddings.patch_embeddings.proj.bias", d)
	for i := range c.NumHiddenLayers {
		l.block("encoder.layer."+strconv.Itoa(i), d, c.MLPSize(), c.QKVBias)
	}
	l.pair("encoder.layernorm", d)
	l.add("predictor.embeddings.mask_tokens", c.PredNumMaskTokens, 1, 1, p)
	l.linear("predictor.embeddings.predictor_embeddings", d, p, true)
	for i := range c.PredNumHiddenLayers {
		l.block("predictor.layer."+strconv.Itoa(i), p, c.PredMLPSize(), c.QKVBias)
	}
	l.pair("predictor.layernorm", p)
	l.linear("predictor.proj", p, d, true)
	return l
}

// layout is a list of tensors being written.
type layout []Tensor

func (l *layout) add(name string, shape ...int) { *l = append(*l, Tensor{name, shape}) }

func (l *layout) linear(name string, in, out int, bias bool) {
	l.add(name+".weight", out, in)
	if bias {
		l.add(name+".bias", out)
	}
}

func (l *layout) pair(name string, size int) {
	l.add(name+".weight", size)
	l.add(name+".bias", size)
}

func (l *layout) block(name string, size, hidden int, bias bool) {
	l.pair(name+".norm1", size)
	for _, part := range []string{"query", "key", "value"} {
		l.linear(name+".attention."+part, size, size, bias)
	}
	l.linear(name+".attention.proj", size, size, true)
	l.pair(name+".norm2", size)
	l.linear(name+".mlp.fc1", size, hidden, true)
	l.linear(name+".mlp.fc2", hidden, size, true)
}

// Parameters is how many numbers were learned: those of the encoder and those of the predictor.
func (c Config) Parameters() (encoder, predictor int) {
	for _, t := range c.Tensors() {
		if strings.HasPrefix(t.Name, predictorPrefix) {
			predictor += t.Size()
		} else {
			encoder += t.Size()
		}
	}
	return encoder, predictor
}
