package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/eval"
	"github.com/ensue-video/ensue/predictor"
)

type trainEnergyFlags struct {
	evalFlags
	model     string
	output    string
	sources   []string
	rule      string
	only      bool
	windows   int
	nets      int
	headSteps int
	replace   bool
}

// defaultSources are those of the energy that comes with the program, defaultRule its rule: docs/models.md says why these.
func defaultSources() []string { return []string{predictor.SourceFlow, predictor.SourceModel} }

const defaultRule = predictor.RuleMix

func (a *app) trainEnergyCommand() *cobra.Command {
	var flags trainEnergyFlags
	command := &cobra.Command{
		Use:   "energy FILE...",
		Short: "fit the energy of a model to unlabelled video",
		Long: "Energy decodes video, takes windows of it, as they are and varied, and windows made up not to continue, and fits an energy:\n" +
			"how surprising what came is, given what came before. It is written beside the model, where every pipeline with that model uses it\n" +
			"(predictor.energy: auto). The model stays as it is. Files, globs and folders of video are all it takes. See docs/models.md.",
		Example: "  ensue train energy clips/ --model lobby/model\n" +
			"  ensue train energy clips/ --source flow --output flow.safetensors   # for any encoder: predictor.energy: ./flow.safetensors",
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, files []string) error { return a.trainEnergy(command, files, flags) },
	}
	f := command.Flags()
	usual := eval.DefaultAugmented()
	f.StringVarP(&flags.model, "model", "m", encoder.Builtin,
		"model directory that the source model is, builtin for the one that comes with the program")
	f.StringVarP(&flags.output, "output", "o", "", "file to write; default: "+predictor.EnergyFile+" in the model directory")
	f.StringSliceVar(&flags.sources, "source", defaultSources(),
		"what the energy judges by, several with commas between them: "+strings.Join(predictor.SourceNames(), ", "))
	f.StringVar(&flags.rule, "rule", string(defaultRule), fmt.Sprintf("how the energy is made of its two parts: %v", predictor.Rules()))
	f.BoolVar(&flags.only, "redistributable-only", false, "leave out footage that the manifest does not say may be passed on")
	f.IntVar(&flags.windows, "windows", usual.Windows, "varied windows to fit to")
	f.IntVar(&flags.nets, "nets", predictor.HeadConfig{}.Default().Nets, "nets that the head is the mean of")
	f.IntVar(&flags.headSteps, "head-steps", predictor.HeadConfig{}.Default().Steps, "steps that each net is trained")
	f.BoolVar(&flags.replace, "replace", false, "write over an energy that is there")
	f.IntVar(&flags.threads, "threads", 0, "threads to compute on; 0: as many as there are processors")
	f.Uint64Var(&flags.seed, "seed", 0, "seed of everything that is drawn")
	f.StringVar(&flags.cache, "cache", "", "folder for decoded frames; default: in the user's cache folder")
	f.StringVar(&flags.manifest, "manifest", "",
		"CSV file about the footage; default: manifest.csv in or beside the first folder, where there is one")
	return command
}

// check tells what is wrong with the flags, and fills in where the energy goes.
func (f *trainEnergyFlags) check() error {
	known := predictor.SourceNames()
	for _, name := range f.sources {
		if !slices.Contains(known, name) {
			return inputError("flags.value", fmt.Errorf("--source: there is no source %q", name), "it is "+strings.Join(known, ", "))
		}
	}
	if _, err := predictor.ParseRule(f.rule); err != nil {
		return inputError("flags.value", fmt.Errorf("--rule: %w", err), "")
	}
	switch {
	case len(f.sources) == 0:
		return inputError("flags.value", errors.New("--source is empty"), "it is "+strings.Join(known, ", "))
	case f.windows < 1 || f.headSteps < 1 || f.nets < 1:
		return inputError("flags.value", errors.New("--windows, --nets and --head-steps are at least 1"), "the usual ones are in --help")
	case f.output == "" && f.model == encoder.Builtin:
		return inputError("flags.value", errors.New("--output is missing"), "name a file to write; or the directory of a model, with --model")
	case f.output == "":
		f.output = filepath.Join(f.model, predictor.EnergyFile)
	}
	if _, err := os.Stat(f.output); err == nil && !f.replace {
		return inputError("train.exists", fmt.Errorf("there is an energy already: %s", f.output), "--replace writes over it")
	}
	return nil
}

