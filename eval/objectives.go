package eval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/train"
)

// ObjectiveRun is a training of the table: an objective by its name.
type ObjectiveRun struct {
	Name   string
	Config train.Config
}

// ObjectiveRuns are all objectives at the base's sizes, data and budget, none tuned for the table: with the recurrent network, and where
// attention is needed with a transformer of tubelets, which next_segment has, too, so that the two can be told apart. The last one has
// nothing against collapse.
func ObjectiveRuns(base train.Config) []ObjectiveRun {
	alone := func(change func(o *train.ObjectiveConfig)) train.Config {
		c, defaults := base, train.DefaultObjective()
		c.Objective = defaults
		c.Objective.JEPA.Weight, c.Objective.Scale.Weight, c.Objective.Spread.Weight = 0, 0, 0
		c.Objective.Target = train.TargetOnline
		change(&c.Objective)
		return c
	}
	transformer := func(mode string) train.Config {
		c := base
		c.Objective = train.DefaultObjective()
		c.Objective.Scale.Weight = 0
		c.Model.Family, c.Model.Transformer.Mode, c.Model.Transformer.Attention = train.Transformer, mode, model.Full
		return c
	}
	jepa := base
	jepa.Objective = train.DefaultObjective()
	return []ObjectiveRun{
		{"jepa", jepa},
		{"vicreg", alone(func(o *train.ObjectiveConfig) { o.VICReg.Weight = 1 })},
		{"barlow twins", alone(func(o *train.ObjectiveConfig) { o.BarlowTwins.Weight = 1 })},
		{"info nce", alone(func(o *train.ObjectiveConfig) { o.InfoNCE.Weight = 1 })},
		{"margin", alone(func(o *train.ObjectiveConfig) { o.Margin.Weight = 1 })},
		{"sigreg", alone(func(o *train.ObjectiveConfig) { o.JEPA.Weight, o.SIGReg.Weight = 1, sigregWeight })},
		{"pixels", alone(func(o *train.ObjectiveConfig) { o.Pixels.Weight, o.Target = 1, train.TargetEMA })},
		{"jepa, transformer", transformer(train.NextSegment)},
		{"jepa masked, transformer", transformer(train.Masked)},
		{"nothing against collapse", alone(func(o *train.ObjectiveConfig) { o.JEPA.Weight = 1 })},
	}
}

// sigregWeight is that of docs/learning.md's example.
const sigregWeight = 0.05

// ObjectivesSuite trains objectives with the same budget and puts them in one table.
type ObjectivesSuite struct {
	Runs []ObjectiveRun
	// Output is the folder for trainings and rows: a row that stands there is taken, a training that stands there is gone on with.
	Output string
	// Fitted is the footage that energies are learned from, Judged what they are judged on; windows of each are thinned to PerClip.
	Fitted, Judged *train.Footage
	PerClip        int
	// Augmented is the recipe of the heads' windows, Head that of the heads, VOE says which scenes are judged.
	Augmented AugmentedConfig
	Head      predictor.HeadConfig
	VOE       VOEConfig
	Seed      uint64
	// Threads are those of trainings.
	Threads int
	// Progress, which may be nil, is told what is being done and how much of it; calls do not overlap.
	Progress func(what string, done, total int)
}

// Objectives is the table.
type Objectives struct {
	Judged  int            `json:"judged_windows"`
	Fitted  int            `json:"fitted_windows"`
	Pairs   int            `json:"pairs_per_kind"`
	Gallery int            `json:"gallery"`
	Rows    []ObjectiveRow `json:"rows"`
}

