package train

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// muon moves matrices along the nearest matrix whose singular values are all 1 (Jordan et al. 2024, "Muon: an optimizer for hidden layers
// in neural networks"): every direction that a layer can learn moves equally fast, not only the few that dominate its gradient. Per step
//
//	m = μ m + g    u = g + μ m    p = p (1 - lr decay) - lr .2 sqrt(max(rows, columns)) orthogonal(u)
//
// the factor giving changes the size of AdamW's (Liu et al. 2025, arXiv:2502.16982, §2.2), so that both take the same rate. Convolutions
// are the matrices that nn.Conv2d keeps. What is no matrix, or a narrow one, is left to AdamW.
type muon struct {
	params   []*nn.Parameter
	momentum []*tensor.Dense
	decay    float64
	tape     *nn.Tape
}

const (
	muonMomentum = 0.95
	muonNarrow   = 16  // fewer rows or columns are left to AdamW
	muonSize     = 0.2 // the root mean square of AdamW's changes
	muonRounds   = 5
)

// newMuon takes the matrices among some parameters.
func newMuon(device *nn.Device, params []*nn.Parameter, decay float64) *muon {
	m := &muon{decay: decay, tape: device.NewTape(nn.TapeConfig{})}
	for _, p := range params {
		s := p.Shape()
		if len(s) == 2 && min(s[0], s[1]) >= muonNarrow && p.Dense().Dtype() == tensor.Float32 {
			m.params = append(m.params, p)
			m.momentum = append(m.momentum, tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(s...)))
		}
	}
	return m
}

// step moves the matrices and forgets their gradients, so that AdamW leaves them alone. It runs on the device.
func (m *muon) step(rate float64) {
	for i, p := range m.params {
		gradient := p.Grad()
		if p.Frozen || gradient == nil {
			continue
		}
		g, v := gradient.Float32s(), m.momentum[i].Float32s()
		for k, x := range g {
			v[k] = float32(muonMomentum*v[k]) + x
			g[k] = x + float32(muonMomentum*v[k])
		}
		rows, columns := p.Shape()[0], p.Shape()[1]
		m.tape.Reset()
		change := m.orthogonal(g, rows, columns)
		size := float32(rate * muonSize * math.Sqrt(float64(max(rows, columns))))
		keep := float32(1)
		if p.Decay {
			keep = float32(1 - rate*m.decay)
		}
		to := p.Dense().Float32s()
		for k, x := range change {
			to[k] = float32(keep*to[k]) - float32(size*x)
		}
		p.ZeroGrad()
		p.Changed()
	}
}

// orthogonal is near U Vᵀ of a matrix U S Vᵀ: five rounds of the odd polynomial a x + b x³ + c x⁵ of its singular values, which brings all
// of them between .7 and 1.2 (the coefficients of Jordan et al.).
func (m *muon) orthogonal(g []float32, rows, columns int) []float32 {
	const a, b, c = 3.4445, -4.7750, 2.0315
	sum := 0.0
	for _, x := range g {
		sum += float64(x) * float64(x)
	}
	t := m.tape
	x := t.Scale(t.Floats(g, rows, columns), 1/(math.Sqrt(sum)+1e-12))
	tall := rows > columns
	for range muonRounds {
		square := t.MatMul(x, x, tall, !tall) // of the shorter side
		polynomial := t.Add(t.Scale(square, b), t.Scale(t.MatMul(square, square, false, false), c))
		var change *nn.Value
		if tall {
			change = t.MatMul(x, polynomial, false, false)
		} else {
			change = t.MatMul(polynomial, x, false, false)
		}
		x = t.Add(t.Scale(x, a), change)
	}
	return x.Float32s()
}

// put adds the state to a checkpoint.
func (m *muon) put(f *nn.TensorFile, prefix string) {
	for i, p := range m.params {
		f.Put(prefix+p.Name, m.momentum[i])
	}
}

// load restores what put wrote.
func (m *muon) load(s *nn.Safetensors, prefix string) error {
	for i, p := range m.params {
		from, err := s.Float64(prefix+p.Name, p.Shape()...)
		if err != nil {
			return fmt.Errorf("loading the optimiser: %w", err)
		}
		to := m.momentum[i].Float32s()
		for k, x := range from.Float64s() {
			to[k] = float32(x)
		}
	}
	return nil
}
