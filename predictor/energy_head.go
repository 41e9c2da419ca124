package predictor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// Head is the energy of statistics under a small network that has seen genuine windows and made-up ones that do not ensue. What it is
// shown are the residuals of a OneClass and the standardised condition, so it learns what a deviation means, not what is usual. Several
// nets are averaged. The energy is a logit: above 0 the window is more like what does not ensue.
type Head struct {
	oneClass *OneClass
	nets     []headNet

	// mean and scale of the logit of genuine windows.
	mean, scale float64
}

// headNet is an MLP of two hidden layers with GELU: [hidden, inputs], [hidden, hidden], [1, hidden], with biases.
type headNet struct {
	layers [headLayers]headLayer
}

type headLayer struct {
	in, out      int
	weight, bias []float32
}

const (
	headLayers   = 3
	residualClip = 12
	residualUnit = 3 // residuals are shown in units of so many standard deviations
)

// Pair is a genuine window and one that does not ensue, with the same X. Kind is the way in which it does not.
type Pair struct {
	Kind              string
	Genuine, Negative Statistics
}

// HeadConfig says how a head is trained. The zero value of a field stands for the usual one.
type HeadConfig struct {
	Nets, Hidden int     // 3, 64
	Steps, Batch int     // 2500, 128 pairs
	Rate         float64 // 2e-3 at its peak
	Decay        float64 // 0.05
	Dropout      float64 // 0.1, after the first layer
	Noise        float64 // 0.03, on what the net is shown
	Seed         uint64
}

// Default fills what c leaves open.
func (c HeadConfig) Default() HeadConfig {
	c.Nets, c.Hidden = orElse(c.Nets, 3), orElse(c.Hidden, 64)
	c.Steps, c.Batch = orElse(c.Steps, 2500), orElse(c.Batch, 128)
	c.Rate, c.Decay = orElse(c.Rate, 2e-3), orElse(c.Decay, 0.05)
	c.Dropout, c.Noise = orElse(c.Dropout, 0.1), orElse(c.Noise, 0.03)
	return c
}

func orElse[T int | float64](value, usual T) T {
	if value == 0 {
		return usual
	}
	return value
}

// FitHead trains a head on pairs, as many of each kind, on the device. Its loss, for the logits n and p of a negative and of its
// genuine twin, is softplus(-n) + softplus(p) + softplus(p - n): each on its own side of 0, and the one above the other. genuine
// windows, none of them varied, settle the scale of Standard. It ends early with the error of ctx.
func FitHead(ctx context.Context, device *nn.Device, o *OneClass, pairs []Pair, genuine []Statistics, config HeadConfig) (*Head, error) {
	h := &Head{oneClass: o}
	shown, err := newHeadData(h, pairs)
	if err != nil {
		return nil, fmt.Errorf("fitting a head to %d pairs: %w", len(pairs), err)
	}
	config = config.Default()
	for i := range config.Nets {
		net, err := shown.train(ctx, device, config, config.Seed+uint64(i))
		if err != nil {
			return nil, fmt.Errorf("fitting a head to %d pairs: %w", len(pairs), err)
		}
		h.nets = append(h.nets, net)
	}
	if err := h.settle(genuine); err != nil {
		return nil, fmt.Errorf("fitting a head: %w", err)
	}
	return h, nil
}

// settle learns where the logits of genuine windows lie.
func (h *Head) settle(genuine []Statistics) error {
	if len(genuine) == 0 {
		return errors.New("there are no genuine windows to settle its scale by")
	}
	logits := make([]float64, 0, len(genuine))
	for _, s := range genuine {
		logit, err := h.Energy(s)
		if err != nil {
			return err
		}
		logits = append(logits, logit)
	}
	h.mean, h.scale = moments(logits)
	return nil
}

// inputs is how many numbers a net is shown.
func (h *Head) inputs() int { return 3*h.oneClass.observed + h.oneClass.given }

// show appends what a net is shown of statistics.
func (h *Head) show(to []float32, s Statistics) ([]float32, error) {
	residual, err := h.oneClass.Residual(s)
	if err != nil {
		return nil, err
	}
	for i, r := range residual {
		residual[i] = min(max(r, -residualClip), residualClip)
		to = append(to, float32(residual[i]/residualUnit))
	}
	for _, r := range residual {
		to = append(to, float32(math.Copysign(math.Log1p(math.Abs(r)), r)))
	}
	for _, r := range residual {
		to = append(to, float32(math.Abs(r)/residualUnit))
	}
	for _, c := range h.oneClass.Condition(s) {
		to = append(to, float32(c))
	}
	return to, nil
}

