package train

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// VerifierConfig is a verifier that learns with the model: a head that says of every token whether it ensues (predictor.VerifierNet). It is
// shown every window once as it is and once with its future replaced by one that does not ensue, of a random kind and strength (package
// negatives). With l = a log(mean energy of the window's tokens) + b, a and b learned, its loss is
//
//	softplus(l genuine) + softplus(-l negative) + softplus(l genuine - l negative) + Tokens * (-log of how likely each token's label is)
//
// where a token's label is whether its pixels differ from the genuine ones. The gradient reaches the predictor and the encoder.
type VerifierConfig struct {
	Weight float64 `yaml:"weight"`
	// Tokens is the weight of what each token by itself is asked.
	Tokens float64 `yaml:"tokens"`
	// Width, Depth and Heads are its sizes.
	Width int `yaml:"width"`
	Depth int `yaml:"depth"`
	Heads int `yaml:"heads"`
}

// The labels of tokens: a token whose pixels differ by less than the first on average is genuine, by more than the second is not, and in
// between nothing is asked.
const (
	verifierSame   = 2.0
	verifierOther  = 8.0
	verifierStill  = 1.0 // mean difference of neighbouring frames below which nothing moves
	genuineToken   = 0
	negativeToken  = 1
	undecidedToken = -1
)

func (v *VerifierConfig) check(p *problems, m *ModelConfig, d *DataConfig) {
	if v.Weight == 0 {
		return
	}
	const key = "objective.verifier"
	p.expect(v.Weight > 0 && v.Tokens >= 0, key+": weight and tokens are %v and %v; they cannot be negative", v.Weight, v.Tokens)
	if err := v.sizes(1).Check(); err != nil {
		p.expect(false, key+": %w", err)
	}
	if m.Family != Transformer || m.Transformer.Mode != NextSegment || m.Transformer.Attention != model.Tubelet {
		p.expect(false, key+": a verifier needs model.family transformer with mode next_segment and attention tubelet, so that what came is "+
			"encoded apart from what was before")
		return
	}
	x := m.Transformer
	p.expect(x.Context >= negatives.Length && x.predicted(d.Frames) == negatives.Length,
		key+": model.transformer.context is %d and %d frames are predicted; give %d or more, and %d (model.transformer.ahead)",
		x.Context, x.predicted(d.Frames), negatives.Length, negatives.Length)
	p.expect(d.Batch > 1, key+": data.batch is %d; give 2 or more, negatives are taken from other windows", d.Batch)
}

func (v *VerifierConfig) sizes(dim int) predictor.VerifierConfig {
	return predictor.VerifierConfig{Dim: dim, Width: v.Width, Depth: v.Depth, Heads: v.Heads}
}

// verifying is a verifier at learning: like a model it has a copy that learns and one that follows it.
type verifying struct {
	config          predictor.VerifierConfig
	net             *predictor.VerifierNet
	clip            *nn.Linear // a and b
	learns, follows *nn.Parameters
	average         *nn.EMA
}

// verifierSeed keeps a verifier from the random numbers of the model.
const verifierSeed = 0xd1b54a32d192ed03

func newVerifying(c *Config, dim int) (*verifying, error) {
	v := &verifying{
		config: c.Objective.Verifier.sizes(dim),
		learns: nn.NewParameters(c.Seed ^ verifierSeed), follows: nn.NewParameters(c.Seed ^ verifierSeed),
	}
	v.net, v.clip = newVerifierNet(v.learns, v.config)
	newVerifierNet(v.follows, v.config)
	var err error
	v.average, err = nn.NewEMA(v.follows, v.learns)
	return v, err
}

// newVerifierNet makes the net, and the a and b of a window's logit, which begin where a window is undecided before anything is learned.
func newVerifierNet(ps *nn.Parameters, config predictor.VerifierConfig) (*predictor.VerifierNet, *nn.Linear) {
	constant := func(value float64) nn.Init {
		return func(_ tensor.Shape, values []float64, _ *rand.Rand) {
			for i := range values {
				values[i] = value
			}
		}
	}
	net := predictor.NewVerifierNet(ps, config)
	clip := &nn.Linear{Weight: ps.New("verifier.clip.weight", constant(1), 1, 1), Bias: ps.New("verifier.clip.bias", constant(2), 1)}
	clip.Weight.Decay = false
	return net, clip
}

