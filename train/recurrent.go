package train

import (
	"math"
	"math/rand/v2"
	"strings"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
)

// recurrent is a convolutional encoder with a memory, learning: at every frame of a window from the first on it predicts the tokens some
// frames ahead. A token that is predicted is partly the token there is now (the model decides how much), partly a change.
type recurrent struct {
	settings  RecurrentConfig
	demands   demands
	described model.Config
	frames    int
	fps       float64

	encoder, follower *encoder.ConvEncoder
	predictor         *predictor.RecurrentNet
	learns, follows   *nn.Parameters

	levels           *levels
	pixels           array
	moving, emerging []bool
}

func newRecurrent(c *Config) *recurrent {
	l := &recurrent{
		settings: c.Model.Recurrent, demands: c.Objective.demands(), described: c.Model.Recurrent.model(), frames: c.Data.Frames, fps: c.Data.FPS,
	}
	l.levels = levelsOf(l.described)
	encoders, predictors := nn.NewParameters(c.Seed), nn.NewParameters(c.Seed^predictorSeed)
	l.encoder = encoder.NewConvEncoder(encoders, l.described)
	l.predictor = predictor.NewRecurrentNet(predictors, l.described)
	spreadMemory(l.predictor, c.Seed, l.settings.Remember)
	l.learns = join(encoders, predictors)

	encoders, predictors = nn.NewParameters(c.Seed), nn.NewParameters(c.Seed^predictorSeed)
	l.follower = encoder.NewConvEncoder(encoders, l.described)
	follower := predictor.NewRecurrentNet(predictors, l.described) // followed too: the average of both is what is kept
	spreadMemory(follower, c.Seed, l.settings.Remember)
	l.follows = join(encoders, predictors)
	return l
}

// spreadMemory lets the channels of a new memory keep what they hold for different times, from one frame to some: the biases of its update
// gates are log U(1, frames - 1) (Tallec, Ollivier 2018, "Can recurrent neural networks warp time?", arXiv:1804.11188, eq. 16).
func spreadMemory(net *predictor.RecurrentNet, seed uint64, frames int) {
	if frames == 0 {
		return
	}
	size := net.Memory.Size
	random := rand.New(rand.NewPCG(seed, memorySeed))
	bias := net.Memory.Input.Bias
	for i := range size {
		bias.Dense().Float32s()[size+i] = float32(math.Log(1 + float64(frames-2)*random.Float64()))
	}
	bias.Changed()
}

// memorySeed is the stream of random numbers for how long a memory keeps.
const memorySeed = 0x6d656d6f7279

func (l *recurrent) config() model.Config   { return l.described }
func (l *recurrent) online() *nn.Parameters { return l.learns }
func (l *recurrent) target() *nn.Parameters { return l.follows }
func (l *recurrent) width() int             { return l.settings.Dim }
func (l *recurrent) patch() int             { return l.stride() * l.stride() * 3 }

// grid is places a side, stride the pixels a side of a place.
func (l *recurrent) grid() int   { return l.described.Ensue.Recurrent.Grid() }
func (l *recurrent) stride() int { return l.settings.Side / l.grid() }

func (l *recurrent) look(t, fixed *nn.Tape, b *Batch, _ *rand.Rand) *views {
	batch := len(b.Pixels) / (l.frames * l.settings.Side * l.settings.Side * 3)
	pixels := l.timeFirst(b, batch)
	w := &recalling{recurrent: l, t: t, batch: batch, pixels: t.Input(pixels)}
	settled := l.settle(b.Step)
	var own *nn.Value
	if settled {
		own = t.Input(l.encoder.Forward(fixed, fixed.Input(pixels)).Dense())
	} else {
		own = l.encoder.Forward(t, w.pixels)
	}
	w.own = t.Reshape(own, w.rows(l.frames), l.width())
	switch {
	case settled:
		w.reference = w.own
	case l.demands.target == TargetEMA:
		tokens := l.follower.Forward(fixed, fixed.Input(pixels))
		w.reference = t.Input(fixed.Reshape(tokens, w.rows(l.frames), l.width()).Dense())
	case l.demands.target == TargetStopGradient:
		w.reference = t.Detach(w.own)
	default:
		w.reference = w.own
	}
	shape := []int{l.frames, batch, l.grid(), l.grid(), l.width()}
	return w.views(l.predictor.Forward(t, t.Reshape(own, shape...), t.Reshape(w.reference, shape...), nil))
}

// settle says whether the encoder stays as it is in a step; in the first such step it takes the weights of the average.
func (l *recurrent) settle(step int) bool {
	last := l.settings.Settle
	if last == 0 || step <= last {
		return false
	}
	if step == last+1 && l.demands.target == TargetEMA {
		follows := l.follows.All()
		for i, p := range l.learns.All() {
			if strings.HasPrefix(p.Name, "encoder.") {
				copy(p.Dense().Float32s(), follows[i].Dense().Float32s())
				p.Changed()
			}
		}
	}
	return true
}