// Energy is the mean logit of the nets.
func (h *Head) Energy(s Statistics) (float64, error) {
	shown, err := h.show(make([]float32, 0, h.inputs()), s)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for i := range h.nets {
		sum += h.nets[i].logit(shown)
	}
	return sum / float64(len(h.nets)), nil
}

// Standard is an energy on the scale of genuine windows: standard deviations from their mean.
func (h *Head) Standard(energy float64) float64 { return (energy - h.mean) / h.scale }

// OneClass is the one-class energy whose residuals the head sees.
func (h *Head) OneClass() *OneClass { return h.oneClass }

func (n *headNet) logit(x []float32) float64 {
	for i := range n.layers {
		x = n.layers[i].apply(x, i < headLayers-1)
	}
	return float64(x[0])
}

func (l *headLayer) apply(x []float32, gelu bool) []float32 {
	y := make([]float32, l.out)
	for i := range y {
		sum := l.bias[i]
		for k, w := range l.weight[i*l.in : (i+1)*l.in] {
			sum += w * x[k]
		}
		if gelu {
			sum *= float32(0.5 * (1 + math.Erf(float64(sum)/math.Sqrt2)))
		}
		y[i] = sum
	}
	return y
}

// headData is what nets are trained on, by kind: [pairs, inputs] of the negatives and of their genuine twins.
type headData struct {
	inputs            int
	genuine, negative [][]float32
}

