package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/eval"
	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/predictor"
)

type continuationFlags struct {
	evalFlags
	data            []string
	fit             []string
	redistributable bool
	leaveOneOut     bool
	windows         int
	headSteps       int
	save            string
	rule            string
	energies        []string
	plain           bool
}

func (a *app) evalContinuationCommand() *cobra.Command {
	var flags continuationFlags
	command := &cobra.Command{
		Use:   "continuation --data DIR",
		Short: "real footage against ten kinds of what does not continue it",
		Long: "Continuation takes windows of footage, X of 8 frames and Y of the next 8, about a second each, and asks whether the energy\n" +
			"of Y is lower than that of frames that do not continue X: of another clip, later, backwards, frozen, shuffled, mirrored, and so on.\n" +
			"The energy that lies beside a model is judged as it is, and where it has one for brief windows, that, too.\n" +
			"Any folder of videos will do. With --fit it also learns energies from other footage (statistics of Y given X: one-class,\n" +
			"head, both), of optical flow, of the untrained encoder and of every model, and judges them on the same windows.",
		Example: "  ensue eval continuation --data clips/\n" +
			"  ensue eval continuation --data dev/ --fit train/ --leave-one-out --model lobby/model --plot continuation.html",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return a.evalContinuation(command, flags) },
	}
	f := command.Flags()
	f.StringArrayVarP(&flags.data, "data", "d", nil, "video to judge: a file, a folder or a glob; may be given several times")
	f.StringArrayVar(&flags.fit, "fit", nil, "video to learn energies from, another than --data")
	f.BoolVar(&flags.redistributable, "redistributable", false, "of --fit take only what the manifest says may be passed on")
	f.BoolVar(&flags.leaveOneOut, "leave-one-out", false, "also judge each kind by a head that never saw it")
	f.IntVar(&flags.windows, "windows", eval.DefaultAugmented().Windows, "varied windows of --fit that heads learn from")
	f.IntVar(&flags.headSteps, "head-steps", predictor.HeadConfig{}.Default().Steps, "steps that each net of a head is trained")
	f.StringArrayVar(&flags.energies, "energy", nil, "also judge the learned energy of this file; those beside the models are judged anyway")
	f.BoolVar(&flags.plain, "no-baselines", false, "judge the models and their energies alone")
	f.StringVar(&flags.save, "save", "", "folder to write the learned energies to that a pipeline can use")
	f.StringVar(&flags.rule, "rule", string(predictor.RuleMix), fmt.Sprintf("rule of the energies that are saved: %v", predictor.Rules()))
	flags.add(command, true, 0)
	return command
}

func (f *continuationFlags) check() error {
	switch {
	case len(f.data) == 0:
		return inputError("flags.value", errors.New("--data is missing"), "as in --data clips/")
	case f.windows < 1 || f.headSteps < 1:
		return inputError("flags.value", errors.New("--windows and --head-steps are at least 1"), "the recipe has 3200 and 2500")
	case f.plain && (len(f.fit) > 0 || len(f.models)+len(f.energies) == 0):
		return inputError("flags.value", errors.New("--no-baselines judges models and energies as they are"), "name them, without --fit")
	case len(f.fit) == 0 && (f.leaveOneOut || f.save != "" || f.redistributable):
		return inputError("flags.value", errors.New("--leave-one-out, --save and --redistributable need --fit"),
			"name the footage to learn from")
	}
	if _, err := predictor.ParseRule(f.rule); err != nil {
		return inputError("flags.value", fmt.Errorf("--rule: %w", err), "")
	}
	return nil
}

func (a *app) evalContinuation(command *cobra.Command, flags continuationFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	begun := time.Now()
	j, err := a.judge(flags.evalFlags)
	if err != nil {
		return err
	}
	table, saved, err := j.continuation(command, flags)
	if err := errors.Join(err, j.close()); err != nil {
		return err
	}
	return a.report(command, flags.evalFlags, begun, table, saved)
}

func (j *judging) continuation(command *cobra.Command, flags continuationFlags) (*eval.Continuation, []string, error) {
	suite, err := j.continuationSuite(flags)
	if err != nil {
		return nil, nil, err
	}
	if suite.Shipped, err = shipped(flags, suite.Sources); err != nil {
		return nil, nil, err
	}
	var learned []eval.Learned
	var saved []string
	if len(flags.fit) > 0 {
		footage, err := j.footage(command, flags.evalFlags, "--fit", flags.fit, widest(suite.Sources), flags.redistributable)
		if err != nil {
			return nil, nil, err
		}
		learned, err = suite.Learn(command.Context(), j.device, footage)
		if errors.Is(err, predictor.ErrTooFewWindows) {
			return nil, nil, inputError("eval.footage", err, "give --fit more footage, or vary it more often with --windows")
		}
		if err != nil {
			return nil, nil, err
		}
		if saved, err = flags.write(learned, suite.Sources); err != nil {
			return nil, nil, err
		}
	}
	footage, err := j.footage(command, flags.evalFlags, "--data", flags.data, widest(suite.Sources), false)
	if err != nil {
		return nil, nil, err
	}
	table, err := suite.Judge(command.Context(), footage, learned)
	return table, saved, err
}

