package nn

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/reference"
)

// ClipGradients scales all gradients by min(1, limit / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ does, and returns norm: the length
// of all gradients together, before.
func ClipGradients(d *Device, params []*Parameter, limit float64) (norm float64) {
	d.check()
	sum := 0.0
	for _, p := range params {
		if p.set {
			sum += p.squares(d)
		}
	}
	norm = math.Sqrt(sum)
	scale := limit / (norm + 1e-6)
	if scale >= 1 || math.IsNaN(scale) {
		return norm
	}
	for _, p := range params {
		if p.set {
			p.scaleGrad(d, scale)
		}
	}
	return norm
}

func (p *Parameter) squares(d *Device) float64 {
	if p.dtype == tensor.Float64 {
		return reference.SumSquares(p.grad.Float64s())
	}
	return d.kernels.SumSquares(p.grad.Float32s())
}

// scaleGrad computes g = g + (scale - 1) g.
func (p *Parameter) scaleGrad(d *Device, scale float64) {
	if p.dtype == tensor.Float64 {
		affine(p.grad.Float64s(), p.grad.Float64s(), scale, 0)
		return
	}
	g := p.grad.Float32s()
	d.kernels.Axpy(g, g, float32(scale-1))
}
