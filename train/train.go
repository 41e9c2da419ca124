package train

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
)

// The files of a training, in its output folder.
const (
	// ModelFolder is the model directory.
	ModelFolder = "model"
	// TelemetryFile is the table of every look, PageFile the same as curves.
	TelemetryFile = "telemetry.csv"
	PageFile      = "telemetry.html"
	// DefinitionFile is the whole definition, CreditsFile whose footage it was.
	DefinitionFile = "train.yaml"
	CreditsFile    = "credits.csv"
)

// Options are what a training needs beside its definition.
type Options struct {
	// Resume goes on from the checkpoint in the output folder.
	Resume bool
	// Threads is how many threads compute; 0: as many as the process may use.
	Threads int
	// Log takes warnings; nil: nobody does.
	Log *slog.Logger
	// Progress, where it is not nil, is called after every file that is decoded and after every step. It must not block.
	Progress func(Progress)
}

// Progress is how far a training is.
type Progress struct {
	// Footage is the decoding of footage, before the first step.
	Footage FootageProgress
	// Step of Steps are done; Steps is an estimate where the budget is a time.
	Step, Steps int
	// Elapsed and Left are times.
	Elapsed, Left time.Duration
	// Loss is the step's.
	Loss float64
	// Collapse is what was just told, Sample a look that was just taken; nil otherwise.
	Collapse *Collapse
	Sample   *Sample
}

// Outcome is what became of a training.
type Outcome struct {
	// Model is the model directory; empty when the training did not come to its end.
	Model string
	// Steps were taken in Elapsed.
	Steps   int
	Elapsed time.Duration
	// Losses are those of every step this call took.
	Losses []float64
	// Last is the last look.
	Last *Sample
	// Collapse is set while the representation counts as collapsed.
	Collapse *Collapse
	// Parameters is how many numbers learn.
	Parameters int
}

// Run trains, from the beginning or from a checkpoint, until the budget is spent, and writes the model directory. When ctx ends first it
// saves a checkpoint and returns ctx's error. With collapse.stop it returns a *Collapse when there is one.
func Run(ctx context.Context, config Config, options Options) (*Outcome, error) {
	config.fill()
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("%w:\n%w", ErrConfig, err)
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Progress == nil {
		options.Progress = func(Progress) {}
	}
	if err := os.MkdirAll(config.Output, 0o755); err != nil {
		return nil, fmt.Errorf("making the output folder: %w", err)
	}
	if _, err := os.Stat(checkpointPath(config.Output)); err == nil && !options.Resume {
		return nil, fmt.Errorf("%w: %s; go on with it, or name another output", ErrExists, checkpointPath(config.Output))
	}
	source, footage, err := openSources(ctx, &config, options)
	if err != nil {
		return nil, err
	}
	outcome, err := run(ctx, &config, options, source)
	if footage != nil {
		err = errors.Join(err, footage.Close())
	}
	return outcome, err
}

// openSources opens everything that windows are drawn from. The footage, where there is any, is to be closed.
func openSources(ctx context.Context, c *Config, options Options) (Source, *Footage, error) {
	m := &Mixture{}
	m.Add(SceneSource{Eventful: c.Data.Scenes.Eventful, Crowded: c.Data.Scenes.Crowded}, c.Data.Scenes.Weight)
	m.Add(SpriteSource{}, c.Data.Sprites.Weight)
	if c.Data.Digits.Weight > 0 {
		digits, err := OpenDigits(c.Data.Digits.Path)
		if err != nil {
			return nil, nil, err
		}
		m.Add(digits, c.Data.Digits.Weight)
	}
	if !c.Data.usesFootage() {
		err := m.Check()
		return m, nil, err
	}
	footage, err := OpenFootage(ctx, c.Data.Footage.FootageConfig, func(p FootageProgress) { options.Progress(Progress{Footage: p}) })
	if err != nil {
		return nil, nil, noFootage(ctx, err)
	}
	for _, bad := range footage.Unusable() {
		options.Log.Warn("footage cannot be used, or not to its end", "file", bad.Path, "frames", bad.Frames, "error", bad.Err)
	}
	source, err := NewFootageSource(footage, c.Data.Augment, c.Data.FPS, c.Data.Frames)
	if err != nil {
		err = noFootage(ctx, err)
	} else {
		if short := len(footage.Clips()) - source.Clips(); short > 0 {
			options.Log.Warn("footage shorter than a window is left out", "files", short, "frames_of_a_window", c.Data.Frames)
		}
		options.Log.Info("footage", "files", source.Clips(), "seconds", footage.Seconds(), "not_redistributable", footage.Withheld())
		err = writeCredits(filepath.Join(c.Output, CreditsFile), source.clips)
	}
	if err != nil {
		return nil, nil, errors.Join(err, footage.Close())
	}
	m.Add(source, c.Data.Footage.Weight)
	return m, footage, nil
}

