package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/eval"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/train"
)

type objectivesFlags struct {
	evalFlags
	data, fit       []string
	output          string
	only            []string
	steps           int
	time            time.Duration
	pairs, windows  int
	redistributable bool
	quick           bool
}

// The budget of a row. All of them take about half an hour on two processors.
const (
	objectivesSteps   = 240
	objectivesPairs   = 20
	objectivesWindows = 480
	objectivesPerClip = 4
	objectivesHead    = 1200
	objectivesKinds   = 3
)

func (a *app) evalObjectivesCommand() *cobra.Command {
	var flags objectivesFlags
	command := &cobra.Command{
		Use:   "objectives --data DIR --fit DIR",
		Short: "every objective, trained with the same budget, in one table with the untrained encoder",
		Long: "Objectives trains a small model by each objective, on the same footage and generated scenes and with the same budget, and puts\n" +
			"them in one table: continuation, violations of expectation, retrieval, effective rank, cost, and whether the representation " +
			"collapsed.\n" +
			"One run has nothing against collapse. Every row is kept in the output folder as soon as it is known, with its training: the same\n" +
			"command goes on where it was stopped.",
		Example: "  ensue eval objectives --data dev/ --fit train/ --plot objectives.html\n" +
			"  ensue eval objectives --data dev/ --fit train/ --only jepa --only pixels --time 10m --output longer",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return a.evalObjectives(command, flags) },
	}
	f := command.Flags()
	f.StringArrayVarP(&flags.data, "data", "d", nil, "video to judge: a file, a folder or a glob; may be given several times")
	f.StringArrayVar(&flags.fit, "fit", nil, "video to train on and to learn energies from, another than --data")
	f.StringVarP(&flags.output, "output", "o", "out/objectives", "folder for the trainings and the rows of the table")
	f.StringArrayVar(&flags.only, "only", nil, "only this objective; may be given several times: "+strings.Join(objectiveNames(), "; "))
	f.IntVar(&flags.steps, "steps", objectivesSteps, "steps that each objective is trained")
	f.DurationVar(&flags.time, "time", 0, "time that each objective is trained, instead of --steps")
	f.IntVar(&flags.pairs, "pairs", objectivesPairs, "pairs of each kind of generated scenes")
	f.IntVar(&flags.windows, "windows", objectivesWindows, "varied windows of --fit that heads learn from")
	f.BoolVar(&flags.redistributable, "redistributable", false, "of --fit take only what the manifest says may be passed on")
	f.BoolVar(&flags.quick, "quick", false, "tiny networks and budgets: to see that everything runs, the figures say nothing")
	flags.add(command, true, 0)
	_ = f.MarkHidden("model") // cannot fail: add has just made them
	_ = f.MarkHidden("predictor")
	return command
}

func objectiveNames() []string {
	var names []string
	for _, run := range eval.ObjectiveRuns(train.Default()) {
		names = append(names, run.Name)
	}
	return names
}

func (f *objectivesFlags) check() error {
	switch {
	case len(f.data) == 0 || len(f.fit) == 0:
		return inputError("flags.value", errors.New("--data and --fit are both needed"), "as in --data dev/ --fit train/")
	case f.output == "":
		return inputError("flags.value", errors.New("--output is empty"), "name a folder")
	case f.steps < 1 || f.time < 0 || f.pairs < 1 || f.windows < 1:
		return inputError("flags.value", errors.New("--steps, --pairs and --windows are at least 1, --time is not negative"), "")
	case len(f.models) > 0:
		return inputError("flags.value", errors.New("--model has no place in this table"),
			"ensue eval continuation, voe and retrieval judge models")
	}
	for _, name := range f.only {
		if !slices.Contains(objectiveNames(), name) {
			return inputError("flags.value", fmt.Errorf("--only %s: there is no such objective", name), strings.Join(objectiveNames(), "; "))
		}
	}
	return nil
}

