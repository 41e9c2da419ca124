package predictor

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// Config is the definition's `predictor`.
type Config struct {
	// Model is a name of the table of predictors: "auto", "learned", "persistence", "linear", "flow".
	Model string `def:"model"`
	// Energy says how badly a window ensues: "distance", a rule of a learned energy, "verifier", the file of a learned energy, or "auto". It
	// is for who makes the Scorer (ScorerOption).
	Energy string `def:"energy"`
	// Context is how much past the predictor sees.
	Context time.Duration `def:"context"`
	// Horizons are how far ahead it predicts, increasing; the first one is the length of a window.
	Horizons []time.Duration `def:"horizons"`
	// Map says whether results carry the energy of every token.
	Map       bool            `def:"map"`
	Calibrate CalibrateConfig `def:"calibrate"`
}

// CalibrateConfig is how energies become p-values and verdicts.
type CalibrateConfig struct {
	// FalseAlarmsPerDay is the rate the user accepts, per stream, on footage without surprises.
	FalseAlarmsPerDay float64 `def:"false_alarms_per_day"`
	// Warmup is how much of a stream must have been seen before it is judged.
	Warmup time.Duration `def:"warmup"`
	// History is how many windows the calibration remembers.
	History int `def:"history"`
}

// The values of Config.Energy that are neither a Rule nor a file.
const (
	// EnergyAuto is the model's own learned energy where it has one, else the distance.
	EnergyAuto = Auto
	// EnergyDistance is the mean distance between expected and seen tokens.
	EnergyDistance = "distance"
	// EnergyVerifier is the model's verifier.
	EnergyVerifier = "verifier"
)

// The values of a definition that says nothing.
const (
	DefaultModel             = Auto
	defaultContext           = 2 * time.Second
	defaultFalseAlarmsPerDay = 1
	defaultWarmup            = time.Minute
	defaultHistory           = 600
)

// Default fills what c leaves open (Map has no default: false is an answer).
func (c Config) Default() Config {
	if c.Model == "" {
		c.Model = DefaultModel
	}
	if c.Energy == "" {
		c.Energy = EnergyAuto
	}
	if c.Context == 0 {
		c.Context = defaultContext
	}
	if len(c.Horizons) == 0 {
		c.Horizons = []time.Duration{time.Second, 2 * time.Second}
	}
	if c.Calibrate.FalseAlarmsPerDay == 0 {
		c.Calibrate.FalseAlarmsPerDay = defaultFalseAlarmsPerDay
	}
	if c.Calibrate.Warmup == 0 {
		c.Calibrate.Warmup = defaultWarmup
	}
	if c.Calibrate.History == 0 {
		c.Calibrate.History = defaultHistory
	}
	return c
}

// Validate tells all that is wrong with c at once, each a permanent failure predict.config that names its key; nil if nothing is.
func (c Config) Validate() error {
	var problems []error
	expect := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, stream.Fail("predict", "predict.config", format, args...))
		}
	}
	expect(c.Context > 0, "predictor.context: %s is no past: it must be longer than 0s", c.Context)
	expect(len(c.Horizons) > 0, "predictor.horizons: there must be at least one; the first is the length of a window")
	before := time.Duration(0)
	for i, horizon := range c.Horizons {
		expect(horizon > before, "predictor.horizons[%d]: %s is not after %s: list them in increasing order", i, horizon, before)
		before = horizon
	}
	rate := c.Calibrate.FalseAlarmsPerDay
	expect(rate > 0 && !math.IsInf(rate, 0), "predictor.calibrate.false_alarms_per_day: %v: it must be a number above 0", rate)
	if len(c.Horizons) > 0 {
		expect(c.Alpha() < 1, "predictor.calibrate.false_alarms_per_day: %v is one for every window of %s: ask for fewer",
			rate, c.Horizons[0])
	}
	expect(c.Calibrate.Warmup >= 0, "predictor.calibrate.warmup: %s: it cannot be negative", c.Calibrate.Warmup)
	expect(c.Calibrate.History >= minimumHistory, "predictor.calibrate.history: %d windows are too few to judge by: take %d or more",
		c.Calibrate.History, minimumHistory)
	return errors.Join(problems...)
}

// Alpha is the p-value below which a window is an alarm, so that windows without surprises alarm at the rate the user accepts:
// false alarms per day × seconds of a window / 86400.
func (c Config) Alpha() float64 {
	return c.Calibrate.FalseAlarmsPerDay * c.Horizons[0].Seconds() / (24 * time.Hour).Seconds()
}

// Past is what a predictor may look at: the tokens of the context, oldest first, and as many of the last frames as it needs.
// It is the caller's; a predictor neither changes nor keeps it.
type Past struct {
	// Tokens are at least one step.
	Tokens *stream.Tokens
	// Frames are the last Info().Frames frames or fewer, `[n, H, W, 3]`, oldest first; the last one ends the last token.
	Frames [][]byte
	// Memory is what a Remembering predictor remembers after the last step of Tokens, `[Memory()]`; nil for any other.
	Memory []float32
}

// Predictor says which tokens it expects. It is safe for use by several goroutines.
type Predictor interface {
	Info() Info
	// Expect writes to out the tokens expected for the steps [lead, lead+steps) after the past ends: `[steps, H', W', D]`.
	Expect(ctx context.Context, past Past, lead, steps int, out []float32) error
}

// Targeting is implemented by a Predictor whose targets are not the tokens themselves: one whose expectations are about what it makes
// of the tokens. It is safe for use by several goroutines.
type Targeting interface {
	Predictor
	// Target writes to out, `[tokens.T-from, H', W', D]`, what Expect's output for the steps [from, tokens.T) is compared with. tokens
	// begin where the context directly before step from begins; they are the caller's.
	Target(ctx context.Context, tokens *stream.Tokens, from int, out []float32) error
}

// Remembering is implemented by a Predictor that carries a state of constant size along a stream: its Past says what is remembered, so
// that it depends on more than the context. It is safe for use by several goroutines: the memory itself is the caller's.
//
// Invariant 7: remembering steps at once or one after another gives the same, bit for bit.
type Remembering interface {
	Predictor
	// Memory is how many numbers are remembered after a step.
	Memory() int
	// Remember writes to out, `[tokens.T, Memory()]`, what is remembered after every step of tokens, before being what is remembered
	// from the steps before them: nil at the beginning of a stream.
	Remember(ctx context.Context, tokens *stream.Tokens, before, out []float32) error
}

// Batching is implemented by a Predictor that answers several questions about a stream faster together than one by one. It is safe for
// use by several goroutines.
type Batching interface {
	Predictor
	// ExpectEach answers every question as Expect does, bit for bit (invariant 7).
	ExpectEach(ctx context.Context, questions []Question) error
}

// Question is what Expect is asked: which tokens for the steps [Lead, Lead+Steps) after the past ends. The answer goes to Out,
// `[Steps, H', W', D]`.
type Question struct {
	Past        Past
	Lead, Steps int
	Out         []float32
}

// Info describes a predictor.
type Info struct {
	// Name is its name in the table, Digest a SHA-256 over everything that determines what it expects ("sha256:…").
	Name, Digest string
	// Frames is how many of the last frames it wants to see beside the tokens.
	Frames int
	// Warmup is after how many steps a memory that began with nothing is as good as one of a longer past: how long an era is (see Memory
	// above). 0 for what is not Remembering, or remembers a stream from its very beginning.
	Warmup int
}
