package train

import (
	"math/rand/v2"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
)

// transformer is V-JEPA 2's encoder and predictor, learning.
type transformer struct {
	settings  TransformerConfig
	demands   demands
	described model.Config
	seconds   float64 // of a step of tokens
	// frames are seen or predicted, of the drawn ones of a window; the others are there for negatives only.
	frames, drawn int

	encoder, follower *encoder.VisionTransformer
	predictor         *predictor.MaskedTransformer
	learns, follows   *nn.Parameters

	levels      *levels
	whole, past array // pixels of the windows, and of what is seen of them
	futures     array // pixels that a verifier is asked about
}

func newTransformer(c *Config) *transformer {
	x := c.Model.Transformer
	l := &transformer{
		settings: x, demands: c.Objective.demands(), described: x.model(x.learned(c.Data.Frames)), frames: x.learned(c.Data.Frames),
		drawn: c.Data.Frames, seconds: float64(x.Tubelet) / c.Data.FPS,
	}
	l.levels = levelsOf(l.described)
	encoders, predictors := nn.NewParameters(c.Seed), nn.NewParameters(c.Seed^predictorSeed)
	l.encoder = encoder.NewVisionTransformer(encoders, l.described)
	l.predictor = predictor.NewMaskedTransformer(predictors, l.described)
	l.learns = join(encoders, predictors)

	encoders, predictors = nn.NewParameters(c.Seed), nn.NewParameters(c.Seed^predictorSeed)
	l.follower = encoder.NewVisionTransformer(encoders, l.described)
	predictor.NewMaskedTransformer(predictors, l.described) // followed too: the average of both is what is kept
	l.follows = join(encoders, predictors)
	return l
}

func (l *transformer) config() model.Config   { return l.described }
func (l *transformer) online() *nn.Parameters { return l.learns }
func (l *transformer) target() *nn.Parameters { return l.follows }
func (l *transformer) width() int             { return l.described.HiddenSize }
func (l *transformer) patch() int {
	return l.described.TubeletSize * l.described.PatchSize * l.described.PatchSize * 3
}

// grid is places a side, steps the steps of a window, places those of a step.
func (l *transformer) grid() int   { return l.settings.Side / l.settings.Patch }
func (l *transformer) steps() int  { return l.frames / l.settings.Tubelet }
func (l *transformer) places() int { return l.grid() * l.grid() }

func (l *transformer) look(t, fixed *nn.Tape, b *Batch, random *rand.Rand) *views {
	size := l.settings.Side * l.settings.Side * 3
	batch := len(b.Pixels) / (l.drawn * size)
	pixels := l.whole.of(batch, l.frames, l.settings.Side, l.settings.Side, 3)
	for i := range batch {
		l.levels.apply(pixels.Float32s()[i*l.frames*size:], b.Pixels[i*l.drawn*size:(i*l.drawn+l.frames)*size])
	}
	w := &looking{transformer: l, t: t, batch: batch, pixels: t.Input(pixels), all: b, random: random}
	if l.demands.target == TargetEMA {
		tokens := l.follower.Forward(fixed, fixed.Input(pixels))
		w.reference = t.Input(fixed.LayerNorm(tokens, nil, nil, targetEps).Dense())
	}
	if l.demands.twoViews {
		w.own = t.LayerNorm(l.encoder.Forward(t, w.pixels), nil, nil, targetEps)
		if l.demands.target == TargetOnline {
			w.reference = w.own
		}
		if l.demands.target == TargetStopGradient {
			w.reference = t.Detach(w.own)
		}
	}
	if l.settings.Mode == Masked {
		return w.masked(random)
	}
	return w.next()
}

// looking is one batch being looked at. Rows of tokens are window by window, step by step, place by place.
type looking struct {
	*transformer
	t      *nn.Tape
	batch  int
	all    *Batch
	random *rand.Rand
	pixels *nn.Value // [B, T, S, S, 3]
	// reference are the tokens of the whole windows that predictions are compared with, own those of the learning encoder, where wanted;
	// both through LayerNorm, [B*N, D].
	reference, own *nn.Value
}

// next predicts the steps after the context from those in it.
func (w *looking) next() *views {
	known, all := w.settings.Context/w.settings.Tubelet*w.places(), w.steps()*w.places()
	seen := w.encoder.Forward(w.t, w.t.Input(w.seen().dense))
	predicted := w.predictor.Forward(w.t, w.t.Reshape(seen, w.batch, known, w.width()), [][]int{upTo(0, known)}, [][]int{upTo(known, all)})
	predicted = w.t.Reshape(predicted, w.batch*(all-known), w.width())
	hidden := make([][]int, w.batch)
	for i := range hidden {
		hidden[i] = upTo(known, all)
	}
	v := w.views(seen, predicted, hidden)
	if w.demands.series {
		v.series = w.series(v.tokens, known/w.places())
	}
	if w.demands.verifier {
		v.verified = w.verify(seen, predicted)
	}
	return v
}

func upTo(first, last int) []int {
	ids := make([]int, last-first)
	for i := range ids {
		ids[i] = first + i
	}
	return ids
}

