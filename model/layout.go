package model

import (
	"fmt"
	"strings"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// How the layers of nn keep weights, beside how transformers keeps them:
//
//	….attention.qkv.weight [3D, D]                 ….attention.query.weight, .key.weight, .value.weight, each [D, D]
//	….attention.qkv.bias [3D]                      ….attention.query.bias, .key.bias, .value.bias, each [D]
//	….patch_embeddings.proj.weight [D, t*p*p*C]    ….patch_embeddings.proj.weight [D, C, t, p, p]
const (
	fused     = ".qkv."
	patchName = "patch_embeddings.proj.weight"
)

// separate are the names of the parts of a fused parameter, in the order of its rows.
var separate = [3]string{".query.", ".key.", ".value."}

// Layers gives the layers of nn their weights from a Source that has transformers' names and shapes: queries, keys and values in
// one array, and tubelet embeddings pixel by pixel. All other tensors are source's own.
func Layers(source nn.Source, config Config) nn.Source {
	return func(name string, shape ...int) (*tensor.Dense, error) {
		switch {
		case strings.Contains(name, fused):
			return stacked(source, name, shape)
		case strings.HasSuffix(name, patchName):
			w, err := source(name, shape[0], config.InChans, config.TubeletSize, config.PatchSize, config.PatchSize)
			if err != nil {
				return nil, err
			}
			return nn.TubeletWeight(w), nil
		}
		return source(name, shape...)
	}
}

func stacked(source nn.Source, name string, shape []int) (*tensor.Dense, error) {
	part := append([]int{shape[0] / 3}, shape[1:]...)
	parts := make([]*tensor.Dense, len(separate))
	for i, s := range separate {
		var err error
		if parts[i], err = source(strings.Replace(name, fused, s, 1), part...); err != nil {
			return nil, err
		}
	}
	return nn.StackRows(parts...)
}

// Tensors are the tensors of a parameter in transformers' layout, by their names there: what Layers undoes. They share the
// parameter's memory where they can.
func Tensors(p *nn.Parameter, config Config) (names []string, arrays []*tensor.Dense, err error) {
	switch {
	case strings.Contains(p.Name, fused):
		third := p.Shape()[0] / 3
		for i, s := range separate {
			part, err := p.Dense().Slice(tensor.S(i*third, (i+1)*third))
			if err != nil {
				return nil, nil, fmt.Errorf("separating parameter %s: %w", p.Name, err)
			}
			names = append(names, strings.Replace(p.Name, fused, s, 1))
			arrays = append(arrays, part.Materialize().(*tensor.Dense))
		}
		return names, arrays, nil
	case strings.HasSuffix(p.Name, patchName):
		return []string{p.Name}, []*tensor.Dense{conv3dWeight(p.Dense(), config)}, nil
	}
	return []string{p.Name}, []*tensor.Dense{p.Dense()}, nil
}

// conv3dWeight turns [D, t*p*p*C] into [D, C, t, p, p]: the inverse of nn.TubeletWeight.
func conv3dWeight(w *tensor.Dense, c Config) *tensor.Dense {
	out, pixels := w.Shape()[0], c.TubeletSize*c.PatchSize*c.PatchSize
	from, to := w.Float32s(), make([]float32, w.Shape().TotalSize())
	for d := range out {
		row, into := from[d*pixels*c.InChans:], to[d*pixels*c.InChans:]
		for pixel := range pixels {
			for channel := range c.InChans {
				into[channel*pixels+pixel] = row[pixel*c.InChans+channel]
			}
		}
	}
	return tensor.New(tensor.WithShape(out, c.InChans, c.TubeletSize, c.PatchSize, c.PatchSize), tensor.WithBacking(to))
}
