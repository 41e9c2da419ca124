package train

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ensue-video/ensue/eval/scenes"
	"github.com/ensue-video/ensue/model"
)

// Config is a training: what is learned, from what, how, and for how long. Default is what a definition that says nothing else gets.
type Config struct {
	// Version is the version of the format; there is 1.
	Version int `yaml:"version"`
	// Name is what the telemetry calls the training.
	Name string `yaml:"name"`
	// Seed determines the first weights, and every window of every step.
	Seed uint64 `yaml:"seed"`
	// Output is the folder for the model, the checkpoint and the telemetry.
	Output     string           `yaml:"output"`
	Model      ModelConfig      `yaml:"model"`
	Data       DataConfig       `yaml:"data"`
	Objective  ObjectiveConfig  `yaml:"objective"`
	Optimiser  OptimiserConfig  `yaml:"optimiser"`
	Budget     BudgetConfig     `yaml:"budget"`
	Checkpoint CheckpointConfig `yaml:"checkpoint"`
	Telemetry  TelemetryConfig  `yaml:"telemetry"`
	Collapse   CollapseConfig   `yaml:"collapse"`
}

// The families of models.
const (
	// Recurrent is a convolutional encoder of single frames with a convolutional GRU behind it (model.Recurrent).
	Recurrent = "recurrent"
	// Transformer is a vision transformer over tubelets with V-JEPA 2's predictor.
	Transformer = "transformer"
)

// ModelConfig says what is trained.
type ModelConfig struct {
	// Family is Recurrent or Transformer.
	Family string `yaml:"family"`
	// Start is a model directory whose weights are gone on with; empty: weights are drawn at random. The other keys must fit it.
	Start string `yaml:"start"`
	// Learns are the beginnings of the names of the parameters that learn; empty: all do.
	Learns      []string          `yaml:"learns,omitempty"`
	Recurrent   RecurrentConfig   `yaml:"recurrent"`
	Transformer TransformerConfig `yaml:"transformer"`
}

// RecurrentConfig are the sizes of a recurrent model.
type RecurrentConfig struct {
	// Side is the width and the height of a frame in pixels, a multiple of 8.
	Side int `yaml:"side"`
	// Widths are the channels of the encoder's convolutions, Dim those of a token, Hidden those of the memory.
	Widths [3]int `yaml:"widths"`
	Dim    int    `yaml:"dim"`
	Hidden int    `yaml:"hidden"`
	// Ahead are how many frames ahead the heads predict, increasing.
	Ahead []int `yaml:"ahead"`
	// First is the first frame of a window that predictions are made at: before it there is too little to know.
	First int `yaml:"first"`
	// Trunk is the width of the layer between the memory and the predictions; 0: Hidden.
	Trunk int `yaml:"trunk"`
	// Glance says that the heads see the last tokens beside the memory.
	Glance bool `yaml:"glance"`
	// Remember is how many frames the slowest channels of a new memory keep what they hold; 0: all keep it for some three.
	Remember int `yaml:"remember"`
	// Settle is after how many steps the encoder stays as it is and the memory alone goes on learning; 0: never.
	Settle int `yaml:"settle"`
}

// TransformerConfig are the sizes of a transformer.
type TransformerConfig struct {
	Side    int `yaml:"side"`
	Patch   int `yaml:"patch"`
	Tubelet int `yaml:"tubelet"`
	Width   int `yaml:"width"`
	Depth   int `yaml:"depth"`
	Heads   int `yaml:"heads"`
	// Attention is model.Tubelet, model.BlockCausal or model.Full.
	Attention string `yaml:"attention"`
	// Predictor are the sizes of the predictor.
	Predictor PredictorConfig `yaml:"predictor"`
	// Mode is NextSegment or Masked.
	Mode string `yaml:"mode"`
	// Context is how many frames of a window are the past, in NextSegment, Ahead how many after it are predicted; 0: all others.
	Context int `yaml:"context"`
	Ahead   int `yaml:"ahead"`
}

// predicted is how many frames of a window are predicted after the context, learned how many are seen or predicted.
func (x *TransformerConfig) predicted(frames int) int { return x.learned(frames) - x.Context }

func (x *TransformerConfig) learned(frames int) int {
	if x.Mode == NextSegment && x.Ahead > 0 {
		return min(frames, x.Context+x.Ahead)
	}
	return frames
}

