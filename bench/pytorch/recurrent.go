package main

import (
	"strings"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
)

// The training step of the recurrent family that both sides take: encoder, memory and heads over windows of frames, smooth L1 of what every
// head says to numbers that were drawn once, gradients of all of it, AdamW. What a whole training does beside that (windows, the target
// encoder, scales) is not in it.

// recurrentConfig are the sizes of weights/train.yaml.
func recurrentConfig() model.Config {
	config := model.RecurrentConfig()
	r := &config.Ensue.Recurrent
	r.Ahead, r.Trunk, r.Glance = []int{1, 2, 3, 4, 8, 16}, 256, true
	return config
}

// recurrentGFLOP is the work of a step in convolutions alone: forward, and twice as much for the gradients.
func recurrentGFLOP(c netCase) float64 {
	r, work := c.config().Ensue.Recurrent, 0
	for _, t := range r.Tensors() {
		if len(t.Shape) < 2 || strings.Contains(t.Name, "scale") {
			continue
		}
		side := r.Grid()
		switch {
		case strings.Contains(t.Name, "conv1"):
			side = r.Size / 2
		case strings.Contains(t.Name, "conv2"):
			side = r.Size / 4
		}
		work += 2 * side * side * t.Shape[0] * t.Shape[1]
	}
	return 3e-9 * float64(work) * float64(c.frames*c.batch)
}

// recurrentNet is a recurrent model as one function of its frames.
type recurrentNet struct {
	encoder   *encoder.ConvEncoder
	predictor *predictor.RecurrentNet
	batch     int
}

// newRecurrentNet takes its parameters from two sets: the encoder's and the predictor's.
func newRecurrentNet(seen, expected *nn.Parameters, config model.Config, batch int) *recurrentNet {
	return &recurrentNet{encoder.NewConvEncoder(seen, config), predictor.NewRecurrentNet(expected, config), batch}
}

// Forward is what the heads say of every frame, from pixels [T*B, S, S, 3], time first: [T*B*H'*W', K D].
func (n *recurrentNet) Forward(t *nn.Tape, pixels *nn.Value) *nn.Value {
	tokens := n.encoder.Forward(t, pixels)
	s := tokens.Shape()
	clips := t.Reshape(tokens, s[0]/n.batch, n.batch, s[1], s[2], s[3])
	expected := n.predictor.Forward(t, clips, nil, nil).Expected
	width := expected.Shape()[4]
	return t.Reshape(expected, expected.Size()/width, width)
}

func writeRecurrent(dir string, config model.Config) error {
	seen, expected := nn.NewParameters(1), nn.NewParameters(2)
	newRecurrentNet(seen, expected, config, 1)
	return model.Write(dir, config, append(model.Named("encoder.", seen.All()), model.Named("predictor.", expected.All())...)...)
}

// loadRecurrent reads a model to be trained, and tells what is: all but the scales, which the loss does not ask for.
func loadRecurrent(m *model.Model, batch int) (*recurrentNet, []*nn.Parameter, error) {
	seen, expected := nn.NewParametersFrom(copied(m.Source("encoder."))), nn.NewParametersFrom(copied(m.Source("predictor.")))
	net := newRecurrentNet(seen, expected, m.Config(), batch)
	for _, ps := range []*nn.Parameters{seen, expected} {
		if err := ps.Err(); err != nil {
			return nil, nil, err
		}
	}
	learned := seen.All()
	for _, p := range expected.All() {
		if !strings.HasPrefix(p.Name, "scale") {
			learned = append(learned, p)
		}
	}
	return net, learned, nil
}