// trainEnergyData is what train energy says at the end.
type trainEnergyData struct {
	Energy  string   `json:"energy"`
	Digest  string   `json:"digest"`
	Sources []string `json:"sources"`
	Rule    string   `json:"rule"`
	Model   string   `json:"model,omitempty"`
	Clips   int      `json:"clips"`
	Windows int      `json:"windows"`
	Seconds float64  `json:"seconds"`
	Footage float64  `json:"footage_seconds"`
}

func (a *app) trainEnergy(command *cobra.Command, files []string, flags trainEnergyFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	begun := time.Now()
	j, err := a.judge(flags.evalFlags)
	if err != nil {
		return err
	}
	data, err := j.fitEnergy(command, files, flags)
	if err := errors.Join(err, j.close()); err != nil {
		return err
	}
	data.Seconds = time.Since(begun).Seconds()
	return a.say(command, data, func(out io.Writer) error {
		if a.quiet {
			return nil
		}
		return data.print(out)
	})
}

// fitEnergy fits and writes the energy.
func (j *judging) fitEnergy(command *cobra.Command, files []string, flags trainEnergyFlags) (data trainEnergyData, err error) {
	suite := &eval.ContinuationSuite{Augmented: eval.DefaultAugmented(), Seed: flags.seed, Progress: j.progress}
	if suite.Sources, err = j.live(flags.sources, flags.model); err != nil {
		return data, err
	}
	var names []string
	for _, source := range suite.Sources {
		names = append(names, source.Name)
	}
	suite.Combinations = [][]string{names}
	suite.Augmented.Windows, suite.Augmented.Seed = flags.windows, flags.seed
	suite.Head = predictor.HeadConfig{Nets: flags.nets, Steps: flags.headSteps, Seed: flags.seed}
	if err := suite.Validate(); err != nil {
		return data, inputError("train.energy", err, "")
	}
	footage, err := j.footage(command, flags.evalFlags, "footage", files, widest(suite.Sources), flags.only)
	if err != nil {
		return data, err
	}
	learned, err := suite.Learn(command.Context(), j.device, footage)
	if errors.Is(err, predictor.ErrTooFewWindows) {
		return data, inputError("train.footage", err, "name more footage, or vary it more often with --windows")
	}
	if err != nil {
		return data, err
	}
	note := fmt.Sprintf("%d clips, %.0f s, %d varied windows, seed %d", len(footage.Clips()), footage.Seconds(), flags.windows, flags.seed)
	energy, about, _ := learned[0].Energy(predictor.Rule(flags.rule), suite.Sources, note)
	if err := predictor.WriteEnergy(flags.output, energy, about); err != nil {
		return data, err
	}
	return trainEnergyData{
		Energy: flags.output, Digest: energy.Digest(), Sources: about.Sources, Rule: flags.rule, Model: about.Model,
		Clips: len(footage.Clips()), Windows: flags.windows, Footage: footage.Seconds(),
	}, nil
}

// live are the sources of these names, as a pipeline with that model has them.
func (j *judging) live(names []string, dir string) ([]*eval.Source, error) {
	var sources []*eval.Source
	for _, name := range names {
		if name != predictor.SourceModel {
			source, err := predictor.NewSource(name, nil)
			if err != nil {
				return nil, inputError("flags.value", err, "")
			}
			sources = append(sources, &eval.Source{Name: name, Live: name, Encoder: source.Encoder, Predictor: source.Predictor})
			continue
		}
		source, err := j.model(dir, predictor.Learned)
		if err != nil {
			return nil, inputError("train.model", fmt.Errorf("--model %s: %w", dir, err),
				"a directory with config.json and model.safetensors, with a predictor; --source flow needs none")
		}
		sources = append(sources, source)
	}
	return sources, nil
}

func (d trainEnergyData) print(out io.Writer) error {
	lines := []string{
		fmt.Sprintf("energy     %s (%s)", d.Energy, d.Digest),
		fmt.Sprintf("judges by  %s, rule %s", strings.Join(d.Sources, " and "), d.Rule),
		fmt.Sprintf("fitted to  %d clips, %.0f s, %d varied windows, in %s", d.Clips, d.Footage, d.Windows,
			time.Duration(d.Seconds*float64(time.Second)).Round(time.Second)),
	}
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}