// PredictorConfig are the sizes of a transformer's predictor.
type PredictorConfig struct {
	Width int `yaml:"width"`
	Depth int `yaml:"depth"`
	Heads int `yaml:"heads"`
}

// What a transformer predicts.
const (
	// NextSegment: the tokens of the frames that follow.
	NextSegment = "next_segment"
	// Masked: the tokens of places hidden from the encoder, as V-JEPA is trained.
	Masked = "masked"
)

// DataConfig says what is learned from.
type DataConfig struct {
	// Batch is how many windows a step learns from, Frames how many frames a window has, FPS its rate.
	Batch  int     `yaml:"batch"`
	Frames int     `yaml:"frames"`
	FPS    float64 `yaml:"fps"`
	// Footage is real video, drawn with Weight against the generated kinds.
	Footage FootageData   `yaml:"footage"`
	Augment AugmentConfig `yaml:"augment"`
	// Scenes, Sprites and Digits are generated video, each drawn with its weight.
	Scenes  ScenesData    `yaml:"scenes"`
	Sprites GeneratedData `yaml:"sprites"`
	Digits  DigitsData    `yaml:"digits"`
	// Workers is how many goroutines make windows, Ahead how many batches they may be ahead.
	Workers int `yaml:"workers"`
	Ahead   int `yaml:"ahead"`
}

// FootageData is footage with its weight.
type FootageData struct {
	FootageConfig `yaml:",inline"`
	Weight        float64 `yaml:"weight"`
}

// GeneratedData is a kind of generated video with its weight.
type GeneratedData struct {
	Weight float64 `yaml:"weight"`
}

// ScenesData are generated scenes: their weight, the share of those in which something happens that needs memory, and of those in which
// much of it does.
type ScenesData struct {
	Weight   float64 `yaml:"weight"`
	Eventful float64 `yaml:"eventful"`
	Crowded  float64 `yaml:"crowded"`
}

// DigitsData are moving digits: the idx files they are read from, and their weight.
type DigitsData struct {
	Path   string  `yaml:"path"`
	Weight float64 `yaml:"weight"`
}

// The optimisers.
const (
	// AdamW moves every number by its own gradient's size.
	AdamW = "adamw"
	// Muon moves matrices as a whole, AdamW the rest.
	Muon = "muon"
)

// OptimiserConfig is how weights move: with a warm-up, then half a cosine.
type OptimiserConfig struct {
	// Kind is AdamW or Muon.
	Kind string `yaml:"kind"`
	// Rate is the highest learning rate, Final the fraction of it at the end, Warmup how many steps it rises.
	Rate   float64 `yaml:"rate"`
	Final  float64 `yaml:"final"`
	Warmup int     `yaml:"warmup"`
	// Decay is the weight decay of matrices; Beta1 and Beta2 are AdamW's; Clip is the longest gradient.
	Decay float64 `yaml:"decay"`
	Beta1 float64 `yaml:"beta1"`
	Beta2 float64 `yaml:"beta2"`
	Clip  float64 `yaml:"clip"`
}

// BudgetConfig is how long is trained: a number of steps, or a time. With both, what is reached first ends it and the time sets the
// schedule; with neither, it is defaultSteps.
type BudgetConfig struct {
	Steps int           `yaml:"steps"`
	Time  time.Duration `yaml:"time"`
}

// CheckpointConfig says how often the state is saved: after so many steps and after so much time, whichever comes first; 0 is never.
type CheckpointConfig struct {
	Steps int           `yaml:"steps"`
	Time  time.Duration `yaml:"time"`
}

// TelemetryConfig says how often is looked at what is learned.
type TelemetryConfig struct {
	// Every is how many steps lie between two looks.
	Every int `yaml:"every"`
	// Rows is how many tokens deviation and effective rank are measured on.
	Rows int `yaml:"rows"`
}

// CollapseConfig says when a representation counts as collapsed.
type CollapseConfig struct {
	// Deviation is the smallest mean standard deviation of a token's features over tokens; LayerNorm would make it 1.
	Deviation float64 `yaml:"deviation"`
	// Rank is the smallest effective rank, as a fraction of the token's width: below it few dimensions are left (dimensional collapse).
	Rank float64 `yaml:"rank"`
	// Fall is how much of the highest effective rank seen so far must be left.
	Fall float64 `yaml:"fall"`
	// Patience is how many looks in a row must say so; After is the step before which nothing is said.
	Patience int `yaml:"patience"`
	After    int `yaml:"after"`
	// Stop ends the training at a collapse.
	Stop bool `yaml:"stop"`
}

