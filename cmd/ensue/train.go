package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/train"
)

type trainFlags struct {
	definition string
	output     string
	start      string
	manifest   string
	cache      string
	only       bool
	steps      int
	time       time.Duration
	seed       uint64
	threads    int
	resume     bool
	stop       bool
}

func (a *app) trainCommand() *cobra.Command {
	var flags trainFlags
	command := &cobra.Command{
		Use:   "train [FILE...]",
		Short: "learn a model from unlabelled video",
		Long: "Train decodes video once into a cache, learns from it, and from generated video where the definition asks for it, and writes a\n" +
			"model directory. Files, globs and folders on the command line, and flags, go before what the definition says. A training that\n" +
			"was stopped, or killed, goes on with --resume as if nothing had happened. See docs/learning.md.",
		Example: "  ensue train clips/ --time 4m --output lobby\n" +
			"  ensue train --definition train.yaml --stop-on-collapse\n" +
			"  ensue train --definition lobby/train.yaml --output lobby --resume",
		RunE: func(command *cobra.Command, files []string) error { return a.train(command, files, flags) },
	}
	f := command.Flags()
	f.StringVarP(&flags.definition, "definition", "d", "",
		"file with what is trained, on what and for how long; default: a small recurrent model")
	f.StringVarP(&flags.output, "output", "o", "", "folder for the model, the checkpoint and the telemetry")
	f.StringVar(&flags.start, "start", "", "model directory to go on from")
	f.StringVar(&flags.manifest, "manifest", "", "CSV file that says what footage may be passed on")
	f.StringVar(&flags.cache, "cache", "", "folder for decoded frames")
	f.BoolVar(&flags.only, "redistributable-only", false, "leave out footage that the manifest does not say may be passed on")
	f.IntVar(&flags.steps, "steps", 0, "train so many steps")
	f.DurationVar(&flags.time, "time", 0, "train so long, as in 15m")
	f.Uint64Var(&flags.seed, "seed", 0, "number that every random choice comes from")
	f.IntVar(&flags.threads, "threads", 0, "threads to compute on; 0: as many as there are processors")
	f.BoolVar(&flags.resume, "resume", false, "go on from the checkpoint in the output folder")
	f.BoolVar(&flags.stop, "stop-on-collapse", false, "end with exit code 1 when the representation collapses")
	command.AddCommand(a.trainEnergyCommand())
	return command
}

// trainData is what train says at the end.
type trainData struct {
	Model      string          `json:"model,omitempty"`
	Output     string          `json:"output"`
	Steps      int             `json:"steps"`
	Seconds    float64         `json:"seconds"`
	Parameters int             `json:"parameters"`
	Last       *train.Sample   `json:"last,omitempty"`
	Collapse   *train.Collapse `json:"collapse,omitempty"`
}

func (a *app) train(command *cobra.Command, files []string, flags trainFlags) error {
	config, err := flags.config(command, files)
	if err != nil {
		return err
	}
	bar := a.trainBar()
	outcome, err := train.Run(command.Context(), config, train.Options{
		Resume: flags.resume, Threads: flags.threads, Log: slog.New(a.trainLog(bar)), Progress: bar.step,
	})
	bar.end()
	data := trainData{Output: config.Output}
	if outcome != nil {
		data = trainData{
			Model: outcome.Model, Output: config.Output, Steps: outcome.Steps, Seconds: outcome.Elapsed.Seconds(),
			Parameters: outcome.Parameters, Last: outcome.Last, Collapse: outcome.Collapse,
		}
	}
	if err != nil {
		return trainError(command.Context(), err, data)
	}
	return a.say(command, data, func(out io.Writer) error {
		if a.quiet {
			return nil
		}
		return data.print(out)
	})
}

// config is the definition with what was said on the command line.
func (f trainFlags) config(command *cobra.Command, files []string) (train.Config, error) {
	config := train.Default()
	if f.definition != "" {
		var err error
		if config, err = train.Load(f.definition); err != nil {
			return config, inputError("train.definition", err, "docs/learning.md lists every key")
		}
	}
	said := command.Flags().Changed
	if len(files) > 0 {
		config.Data.Footage.Paths = files
	}
	set(said("output"), &config.Output, f.output)
	set(said("start"), &config.Model.Start, f.start)
	set(said("manifest"), &config.Data.Footage.Manifest, f.manifest)
	set(said("cache"), &config.Data.Footage.Cache, f.cache)
	set(said("redistributable-only"), &config.Data.Footage.RedistributableOnly, f.only)
	set(said("seed"), &config.Seed, f.seed)
	set(said("stop-on-collapse"), &config.Collapse.Stop, f.stop)
	if said("steps") || said("time") { // together they replace both of the definition
		config.Budget = train.BudgetConfig{Steps: f.steps, Time: f.time}
	}
	return config, nil
}

// set changes a setting that was given on the command line.
func set[T any](given bool, to *T, value T) {
	if given {
		*to = value
	}
}

// trainError gives what a training ended with its codes.
func trainError(ctx context.Context, err error, data trainData) error {
	input := func(code, hint string) error {
		return &exitError{exit: exitInput, code: code, hint: hint, data: data, err: err}
	}
	runtime := func(code, hint string) error {
		return &exitError{exit: exitRuntime, code: code, hint: hint, data: data, err: err}
	}
	_, collapsed := errors.AsType[*train.Collapse](err)
	switch {
	case errors.Is(err, train.ErrConfig):
		return input("train.config", "docs/learning.md lists every key")
	case errors.Is(err, train.ErrFootage):
		return input("train.footage", "name video files or folders; ensue doctor shows what this machine can decode")
	case errors.Is(err, train.ErrExists):
		return input("train.exists", "--resume goes on with it, --output names another folder")
	case errors.Is(err, train.ErrNoCheckpoint):
		return input("train.no_checkpoint", "leave --resume out to begin")
	case errors.Is(err, train.ErrOther):
		return input("train.other", "the definition it was made with is train.yaml in the output folder")
	case collapsed:
		return runtime("train.collapsed", "docs/learning.md says what keeps a representation from collapsing")
	case errors.Is(err, train.ErrDiverged):
		return runtime("train.diverged", "")
	case ctx.Err() != nil:
		return runtime("train.interrupted", "the same command with --resume goes on")
	}
	return runtime("train.failed", "")
}

// print says how it went.
func (d *trainData) print(out io.Writer) error {
	lines := []string{
		fmt.Sprintf("model      %s (%d parameters)", d.Model, d.Parameters),
		fmt.Sprintf("trained    %d steps in %s", d.Steps, time.Duration(d.Seconds*float64(time.Second)).Round(time.Second)),
	}
	if s := d.Last; s != nil {
		lines = append(lines, fmt.Sprintf("last look  step %d: loss %.4g, effective rank %.1f, deviation %.2f",
			s.Step, s.Loss, s.EncoderRank, s.Deviation))
		for _, h := range s.Horizons {
			lines = append(lines, fmt.Sprintf("           %s: prediction %.4f, persistence %.4f", ahead(h.Seconds), h.Prediction, h.Persistence))
		}
	}
	if d.Collapse != nil {
		lines = append(lines, fmt.Sprintf("COLLAPSED  at step %d: %s", d.Collapse.Step, d.Collapse.Reason))
	}
	lines = append(lines, fmt.Sprintf("curves     %s/%s", d.Output, train.PageFile))
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

// ahead names a horizon.
func ahead(seconds float64) string {
	if seconds == 0 {
		return "hidden places"
	}
	return fmt.Sprintf("%.3g s ahead", seconds)
}
