package model

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/ensue-video/ensue/nn"
)

// learnedWith is the key of a file's metadata that names, by its digest, the model without which the file means nothing.
const learnedWith = "model"

// CopyExtra copies a file of tensors that lies beside m (see Extra) to a copy of m. Where the file was learned with a model, by its
// digest, and the copy has another one (another type of weights, another attention), it means nothing there: nothing is written, and
// copied is false.
func (m *Model) CopyExtra(name string, to *Model) (copied bool, err error) {
	s, err := m.Extra(name)
	if err != nil {
		return false, err
	}
	defer func() {
		if closing := s.Close(); err == nil {
			err = closing
		}
	}()
	if digest := s.Metadata[learnedWith]; digest != "" && digest != to.Digest() {
		return false, nil
	}
	file := &nn.TensorFile{Metadata: s.Metadata}
	for _, tensor := range s.Names() {
		info, _ := s.Info(tensor)
		file.PutFrom(tensor, info.Dtype, info.Shape, func(w io.Writer) error { return s.CopyTo(w, tensor) })
	}
	if err := file.Write(filepath.Join(to.Where(), name)); err != nil {
		return false, fmt.Errorf("copying %s of model %s: %w", name, m.where, err)
	}
	return true, nil
}