// continuationSuite compares the baselines with the models; energies are learned of flow, of the untrained encoder, of each model, and of
// each of those beside flow.
func (j *judging) continuationSuite(flags continuationFlags) (*eval.ContinuationSuite, error) {
	sources, err := eval.ContinuationBaselines()
	if err != nil {
		return nil, err
	}
	if flags.plain {
		return j.withoutBaselines(flags, sources)
	}
	untrained, err := j.untrained(negatives.Length)
	if err != nil {
		return nil, err
	}
	models, err := j.models(flags.evalFlags)
	if err != nil {
		return nil, err
	}
	suite := &eval.ContinuationSuite{
		Sources: append(append(sources, untrained), models...), Augmented: eval.DefaultAugmented(), LeaveOneOut: flags.leaveOneOut,
		Combinations: [][]string{{eval.PixelFlow}, {untrained.Name}, {eval.PixelFlow, untrained.Name}},
		Seed:         flags.seed, Progress: j.progress,
	}
	for _, m := range models {
		suite.Combinations = append(suite.Combinations, []string{m.Name}, []string{eval.PixelFlow, m.Name})
	}
	suite.Head.Steps = flags.headSteps
	suite.Augmented.Windows, suite.Augmented.Seed, suite.Head.Seed = flags.windows, flags.seed, flags.seed
	if err := suite.Validate(); err != nil && len(flags.fit) > 0 {
		return nil, inputError("eval.model", err, "")
	}
	return suite, nil
}

// withoutBaselines are the models, and flow, which energies judge by.
func (j *judging) withoutBaselines(flags continuationFlags, sources []*eval.Source) (*eval.ContinuationSuite, error) {
	models, err := j.models(flags.evalFlags)
	if err != nil {
		return nil, err
	}
	sources = slices.DeleteFunc(sources, func(s *eval.Source) bool { return s.Live == "" })
	return &eval.ContinuationSuite{Sources: append(sources, models...), Seed: flags.seed, Progress: j.progress}, nil
}

// shipped are the scores of the energies beside the models, and of those that flags name.
func shipped(flags continuationFlags, sources []*eval.Source) ([]eval.Score, error) {
	var scores []eval.Score
	for _, dir := range flags.models {
		energy, about, err := energyBeside(dir)
		if err != nil {
			return nil, inputError("eval.model", fmt.Errorf("--model %s: %w", dir, err), "fit its energy again: ensue train energy")
		}
		if energy == nil {
			continue
		}
		if own, ok := eval.Shipped(filepath.Base(filepath.Clean(dir))+"'s energy", energy, about, sources); ok {
			scores = append(scores, own...)
		}
	}
	for _, path := range flags.energies {
		energy, about, err := predictor.OpenEnergy(path)
		if err != nil {
			return nil, inputError("eval.model", fmt.Errorf("--energy %s: %w", path, err), "a file that ensue train energy wrote")
		}
		own, ok := eval.Shipped(filepath.Base(path), energy, about, sources)
		if !ok {
			return nil, inputError("eval.model", fmt.Errorf("--energy %s: it is of %s", path, strings.Join(about.Sources, ", ")),
				"name the model it was fitted for, too: --model")
		}
		scores = append(scores, own...)
	}
	return scores, nil
}

