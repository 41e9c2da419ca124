package nn

import (
	"fmt"

	"gorgonia.org/tensor"
)

// Load sets every parameter from the tensor prefix+name of a safetensors file. The file may hold more.
func (ps *Parameters) Load(s *Safetensors, prefix string) error {
	for _, p := range ps.list {
		var value *tensor.Dense
		var err error
		if p.dtype == tensor.Float64 {
			value, err = s.Float64(prefix+p.Name, p.shape...)
		} else {
			value, err = s.Float32(prefix+p.Name, p.shape...)
		}
		if err != nil {
			return fmt.Errorf("loading parameters: %w", err)
		}
		if err := p.Set(value); err != nil {
			return fmt.Errorf("loading parameters: %w", err)
		}
	}
	return nil
}

// LoadFile is Load from a file that is opened and closed.
func (ps *Parameters) LoadFile(path string) error {
	s, err := OpenSafetensors(path)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // only read
	return ps.Load(s, "")
}

// Put adds all parameters to a file, as float32, or as bfloat16 with BFloat16 where they are matrices: norms and biases are small, and
// rounding them costs more than it saves.
func (ps *Parameters) Put(f *TensorFile, prefix string, precision Precision) {
	for _, p := range ps.list {
		if precision == BFloat16 && len(p.shape) > 1 {
			f.PutBFloat16(prefix+p.Name, p.Dense())
		} else {
			f.Put(prefix+p.Name, p.Dense())
		}
	}
}

// StackRows joins matrices, or vectors, along the first axis: the separate weights of queries, keys and values, say, into one.
func StackRows(parts ...*tensor.Dense) (*tensor.Dense, error) {
	shape := parts[0].Shape().Clone()
	shape[0] = 0
	for _, p := range parts {
		if p.Dims() != len(shape) || !p.Shape()[1:].Eq(shape[1:]) || p.Dtype() != parts[0].Dtype() {
			return nil, fmt.Errorf("stacking rows: %v %v and %v %v do not fit", parts[0].Dtype(), parts[0].Shape(), p.Dtype(), p.Shape())
		}
		shape[0] += p.Shape()[0]
	}
	out := tensor.New(tensor.Of(parts[0].Dtype()), tensor.WithShape(shape...))
	at := 0
	for _, p := range parts {
		n := p.Shape().TotalSize()
		if p.Dtype() == tensor.Float64 {
			copy(out.Float64s()[at:], p.Float64s())
		} else {
			copy(out.Float32s()[at:], p.Float32s())
		}
		at += n
	}
	return out, nil
}