// seen are the pixels of the context.
func (w *looking) seen() *array {
	context, size := w.settings.Context, w.settings.Side*w.settings.Side*3
	from, to := w.whole.dense.Float32s(), w.past.of(w.batch, context, w.settings.Side, w.settings.Side, 3).Float32s()
	for i := range w.batch {
		copy(to[i*context*size:(i+1)*context*size], from[i*w.frames*size:])
	}
	return &w.past
}

// masked predicts hidden places from the others.
func (w *looking) masked(random *rand.Rand) *views {
	m := drawMask(random, w.batch, w.steps(), w.grid())
	x := w.encoder.Embed.Forward(w.t, w.pixels)
	n := len(m.shown[0])
	x = w.t.Gather(w.t.Reshape(x, w.batch*w.steps()*w.places(), w.width()), w.rows(m.shown))
	x = w.t.Reshape(x, w.batch, n, w.width())
	var ids []int
	for _, shown := range m.shown {
		ids = append(ids, shown...)
	}
	place := nn.Place{Rotary: encoder.Rotary(w.described, w.width()/w.described.NumAttentionHeads, ids)}
	for _, block := range w.encoder.Blocks {
		x = block.Forward(w.t, x, place)
	}
	seen := w.encoder.Norm.Forward(w.t, x)
	predicted := w.predictor.Predict(w.t, seen, len(m.hidden[0]), w.predictor.Places(m.shown, m.hidden))
	seen = w.t.Reshape(seen, w.batch*n, w.width())
	v := w.views(seen, w.t.Reshape(predicted, w.batch*len(m.hidden[0]), w.width()), m.hidden)
	if w.demands.series {
		v.series = w.series(v.tokens, w.steps())
	}
	return v
}

// rows are the rows of tokens whose ids are told window by window.
func (w *looking) rows(ids [][]int) []int {
	var rows []int
	for item, list := range ids {
		for _, id := range list {
			rows = append(rows, item*w.steps()*w.places()+id)
		}
	}
	return rows
}

// views puts beside the predictions of hidden tokens what they are compared with.
func (w *looking) views(seen, predicted *nn.Value, hidden [][]int) *views {
	rows := w.rows(hidden)
	p := prediction{predicted: predicted, target: w.t.Gather(w.reference, rows)}
	if w.own != nil {
		p.online = w.t.Gather(w.own, rows)
	}
	if w.demands.pixels {
		patch := [3]int{w.settings.Tubelet, w.settings.Patch, w.settings.Patch}
		all := w.t.Unfold(w.pixels, nn.Window{Kernel: patch, Stride: patch})
		p.patches = w.t.Gather(w.t.Reshape(all, w.batch*w.steps()*w.places(), w.patch()), rows)
	}
	return &views{
		predictions: []prediction{p}, tokens: w.t.LayerNorm(seen, nil, nil, targetEps),
		horizons: func() []Horizon { return w.horizons(predicted.Float32s(), w.reference.Float32s(), hidden) },
	}
}

// series are tokens of whole steps as [windows*places, steps, D].
func (w *looking) series(tokens *nn.Value, steps int) *nn.Value {
	n := rowsOf(tokens) / w.batch / steps // places, of which a mask leaves some
	ids := make([]int, 0, rowsOf(tokens))
	for item := range w.batch {
		for place := range n {
			for step := range steps {
				ids = append(ids, (item*steps+step)*n+place)
			}
		}
	}
	return w.t.Reshape(w.t.Gather(tokens, ids), w.batch*n, steps, w.width())
}

// horizons measures predictions step by step, against the last step of the context; those of a mask together, against the step before (of
// the first step: the one after).
func (w *looking) horizons(predicted, reference []float32, hidden [][]int) []Horizon {
	last := w.settings.Context/w.settings.Tubelet - 1
	if w.settings.Mode == Masked {
		last = -1
	}
	sums := make([]Horizon, w.steps()-last)
	counts := make([]float64, len(sums))
	row, d := 0, w.width()
	for item, ids := range hidden {
		for _, id := range ids {
			step, place := id/w.places(), id%w.places()
			at, before := 0, max(step-1, 1-step)
			if last >= 0 {
				at, before = step-last, last
			}
			truth := tokenAt(reference, (item*w.steps()+step)*w.places()+place, d)
			sums[at].Prediction += meanDistance(tokenAt(predicted, row, d), truth)
			sums[at].Persistence += meanDistance(tokenAt(reference, (item*w.steps()+before)*w.places()+place, d), truth)
			counts[at]++
			row++
		}
	}
	var told []Horizon
	for at, h := range sums {
		if counts[at] > 0 {
			told = append(told, Horizon{
				Seconds: float64(at) * w.seconds, Prediction: h.Prediction / counts[at], Persistence: h.Persistence / counts[at],
			})
		}
	}
	return told
}

// tokenAt is a row of tokens.
func tokenAt(tokens []float32, row, d int) []float32 { return tokens[row*d : (row+1)*d] }