// Default is a recurrent model trained on footage and generated scenes.
func Default() Config {
	r := model.RecurrentConfig().Ensue.Recurrent
	return Config{
		Version: 1, Name: "model", Output: "trained",
		Model: ModelConfig{
			Family: Recurrent,
			Recurrent: RecurrentConfig{
				Side: r.Size, Widths: r.Widths, Dim: r.Dim, Hidden: r.Hidden, Ahead: r.Ahead, First: 3,
			},
			Transformer: TransformerConfig{
				Side: 128, Patch: 16, Tubelet: 2, Width: 128, Depth: 4, Heads: 4, Attention: model.Tubelet,
				Predictor: PredictorConfig{Width: 128, Depth: 3, Heads: 4}, Mode: NextSegment, Context: 8,
			},
		},
		Data: DataConfig{
			Batch: 16, Frames: 24, FPS: 8, Augment: DefaultAugment(), Ahead: 2, Workers: 1,
			Footage: FootageData{FootageConfig: FootageConfig{Cache: ".cache/footage", FPS: 30}, Weight: 1},
		},
		Objective:  DefaultObjective(),
		Optimiser:  OptimiserConfig{Kind: AdamW, Rate: 1e-3, Final: 0.02, Warmup: 60, Decay: 0.04, Beta1: 0.9, Beta2: 0.98, Clip: 1},
		Checkpoint: CheckpointConfig{Steps: 500, Time: 2 * time.Minute},
		Telemetry:  TelemetryConfig{Every: 20, Rows: 512},
		Collapse:   CollapseConfig{Deviation: 0.1, Rank: 0.05, Fall: 0.35, Patience: 3, After: 100},
	}
}

// Side is the width and the height of the model's frames.
func (c *Config) Side() int {
	if c.Model.Family == Transformer {
		return c.Model.Transformer.Side
	}
	return c.Model.Recurrent.Side
}

// defaultSteps is the budget of a definition that names none.
const defaultSteps = 1000

// fill sets what depends on other keys.
func (c *Config) fill() {
	if c.Budget == (BudgetConfig{}) {
		c.Budget.Steps = defaultSteps
	}
	if c.Data.Footage.Side == 0 {
		c.Data.Footage.Side = c.Side() * 5 / 4 // a crop loses pixels
	}
}

// problems collects what is wrong.
type problems []error

