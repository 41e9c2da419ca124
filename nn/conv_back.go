package nn

import "github.com/ensue-video/ensue/nn/internal/kernel"

// turned are the weights of a convolution, laid out for the gradient of its input. That gradient is a convolution of dy, too: every place
// of x takes from the places of dy whose windows reach it. With a stride s there are s*s kinds of places, which see different parts of the
// weights: a part and a convolution each.
type turned struct {
	version uint64
	parts   []part
	floats  block
}

// part is one kind of places: those at (Phase + Step j) in both directions.
type part struct {
	turn   kernel.ConvTurn
	phase  [2]int
	before [2]int // where the window of place 0 begins, before dy
	first  int    // where its weights begin
}

// newParts are the parts of a convolution [N, Kernel, C].
func newParts(s *kernel.ConvShape) []part {
	var parts []part
	for h := range s.Stride[0] {
		for w := range s.Stride[1] {
			p := part{turn: kernel.ConvTurn{Kernel: s.Kernel, Step: s.Stride, N: s.N, C: s.C}, phase: [2]int{h, w}}
			for i, phase := range p.phase {
				// dy[j] reaches x[stride j + k - before] through the weights at k.
				first := (phase + s.Before[i]) % s.Stride[i]
				if first >= s.Kernel[i] {
					continue // no taps
				}
				p.turn.Taps[i] = (s.Kernel[i]-1-first)/s.Stride[i] + 1
				p.turn.Last[i] = first + (p.turn.Taps[i]-1)*s.Stride[i]
				p.before[i] = (p.turn.Last[i] - phase - s.Before[i]) / s.Stride[i]
			}
			parts = append(parts, p)
		}
	}
	return parts
}

// turned returns p's weights for the gradient of the input of a convolution, made anew when p changed.
func (d *Device) turned(p *Parameter, s *kernel.ConvShape) *turned {
	k, ok := d.turns[p]
	if ok && k.version == p.version {
		return k
	}
	if !ok {
		k = &turned{parts: newParts(s)}
		size := 0
		for i := range k.parts {
			turn := &k.parts[i].turn
			k.parts[i].first = size
			size += d.kernels.PackSize(turn.Taps[0]*turn.Taps[1]*turn.N, turn.C)
		}
		k.floats = newBlock(size)
		d.turns[p] = k
	}
	for i := range k.parts {
		d.kernels.ConvTurn(&k.parts[i].turn, k.floats.floats[k.parts[i].first:], p.Dense().Float32s())
	}
	k.version = p.version
	return k
}

// convolveBack computes the gradient dx of a convolution's input, or adds it with sum.
func (d *Device) convolveBack(w *Parameter, s kernel.ConvShape, dx, dy []float32, sum bool) {
	weights := d.turned(w, &s)
	if !sum && (s.Kernel[0] < s.Stride[0] || s.Kernel[1] < s.Stride[1]) {
		clear(dx) // some places are in no window
	}
	for _, p := range weights.parts {
		out := [2]int{(s.In[0] - p.phase[0] + s.Stride[0] - 1) / s.Stride[0], (s.In[1] - p.phase[1] + s.Stride[1] - 1) / s.Stride[1]}
		if out[0] <= 0 || out[1] <= 0 || p.turn.Taps[0] == 0 || p.turn.Taps[1] == 0 {
			continue
		}
		first := (p.phase[0]*s.In[1] + p.phase[1]) * s.C
		d.convolve(&kernel.Conv{
			ConvShape: kernel.ConvShape{
				In: s.Out, Out: out, Kernel: p.turn.Taps, Stride: [2]int{1, 1}, Before: p.before, Batch: s.Batch, C: s.N, N: s.C,
				YItem: s.In[0] * s.In[1] * s.C, YRow: s.Stride[0] * s.In[1] * s.C, YPlace: s.Stride[1] * s.C,
			},
			Y: dx[first:], X: dy, W: weights.floats.floats[p.first:], Sum: sum,
		})
	}
}