// noFootage is err as an ErrFootage, but where the training was only interrupted.
func noFootage(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: %w", ErrFootage, err)
}

// writeCredits says whose footage was learned from, for a model card.
func writeCredits(path string, clips []*Clip) error {
	var text strings.Builder
	w := csv.NewWriter(&text)
	rows := [][]string{{"file", "family", "seconds", "licence", "redistributable", "source"}}
	for _, c := range clips {
		rows = append(rows, []string{
			c.Name, c.Family, strconv.FormatFloat(c.Seconds(), 'f', 2, 64), c.Licence, strconv.FormatBool(c.Redistributable), c.Source,
		})
	}
	if err := w.WriteAll(rows); err != nil {
		return fmt.Errorf("writing the credits: %w", err)
	}
	if err := writeAtomically(path, []byte(text.String())); err != nil {
		return fmt.Errorf("writing the credits: %w", err)
	}
	return nil
}

// trainer is a training at work. All that computes runs on its device.
type trainer struct {
	config     *Config
	options    Options
	device     *nn.Device
	tape       *nn.Tape // what learns
	fixed      *nn.Tape // what is only compared with
	learner    learner
	objectives objectives
	learned    learned
	learns     []*nn.Parameter
	average    *nn.EMA
	record     *record
	state      state

	base   time.Duration // trained before this process
	began  time.Time
	saved  time.Time
	looked look
	losses []float64
}

// look is when the last look was taken.
type look struct {
	step int
	at   time.Time
}

func run(ctx context.Context, c *Config, options Options, source Source) (outcome *Outcome, err error) {
	device, err := nn.Open(nn.Config{Threads: options.Threads})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	t := &trainer{config: c, options: options, device: device}
	if err := t.prepare(); err != nil {
		return nil, err
	}
	defer t.closeTapes()
	loader := NewLoader(ctx, source, LoaderConfig{
		Batch: c.Data.Batch, Frames: c.Data.Frames, Side: c.Side(), Seed: c.Seed, Workers: c.Data.Workers, Ahead: c.Data.Ahead, Grid: t.grid(),
	}, t.state.Step+1)
	defer loader.Close()
	err = t.steps(ctx, loader)
	if _, collapsed := errors.AsType[*Collapse](err); err == nil || collapsed || ctx.Err() != nil {
		err = errors.Join(err, t.finish(err == nil))
	}
	return t.outcome(err), err
}

// grid is into how many places moving things are told; 0 where nobody asks.
func (t *trainer) grid() int {
	o := &t.config.Objective
	if t.config.Model.Family != Recurrent || o.JEPA.Moving == 0 && o.Spread.Moving == 0 {
		return 0
	}
	return t.learner.config().Ensue.Recurrent.Grid()
}

// prepare makes the model, the optimiser and the telemetry, and reads the checkpoint.
func (t *trainer) prepare() (err error) {
	if err := t.device.Run(t.makeModel); err != nil {
		return err
	}
	settings, err := t.config.digest()
	if err != nil {
		return err
	}
	if t.options.Resume {
		if t.state, err = t.learned.load(t.config.Output, settings); err != nil {
			return err
		}
	}
	t.state.Settings = settings
	t.base = t.state.Elapsed
	if t.record, err = openRecord(filepath.Join(t.config.Output, TelemetryFile), t.state.Step); err != nil {
		return err
	}
	definition, err := t.config.Encode()
	if err != nil {
		return err
	}
	if err := writeAtomically(filepath.Join(t.config.Output, DefinitionFile), definition); err != nil {
		return fmt.Errorf("writing the definition: %w", err)
	}
	return nil
}