// ObjectiveRow is what became of one objective.
type ObjectiveRow struct {
	Name string `json:"name"`
	// Network is the family; Steps were trained, SecondsPerStep each; 0 where nothing was trained.
	Network        string  `json:"network"`
	Steps          int     `json:"steps"`
	SecondsPerStep float64 `json:"seconds_per_step"`
	// Collapse is what the training told; Failed why there is no model.
	Collapse *train.Collapse `json:"collapse,omitempty"`
	Failed   string          `json:"failed,omitempty"`
	// Rank is the effective rank of the tokens of the judged windows, of Width dimensions.
	Rank  float64 `json:"effective_rank"`
	Width int     `json:"width"`
	// OneClass and Head are mean AUROCs of continuation, by the learned energies of the model's statistics.
	OneClass Interval `json:"one_class"`
	Head     Interval `json:"head"`
	// VOE is the mean pairwise accuracy of the 14 kinds.
	VOE        Interval `json:"voe"`
	Permanence Interval `json:"permanence"`
	Timing     Interval `json:"timing"`
	// Recall is recall@1 two seconds ahead by the predicted embedding, Last by that of the last segment.
	Recall Interval `json:"recall_1"`
	Last   Interval `json:"last_recall_1"`
	// Settings is the digest of all that determines the row.
	Settings string `json:"settings"`
}

// ErrOtherSettings is why a row in the output folder is not taken.
var ErrOtherSettings = errors.New("the output folder holds rows that were made with other settings")

const (
	objectiveRowFile = "row.json"
	objectiveAhead   = 2 // segments, of a second
	untrainedSeed    = 7
)

// Run makes the table: the untrained encoder first, then every objective. When ctx ends first it can be gone on with.
func (s *ObjectivesSuite) Run(ctx context.Context, device *nn.Device) (*Objectives, error) {
	m := s.measuring(device)
	table := &Objectives{
		Judged: len(m.judged.Windows), Fitted: len(m.fitted.Windows), Pairs: s.VOE.Pairs, Gallery: DefaultRetrieval().Gallery,
	}
	row, err := s.row(UntrainedName, nil, func(row *ObjectiveRow) error { return m.untrained(ctx, row) })
	if err != nil {
		return nil, err
	}
	table.Rows = append(table.Rows, row)
	for i, run := range s.Runs {
		row, err := s.row(run.Name, &run.Config, func(row *ObjectiveRow) error { return s.learn(ctx, m, run, row) })
		if err != nil {
			return nil, err
		}
		table.Rows = append(table.Rows, row)
		s.tell("objectives", i+1, len(s.Runs))
	}
	return table, nil
}

func (s *ObjectivesSuite) tell(what string, done, total int) {
	if s.Progress != nil {
		s.Progress(what, done, total)
	}
}

// folder is where the training of an objective lies, and its row.
func (s *ObjectivesSuite) folder(name string) string {
	return filepath.Join(s.Output, strings.NewReplacer(" ", "-", ",", "").Replace(name))
}

// row takes the row from the output folder, or makes and keeps it.
func (s *ObjectivesSuite) row(name string, config *train.Config, fill func(*ObjectiveRow) error) (ObjectiveRow, error) {
	settings, err := s.settings(config)
	if err != nil {
		return ObjectiveRow{}, err
	}
	path := filepath.Join(s.folder(name), objectiveRowFile)
	text, err := os.ReadFile(path)
	if err == nil {
		var row ObjectiveRow
		if err := json.Unmarshal(text, &row); err != nil {
			return row, fmt.Errorf("reading %s: %w", path, err)
		}
		if row.Settings != settings {
			return row, fmt.Errorf("reading %s: %w", path, ErrOtherSettings)
		}
		return row, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return ObjectiveRow{}, fmt.Errorf("reading a row: %w", err)
	}
	row := ObjectiveRow{Name: name, Settings: settings}
	if err := fill(&row); err != nil {
		return row, fmt.Errorf("judging objective %s: %w", name, err)
	}
	return row, keepRow(path, row)
}

// keepRow writes a row beside its place and moves it there: a kill leaves none or a whole one.
func keepRow(path string, row ObjectiveRow) error {
	text, err := json.MarshalIndent(row, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path+".part", append(text, '\n'), 0o644)
	}
	if err == nil {
		err = os.Rename(path+".part", path)
	}
	if err != nil {
		return fmt.Errorf("keeping a row: %w", err)
	}
	return nil
}