// energyBeside is the energy in a model's directory; nil where there is none.
func energyBeside(dir string) (_ *predictor.Energy, about predictor.EnergyAbout, err error) {
	m, err := openModel(dir)
	if err != nil {
		return nil, about, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return energyOf(m)
}

// write saves the learned energies that a pipeline has the sources of, if that was asked for.
func (f *continuationFlags) write(learned []eval.Learned, sources []*eval.Source) ([]string, error) {
	if f.save == "" {
		return nil, nil
	}
	if err := os.MkdirAll(f.save, 0o755); err != nil {
		return nil, fmt.Errorf("saving energies: %w", err)
	}
	var saved []string
	for _, l := range learned {
		path := filepath.Join(f.save, strings.ReplaceAll(l.Name, " ", "_")+".safetensors")
		energy, about, ok := l.Energy(predictor.Rule(f.rule), sources, "")
		if !ok {
			continue
		}
		if err := predictor.WriteEnergy(path, energy, about); err != nil {
			return nil, err
		}
		saved = append(saved, path)
	}
	return saved, nil
}

type voeFlags struct {
	evalFlags
	pairs int
}

func (a *app) evalVOECommand() *cobra.Command {
	var flags voeFlags
	command := &cobra.Command{
		Use:   "voe",
		Short: "generated scenes in which something impossible happens, against possible twins",
		Long: "Voe generates pairs of scenes that are the same up to an event, which is possible in one and impossible in the other: things\n" +
			"vanish, appear, stop, turn round, jump, change behind a column or in the open, or pass through a wall. A model is right about a\n" +
			"pair when the impossible scene surprises it more. Things hidden meanwhile need memory: nothing but learning has that.",
		Example: "  ensue eval voe\n  ensue eval voe --model scenes/model --plot voe.html",
		Args:    cobra.NoArgs,
		RunE:    func(command *cobra.Command, _ []string) error { return a.evalVOE(command, flags) },
	}
	command.Flags().IntVar(&flags.pairs, "pairs", eval.DefaultVOE().Pairs, "pairs of each kind")
	flags.addSeeds(command)
	flags.add(command, false, eval.DefaultVOE().Seed)
	return command
}

func (a *app) evalVOE(command *cobra.Command, flags voeFlags) error {
	if flags.pairs < 1 {
		return inputError("flags.value", fmt.Errorf("--pairs is %d", flags.pairs), "give at least 1; the test has 200")
	}
	begun := time.Now()
	j, err := a.judge(flags.evalFlags)
	if err != nil {
		return err
	}
	table, err := j.voe(command, flags)
	if err := errors.Join(err, j.close()); err != nil {
		return err
	}
	pictures, err := eval.ScenePictures(flags.seed)
	if err != nil {
		return err
	}
	return a.report(command, flags.evalFlags, begun, table, nil, pictures...)
}

func (j *judging) voe(command *cobra.Command, flags voeFlags) (*eval.VOE, error) {
	sources, err := j.models(flags.evalFlags)
	if err != nil {
		return nil, err
	}
	untrained, err := j.untrained(eval.VOEHorizon)
	if err != nil {
		return nil, err
	}
	pixels, err := eval.VOEBaselines()
	if err != nil {
		return nil, err
	}
	pixels = slices.DeleteFunc(pixels, func(s *eval.Source) bool { return s.Name == eval.PixelPersistence }) // its gain is 0 everywhere
	sources = slices.Concat(sources, []*eval.Source{untrained}, pixels)
	config := eval.VOEConfig{Seed: flags.seed, Pairs: flags.pairs}
	var names []string
	var surprises []eval.Surprises
	for _, source := range sources {
		s, err := eval.MeasureVOE(command.Context(), source, config, j.count(source.Name))
		if err != nil {
			return nil, err
		}
		names, surprises = append(names, source.Name), append(surprises, s)
	}
	together, versions := asVersions(flags.evalFlags, names, surprises)
	return eval.NewVOE(config, together, versions, flags.seed), nil
}

type retrievalFlags struct {
	evalFlags
	data []string
}

func (a *app) evalRetrievalCommand() *cobra.Command {
	var flags retrievalFlags
	command := &cobra.Command{
		Use:   "retrieval --data DIR",
		Short: "find the true next segment among 100 by the embedding that was predicted",
		Long: "Retrieval hides the segment that truly comes 1, 2, 4 and 8 seconds later among 99 others, at most half of them from the same\n" +
			"clip, and looks for it by the predicted embedding, and by the embedding of the last segment seen.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return a.evalRetrieval(command, flags) },
	}
	command.Flags().StringArrayVarP(&flags.data, "data", "d", nil, "video: a file, a folder or a glob; may be given several times")
	flags.addSeeds(command)
	flags.add(command, true, 0)
	return command
}

func (a *app) evalRetrieval(command *cobra.Command, flags retrievalFlags) error {
	if len(flags.data) == 0 {
		return inputError("flags.value", errors.New("--data is missing"), "as in --data clips/")
	}
	begun := time.Now()
	j, err := a.judge(flags.evalFlags)
	if err != nil {
		return err
	}
	table, err := j.retrieval(command, flags)
	if err := errors.Join(err, j.close()); err != nil {
		return err
	}
	return a.report(command, flags.evalFlags, begun, table, nil)
}

func (j *judging) retrieval(command *cobra.Command, flags retrievalFlags) (*eval.Retrieval, error) {
	sources, err := j.modelsAndBaselines(flags.evalFlags)
	if err != nil {
		return nil, err
	}
	footage, err := j.footage(command, flags.evalFlags, "--data", flags.data, widest(sources), false)
	if err != nil {
		return nil, err
	}
	windows, config := eval.FindWindows(footage), eval.DefaultRetrieval()
	config.Seed = flags.seed
	var names []string
	var found [][]eval.Retrieved
	for _, source := range sources {
		f, err := eval.MeasureRetrieval(command.Context(), windows, source, config, j.count(source.Name))
		if err != nil {
			return nil, err
		}
		names, found = append(names, source.Name), append(found, f)
	}
	together, versions := asVersions(flags.evalFlags, names, found)
	return eval.NewRetrieval(config, together, versions, len(windows.Recordings), flags.seed), nil
}

// asVersions puts what the models of --model made under one name where --seeds says that they are the same model trained from other seeds.
func asVersions[T any](flags evalFlags, names []string, made []T) (together []string, versions [][]T) {
	if n := len(flags.models); flags.seeds && n > 1 {
		together, versions = append(together, fmt.Sprintf("mean of %d seeds", n)), append(versions, made[:n])
		names, made = names[n:], made[n:]
	}
	for i := range names {
		together, versions = append(together, names[i]), append(versions, made[i:i+1])
	}
	return together, versions
}

// modelsAndBaselines are the models, the untrained encoder and optical flow.
func (j *judging) modelsAndBaselines(flags evalFlags) ([]*eval.Source, error) {
	models, err := j.models(flags)
	if err != nil {
		return nil, err
	}
	untrained, err := j.untrained(negatives.Length)
	if err != nil {
		return nil, err
	}
	pixels, err := eval.ContinuationBaselines()
	return slices.Concat(models, []*eval.Source{untrained}, pixels), err
}

type ped2Flags struct {
	evalFlags
	data, normal []string
	labels       string
	side         int
}

func (a *app) evalPed2Command() *cobra.Command {
	var flags ped2Flags
	command := &cobra.Command{
		Use:   "ped2 --data FILES --normal FILES --labels FILE",
		Short: "find the frames with anomalies in labelled footage of one camera (UCSD Ped2)",
		Long: "Ped2 learns from footage without anomalies how large prediction errors usually are at every place, and judges every frame of\n" +
			"the labelled footage by its largest deviations. The labels (CSV: clip, frame_index0, anomalous) are used for the result only.",
		Example: "  ensue eval ped2 --data 'dev/ucsd_ped2_test_*' --normal 'train/ucsd_ped2_train_*' --labels ped2_dev_labels.csv",
		Args:    cobra.NoArgs,
		RunE:    func(command *cobra.Command, _ []string) error { return a.evalPed2(command, flags) },
	}
	f := command.Flags()
	f.StringArrayVarP(&flags.data, "data", "d", nil, "labelled video: a file, a folder or a glob; may be given several times")
	f.StringArrayVar(&flags.normal, "normal", nil, "video without anomalies, of the same camera")
	f.StringVar(&flags.labels, "labels", "", "CSV file with a row for each frame of --data")
	f.IntVar(&flags.side, "side", eval.AnomalySide, "width and height in pixels at which motion is measured; the picture is squashed to it")
	flags.add(command, true, 0)
	return command
}

func (a *app) evalPed2(command *cobra.Command, flags ped2Flags) error {
	switch {
	case len(flags.data) == 0 || len(flags.normal) == 0 || flags.labels == "":
		return inputError("flags.value", errors.New("--data, --normal and --labels are all needed"), "see the example in --help")
	case flags.side < 24 || flags.side > 4096:
		return inputError("flags.value", fmt.Errorf("--side is %d", flags.side), "24 to 4096; Ped2 has pictures of 360 by 240")
	}
	begun := time.Now()
	j, err := a.judge(flags.evalFlags)
	if err != nil {
		return err
	}
	table, err := j.ped2(command, flags)
	if err := errors.Join(err, j.close()); err != nil {
		return err
	}
	return a.report(command, flags.evalFlags, begun, table, nil)
}

func (j *judging) ped2(command *cobra.Command, flags ped2Flags) (*eval.Anomalies, error) {
	file, err := os.Open(flags.labels)
	if err != nil {
		return nil, inputError("eval.labels", err, "--labels is a CSV file")
	}
	labels, err := eval.ParseLabels(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, inputError("eval.labels", fmt.Errorf("--labels %s: %w", flags.labels, err), "columns: clip, frame_index0, anomalous")
	}
	sources, err := j.modelsAndBaselines(flags.evalFlags)
	if err != nil {
		return nil, err
	}
	side := max(flags.side, widest(sources))
	normal, err := j.footage(command, flags.evalFlags, "--normal", flags.normal, side, false)
	if err != nil {
		return nil, err
	}
	test, err := j.footage(command, flags.evalFlags, "--data", flags.data, side, false)
	if err != nil {
		return nil, err
	}
	var judges []eval.AnomalyJudge
	for _, source := range sources {
		judges = append(judges, source)
	}
	return eval.MeasureAnomalies(command.Context(), eval.FindWindows(normal), eval.FindWindows(test), labels,
		append(judges, eval.Motion{}), flags.seed, j.count("frames"))
}