func (t *trainer) makeModel() (err error) {
	c := t.config
	if t.learner, err = newLearner(c); err != nil {
		return err
	}
	extra := nn.NewParameters(c.Seed)
	t.objectives = objectives{config: c.Objective, seed: c.Seed}
	if c.Objective.Pixels.Weight > 0 {
		t.objectives.decoder = nn.NewLinear(extra, "pixels", t.learner.width(), t.learner.patch(), true)
	}
	if c.Objective.Reconstruct.Weight > 0 {
		t.objectives.reader = nn.NewLinear(extra, "reader", t.learner.width(), t.learner.patch(), true)
	}
	if t.average, err = nn.NewEMA(t.learner.target(), t.learner.online()); err != nil {
		return err
	}
	t.learns = append(append(t.learns, t.learner.online().All()...), extra.All()...)
	if c.Objective.Verifier.Weight > 0 {
		if t.objectives.verifying, err = newVerifying(c, t.learner.width()); err != nil {
			return err
		}
		t.learns = append(t.learns, t.objectives.verifying.learns.All()...)
	}
	o := c.Optimiser
	t.learned = learned{
		online: t.learner.online(), target: t.learner.target(), extra: extra, verifier: t.objectives.verifying,
		optimiser: nn.NewAdamW(t.learns, nn.AdamWConfig{Beta1: o.Beta1, Beta2: o.Beta2, Decay: o.Decay}),
	}
	if o.Kind == Muon {
		t.learned.muon = newMuon(t.device, t.learns, o.Decay)
	}
	t.tape = t.device.NewTape(nn.TapeConfig{Gradients: true})
	t.fixed = t.device.NewTape(nn.TapeConfig{})
	return nil
}

func (t *trainer) closeTapes() {
	_ = t.device.Run(func() error { // closing cannot fail
		t.tape.Close()
		t.fixed.Close()
		if t.learned.muon != nil {
			t.learned.muon.tape.Close()
		}
		return nil
	})
}

// steps takes steps until the budget is spent.
func (t *trainer) steps(ctx context.Context, loader *Loader) error {
	t.began, t.saved = time.Now(), time.Now()
	t.looked = look{t.state.Step, t.began}
	for !t.config.Budget.spent(t.state.Step, t.state.Elapsed) {
		if err := ctx.Err(); err != nil { // Next may have a batch all the same
			return fmt.Errorf("training: %w", err)
		}
		batch, err := loader.Next(ctx)
		if err != nil {
			return fmt.Errorf("training: %w", err)
		}
		err = t.step(batch)
		loader.Release(batch)
		if err != nil {
			return err
		}
		if err := t.keep(); err != nil {
			return err
		}
	}
	return nil
}

// step learns from a batch.
func (t *trainer) step(b *Batch) error {
	step := t.state.Step + 1
	progress := t.config.Budget.progress(t.state.Step, t.state.Elapsed)
	var s *Sample
	if step%t.config.Telemetry.Every == 0 || step == 1 {
		s = &Sample{Step: step}
	}
	loss := 0.0
	err := t.device.Run(func() (err error) {
		loss, err = t.learn(b, step, progress, s)
		return err
	})
	if err != nil {
		return fmt.Errorf("training: step %d: %w", step, err)
	}
	t.state.Step, t.state.Elapsed = step, t.base+time.Since(t.began)
	t.losses = append(t.losses, loss)
	var collapse *Collapse
	if s != nil {
		if collapse, err = t.look(s); err != nil {
			return err
		}
	}
	t.tell(loss, s, collapse)
	if collapse != nil && t.config.Collapse.Stop {
		return collapse
	}
	return nil
}

// errDiverged says what helps, too.
var errDiverged = fmt.Errorf("%w: take a smaller optimiser.rate, or a longer optimiser.warmup", ErrDiverged)

// learn is one step on the device. s, where it is not nil, is filled with what there is to see.
func (t *trainer) learn(b *Batch, step int, progress float64, s *Sample) (float64, error) {
	t.tape.Reset()
	t.fixed.Reset()
	random := rand.New(rand.NewPCG(t.config.Seed, randomLearner|uint64(step)))
	v := t.learner.look(t.tape, t.fixed, b, random)
	loss, terms, err := t.objectives.sum(t.tape, v, step)
	if err != nil {
		return 0, err
	}
	value := loss.Item()
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return 0, errDiverged
	}
	o := t.config.Optimiser
	rate, momentum := o.rate(step, progress), t.config.Objective.Momentum.of(step, progress)
	if s != nil {
		s.Loss, s.Rate, s.Momentum = value, rate, momentum
		for _, term := range terms {
			s.Terms = append(s.Terms, Term{term.name, term.value.Item()})
		}
		describe(s, v, t.config.Telemetry.Rows)
	}
	t.tape.Backward(loss)
	norm := nn.ClipGradients(t.device, t.learns, o.Clip)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return 0, errDiverged
	}
	if s != nil {
		s.GradientNorm = norm
	}
	if t.learned.muon != nil {
		t.learned.muon.step(rate)
	}
	t.learned.optimiser.Step(t.device, rate)
	t.average.Update(t.device, momentum)
	if t.objectives.verifying != nil {
		t.objectives.verifying.average.Update(t.device, momentum)
	}
	return value, nil
}