// settings is a digest of what a row depends on, beside the footage itself: of that, the names.
func (s *ObjectivesSuite) settings(config *train.Config) (string, error) {
	var definition []byte
	if config != nil {
		fixed := *config
		fixed.Output, fixed.Data.Footage.Cache, fixed.Checkpoint = "", "", train.CheckpointConfig{}
		var err error
		if definition, err = fixed.Encode(); err != nil {
			return "", err
		}
	}
	names := func(f *train.Footage) (names []string) {
		for _, c := range f.Clips() {
			names = append(names, c.Name)
		}
		return names
	}
	text, err := json.Marshal([]any{
		"ensue objectives 1", string(definition), names(s.Fitted), names(s.Judged), s.PerClip, s.Augmented, s.Head, s.VOE, s.Seed,
	})
	if err != nil {
		return "", fmt.Errorf("telling settings apart: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// learn trains an objective, or goes on with its training, and judges the model.
func (s *ObjectivesSuite) learn(ctx context.Context, m *measuring, run ObjectiveRun, row *ObjectiveRow) error {
	c := run.Config
	c.Name, c.Output = run.Name, s.folder(run.Name)
	row.Network = c.Model.Family
	options := train.Options{Threads: s.Threads, Progress: func(p train.Progress) {
		if p.Step > 0 {
			s.tell("train "+run.Name, p.Step, max(p.Steps, p.Step))
		}
	}}
	outcome, err := train.Run(ctx, c, options)
	if errors.Is(err, train.ErrExists) {
		options.Resume = true
		outcome, err = train.Run(ctx, c, options)
	}
	switch {
	case errors.Is(err, train.ErrOther):
		return fmt.Errorf("%w: %w", ErrOtherSettings, err)
	case errors.Is(err, train.ErrDiverged):
		row.Failed = err.Error()
		return nil
	case err != nil:
		return err
	}
	row.Steps, row.Collapse = outcome.Steps, outcome.Collapse
	row.SecondsPerStep = outcome.Elapsed.Seconds() / float64(max(1, outcome.Steps))
	return m.model(ctx, run.Name, outcome.Model, row)
}

// measuring is what all rows are measured with.
type measuring struct {
	*ObjectivesSuite
	device         *nn.Device
	fitted, judged *Windows
}

func (s *ObjectivesSuite) measuring(device *nn.Device) *measuring {
	return &measuring{
		ObjectivesSuite: s, device: device, fitted: FindWindows(s.Fitted).thin(s.PerClip), judged: FindWindows(s.Judged).thin(s.PerClip),
	}
}

// thin keeps so many windows of every recording, evenly spread; 0 keeps all.
func (w *Windows) thin(perClip int) *Windows {
	if perClip == 0 {
		return w
	}
	thinned := *w
	thinned.Windows = nil
	for begin := 0; begin < len(w.Windows); {
		end := begin
		for end < len(w.Windows) && w.Windows[end].Recording == w.Windows[begin].Recording {
			end++
		}
		n := min(perClip, end-begin)
		for i := range n {
			thinned.Windows = append(thinned.Windows, w.Windows[begin+i*(end-begin)/n])
		}
		begin = end
	}
	return &thinned
}

// untrained judges the encoder as it is drawn: what an objective is worth is what it adds to this.
func (m *measuring) untrained(ctx context.Context, row *ObjectiveRow) (err error) {
	row.Network = train.Recurrent
	window, err := NewUntrained(m.device, untrainedSeed, negatives.Length)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, window.Close()) }()
	scene, err := NewUntrained(m.device, untrainedSeed, VOEHorizon)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scene.Close()) }()
	return m.source(ctx, &window.Source, &scene.Source, row)
}

