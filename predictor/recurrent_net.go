package predictor

import (
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
)

// recurrentEps is the ε of the LayerNorm that a token fed back goes through: that of the encoder.
const recurrentEps = 1e-5

// RecurrentNet is the predictor of the family model.FamilyRecurrent: a convolutional GRU (nn.ConvGRU) that remembers the tokens it has
// seen, and heads that say at every step t which tokens come a_k steps later, k = 1 … K, a_k being model.Recurrent.Ahead:
//
//	z   = GELU(trunk * h_t + glance * x_t)        h_t the memory after step t; the second part where model.Recurrent.Glance says so
//	p_k = g_k x_t + d_k,   g_k = σ(keep_k * z),   d_k = change_k * z
//	s_k = scale_k * z                             the logarithm of how far off p_k is expected to be
//
// The gate g_k lets a head copy the token that is there without its noise: with g_k fixed to 1 the noise of frame t is part of the
// prediction. No gradient flows from s_k into z. model.Recurrent.Tensors lists the parameters, without "predictor.".
type RecurrentNet struct {
	Memory                     *nn.ConvGRU
	Trunk, Change, Keep, Scale *nn.Conv2d
	// Glance is nil in models whose heads see the memory alone.
	Glance *nn.Conv2d

	config model.Recurrent
}

// NewRecurrentNet makes the predictor that config describes, with the parameters of ps: drawn as PyTorch draws those of convolutions
// (gates begin rather open: the biases of keep are 1), or read where ps has a source.
func NewRecurrentNet(ps *nn.Parameters, config model.Config) *RecurrentNet {
	r := config.Ensue.Recurrent
	heads, wide := len(r.Ahead), r.TrunkWidth()
	n := &RecurrentNet{
		Memory: nn.NewConvGRU(ps, "", r.Dim, r.Hidden, 3),
		Trunk:  newHead(ps, "trunk", r.Hidden, wide, 3, 0),
		Change: newHead(ps, "change", wide, heads*r.Dim, 1, 0),
		Keep:   newHead(ps, "keep", wide, heads, 1, 1),
		Scale:  newHead(ps, "scale", wide, heads, 1, 0),
		config: r,
	}
	if r.Glance {
		n.Glance = &nn.Conv2d{
			Weight: ps.New("glance.weight", nn.Uniform(1/math.Sqrt(float64(9*r.Dim))), wide, 9*r.Dim), Kernel: 3, Stride: 1, Padding: 1,
		}
	}
	return n
}

// newHead is a convolution that keeps the size, with weights uniform in 1/sqrt(numbers in a window) and all biases the same.
func newHead(ps *nn.Parameters, name string, in, out, kernel int, bias float64) *nn.Conv2d {
	window := kernel * kernel * in
	same := func(_ tensor.Shape, values []float64, _ *rand.Rand) {
		for i := range values {
			values[i] = bias
		}
	}
	return &nn.Conv2d{
		Weight: ps.New(name+".weight", nn.Uniform(1/math.Sqrt(float64(window))), out, window),
		Bias:   ps.New(name+".bias", same, out),
		Kernel: kernel, Stride: 1, Padding: kernel / 2,
	}
}

// RecurrentOutput is what a RecurrentNet says at every step.
type RecurrentOutput struct {
	// Expected are p_k, [T, B, H', W', K D], head by head: those of head k at step t are about step t + Ahead[k].
	Expected *nn.Value
	// LogScale are s_k, [T, B, H', W', K].
	LogScale *nn.Value
	// Memory are the states after every step, [T, B, H', W', Hidden].
	Memory *nn.Value
}

// Forward runs over clips, time first: tokens [T, B, H', W', D] are what the memory sees, anchors of the same shape the x_t that
// predictions build on (nil: the tokens; in training, those of the target encoder), memory [B, H', W', Hidden] what is remembered from
// before (nil: nothing).
func (n *RecurrentNet) Forward(t *nn.Tape, tokens, anchors, memory *nn.Value) RecurrentOutput {
	if anchors == nil {
		anchors = tokens
	}
	s := slices.Clone(tokens.Shape())
	states := n.Memory.Forward(t, tokens, memory)
	rows := t.Reshape(states, s[0]*s[1], s[2], s[3], n.config.Hidden)
	trunk := n.trunk(t, rows, t.Reshape(tokens, s[0]*s[1], s[2], s[3], s[4]))
	expected := n.gated(t, trunk, t.Reshape(anchors, s[0]*s[1], s[2], s[3], s[4]))
	scale := n.Scale.Forward(t, t.Detach(trunk))
	heads := len(n.config.Ahead)
	return RecurrentOutput{
		Expected: t.Reshape(expected, s[0], s[1], s[2], s[3], heads*s[4]),
		LogScale: t.Reshape(scale, s[0], s[1], s[2], s[3], heads),
		Memory:   states,
	}
}

// trunk is z, [N, H', W', TrunkWidth], of memories [N, H', W', Hidden] and the tokens [N, H', W', D] that came last.
func (n *RecurrentNet) trunk(t *nn.Tape, memory, tokens *nn.Value) *nn.Value {
	if n.Glance == nil {
		return n.Trunk.ForwardGELU(t, memory)
	}
	remembered, seen := n.Trunk.Forward(t, memory), n.Glance.Forward(t, tokens)
	sum := t.Add(remembered, seen)
	z := t.GELU(sum)
	for _, v := range []*nn.Value{remembered, seen, sum} {
		t.Release(v)
	}
	return z
}

// gated are p_k, [N, H', W', K D], from the trunk [N, H', W', TrunkWidth] and the tokens [N, H', W', D] they build on.
func (n *RecurrentNet) gated(t *nn.Tape, trunk, tokens *nn.Value) *nn.Value {
	change, open := n.Change.Forward(t, trunk), n.Keep.Forward(t, trunk)
	keep := t.Sigmoid(open)
	y := t.GatedSum(change, keep, tokens)
	for _, v := range []*nn.Value{change, open, keep} {
		t.Release(v)
	}
	return y
}

// expect are p_k, [N, H', W', K D], of memories [N, H', W', Hidden] and the tokens [N, H', W', D] that came last.
func (n *RecurrentNet) expect(t *nn.Tape, memory, tokens *nn.Value) *nn.Value {
	trunk := n.trunk(t, memory, tokens)
	y := n.gated(t, trunk, tokens)
	t.Release(trunk)
	return y
}

// Matrices are the weights that nn.Device.Pack takes.
func (n *RecurrentNet) Matrices() []*nn.Parameter {
	matrices := append(n.Memory.Matrices(), n.Trunk.Weight, n.Change.Weight, n.Keep.Weight, n.Scale.Weight)
	if n.Glance != nil {
		matrices = append(matrices, n.Glance.Weight)
	}
	return matrices
}
