package nn

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/kernel"
	"github.com/ensue-video/ensue/nn/internal/reference"
)

// AdamWConfig are the constants of AdamW. The zero value of a field but Decay stands for the usual one.
type AdamWConfig struct {
	Beta1, Beta2 float64 // 0.9, 0.999
	Eps          float64 // 1e-8
	Decay        float64 // weight decay, of parameters with Decay set
}

// AdamW is Adam with decoupled weight decay (Loshchilov & Hutter 2019), as torch.optim.AdamW computes it: per step
//
//	m = β1 m + (1-β1) g    v = β2 v + (1-β2) g²
//	p = p (1 - lr decay) - lr (m / (1-β1^t)) / (sqrt(v / (1-β2^t)) + eps)
type AdamW struct {
	config AdamWConfig
	params []*Parameter
	first  []*tensor.Dense // m
	second []*tensor.Dense // v
	steps  int
}

// NewAdamW makes an optimiser of params. Moments start at 0.
func NewAdamW(params []*Parameter, c AdamWConfig) *AdamW {
	setDefault(&c.Beta1, 0.9)
	setDefault(&c.Beta2, 0.999)
	setDefault(&c.Eps, 1e-8)
	o := &AdamW{config: c, params: params}
	for _, p := range params {
		o.first = append(o.first, tensor.New(tensor.Of(p.dtype), tensor.WithShape(p.shape...)))
		o.second = append(o.second, tensor.New(tensor.Of(p.dtype), tensor.WithShape(p.shape...)))
	}
	return o
}

func setDefault(x *float64, usual float64) {
	if *x == 0 {
		*x = usual
	}
}

// Steps is how many steps were taken.
func (o *AdamW) Steps() int { return o.steps }

// Moments are the running means of the gradient and of its square, of parameter i.
func (o *AdamW) Moments(i int) (first, second *tensor.Dense) { return o.first[i], o.second[i] }

// Step moves every parameter that has a gradient and is not frozen, and forgets the gradients.
func (o *AdamW) Step(d *Device, rate float64) {
	d.check()
	o.steps++
	correct1 := 1 - math.Pow(o.config.Beta1, float64(o.steps))
	correct2 := 1 - math.Pow(o.config.Beta2, float64(o.steps))
	for i, p := range o.params {
		if p.Frozen || !p.set {
			continue
		}
		decay := 0.0
		if p.Decay {
			decay = o.config.Decay
		}
		h := reference.AdamW{
			LR: rate, Beta1: o.config.Beta1, Beta2: o.config.Beta2, Eps: o.config.Eps, Decay: decay,
			Correct1: correct1, Correct2: correct2, GradScale: 1,
		}
		o.move(d, i, h)
		p.ZeroGrad()
		p.Changed()
	}
}

func (o *AdamW) move(d *Device, i int, h reference.AdamW) {
	p := o.params[i]
	if p.dtype == tensor.Float64 {
		reference.Step(h, p.value.Float64s(), o.first[i].Float64s(), o.second[i].Float64s(), p.grad.Float64s())
		return
	}
	a := kernel.AdamW{
		P: p.value.Float32s(), M: o.first[i].Float32s(), V: o.second[i].Float32s(), G: p.grad.Float32s(),
		LR: float32(h.LR), Beta1: h.Beta1, Beta2: h.Beta2, Eps: float32(h.Eps), Decay: float32(h.Decay),
		Correct1: float32(h.Correct1), Correct2: float32(h.Correct2), GradScale: 1,
	}
	d.kernels.AdamW(&a)
}

// Put adds the optimiser's state to a file, under prefix.
func (o *AdamW) Put(f *TensorFile, prefix string) {
	for i, p := range o.params {
		f.Put(prefix+p.Name+".first", o.first[i])
		f.Put(prefix+p.Name+".second", o.second[i])
	}
	f.Put(prefix+"steps", tensor.New(tensor.WithShape(1), tensor.WithBacking([]int64{int64(o.steps)})))
}

// Load restores what Put wrote.
func (o *AdamW) Load(s *Safetensors, prefix string) error {
	for i, p := range o.params {
		for suffix, to := range map[string]*tensor.Dense{".first": o.first[i], ".second": o.second[i]} {
			from, err := s.Float64(prefix+p.Name+suffix, p.shape...)
			if err != nil {
				return fmt.Errorf("loading the optimiser: %w", err)
			}
			assign(to, from.Float64s())
		}
	}
	steps, err := s.Float64(prefix+"steps", 1)
	if err != nil {
		return fmt.Errorf("loading the optimiser: %w", err)
	}
	o.steps = int(steps.Float64s()[0])
	return nil
}

func assign(to *tensor.Dense, values []float64) {
	if to.Dtype() == tensor.Float64 {
		copy(to.Float64s(), values)
		return
	}
	for i, v := range values {
		to.Float32s()[i] = float32(v)
	}
}