// model judges a model directory.
func (m *measuring) model(ctx context.Context, name, dir string, row *ObjectiveRow) (err error) {
	opened, err := OpenModel(dir, m.device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	opened.Name = name
	return m.source(ctx, &opened.Source, &opened.Source, row)
}

// source fills a row in; scenes is the source with the horizon of scenes.
func (m *measuring) source(ctx context.Context, source, scenes *Source, row *ObjectiveRow) error {
	count := func(what string) func(done, total int) {
		return func(done, total int) { m.tell(what+" "+source.Name, done, total) }
	}
	var err error
	if row.Rank, row.Width, err = rankOf(ctx, m.judged, source); err != nil {
		return err
	}
	if err := m.continuation(ctx, source, row, count); err != nil {
		return err
	}
	surprises, err := MeasureVOE(ctx, scenes, m.VOE, count("scenes"))
	if err != nil {
		return err
	}
	result := NewVOE(m.VOE, []string{source.Name}, [][]Surprises{{surprises}}, m.Seed).Models[0]
	row.VOE, row.Permanence, row.Timing = result.Value("mean of 14"), result.Value("permanence"), result.Value("timing")
	config := DefaultRetrieval()
	config.Ahead, config.Seed = []int{objectiveAhead}, m.Seed
	found, err := MeasureRetrieval(ctx, m.judged, source, config, count("segments"))
	if err != nil {
		return err
	}
	recall := NewRetrieval(config, []string{source.Name}, [][][]Retrieved{{found}}, len(m.judged.Recordings), m.Seed).Results[0]
	row.Recall, row.Last = recall.Recall1, recall.Last1
	return nil
}

// continuation learns the energies of a source's statistics and judges them.
func (m *measuring) continuation(
	ctx context.Context, source *Source, row *ObjectiveRow, count func(what string) func(done, total int),
) error {
	sources := []*Source{source}
	natural, err := Measure(ctx, m.fitted, sources, nil, m.Seed, count("genuine windows"))
	if err != nil {
		return err
	}
	varied, err := MeasureAugmented(ctx, m.Fitted, sources, m.Augmented, count("varied windows"))
	if err != nil {
		return err
	}
	energies, err := Fit(ctx, m.device, natural, varied, []int{0}, FitConfig{Head: m.Head})
	if err != nil {
		return err
	}
	measured, err := Measure(ctx, m.judged, sources, negatives.Kinds(), m.Seed, count("windows"))
	if err != nil {
		return err
	}
	table, err := NewContinuation(m.judged, measured, nil, energies.Scores(source.Name), m.Seed)
	if err != nil {
		return err
	}
	for _, score := range table.Scores {
		switch score.Name {
		case source.Name + ": " + string(predictor.RuleOneClass):
			row.OneClass = score.MeanAUROC
		case source.Name + ": " + string(predictor.RuleHead):
			row.Head = score.MeanAUROC
		}
	}
	return nil
}

// How many tokens an effective rank is measured of.
const (
	rankWindows   = 64
	rankPerWindow = 16
)

// rankOf is the effective rank of the tokens of genuine windows, evenly spread over windows, steps and places.
func rankOf(ctx context.Context, w *Windows, source *Source) (rank float64, width int, err error) {
	var rows []float32
	n := min(rankWindows, len(w.Windows))
	for i := range n {
		window := w.Source(w.Windows[i*len(w.Windows)/n])
		expected, err := source.expect(ctx, window.X(), w.Side)
		if err != nil {
			return 0, 0, err
		}
		read, err := expected.read(ctx, window.Y())
		if err != nil {
			return 0, 0, err
		}
		width = read.shape.D
		tokens := len(read.y) / width
		for k := range min(rankPerWindow, tokens) {
			at := (k*tokens/rankPerWindow + i) % tokens
			rows = append(rows, read.y[at*width:(at+1)*width]...)
		}
		expected.close()
	}
	return train.EffectiveRank(slices.Clip(rows), width), width, nil
}
