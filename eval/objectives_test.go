package eval

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/train"
)

// tinyObjectives is a table of small networks on the sample streams, with little of everything; the runs are those of the names.
func tinyObjectives(t *testing.T, names ...string) *ObjectivesSuite {
	t.Helper()
	samples, err := filepath.Glob(fixture.Repository("examples", "video", "*.mp4"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(samples), 3)
	cache := t.TempDir()
	open := func(paths ...string) *train.Footage {
		f, err := train.OpenFootage(t.Context(), train.FootageConfig{Paths: paths, Side: 64, Cache: cache}, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, f.Close()) })
		return f
	}
	base := train.Default()
	base.Model.Recurrent = train.RecurrentConfig{Side: 64, Widths: [3]int{8, 8, 12}, Dim: 12, Hidden: 12, Ahead: []int{1, 2, 3, 4}, First: 1}
	base.Data.Batch, base.Data.Frames, base.Data.Sprites.Weight, base.Seed = 4, 8, 1, 7
	base.Optimiser.Rate, base.Optimiser.Warmup = 1e-2, 2
	base.Budget.Steps, base.Telemetry.Every = 120, 5
	base.Collapse.After, base.Collapse.Patience = 20, 2
	s := &ObjectivesSuite{
		Output: t.TempDir(), Fitted: open(samples[1:]...), Judged: open(samples[0]), PerClip: 4, Augmented: DefaultAugmented(),
		VOE: VOEConfig{Seed: 500, Pairs: 1}, Threads: 1,
	}
	s.Augmented.Windows, s.Augmented.Negatives, s.Head.Steps = 60, 2, 10
	for _, run := range ObjectiveRuns(base) {
		for _, name := range names {
			if run.Name == name {
				s.Runs = append(s.Runs, run)
			}
		}
	}
	require.Len(t, s.Runs, len(names))
	return s
}

func oneThread(t *testing.T) *nn.Device {
	t.Helper()
	device, err := nn.Open(nn.Config{Threads: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, device.Close()) })
	return device
}

// TestObjectivesTellWhichOneCollapses is the whole table with two of its rows: the one with nothing against collapse collapses and is told
// to have, the others are not.
func TestObjectivesTellWhichOneCollapses(t *testing.T) {
	s, device := tinyObjectives(t, "jepa", "nothing against collapse"), oneThread(t)
	table, err := s.Run(t.Context(), device)
	require.NoError(t, err)
	require.Len(t, table.Rows, 3)
	untrained, jepa, nothing := table.Rows[0], table.Rows[1], table.Rows[2]
	require.Equal(t, UntrainedName, untrained.Name)
	require.Zero(t, untrained.Steps)
	require.Nil(t, jepa.Collapse)
	require.NotNil(t, nothing.Collapse)
	require.Less(t, nothing.Rank, jepa.Rank)
	for _, row := range table.Rows[1:] {
		require.Equal(t, 120, row.Steps)
		require.Positive(t, row.SecondsPerStep)
		require.Positive(t, row.Head.Value)
		require.Positive(t, row.VOE.Value)
	}
	var text strings.Builder
	require.NoError(t, table.WriteText(&text))
	require.Contains(t, text.String(), "nothing against collapse collapsed at step")
	require.Len(t, table.Plot().Series, 3)

	// The rows are kept: nothing is trained again.
	s.Progress = func(what string, _, _ int) { require.Equal(t, "objectives", what) }
	again, err := s.Run(t.Context(), device)
	require.NoError(t, err)
	require.Equal(t, table, again)

	// Rows of other settings are not taken for these.
	s.VOE.Pairs = 2
	_, err = s.Run(t.Context(), device)
	require.ErrorIs(t, err, ErrOtherSettings)
}

// TestObjectivesGoOnWithATraining stops the table in the middle of a training: what was trained is not trained again.
func TestObjectivesGoOnWithATraining(t *testing.T) {
	s, device := tinyObjectives(t, "pixels"), oneThread(t)
	s.Runs[0].Config.Budget.Steps = 12
	ctx, cancel := context.WithCancel(t.Context())
	s.Progress = func(what string, done, _ int) {
		if what == "train pixels" && done == 5 {
			cancel()
		}
	}
	_, err := s.Run(ctx, device)
	require.ErrorIs(t, err, context.Canceled)
	require.FileExists(t, filepath.Join(s.folder(UntrainedName), objectiveRowFile))
	require.NoFileExists(t, filepath.Join(s.folder("pixels"), objectiveRowFile))
	first := 0
	s.Progress = func(what string, done, _ int) {
		if what == "train pixels" && first == 0 {
			first = done
		}
	}
	table, err := s.Run(t.Context(), device)
	require.NoError(t, err)
	require.Equal(t, 6, first)
	require.Equal(t, 12, table.Rows[1].Steps)
	text, err := os.ReadFile(filepath.Join(s.folder("pixels"), objectiveRowFile))
	require.NoError(t, err)
	var kept ObjectiveRow
	require.NoError(t, json.Unmarshal(text, &kept))
	require.Equal(t, table.Rows[1], kept)
}

func TestEveryObjectiveHasAPlaceInTheTable(t *testing.T) {
	runs := ObjectiveRuns(train.Default())
	names := map[string]bool{}
	for _, run := range runs {
		require.NoError(t, func() error {
			c := run.Config
			c.Data.Sprites.Weight, c.Data.Frames = 1, 16
			return c.Validate()
		}(), run.Name)
		require.False(t, names[run.Name], run.Name)
		names[run.Name] = true
	}
	for _, name := range []string{"jepa", "vicreg", "barlow twins", "info nce", "margin", "sigreg", "pixels", "jepa masked, transformer"} {
		require.True(t, names[name], name)
	}
}

func TestThinnedWindowsAreSpreadOverTheirRecording(t *testing.T) {
	w := &Windows{}
	for i := range 14 {
		w.Windows = append(w.Windows, Window{Recording: i / 12, Start: i})
	}
	var starts []int
	for _, window := range w.thin(3).Windows {
		starts = append(starts, window.Start)
	}
	require.Equal(t, []int{0, 4, 8, 12, 13}, starts)
	require.Same(t, w, w.thin(0))
}