func newHeadData(h *Head, pairs []Pair) (*headData, error) {
	d := &headData{inputs: h.inputs()}
	byKind := map[string]int{}
	var kinds []string
	for _, pair := range pairs {
		kinds = append(kinds, pair.Kind)
	}
	slices.Sort(kinds)
	kinds = slices.Compact(kinds)
	if len(kinds) == 0 {
		return nil, errors.New("there are none")
	}
	for i, kind := range kinds {
		byKind[kind] = i
	}
	d.genuine, d.negative = make([][]float32, len(kinds)), make([][]float32, len(kinds))
	for _, pair := range pairs {
		kind := byKind[pair.Kind]
		var err error
		if d.genuine[kind], err = h.show(d.genuine[kind], pair.Genuine); err != nil {
			return nil, err
		}
		if d.negative[kind], err = h.show(d.negative[kind], pair.Negative); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// train makes one net.
func (d *headData) train(ctx context.Context, device *nn.Device, c HeadConfig, seed uint64) (headNet, error) {
	ps := nn.NewParameters(seed)
	layers := [headLayers]*nn.Linear{}
	for i, size := range [headLayers][2]int{{d.inputs, c.Hidden}, {c.Hidden, c.Hidden}, {c.Hidden, 1}} {
		layers[i] = &nn.Linear{
			Weight: ps.New(fmt.Sprintf("fc%d.weight", i+1), nn.Uniform(1/math.Sqrt(float64(size[0]))), size[1], size[0]),
			Bias:   ps.New(fmt.Sprintf("fc%d.bias", i+1), nn.Uniform(1/math.Sqrt(float64(size[0]))), size[1]),
		}
	}
	optimiser := nn.NewAdamW(ps.All(), nn.AdamWConfig{Decay: c.Decay})
	schedule := nn.CosineSchedule{Peak: c.Rate, Total: c.Steps}
	tape := device.NewTape(nn.TapeConfig{Gradients: true})
	random := rand.New(rand.NewPCG(seed, 1))
	batch, mask := make([]float32, 2*c.Batch*d.inputs), make([]float32, 2*c.Batch*c.Hidden)
	err := device.Run(func() error {
		defer tape.Close()
		for step := range c.Steps {
			if err := ctx.Err(); err != nil {
				return err
			}
			d.draw(random, c, batch, mask)
			tape.Reset()
			tape.Backward(headLoss(tape, layers, batch, mask, c))
			optimiser.Step(device, schedule.Rate(step+1))
		}
		return nil
	})
	if err != nil {
		return headNet{}, err
	}
	var net headNet
	for i, layer := range layers {
		shape := layer.Weight.Shape()
		net.layers[i] = headLayer{
			in: shape[1], out: shape[0],
			weight: slices.Clone(layer.Weight.Dense().Float32s()), bias: slices.Clone(layer.Bias.Dense().Float32s()),
		}
	}
	return net, nil
}

// draw fills a batch, negatives first, then their genuine twins, and the mask that drops hidden units.
func (d *headData) draw(random *rand.Rand, c HeadConfig, batch, mask []float32) {
	half := len(batch) / 2
	for i := range c.Batch {
		kind := random.IntN(len(d.genuine))
		row := random.IntN(len(d.genuine[kind])/d.inputs) * d.inputs
		copy(batch[i*d.inputs:], d.negative[kind][row:row+d.inputs])
		copy(batch[half+i*d.inputs:], d.genuine[kind][row:row+d.inputs])
	}
	for i := range batch {
		batch[i] += float32(c.Noise * random.NormFloat64())
	}
	for i := range mask {
		mask[i] = 0
		if random.Float64() >= c.Dropout {
			mask[i] = float32(1 / (1 - c.Dropout))
		}
	}
}

// headLoss is the loss of a batch.
func headLoss(t *nn.Tape, layers [headLayers]*nn.Linear, batch, mask []float32, c HeadConfig) *nn.Value {
	x := t.Floats(batch, 2*c.Batch, len(batch)/(2*c.Batch))
	x = t.GELU(layers[0].Forward(t, x))
	x = t.Mul(x, t.Floats(mask, 2*c.Batch, c.Hidden))
	x = layers[2].Forward(t, t.GELU(layers[1].Forward(t, x)))
	negative, genuine := t.Rows(x, 0, c.Batch), t.Rows(x, c.Batch, 2*c.Batch)
	sides := t.Add(t.Softplus(t.Scale(negative, -1)), t.Softplus(genuine))
	return t.Mean(t.Add(sides, t.Softplus(t.Sub(genuine, negative))))
}

// Put adds the head, its one-class energy included, to a file, under prefix.
func (h *Head) Put(f *nn.TensorFile, prefix string) {
	h.oneClass.Put(f, prefix+"one_class.")
	for i, net := range h.nets {
		for k, layer := range net.layers {
			name := fmt.Sprintf("%snet.%d.fc%d", prefix, i, k+1)
			f.Put(name+".weight", tensor.New(tensor.WithShape(layer.out, layer.in), tensor.WithBacking(layer.weight)))
			f.Put(name+".bias", tensor.New(tensor.WithShape(layer.out), tensor.WithBacking(layer.bias)))
		}
	}
	f.Put(prefix+"genuine", tensor.New(tensor.WithShape(2), tensor.WithBacking([]float64{h.mean, h.scale})))
}

// LoadHead reads what Put wrote.
func LoadHead(s *nn.Safetensors, prefix string) (*Head, error) {
	o, err := LoadOneClass(s, prefix+"one_class.")
	if err != nil {
		return nil, fmt.Errorf("loading a head: %w", err)
	}
	h := &Head{oneClass: o}
	genuine, err := s.Float64(prefix+"genuine", 2)
	if err != nil {
		return nil, fmt.Errorf("loading a head: %w", err)
	}
	h.mean, h.scale = genuine.Float64s()[0], genuine.Float64s()[1]
	for {
		info, ok := s.Info(fmt.Sprintf("%snet.%d.fc1.weight", prefix, len(h.nets)))
		if !ok && len(h.nets) > 0 {
			return h, nil
		}
		if !ok || len(info.Shape) != 2 {
			return nil, fmt.Errorf("loading a head: there is no matrix %snet.%d.fc1.weight", prefix, len(h.nets))
		}
		if err := h.loadNet(s, prefix, info.Shape[0]); err != nil {
			return nil, fmt.Errorf("loading a head: %w", err)
		}
	}
}

func (h *Head) loadNet(s *nn.Safetensors, prefix string, hidden int) error {
	var net headNet
	for i, size := range [headLayers][2]int{{h.inputs(), hidden}, {hidden, hidden}, {hidden, 1}} {
		name := fmt.Sprintf("%snet.%d.fc%d", prefix, len(h.nets), i+1)
		weight, err := s.Float32(name+".weight", size[1], size[0])
		if err != nil {
			return err
		}
		bias, err := s.Float32(name+".bias", size[1])
		if err != nil {
			return err
		}
		net.layers[i] = headLayer{in: size[0], out: size[1], weight: weight.Float32s(), bias: bias.Float32s()}
	}
	h.nets = append(h.nets, net)
	return nil
}
