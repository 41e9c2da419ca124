package nn

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/onednn"
)

// Engine is a tensor.Engine: arrays made with tensor.WithEngine(NewEngine(d)) multiply matrices on d; everything else is StdEng's. It may
// be used from any goroutine.
type Engine struct {
	tensor.StdEng
	device *Device
}

// NewEngine returns an Engine that multiplies on d.
func NewEngine(d *Device) *Engine { return &Engine{device: d} }

// MatMul computes c = a b for float32 matrices, transposed views (a.T()) included, on the Device; other types and layouts go to StdEng.
func (e *Engine) MatMul(a, b, c tensor.Tensor) error {
	x, okX := operand(a)
	w, okW := operand(b)
	y, okY := operand(c)
	if !okX || !okW || !okY || y.trans || x.trans && w.trans {
		return e.StdEng.MatMul(a, b, c)
	}
	if x.columns != w.rows || y.rows != x.rows || y.columns != w.columns {
		return fmt.Errorf("multiplying matrices: %v and %v do not give %v", a.Shape(), b.Shape(), c.Shape())
	}
	s := onednn.Shape{M: x.rows, N: w.columns, K: x.columns, TransX: x.trans, TransW: w.trans}
	return e.device.Run(func() error {
		return e.device.dnnl.MatMul(s, onednn.Buffer{Full: y.data}, onednn.Buffer{Full: x.data}, onednn.Buffer{Full: w.data}, nil)
	})
}

// matrixOperand is a dense float32 matrix, or the transposed view of one.
type matrixOperand struct {
	data          []float32
	rows, columns int
	trans         bool
}

func operand(t tensor.Tensor) (matrixOperand, bool) {
	d, ok := t.(*tensor.Dense)
	if !ok || d.Dtype() != tensor.Float32 || d.Dims() != 2 || d.IsMasked() {
		return matrixOperand{}, false
	}
	m := matrixOperand{data: d.Float32s(), rows: d.Shape()[0], columns: d.Shape()[1]}
	strides := d.Strides()
	switch {
	case len(strides) != 2 || len(m.data) != m.rows*m.columns:
		return m, false
	case strides[0] == m.columns && strides[1] == 1:
		return m, true
	case strides[0] == 1 && strides[1] == m.rows:
		m.trans = true
		return m, true
	}
	return m, false
}