// base is the training that all objectives have in common.
func (f *objectivesFlags) base(cache string) train.Config {
	c := train.Default()
	c.Seed = f.seed
	c.Model.Transformer = train.TransformerConfig{
		Side: c.Model.Recurrent.Side, Patch: 8, Tubelet: 2, Width: 96, Depth: 3, Heads: 4,
		Predictor: train.PredictorConfig{Width: 96, Depth: 2, Heads: 4}, Context: 8,
	}
	c.Data.Frames = 16
	c.Data.Footage.Paths, c.Data.Footage.Manifest, c.Data.Footage.Cache = f.fit, f.manifestOf(f.fit), cache
	c.Data.Footage.RedistributableOnly = f.redistributable
	c.Data.Scenes.Weight = 1
	c.Optimiser.Rate, c.Optimiser.Warmup = 3e-3, 40
	c.Budget = train.BudgetConfig{Steps: f.steps}
	if f.time > 0 {
		c.Budget = train.BudgetConfig{Time: f.time}
	}
	if f.quick {
		c.Model.Recurrent.Widths, c.Model.Recurrent.Dim, c.Model.Recurrent.Hidden = [3]int{8, 8, 12}, 12, 12
		c.Model.Transformer.Width, c.Model.Transformer.Depth = 24, 1
		c.Model.Transformer.Predictor = train.PredictorConfig{Width: 24, Depth: 1, Heads: 2}
		c.Model.Transformer.Heads, c.Data.Batch, c.Optimiser.Warmup = 2, 4, 4
	}
	c.Telemetry.Every = max(1, min(20, f.steps/12))
	c.Collapse.After = min(c.Collapse.After, f.steps/3)
	return c
}

func (a *app) evalObjectives(command *cobra.Command, flags objectivesFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	begun := time.Now()
	j, err := a.judge(flags.evalFlags)
	if err != nil {
		return err
	}
	table, err := j.objectives(command, flags)
	if err := errors.Join(err, j.close()); err != nil {
		return err
	}
	return a.report(command, flags.evalFlags, begun, table, nil)
}

func (j *judging) objectives(command *cobra.Command, flags objectivesFlags) (*eval.Objectives, error) {
	cache, err := flags.cacheFolder()
	if err != nil {
		return nil, err
	}
	base := flags.base(cache)
	side := base.Side() * 5 / 4 // the size that trainings take footage at: it is decoded once
	fitted, err := j.footage(command, flags.evalFlags, "--fit", flags.fit, side, flags.redistributable)
	if err != nil {
		return nil, err
	}
	judged, err := j.footage(command, flags.evalFlags, "--data", flags.data, side, false)
	if err != nil {
		return nil, err
	}
	suite := &eval.ObjectivesSuite{
		Runs: eval.ObjectiveRuns(base), Output: filepath.Clean(flags.output), Fitted: fitted, Judged: judged, PerClip: objectivesPerClip,
		Augmented: eval.DefaultAugmented(), VOE: eval.DefaultVOE(), Seed: flags.seed, Threads: flags.threads, Progress: j.progress,
	}
	suite.Augmented.Windows, suite.Augmented.Negatives, suite.Augmented.Seed = flags.windows, objectivesKinds, flags.seed
	suite.Head.Steps, suite.Head.Seed, suite.VOE.Pairs = objectivesHead, flags.seed, flags.pairs
	if flags.quick {
		suite.PerClip, suite.Head.Steps = 1, 20
	}
	if len(flags.only) > 0 {
		suite.Runs = slices.DeleteFunc(suite.Runs, func(r eval.ObjectiveRun) bool { return !slices.Contains(flags.only, r.Name) })
	}
	table, err := suite.Run(command.Context(), j.device)
	switch {
	case errors.Is(err, eval.ErrOtherSettings):
		return nil, inputError("eval.other", fmt.Errorf("--output %s: %w", flags.output, err), "remove it, or name another folder")
	case errors.Is(err, train.ErrFootage):
		return nil, inputError("eval.footage", err, "give --fit clips of 16 frames or more at 8 frames a second")
	case errors.Is(err, predictor.ErrTooFewWindows):
		return nil, inputError("eval.footage", err, "give --fit more footage, or vary it more often with --windows")
	}
	return table, err
}