func (p *problems) expect(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

// Validate tells all that is wrong at once, each by its key.
func (c *Config) Validate() error {
	var p problems
	p.expect(c.Version == 1, "version is %d; this program knows version 1", c.Version)
	p.expect(c.Output != "", "output is empty; name a folder for the model")
	c.Model.check(&p, c.Data.Frames)
	c.Data.check(&p, c.Side())
	c.Objective.check(&p)
	c.checkHeads(&p)
	p.expect(c.Objective.Reconstruct.Weight == 0 || c.Model.Family == Recurrent,
		"objective.reconstruct is for recurrent models; model.family is %s", c.Model.Family)
	c.Objective.Verifier.check(&p, &c.Model, &c.Data)
	c.Optimiser.check(&p)
	p.expect(c.Budget.Steps >= 0 && c.Budget.Time >= 0, "budget: steps %d and time %s cannot be negative", c.Budget.Steps, c.Budget.Time)
	p.expect(c.Checkpoint.Steps >= 0 && c.Checkpoint.Time >= 0, "checkpoint: steps %d and time %s cannot be negative",
		c.Checkpoint.Steps, c.Checkpoint.Time)
	p.expect(c.Telemetry.Every > 0, "telemetry.every is %d; give a number of steps above 0", c.Telemetry.Every)
	p.expect(c.Telemetry.Rows >= 8, "telemetry.rows is %d; give 8 or more", c.Telemetry.Rows)
	p.expect(c.Collapse.Patience > 0, "collapse.patience is %d; give 1 or more", c.Collapse.Patience)
	return errors.Join(p...)
}

// checkHeads: there is a weight for every prediction, or none.
func (c *Config) checkHeads(p *problems) {
	weights := c.Objective.JEPA.Heads
	if len(weights) == 0 {
		return
	}
	heads, total := 1, 0.0
	if c.Model.Family == Recurrent {
		heads = len(c.Model.Recurrent.Ahead)
	}
	for _, w := range weights {
		p.expect(w >= 0, "objective.jepa.heads has %v; give numbers from 0 on", w)
		total += w
	}
	p.expect(len(weights) == heads && total > 0, "objective.jepa.heads has %d weights; the model makes %d predictions (model.recurrent.ahead)",
		len(weights), heads)
}

func (m *ModelConfig) check(p *problems, frames int) {
	switch m.Family {
	case Recurrent:
		m.Recurrent.check(p, frames)
	case Transformer:
		m.Transformer.check(p, frames)
	default:
		p.expect(false, "model.family is %q; it can be %s or %s", m.Family, Recurrent, Transformer)
	}
}

func (r *RecurrentConfig) check(p *problems, frames int) {
	if err := r.model().Ensue.Recurrent.Check(); err != nil {
		*p = append(*p, fmt.Errorf("model.recurrent.%w", err))
		return
	}
	p.expect(r.Remember == 0 || r.Remember > 2, "model.recurrent.remember is %d; give 0, or 3 frames or more", r.Remember)
	p.expect(r.Settle >= 0, "model.recurrent.settle is %d; it cannot be negative", r.Settle)
	last := r.Ahead[len(r.Ahead)-1]
	p.expect(r.First >= 0 && r.First+last < frames,
		"data.frames is %d; a prediction from frame %d (model.recurrent.first), %d ahead (model.recurrent.ahead), needs %d or more",
		frames, r.First, last, r.First+last+1)
}

// model is the model's own configuration.
func (r *RecurrentConfig) model() model.Config {
	c := model.RecurrentConfig()
	c.Ensue.Recurrent = model.Recurrent{
		Size: r.Side, Widths: r.Widths, Dim: r.Dim, Hidden: r.Hidden,
		Ahead: slices.Clone(r.Ahead), Glance: r.Glance, Trunk: r.Trunk,
	}
	return c
}

func (x *TransformerConfig) check(p *problems, frames int) {
	const key = "model.transformer."
	p.expect(x.Patch > 0 && x.Side > 0 && x.Side%x.Patch == 0, key+"side is %d; give a multiple of the patch, %d", x.Side, x.Patch)
	p.expect(x.Tubelet > 0 && frames%max(1, x.Tubelet) == 0, "data.frames is %d; give a multiple of the tubelet, %d", frames, x.Tubelet)
	p.expect(x.Heads > 0 && x.Width%max(1, x.Heads) == 0, key+"width is %d; give a multiple of the heads, %d", x.Width, x.Heads)
	p.expect(x.Depth > 0, key+"depth is %d; give 1 or more", x.Depth)
	q := x.Predictor
	p.expect(q.Heads > 0 && q.Width%max(1, q.Heads) == 0, key+"predictor.width is %d; give a multiple of the heads, %d", q.Width, q.Heads)
	p.expect(q.Depth > 0, key+"predictor.depth is %d; give 1 or more", q.Depth)
	p.expect(slices.Contains([]string{model.Tubelet, model.BlockCausal, model.Full}, x.Attention),
		key+"attention is %q; it can be %s, %s or %s", x.Attention, model.Tubelet, model.BlockCausal, model.Full)
	switch x.Mode {
	case NextSegment:
		p.expect(x.Context > 0 && x.Context < frames && x.Context%max(1, x.Tubelet) == 0,
			key+"context is %d; give a multiple of the tubelet, %d, that leaves frames of data.frames, %d, to predict", x.Context, x.Tubelet, frames)
		p.expect(x.Ahead >= 0 && x.Ahead%max(1, x.Tubelet) == 0 && x.Context+x.Ahead <= frames,
			key+"ahead is %d; give a multiple of the tubelet, %d, that data.frames, %d, has after the context, %d; or 0 for all of them",
			x.Ahead, x.Tubelet, frames, x.Context)
	case Masked:
		p.expect(x.Attention == model.Full, key+"mode masked needs attention full, not %s: the encoder sees what is left of a clip", x.Attention)
	default:
		p.expect(false, key+"mode is %q; it can be %s or %s", x.Mode, NextSegment, Masked)
	}
}

// model is the model's own configuration.
func (x *TransformerConfig) model(frames int) model.Config {
	c := model.Default()
	c.ModelType = model.FamilyVJEPA2
	c.CropSize, c.PatchSize, c.TubeletSize, c.FramesPerClip = x.Side, x.Patch, x.Tubelet, frames
	c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.MLPRatio = x.Width, x.Depth, x.Heads, 4
	c.PredHiddenSize, c.PredNumHiddenLayers, c.PredNumAttentionHeads = x.Predictor.Width, x.Predictor.Depth, x.Predictor.Heads
	c.PredMLPRatio, c.PredNumMaskTokens = 4, 2
	c.Ensue.Attention = x.Attention
	c.Ensue.Mean, c.Ensue.Std = [3]float64{0.45, 0.45, 0.45}, [3]float64{0.25, 0.25, 0.25}
	return c
}

func (d *DataConfig) check(p *problems, side int) {
	p.expect(d.Batch > 1, "data.batch is %d; give 2 or more", d.Batch)
	p.expect(d.Frames > 1 && d.Frames <= 512, "data.frames is %d; give 2 to 512", d.Frames)
	p.expect(d.FPS > 0 && d.FPS <= maxFPS, "data.fps is %v; give a rate above 0 and up to %d frames per second", d.FPS, maxFPS)
	p.expect(d.Workers > 0, "data.workers is %d; give 1 or more", d.Workers)
	p.expect(d.Ahead >= 0, "data.ahead is %d; it cannot be negative", d.Ahead)
	for key, weight := range map[string]float64{
		"footage": d.Footage.Weight, "scenes": d.Scenes.Weight, "sprites": d.Sprites.Weight, "digits": d.Digits.Weight,
	} {
		p.expect(weight >= 0 && !math.IsInf(weight, 0), "data.%s.weight is %v; give a number from 0 on", key, weight)
	}
	p.expect(d.usesFootage() || d.Scenes.Weight+d.Sprites.Weight+d.Digits.Weight > 0, "%w", errNoSource)
	p.expect(inUnit(d.Scenes.Eventful), "data.scenes.eventful is %v; give a share from 0 to 1", d.Scenes.Eventful)
	p.expect(inUnit(d.Scenes.Crowded) && d.Scenes.Eventful+d.Scenes.Crowded <= 1,
		"data.scenes.crowded is %v; give a share from 0 to what eventful leaves of 1", d.Scenes.Crowded)
	p.expect(d.Digits.Weight == 0 || d.Digits.Path != "", "data.digits.path is empty; name the folder with the idx files")
	p.expect(d.Scenes.Weight == 0 || d.Frames <= scenes.Frames, "data.frames is %d; generated scenes have %d", d.Frames, scenes.Frames)
	if d.usesFootage() {
		if err := d.Footage.Validate(); err != nil {
			*p = append(*p, err)
		}
		p.expect(d.Footage.Side <= 2*side, "data.footage.side is %d; more than twice the model's %d is not sampled well", d.Footage.Side, side)
	}
}

// usesFootage says whether there is real video: a weight without paths means that nothing was said of it.
func (d *DataConfig) usesFootage() bool { return len(d.Footage.Paths) > 0 && d.Footage.Weight > 0 }

func (o *OptimiserConfig) check(p *problems) {
	p.expect(o.Kind == AdamW || o.Kind == Muon, "optimiser.kind is %q; it can be %s or %s", o.Kind, AdamW, Muon)
	p.expect(o.Rate > 0 && o.Rate < 1, "optimiser.rate is %v; give a number between 0 and 1", o.Rate)
	p.expect(o.Final >= 0 && o.Final <= 1, "optimiser.final is %v; give a fraction of the rate, 0 to 1", o.Final)
	p.expect(o.Warmup >= 0, "optimiser.warmup is %d; it cannot be negative", o.Warmup)
	p.expect(o.Decay >= 0 && o.Decay < 1, "optimiser.decay is %v; give a number from 0 to 1", o.Decay)
	p.expect(o.Beta1 > 0 && o.Beta1 < 1 && o.Beta2 > 0 && o.Beta2 < 1,
		"optimiser.beta1 and beta2 are %v and %v; give numbers between 0 and 1", o.Beta1, o.Beta2)
	p.expect(o.Clip > 0, "optimiser.clip is %v; give a length above 0", o.Clip)
}
