package predictor

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ensue-video/ensue/encoder"
)

// The names of sources in the files of energies.
const (
	// SourceFlow is the picture itself, moved on along its optical flow.
	SourceFlow = "flow"
	// SourceModel is the definition's own model: its encoder and its predictor.
	SourceModel = "model"
)

// sources is the table of those that need no model: to add one, add a line.
var sources = map[string]func() *Source{
	SourceFlow: func() *Source {
		patches := encoder.NewPatches()
		return &Source{Name: SourceFlow, Encoder: patches, Predictor: NewFlow(patches)}
	},
}

// SourceNames are the sources NewSource knows, sorted, SourceModel among them.
func SourceNames() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(sources)), SourceModel)))
}

// NewSource makes a source by its name; own is what SourceModel stands for, nil where there is no model.
func NewSource(name string, own *Source) (*Source, error) {
	if name == SourceModel {
		if own == nil {
			return nil, fmt.Errorf("the source %s: there is no model with a predictor", name)
		}
		return own, nil
	}
	construct, ok := sources[name]
	if !ok {
		return nil, fmt.Errorf("there is no source %q (known: %v)", name, SourceNames())
	}
	return construct(), nil
}
