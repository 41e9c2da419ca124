package train

import (
	"errors"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// What predictions are compared with.
const (
	// TargetEMA: the tokens of an encoder whose weights are a moving average of the one that learns.
	TargetEMA = "ema"
	// TargetStopGradient: the learning encoder's own tokens, which the gradient does not reach.
	TargetStopGradient = "stop_gradient"
	// TargetOnline: the learning encoder's own tokens, which the gradient reaches too. Without a regulariser they collapse.
	TargetOnline = "online"
)

// ObjectiveConfig is what is learned: a weighted sum. Terms of weight 0 are not computed.
type ObjectiveConfig struct {
	// Target is TargetEMA, TargetStopGradient or TargetOnline.
	Target   string         `yaml:"target"`
	Momentum MomentumConfig `yaml:"momentum"`
	// JEPA is the distance of predicted tokens to the target's.
	JEPA JEPAConfig `yaml:"jepa"`
	// Scale teaches a recurrent model how wrong it expects to be.
	Scale Weighted `yaml:"scale"`
	// Spread are VICReg's variance and covariance terms, on the learning encoder's tokens.
	Spread SpreadConfig `yaml:"spread"`
	// The objectives of two views take predicted tokens and the learning encoder's tokens of what was predicted.
	VICReg      VICRegConfig      `yaml:"vicreg"`
	BarlowTwins BarlowTwinsConfig `yaml:"barlow_twins"`
	InfoNCE     ContrastiveConfig `yaml:"info_nce"`
	NTXent      ContrastiveConfig `yaml:"nt_xent"`
	Margin      MarginConfig      `yaml:"margin"`
	// SIGReg makes the learning encoder's tokens Gaussian.
	SIGReg SIGRegConfig `yaml:"sigreg"`
	// TimeSimilarity makes a place's tokens alike from step to step.
	TimeSimilarity Weighted `yaml:"time_similarity"`
	// Pixels predicts patches of pixels from predicted tokens.
	Pixels Weighted `yaml:"pixels"`
	// Reconstruct keeps the pixels of a place readable from its token.
	Reconstruct ReconstructConfig `yaml:"reconstruct"`
	// Verifier is a head that tells what ensues from what does not.
	Verifier VerifierConfig `yaml:"verifier"`
}

// MomentumConfig is how slowly the target follows: Start to End in proportion to the progress, and 0.9 in the first Settle steps.
type MomentumConfig struct {
	Start  float64 `yaml:"start"`
	End    float64 `yaml:"end"`
	Settle int     `yaml:"settle"`
}

// settleMomentum is the target's momentum while it still finds itself.
const settleMomentum = 0.9

// Weighted is a term without settings.
type Weighted struct {
	Weight float64 `yaml:"weight"`
}

// The distances of JEPA.
const (
	DistanceL1       = "l1"
	DistanceSmoothL1 = "smooth_l1"
)

// JEPAConfig is JEPA's distance: L1, or smooth L1 with Beta. Places that move count 1 + Moving times (recurrent models, L1 only).
type JEPAConfig struct {
	Weight   float64 `yaml:"weight"`
	Distance string  `yaml:"distance"`
	Beta     float64 `yaml:"beta"`
	Moving   float64 `yaml:"moving"`
	// Emerging is how much more places count where something comes up that was not seen nearby before.
	Emerging float64 `yaml:"emerging"`
	// Heads are how much the predictions count, the nearest first; empty: all the same.
	Heads []float64 `yaml:"heads,omitempty"`
}

// SpreadConfig are VICReg's two terms of one view: hinge(1 - std) times Variance and the sum of squared covariances over the width times
// Covariance, on Rows random tokens, and again, Moving times as heavy, on tokens of places that move.
type SpreadConfig struct {
	Weight     float64 `yaml:"weight"`
	Variance   float64 `yaml:"variance"`
	Covariance float64 `yaml:"covariance"`
	Rows       int     `yaml:"rows"`
	Moving     float64 `yaml:"moving"`
}

// VICRegConfig is VICReg whole, on Rows random tokens.
type VICRegConfig struct {
	Weight     float64 `yaml:"weight"`
	Invariance float64 `yaml:"invariance"`
	Variance   float64 `yaml:"variance"`
	Covariance float64 `yaml:"covariance"`
	Rows       int     `yaml:"rows"`
}

// BarlowTwinsConfig is Barlow Twins on Rows random tokens.
type BarlowTwinsConfig struct {
	Weight float64 `yaml:"weight"`
	Lambda float64 `yaml:"lambda"`
	Rows   int     `yaml:"rows"`
}

// ContrastiveConfig is InfoNCE or NT-Xent among Rows random tokens; with Moving, of places that move alone (recurrent models).
type ContrastiveConfig struct {
	Weight      float64 `yaml:"weight"`
	Temperature float64 `yaml:"temperature"`
	Rows        int     `yaml:"rows"`
	Moving      bool    `yaml:"moving"`
}

// MarginConfig is the margin loss on Rows pairs, every other one of them of two different tokens.
type MarginConfig struct {
	Weight float64 `yaml:"weight"`
	Margin float64 `yaml:"margin"`
	Rows   int     `yaml:"rows"`
}

// SIGRegConfig is SIGReg on Rows random tokens and Directions directions, drawn anew each step.
type SIGRegConfig struct {
	Weight     float64 `yaml:"weight"`
	Directions int     `yaml:"directions"`
	Rows       int     `yaml:"rows"`
}

// ReconstructConfig is the squared distance of a place's pixels to a linear map of its token; places that move count 1 + Moving times.
type ReconstructConfig struct {
	Weight float64 `yaml:"weight"`
	Moving float64 `yaml:"moving"`
}

// DefaultObjective is JEPA with a moving-average target and a little of VICReg.
func DefaultObjective() ObjectiveConfig {
	return ObjectiveConfig{
		Target: TargetEMA, Momentum: MomentumConfig{Start: 0.99, End: 0.999, Settle: 20},
		JEPA:        JEPAConfig{Weight: 1, Distance: DistanceL1, Beta: 1, Moving: 4},
		Scale:       Weighted{Weight: 0.1},
		Spread:      SpreadConfig{Weight: 0.1, Variance: 1, Covariance: 0.04, Rows: 1536, Moving: 0.5},
		VICReg:      VICRegConfig{Invariance: 25, Variance: 25, Covariance: 1, Rows: 1024},
		BarlowTwins: BarlowTwinsConfig{Lambda: PublishedBarlow, Rows: 1024},
		InfoNCE:     ContrastiveConfig{Temperature: 0.1, Rows: 512},
		NTXent:      ContrastiveConfig{Temperature: 0.1, Rows: 256},
		Margin:      MarginConfig{Margin: 4, Rows: 512},
		SIGReg:      SIGRegConfig{Directions: 128, Rows: 1024},
		Verifier:    VerifierConfig{Tokens: 0.5, Width: 128, Depth: 2, Heads: 4},
	}
}

func (o *ObjectiveConfig) check(p *problems) {
	switch o.Target {
	case TargetEMA, TargetStopGradient, TargetOnline:
	default:
		p.expect(false, "objective.target is %q; it can be %s, %s or %s", o.Target, TargetEMA, TargetStopGradient, TargetOnline)
	}
	p.expect(inUnit(o.Momentum.Start) && inUnit(o.Momentum.End),
		"objective.momentum is %v to %v; give numbers from 0 to 1", o.Momentum.Start, o.Momentum.End)
	p.expect(o.Momentum.Settle >= 0, "objective.momentum.settle is %d; it cannot be negative", o.Momentum.Settle)
	learns := 0.0
	for _, term := range o.terms() {
		p.expect(term.weight >= 0, "objective.%s.weight is %v; give a number from 0 on", term.name, term.weight)
		p.expect(term.weight == 0 || term.rows >= 8, "objective.%s.rows is %d; give 8 or more", term.name, term.rows)
		if term.predicts {
			learns += term.weight
		}
	}
	p.expect(learns > 0, "objective: no term with a weight compares a prediction with anything; give one of jepa, vicreg, barlow_twins, "+
		"info_nce, nt_xent, margin, pixels a weight")
	p.expect(o.JEPA.Distance == DistanceL1 || o.JEPA.Distance == DistanceSmoothL1,
		"objective.jepa.distance is %q; it can be %s or %s", o.JEPA.Distance, DistanceL1, DistanceSmoothL1)
	p.expect(o.JEPA.Distance == DistanceL1 || o.JEPA.Beta > 0, "objective.jepa.beta is %v; give a number above 0", o.JEPA.Beta)
	p.expect(o.InfoNCE.Temperature > 0, "objective.info_nce.temperature is %v; give a number above 0", o.InfoNCE.Temperature)
	p.expect(o.NTXent.Temperature > 0, "objective.nt_xent.temperature is %v; give a number above 0", o.NTXent.Temperature)
	p.expect(o.SIGReg.Directions > 0, "objective.sigreg.directions is %d; give 1 or more", o.SIGReg.Directions)
	p.expect(o.JEPA.Moving >= 0 && o.Spread.Moving >= 0, "objective: moving is %v (jepa) and %v (spread); it cannot be negative",
		o.JEPA.Moving, o.Spread.Moving)
}

func inUnit(x float64) bool { return x >= 0 && x <= 1 }

// term is one part of the sum, for checks.
type term struct {
	name     string
	weight   float64
	rows     int
	predicts bool
}

// anyRows stands for terms that take all rows.
const anyRows = 1 << 30

func (o *ObjectiveConfig) terms() []term {
	return []term{
		{"jepa", o.JEPA.Weight, anyRows, true},
		{"scale", o.Scale.Weight, anyRows, false},
		{"spread", o.Spread.Weight, o.Spread.Rows, false},
		{"vicreg", o.VICReg.Weight, o.VICReg.Rows, true},
		{"barlow_twins", o.BarlowTwins.Weight, o.BarlowTwins.Rows, true},
		{"info_nce", o.InfoNCE.Weight, o.InfoNCE.Rows, true},
		{"nt_xent", o.NTXent.Weight, o.NTXent.Rows, true},
		{"margin", o.Margin.Weight, o.Margin.Rows, true},
		{"sigreg", o.SIGReg.Weight, o.SIGReg.Rows, false},
		{"time_similarity", o.TimeSimilarity.Weight, anyRows, false},
		{"pixels", o.Pixels.Weight, anyRows, true},
		{"reconstruct", o.Reconstruct.Weight, anyRows, false},
	}
}

// twoViews says whether a term needs the learning encoder's tokens of what is predicted.
func (o *ObjectiveConfig) twoViews() bool {
	return o.VICReg.Weight > 0 || o.BarlowTwins.Weight > 0 || o.InfoNCE.Weight > 0 || o.NTXent.Weight > 0 || o.Margin.Weight > 0 ||
		o.Target != TargetEMA
}

// prediction is what a model predicted of some places, row by row, and what belongs beside it.
type prediction struct {
	// predicted, target and, where two views are wanted, online are [N, D]: what was predicted; what it is compared with, through
	// LayerNorm; the learning encoder's tokens there, through LayerNorm, with their gradient.
	predicted, target, online *nn.Value
	// moving tells of every row whether its place moves; nil: nobody looked.
	moving []bool
	// emerging tells the same of places where something comes up.
	emerging []bool
	// scale is the logarithm of the error that a recurrent model expects [N]; nil: it has none.
	scale *nn.Value
	// patches are the pixels there, [N, P]; nil unless they are predicted.
	patches *nn.Value
}

// views is what a model made of a batch.
type views struct {
	predictions []prediction
	// horizons measures the predictions, as long as the tapes are not reset.
	horizons func() []Horizon
	// tokens are the learning encoder's, through LayerNorm, [M, D]; moving tells of every row whether its place moves; nil: nobody looked.
	tokens *nn.Value
	moving []bool
	// patches are the pixels under the tokens, [M, P]; nil unless wanted.
	patches *nn.Value
	// series are the same tokens as [places, steps, D], each place of each window a series; nil unless wanted.
	series *nn.Value
	// verified is what a verifier learns from; nil unless there is one.
	verified *verified
}

// reported is a term of the sum with its value, without its weight.
type reported struct {
	name  string
	value *nn.Value
}

// objectives computes the sum.
type objectives struct {
	config ObjectiveConfig
	seed   uint64
	// decoder maps predicted tokens to pixels; nil unless they are predicted.
	decoder *nn.Linear
	// reader maps tokens to pixels; nil unless they are reconstructed.
	reader *nn.Linear
	// verifying is the verifier; nil unless there is one.
	verifying *verifying
}

// summing is the sum of one step.
type summing struct {
	objectives
	tape   *nn.Tape
	views  *views
	random *rand.Rand
	loss   *nn.Value
	terms  []reported
}

// randomObjectives is the stream of random numbers for the rows of a step: apart from those of the windows, whose second word is small.
const randomObjectives = 1 << 63

// sum is the loss of a step, and its terms.
func (o objectives) sum(t *nn.Tape, v *views, step int) (*nn.Value, []reported, error) {
	s := &summing{objectives: o, tape: t, views: v, random: rand.New(rand.NewPCG(o.seed, randomObjectives|uint64(step)))}
	s.jepa()
	s.scale()
	s.spread()
	s.twoViews()
	s.sigreg()
	if w := o.config.TimeSimilarity.Weight; w > 0 {
		s.add("time_similarity", w, TimeSimilarity(t, v.series))
	}
	s.pixels()
	s.reconstruct()
	s.verifier()
	if s.loss == nil {
		return nil, nil, errors.New("summing the objectives: none has a weight")
	}
	return s.loss, s.terms, nil
}

// add adds a term with its weight.
func (s *summing) add(name string, weight float64, value *nn.Value) {
	s.terms = append(s.terms, reported{name, value})
	part := s.tape.Scale(value, weight)
	if s.loss != nil {
		part = s.tape.Add(s.loss, part)
	}
	s.loss = part
}

// mean is the mean of a value over the predictions.
func (s *summing) mean(f func(p prediction) *nn.Value) *nn.Value { return s.weighted(nil, f) }

// weighted is the mean of a value over the predictions, each with its weight; without weights all count the same.
func (s *summing) weighted(weights []float64, f func(p prediction) *nn.Value) *nn.Value {
	var sum *nn.Value
	total := 0.0
	for i, p := range s.views.predictions {
		weight := 1.0
		if len(weights) > 0 {
			weight = weights[i]
		}
		if weight == 0 {
			continue
		}
		total += weight
		v := s.tape.Scale(f(p), weight)
		if sum != nil {
			v = s.tape.Add(sum, v)
		}
		sum = v
	}
	return s.tape.Scale(sum, 1/total)
}

func (s *summing) jepa() {
	c := s.config.JEPA
	if c.Weight == 0 {
		return
	}
	s.add("jepa", c.Weight, s.weighted(c.Heads, func(p prediction) *nn.Value {
		switch {
		case c.Distance == DistanceSmoothL1:
			return s.tape.SmoothL1(p.predicted, p.target, c.Beta)
		case p.moving != nil && c.Moving > 0:
			return WeightedL1(s.tape, p.predicted, p.target, weightsOf(p, c))
		}
		return s.tape.L1(p.predicted, p.target)
	}))
}

// weightsOf are 1, and more where something moves or comes up.
func weightsOf(p prediction, c JEPAConfig) []float32 {
	weights := make([]float32, len(p.moving))
	for i, m := range p.moving {
		weights[i] = 1
		if m {
			weights[i] += float32(c.Moving)
		}
		if p.emerging[i] {
			weights[i] += float32(c.Emerging)
		}
	}
	return weights
}

func (s *summing) scale() {
	if s.config.Scale.Weight == 0 || s.views.predictions[0].scale == nil {
		return
	}
	s.add("scale", s.config.Scale.Weight, s.mean(func(p prediction) *nn.Value {
		return ExpectedError(s.tape, p.predicted, p.target, p.scale)
	}))
}

func (s *summing) spread() {
	c := s.config.Spread
	if c.Weight == 0 {
		return
	}
	all := s.rows(rowsOf(s.views.tokens), c.Rows)
	variance, covariance := Spread(s.tape, s.tape.Gather(s.views.tokens, all))
	if ids := s.movingRows(c.Rows); c.Moving > 0 && len(ids) >= fewestRows {
		v, w := Spread(s.tape, s.tape.Gather(s.views.tokens, ids))
		variance = s.tape.Add(variance, s.tape.Scale(v, c.Moving))
		covariance = s.tape.Add(covariance, s.tape.Scale(w, c.Moving))
	}
	s.add("variance", c.Weight*c.Variance, variance)
	s.add("covariance", c.Weight*c.Covariance, covariance)
}

// fewestRows is how many tokens a covariance is worth computing of.
const fewestRows = 64

// rowsOf is the length of the first axis.
func rowsOf(v *nn.Value) int { return v.Shape()[0] }

// rows draws n of count rows, with repetition: one in a thousand twice does not matter to a mean, and it costs nothing.
func (s *summing) rows(count, n int) []int {
	ids := make([]int, min(n, count))
	for i := range ids {
		ids[i] = s.random.IntN(count)
	}
	return ids
}

// movingRows draws up to n of the tokens of places that move.
func (s *summing) movingRows(n int) []int {
	return s.someOf(s.views.moving, n)
}

// someOf draws up to n of the rows that are marked.
func (s *summing) someOf(marked []bool, n int) []int {
	var all []int
	for i, m := range marked {
		if m {
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		return nil
	}
	ids := make([]int, min(n, len(all)))
	for i := range ids {
		ids[i] = all[s.random.IntN(len(all))]
	}
	return ids
}

// pair draws rows of predicted tokens and of the learning encoder's tokens at the same places.
func (s *summing) pair(n int, moving bool) (x, y *nn.Value) {
	p := s.views.predictions[s.random.IntN(len(s.views.predictions))]
	var ids []int
	if moving {
		ids = s.someOf(p.moving, n)
	}
	if len(ids) < fewestRows {
		ids = s.rows(rowsOf(p.predicted), n)
	}
	return s.tape.Gather(p.predicted, ids), s.tape.Gather(p.online, ids)
}

func (s *summing) twoViews() {
	if c := s.config.VICReg; c.Weight > 0 {
		x, y := s.pair(c.Rows, false)
		r := VICReg(s.tape, x, y, VICRegWeights{c.Invariance, c.Variance, c.Covariance})
		s.add("vicreg", c.Weight, r.Loss)
	}
	if c := s.config.BarlowTwins; c.Weight > 0 {
		x, y := s.pair(c.Rows, false)
		s.add("barlow_twins", c.Weight, BarlowTwins(s.tape, x, y, c.Lambda).Loss)
	}
	if c := s.config.InfoNCE; c.Weight > 0 {
		x, y := s.pair(c.Rows, c.Moving)
		s.add("info_nce", c.Weight, InfoNCE(s.tape, x, y, c.Temperature).Loss)
	}
	if c := s.config.NTXent; c.Weight > 0 {
		x, y := s.pair(c.Rows, c.Moving)
		s.add("nt_xent", c.Weight, NTXent(s.tape, x, y, c.Temperature))
	}
	if c := s.config.Margin; c.Weight > 0 {
		s.margin(c)
	}
}

// margin takes every second pair apart: its second token is that of the pair after the next.
func (s *summing) margin(c MarginConfig) {
	x, y := s.pair(c.Rows, false)
	n := rowsOf(x)
	ids, same := make([]int, n), make([]float64, n)
	for i := range ids {
		ids[i], same[i] = i, 1
		if i%2 == 1 {
			ids[i], same[i] = (i+2)%n, 0
		}
	}
	s.add("margin", c.Weight, Margin(s.tape, x, s.tape.Gather(y, ids), same, c.Margin))
}

func (s *summing) sigreg() {
	c := s.config.SIGReg
	if c.Weight == 0 {
		return
	}
	z := s.tape.Gather(s.views.tokens, s.rows(rowsOf(s.views.tokens), c.Rows))
	s.add("sigreg", c.Weight, SIGReg(s.tape, z, directions(s.random, z.Shape()[1], c.Directions)))
}

// directions draws k directions of d dimensions, uniform on the sphere: [d, k].
func directions(random *rand.Rand, d, k int) *tensor.Dense {
	x := make([]float32, d*k)
	for column := range k {
		row, length := make([]float64, d), 0.0
		for i := range row {
			row[i] = random.NormFloat64()
		}
		length = distanceOf(row, make([]float64, d))
		for i, v := range row {
			x[i*k+column] = float32(v / length)
		}
	}
	return tensor.New(tensor.WithShape(d, k), tensor.WithBacking(x))
}

func (s *summing) pixels() {
	if s.config.Pixels.Weight == 0 {
		return
	}
	s.add("pixels", s.config.Pixels.Weight, s.mean(func(p prediction) *nn.Value {
		return Pixels(s.tape, s.decoder.Forward(s.tape, p.predicted), p.patches)
	}))
}

func (s *summing) reconstruct() {
	c, v := s.config.Reconstruct, s.views
	if c.Weight == 0 || v.patches == nil {
		return
	}
	weights := make([]float32, rowsOf(v.tokens))
	for i := range weights {
		weights[i] = 1
		if i < len(v.moving) && v.moving[i] {
			weights[i] += float32(c.Moving)
		}
	}
	s.add("reconstruct", c.Weight, WeightedL2(s.tape, s.reader.Forward(s.tape, v.tokens), v.patches, weights))
}
