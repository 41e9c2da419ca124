package nn

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/reference"
)

// EMA keeps the parameters of a target model at the exponential moving average of an online model's.
type EMA struct {
	target, online []*Parameter
}

// NewEMA pairs the parameters by their order; shapes must agree. The targets become frozen and start as copies.
func NewEMA(target, online *Parameters) (*EMA, error) {
	e := &EMA{target.All(), online.All()}
	if len(e.target) != len(e.online) {
		return nil, fmt.Errorf("averaging parameters: %d targets for %d parameters", len(e.target), len(e.online))
	}
	for i, p := range e.target {
		q := e.online[i]
		if !p.shape.Eq(q.shape) || p.dtype != q.dtype {
			return nil, fmt.Errorf("averaging parameters: %s is %v %v, %s %v %v", p.Name, p.dtype, p.shape, q.Name, q.dtype, q.shape)
		}
		p.Frozen = true
		if err := tensor.Copy(p.value, q.value); err != nil {
			return nil, fmt.Errorf("averaging parameters: %s: %w", p.Name, err)
		}
		p.Changed()
	}
	return e, nil
}

// Update is target = momentum target + (1 - momentum) online.
func (e *EMA) Update(d *Device, momentum float64) {
	d.check()
	for i, p := range e.target {
		q := e.online[i]
		if p.dtype == tensor.Float64 {
			reference.Lerp(p.value.Float64s(), q.value.Float64s(), momentum)
		} else {
			d.kernels.Lerp(p.value.Float32s(), q.value.Float32s(), float32(momentum))
		}
		p.Changed()
	}
}
