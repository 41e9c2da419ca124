package train

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
)

// learner is a model that learns: two copies of the same networks, of which one moves with the gradient and the other follows it.
type learner interface {
	// config is what a model directory says of the model.
	config() model.Config
	// online and target are the parameters of both copies, under their whole names.
	online() *nn.Parameters
	target() *nn.Parameters
	// look makes views of a batch: what learns on t, what is only compared with on fixed. random is the step's own.
	look(t, fixed *nn.Tape, b *Batch, random *rand.Rand) *views
	// width is the width of a token, patch the number of values of the pixels under it.
	width() int
	patch() int
}

// demands is what the objectives need of a learner's views.
type demands struct {
	target           string // TargetEMA, …
	twoViews, series bool
	pixels           bool
	reconstruct      bool
	scale, verifier  bool
}

func (o *ObjectiveConfig) demands() demands {
	return demands{
		target: o.Target, twoViews: o.twoViews() || o.Target != TargetEMA, series: o.TimeSimilarity.Weight > 0,
		pixels: o.Pixels.Weight > 0, reconstruct: o.Reconstruct.Weight > 0, scale: o.Scale.Weight > 0, verifier: o.Verifier.Weight > 0,
	}
}

// newLearner makes the model that the definition describes, with weights drawn from its seed or read from model.start.
func newLearner(c *Config) (learner, error) {
	var l learner
	if c.Model.Family == Transformer {
		l = newTransformer(c)
	} else {
		l = newRecurrent(c)
	}
	if err := freeze(l, c.Model.Learns); err != nil {
		return nil, err
	}
	if c.Model.Start == "" {
		return l, nil
	}
	if err := start(l, c.Model.Start); err != nil {
		return nil, fmt.Errorf("reading model.start %s: %w", c.Model.Start, err)
	}
	return l, nil
}

// freeze lets only those parameters learn whose names begin as one of some; with none, all learn.
func freeze(l learner, learns []string) error {
	found := map[string]bool{}
	for _, p := range l.online().All() {
		p.Frozen = len(learns) > 0
		for _, begin := range learns {
			if strings.HasPrefix(p.Name, begin) {
				p.Frozen, found[begin] = false, true
			}
		}
	}
	for _, begin := range learns {
		if !found[begin] {
			return fmt.Errorf("%w: model.learns has %q: no parameter's name begins so; one is %s", ErrConfig, begin, l.online().All()[0].Name)
		}
	}
	return nil
}

// start reads the first weights from a model directory.
func start(l learner, dir string) (err error) {
	m, err := model.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	source := model.Layers(m.Source(""), m.Config())
	for _, p := range l.online().All() {
		from, err := source(p.Name, p.Shape()...)
		if err != nil {
			return err
		}
		if err := tensor.Copy(p.Dense(), from); err != nil {
			return fmt.Errorf("reading parameter %s: %w", p.Name, err)
		}
		p.Changed()
	}
	return nil
}

// join puts the parameters of the halves of a model into one set, under their names in a model directory.
func join(encoder, predictor *nn.Parameters) *nn.Parameters {
	all := nn.NewParameters(0)
	for prefix, half := range [2]*nn.Parameters{encoder, predictor} {
		for _, p := range half.All() {
			p.Name = [2]string{"encoder.", "predictor."}[prefix] + p.Name
			all.Add(p)
		}
	}
	return all
}

// predictorSeed keeps the halves of a model, whose layers have the same names, from the same random numbers.
const predictorSeed = 0x9e3779b97f4a7c15

// levels are what a byte of each channel becomes.
type levels [3][256]float32

// levelsOf normalises as a model's config says: (v/255 - mean) / std.
func levelsOf(c model.Config) *levels {
	var l levels
	for channel := range l {
		for level := range l[channel] {
			l[channel][level] = float32((float64(level)/255 - c.Ensue.Mean[channel]) / c.Ensue.Std[channel])
		}
	}
	return &l
}

// apply normalises RGB pixels.
func (l *levels) apply(to []float32, pixels []byte) {
	to = to[:len(pixels)]
	for i := 0; i+2 < len(pixels); i += 3 {
		to[i] = l[0][pixels[i]]
		to[i+1] = l[1][pixels[i+1]]
		to[i+2] = l[2][pixels[i+2]]
	}
}

// array is a float32 array that is filled anew each step.
type array struct{ dense *tensor.Dense }

// of is the array with a shape; its memory stays as long as the shape does.
func (a *array) of(shape ...int) *tensor.Dense {
	if a.dense == nil || !a.dense.Shape().Eq(tensor.Shape(shape)) {
		a.dense = tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
	}
	return a.dense
}

// meanDistance is the mean of |a - b|.
func meanDistance(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		d := v - b[i]
		sum += float64(max(d, -d))
	}
	return sum / float64(max(1, len(a)))
}