// randomLearner is the stream of random numbers of a learner's own choices in a step: masks.
const randomLearner = 1 << 62

// look writes a sample down and says whether the representation collapsed.
func (t *trainer) look(s *Sample) (*Collapse, error) {
	now := time.Now()
	s.Seconds = t.state.Elapsed.Seconds()
	s.WindowsPerSecond = float64((t.state.Step-t.looked.step)*t.config.Data.Batch) / max(now.Sub(t.looked.at).Seconds(), 1e-9)
	t.looked = look{t.state.Step, now}
	t.state.Last = s
	if err := t.record.add(s); err != nil {
		return nil, err
	}
	collapse := t.state.Watch.see(t.config.Collapse, s, t.learner.width())
	if collapse != nil {
		t.options.Log.Warn("THE REPRESENTATION COLLAPSED: what is trained from here on is of no use; see docs/learning.md",
			"step", collapse.Step, "reason", collapse.Reason)
	}
	return collapse, nil
}

// tell reports a step.
func (t *trainer) tell(loss float64, s *Sample, collapse *Collapse) {
	taken := time.Since(t.began) / time.Duration(max(1, len(t.losses)))
	left := t.config.Budget.left(t.state.Step, t.state.Elapsed, taken)
	total := t.state.Step + int(math.Round(left.Seconds()/max(taken.Seconds(), 1e-9)))
	if t.config.Budget.Time == 0 {
		total = t.config.Budget.Steps
	}
	t.options.Progress(Progress{
		Step: t.state.Step, Steps: total, Elapsed: t.state.Elapsed, Left: left, Loss: loss, Collapse: collapse, Sample: s,
	})
}

// keep saves a checkpoint, and the page, where it is time.
func (t *trainer) keep() error {
	c := t.config.Checkpoint
	due := c.Steps > 0 && t.state.Step%c.Steps == 0 || c.Time > 0 && time.Since(t.saved) >= c.Time
	if !due || t.config.Budget.spent(t.state.Step, t.state.Elapsed) {
		return nil
	}
	return t.save()
}

func (t *trainer) save() error {
	t.saved = time.Now()
	if err := t.learned.save(t.config.Output, &t.state); err != nil {
		return err
	}
	page, err := t.record.page(t.config, &t.state, t.learner.width())
	if err == nil {
		err = writeAtomically(filepath.Join(t.config.Output, PageFile), page)
	}
	if err != nil {
		return fmt.Errorf("writing the page of curves: %w", err)
	}
	return nil
}

// finish saves the last checkpoint; complete says that the model is to be written too.
func (t *trainer) finish(complete bool) error {
	if err := t.save(); err != nil || !complete {
		return err
	}
	average, v := t.config.Objective.Target == TargetEMA, t.objectives.verifying
	kept := t.learner.target()
	if !average {
		kept = t.learner.online()
	}
	if err := model.Write(t.modelFolder(), t.learner.config(), kept.All()...); err != nil {
		return fmt.Errorf("writing the model: %w", err)
	}
	if v == nil {
		return nil
	}
	if !average {
		return v.write(t.modelFolder(), v.learns)
	}
	return v.write(t.modelFolder(), v.follows)
}

func (t *trainer) modelFolder() string { return filepath.Join(t.config.Output, ModelFolder) }

func (t *trainer) outcome(err error) *Outcome {
	o := &Outcome{
		Steps: t.state.Step, Elapsed: t.state.Elapsed, Losses: t.losses, Last: t.state.Last, Collapse: t.state.Watch.Told,
		Parameters: t.learner.online().Count(),
	}
	if err == nil {
		o.Model = t.modelFolder()
	}
	return o
}