// timeFirst puts the pixels of a batch, normalised, and what moves in it frame by frame, all windows of a frame together: what is predicted
// of a stretch of frames, and what came, are then rows that follow each other.
func (l *recurrent) timeFirst(b *Batch, batch int) *tensor.Dense {
	size, places := l.settings.Side*l.settings.Side*3, l.grid()*l.grid()
	dense := l.pixels.of(l.frames*batch, l.settings.Side, l.settings.Side, 3)
	to := dense.Float32s()
	if b.Moving != nil && l.moving == nil {
		l.moving, l.emerging = make([]bool, len(b.Moving)), make([]bool, len(b.Moving))
	}
	for frame := range l.frames {
		for item := range batch {
			into, from := frame*batch+item, item*l.frames+frame
			l.levels.apply(to[into*size:(into+1)*size], b.Pixels[from*size:(from+1)*size])
			if b.Moving != nil {
				copy(l.moving[into*places:(into+1)*places], b.Moving[from*places:])
				copy(l.emerging[into*places:(into+1)*places], b.Emerging[from*places:])
			}
		}
	}
	return dense
}

// recalling is one batch being looked at. Rows of tokens are frame by frame, window by window, place by place.
type recalling struct {
	*recurrent
	t      *nn.Tape
	batch  int
	pixels *nn.Value
	// reference are the tokens that predictions are compared with, own the learning encoder's, both through LayerNorm: [T*B*H'*W', D].
	reference, own *nn.Value
}

// rows is how many tokens a number of frames have.
func (w *recalling) rows(frames int) int { return frames * w.batch * w.grid() * w.grid() }

// views takes the predictions of every head apart.
func (w *recalling) views(out predictor.RecurrentOutput) *views {
	heads := len(w.settings.Ahead)
	expected := w.t.Reshape(out.Expected, w.rows(w.frames), heads*w.width())
	scale := w.t.Reshape(out.LogScale, w.rows(w.frames), heads)
	v := &views{tokens: w.own, moving: w.moving}
	for head, ahead := range w.settings.Ahead {
		v.predictions = append(v.predictions, w.predict(head, ahead, expected, scale))
	}
	v.horizons = func() []Horizon { return w.horizons(v.predictions) }
	if w.demands.reconstruct {
		v.patches = w.patches(0, w.rows(w.frames))
	}
	if w.demands.series {
		v.series = w.series()
	}
	return v
}

// predict is what one head predicts from the first frame on, and what came.
func (w *recalling) predict(head, ahead int, expected, scale *nn.Value) prediction {
	first := w.settings.First
	from, to := w.rows(first), w.rows(w.frames-ahead)
	came, end := w.rows(first+ahead), w.rows(w.frames)
	p := prediction{
		predicted: w.t.Columns(w.t.Rows(expected, from, to), head*w.width(), (head+1)*w.width()),
		target:    w.t.Rows(w.reference, came, end),
	}
	if w.moving != nil {
		p.moving, p.emerging = w.moving[came:end], w.emerging[came:end]
	}
	if w.demands.twoViews {
		p.online = w.t.Rows(w.own, came, end)
	}
	if w.demands.scale {
		p.scale = w.t.Reshape(w.t.Columns(w.t.Rows(scale, from, to), head, head+1), to-from)
	}
	if w.demands.pixels {
		p.patches = w.patches(came, end)
	}
	return p
}

// patches are the pixels under the tokens of rows [first, last).
func (w *recalling) patches(first, last int) *nn.Value {
	window := [3]int{1, w.stride(), w.stride()}
	x := w.t.Reshape(w.pixels, w.frames*w.batch, 1, w.settings.Side, w.settings.Side, 3)
	all := w.t.Unfold(x, nn.Window{Kernel: window, Stride: window})
	return w.t.Rows(w.t.Reshape(all, w.rows(w.frames), w.patch()), first, last)
}

// series are the learning encoder's tokens as [windows*places, frames, D].
func (w *recalling) series() *nn.Value {
	per := w.rows(1)
	ids := make([]int, 0, w.rows(w.frames))
	for place := range per {
		for frame := range w.frames {
			ids = append(ids, frame*per+place)
		}
	}
	return w.t.Reshape(w.t.Gather(w.own, ids), per, w.frames, w.width())
}

// horizons measures the predictions of every head, of all places and of those that move.
func (w *recalling) horizons(predictions []prediction) []Horizon {
	reference, d := w.reference.Float32s(), w.width()
	var told []Horizon
	for head, ahead := range w.settings.Ahead {
		p := predictions[head]
		now := reference[w.rows(w.settings.First)*d:][:p.target.Size()]
		h := Horizon{
			Seconds: float64(ahead) / w.fps, Prediction: meanDistance(p.predicted.Float32s(), p.target.Float32s()),
			Persistence: meanDistance(now, p.target.Float32s()),
		}
		if p.moving != nil {
			h.Moving = movingHorizon(p, now, d)
			h.Moving.Seconds = h.Seconds
		}
		told = append(told, h)
	}
	return told
}

// movingHorizon measures a prediction at the places that move; where none does, there is no distance.
func movingHorizon(p prediction, now []float32, d int) *Horizon {
	h, count := &Horizon{}, 0.0
	predicted, target := p.predicted.Float32s(), p.target.Float32s()
	for i, moves := range p.moving {
		if moves {
			h.Prediction += meanDistance(tokenAt(predicted, i, d), tokenAt(target, i, d))
			h.Persistence += meanDistance(tokenAt(now, i, d), tokenAt(target, i, d))
			count++
		}
	}
	h.Prediction, h.Persistence = h.Prediction/max(count, 1), h.Persistence/max(count, 1)
	return h
}