// write puts the verifier into a model directory; kept is the copy to take.
func (v *verifying) write(dir string, kept *nn.Parameters) (err error) {
	m, err := model.Open(dir)
	if err != nil {
		return fmt.Errorf("writing the verifier: %w", err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return predictor.WriteVerifier(dir, v.config, kept, m.Digest())
}

// verified are windows, and after them the same with other futures: what a verifier learns from.
type verified struct {
	// shape is that of a future's tokens. expected, seen and last are [2*B*N, D]: predictions, tokens of what came, and the tokens seen last
	// at the same places.
	shape                stream.Shape
	expected, seen, last *nn.Value
	// labels tell of every token whether it is genuine.
	labels []int8
	// measure says how well the verifier does, once the loss was computed and as long as the tapes are not reset.
	measure func() VerifierSample
}

// VerifierSample is how well a verifier tells the windows of a step from their negatives.
type VerifierSample struct {
	// Paired is the share of windows that have a lower energy than their negatives.
	Paired float64 `json:"paired"`
	// Cells is how well energies tell the tokens of negatives that differ from the genuine ones from those that do not (AUROC).
	Cells float64 `json:"cells"`
}

// verify makes the verified windows of the batch: seen are the tokens of the context, predicted those of the future, both [B*…, D].
func (w *looking) verify(seen, predicted *nn.Value) *verified {
	const length = negatives.Length
	side, steps := w.settings.Side, length/w.settings.Tubelet
	v := &verified{shape: stream.Shape{T: steps, H: w.grid(), W: w.grid(), D: w.width()}}
	futures := w.futures.of(2*w.batch, length, side, side, 3)
	size := length * side * side * 3
	v.labels = make([]int8, 2*w.batch*steps*w.places())
	for item := range w.batch {
		genuine := w.future(item)
		w.levels.fill(futures.Float32s()[item*size:], genuine)
		negative := w.negative(item)
		w.levels.fill(futures.Float32s()[(w.batch+item)*size:], negative)
		w.label(v.labels[(w.batch+item)*steps*w.places():], genuine, negative)
	}
	v.seen = w.t.LayerNorm(w.encoder.Forward(w.t, w.t.Input(futures)), nil, nil, targetEps)
	v.expected = w.t.ConcatRows(predicted, predicted)
	v.last = w.t.Gather(w.t.LayerNorm(seen, nil, nil, targetEps), w.lastRows(steps))
	return v
}

// future are the frames of a window that follow the context.
func (w *looking) future(item int) [][]byte {
	return w.window(item)[w.settings.Context:][:negatives.Length]
}

// window are all frames of a window as they came.
func (w *looking) window(item int) [][]byte {
	size, count := w.settings.Side*w.settings.Side*3, w.drawn
	frames := make([][]byte, count)
	for i := range frames {
		frames[i] = w.all.Pixels[(item*count+i)*size : (item*count+i+1)*size]
	}
	return frames
}

// negative is a future of a random kind that does not ensue; kinds of motion only where something moves.
func (w *looking) negative(item int) [][]byte {
	const length = negatives.Length
	from := negatives.Window{
		Side: w.settings.Side, Frames: w.window(item)[w.settings.Context-length:],
		Other: func(random *rand.Rand) [][]byte {
			other := (item + 1 + random.IntN(w.batch-1)) % w.batch
			return w.future(other)
		},
	}
	if spare := len(from.Frames) - 3*length; spare >= 0 {
		from.Far = func(random *rand.Rand) [][]byte {
			first := 2*length + random.IntN(spare+1)
			return from.Frames[first : first+length]
		}
	}
	kinds := negatives.Kinds()
	w.random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	still := isStill(from.Frames[:2*length], w.settings.Side)
	for _, kind := range kinds {
		if still && kind.Motion() {
			continue
		}
		if made, ok := negatives.Draw(w.random, kind, from); ok {
			return made.Frames
		}
	}
	return from.Other(w.random) // of two windows or more there is always another
}

// isStill says that nothing moves in X and Y together, or in Y.
func isStill(frames [][]byte, side int) bool {
	var all, future float64
	for i := 1; i < len(frames); i++ {
		d := greyDifference(frames[i-1], frames[i], side)
		all += d / float64(len(frames)-1)
		if i > negatives.Length {
			future += d / (negatives.Length - 1)
		}
	}
	return min(all, future) < verifierStill
}

// greyDifference is the mean difference of two frames in grey at half their size: sensor noise averages out a little.
func greyDifference(a, b []byte, side int) float64 {
	sum, row := 0, side*3
	for y := 0; y+1 < side; y += 2 {
		for x := 0; x+1 < side; x += 2 {
			at, d := y*row+x*3, 0
			for k := range 6 { // two pixels of three channels, in two rows
				d += int(a[at+k]) - int(b[at+k]) + int(a[at+row+k]) - int(b[at+row+k])
			}
			sum += max(d, -d)
		}
	}
	return float64(sum) / float64(12*(side/2)*(side/2))
}

// label compares the pixels under every token of a negative with the genuine ones.
func (w *looking) label(labels []int8, genuine, negative [][]byte) {
	patch, grid, side := w.settings.Patch, w.grid(), w.settings.Side
	sums := make([]int, grid*grid)
	for step := range len(genuine) / w.settings.Tubelet {
		clear(sums)
		for i := range w.settings.Tubelet {
			a, b := genuine[step*w.settings.Tubelet+i], negative[step*w.settings.Tubelet+i]
			for at, value := range a {
				pixel := at / 3
				d := int(value) - int(b[at])
				sums[pixel/side/patch*grid+pixel%side/patch] += max(d, -d)
			}
		}
		for place, sum := range sums {
			labels[step*len(sums)+place] = labelOf(float64(sum) / float64(w.patch()))
		}
	}
}

func labelOf(difference float64) int8 {
	switch {
	case difference > verifierOther:
		return negativeToken
	case difference < verifierSame:
		return genuineToken
	}
	return undecidedToken
}

// lastRows are the rows of the tokens of the context's last step, once for each step of each future.
func (w *looking) lastRows(steps int) []int {
	known := w.settings.Context / w.settings.Tubelet
	ids := make([]int, 0, 2*w.batch*steps*w.places())
	for range 2 {
		for item := range w.batch {
			for range steps {
				first := (item*known + known - 1) * w.places()
				ids = append(ids, upTo(first, first+w.places())...)
			}
		}
	}
	return ids
}

// fill normalises frames one after another.
func (l *levels) fill(to []float32, frames [][]byte) {
	for _, frame := range frames {
		l.apply(to[:len(frame)], frame)
		to = to[len(frame):]
	}
}

// verifier adds the verifier's terms.
func (s *summing) verifier() {
	c, v := s.config.Verifier, s.views.verified
	if c.Weight == 0 || v == nil {
		return
	}
	t := s.tape
	logits := s.verifying.net.Forward(t, v.shape, v.expected, v.seen, v.last)
	windows := t.MeanLast(t.Reshape(t.Softplus(logits), 2*v.count(), v.tokens()))
	// exp(-14) keeps the logarithm finite where everything is as sure as can be
	l := s.verifying.clip.Forward(t, t.Reshape(t.Log(t.Affine(windows, 1, math.Exp(-14))), 2*v.count(), 1))
	genuine, negative := t.Rows(l, 0, v.count()), t.Rows(l, v.count(), 2*v.count())
	s.add("verifier", c.Weight, VerifierLoss(t, genuine, negative))
	if c.Tokens > 0 {
		s.add("verifier_tokens", c.Weight*c.Tokens, TokenLoss(t, logits, v.labels))
	}
	v.measure = func() VerifierSample {
		return VerifierSample{pairedOf(genuine.Float32s(), negative.Float32s()), v.cellsOf(logits.Float32s())}
	}
}

// count is how many windows there are, tokens how many tokens a future has.
func (v *verified) tokens() int { return v.shape.T * v.shape.Places() }
func (v *verified) count() int  { return len(v.labels) / v.tokens() / 2 }

// pairedOf is the share of pairs in which the negative has the larger logit, ties counting a half.
func pairedOf(genuine, negative []float32) (share float64) {
	for i, l := range genuine {
		switch {
		case negative[i] > l:
			share += 1 / float64(len(genuine))
		case negative[i] == l:
			share += 0.5 / float64(len(genuine))
		}
	}
	return share
}

// cellsOf is the area under the ROC curve of the tokens of negatives; a half where all or none of them are genuine.
func (v *verified) cellsOf(logits []float32) float64 {
	var ids []int
	for i := len(v.labels) / 2; i < len(v.labels); i++ {
		if v.labels[i] != undecidedToken {
			ids = append(ids, i)
		}
	}
	slices.SortFunc(ids, func(a, b int) int { return cmp.Compare(logits[a], logits[b]) })
	below, won := 0, 0 // genuine tokens so far, and pairs won by those that are not
	for _, id := range ids {
		if v.labels[id] == genuineToken {
			below++
		} else {
			won += below
		}
	}
	if below == 0 || below == len(ids) {
		return 0.5
	}
	return float64(won) / float64(below*(len(ids)-below))
}

// VerifierLoss is the mean over windows of softplus(g) + softplus(-n) + softplus(g - n) for the logits g of genuine windows and n of their
// negatives: a logistic loss of each, and of the pair.
func VerifierLoss(t *nn.Tape, genuine, negative *nn.Value) *nn.Value {
	sides := t.Add(t.Softplus(genuine), t.Softplus(t.Scale(negative, -1)))
	return t.Mean(t.Add(sides, t.Softplus(t.Sub(genuine, negative))))
}

// TokenLoss is the mean logistic loss of tokens by their labels, 1 for those that do not ensue, both labels weighing the same however many
// there are; tokens with another label are left out.
func TokenLoss(t *nn.Tape, logits *nn.Value, labels []int8) *nn.Value {
	var counts [2]int
	for _, label := range labels {
		if label >= 0 {
			counts[label]++
		}
	}
	weights := [2][]float32{make([]float32, len(labels)), make([]float32, len(labels))}
	for i, label := range labels {
		if label >= 0 {
			weights[label][i] = float32(0.5 / float64(counts[label]))
		}
	}
	n := len(labels)
	same := t.Mul(t.Softplus(logits), t.Floats(weights[genuineToken], n))
	other := t.Mul(t.Softplus(t.Scale(logits, -1)), t.Floats(weights[negativeToken], n))
	return t.Add(t.Sum(same), t.Sum(other))
}
