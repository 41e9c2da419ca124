package train

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
)

// one keeps the tests' trainings to a thread each: threads that wait for each other are slow where others work too.
func one() Options { return Options{Threads: 1} }

func TestTrainingLearnsAndLeavesAModelThatOpens(t *testing.T) {
	for _, family := range []string{Recurrent, Transformer} {
		t.Run(family, func(t *testing.T) {
			c := tiny(t)
			c.Model.Family, c.Budget.Steps = family, 60
			c.Objective.Spread.Weight = 0
			outcome, err := Run(t.Context(), c, one())
			require.NoError(t, err)
			require.Len(t, outcome.Losses, 60)
			require.Less(t, mean(outcome.Losses[50:]), mean(outcome.Losses[:10]))

			m, err := model.Open(outcome.Model)
			require.NoError(t, err)
			require.True(t, m.HasPredictor())
			encoder, predictor := m.Config().Parameters()
			require.Equal(t, outcome.Parameters, encoder+predictor)
			require.NoError(t, m.Close())
			for _, name := range []string{TelemetryFile, PageFile, DefinitionFile} {
				require.FileExists(t, filepath.Join(c.Output, name))
			}
		})
	}
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

func TestModelKeptIsTheAverageWhereThereIsOne(t *testing.T) {
	for target, prefix := range map[string]string{TargetEMA: "target.", TargetOnline: "online."} {
		c := tiny(t)
		c.Objective.Target = target
		outcome, err := Run(t.Context(), c, one())
		require.NoError(t, err)
		s, err := nn.OpenSafetensors(checkpointPath(c.Output))
		require.NoError(t, err)
		m, err := model.Open(outcome.Model)
		require.NoError(t, err)
		for _, tensor := range m.Tensors() {
			want, err := s.Float32(prefix+tensor.Name, tensor.Shape...)
			require.NoError(t, err)
			got, err := m.Source("")(tensor.Name, tensor.Shape...)
			require.NoError(t, err)
			require.Equal(t, want.Float32s(), got.Float32s(), tensor.Name)
		}
		require.NoError(t, m.Close())
		require.NoError(t, s.Close())
	}
}

func TestEveryObjectiveTrains(t *testing.T) {
	alone := func(f func(o *ObjectiveConfig)) func(c *Config) {
		return func(c *Config) {
			c.Objective.JEPA.Weight, c.Objective.Scale.Weight, c.Objective.Spread.Weight = 0, 0, 0
			f(&c.Objective)
		}
	}
	for name, change := range map[string]func(c *Config){
		"jepa smooth":      alone(func(o *ObjectiveConfig) { o.JEPA.Weight, o.JEPA.Distance = 1, DistanceSmoothL1 }),
		"jepa stop":        func(c *Config) { c.Objective.Target = TargetStopGradient },
		"vicreg":           alone(func(o *ObjectiveConfig) { o.VICReg.Weight = 1 }),
		"barlow twins":     alone(func(o *ObjectiveConfig) { o.BarlowTwins.Weight = 1 }),
		"info nce":         alone(func(o *ObjectiveConfig) { o.InfoNCE.Weight = 1 }),
		"nt xent":          alone(func(o *ObjectiveConfig) { o.NTXent.Weight = 1 }),
		"margin":           alone(func(o *ObjectiveConfig) { o.Margin.Weight = 1 }),
		"jepa and sigreg":  func(c *Config) { c.Objective.Target, c.Objective.SIGReg.Weight = TargetOnline, 1 },
		"pixels":           alone(func(o *ObjectiveConfig) { o.Pixels.Weight = 1 }),
		"muon":             func(c *Config) { c.Optimiser.Kind = Muon },
		"jepa and in time": func(c *Config) { c.Objective.TimeSimilarity.Weight = 1 },
		"mixed":            func(c *Config) { c.Objective.VICReg.Weight, c.Objective.Pixels.Weight = 0.1, 0.5 },
	} {
		for _, family := range []string{Recurrent, Transformer} {
			t.Run(name+"/"+family, func(t *testing.T) {
				c := tiny(t)
				c.Model.Family, c.Budget.Steps = family, 3
				change(&c)
				outcome, err := Run(t.Context(), c, one())
				require.NoError(t, err)
				require.Positive(t, outcome.Last.GradientNorm)
				require.NotEmpty(t, outcome.Last.Terms)
			})
		}
	}
}

// TestTokensOfARecurrentModelStayReadable: with reconstruct the pixels of a place are told by its token, and other families are refused.
func TestTokensOfARecurrentModelStayReadable(t *testing.T) {
	c := tiny(t)
	c.Objective.Reconstruct, c.Budget.Steps = ReconstructConfig{Weight: 1, Moving: 4}, 120
	c.Objective.InfoNCE.Weight, c.Objective.InfoNCE.Moving, c.Objective.InfoNCE.Rows = 0.1, true, 64
	c.Objective.JEPA.Emerging = 8
	_, err := Run(t.Context(), c, one())
	require.NoError(t, err)
	rows := rowsWithoutTimes(t, c.Output)
	at := slices.Index(rows[0], "term_reconstruct")
	require.GreaterOrEqual(t, at, 0)
	first, err := strconv.ParseFloat(rows[1][at], 64)
	require.NoError(t, err)
	last, err := strconv.ParseFloat(rows[len(rows)-1][at], 64)
	require.NoError(t, err)
	require.Less(t, last, 0.85*first)

	c.Model.Family = Transformer
	require.ErrorContains(t, c.Validate(), "objective.reconstruct is for recurrent models")
}

func TestEveryWayOfATransformerTrains(t *testing.T) {
	for _, attention := range []string{model.Tubelet, model.BlockCausal, model.Full} {
		for _, mode := range []string{NextSegment, Masked} {
			if mode == Masked && attention != model.Full {
				continue
			}
			t.Run(attention+"/"+mode, func(t *testing.T) {
				c := tiny(t)
				c.Model.Family, c.Model.Transformer.Attention, c.Model.Transformer.Mode = Transformer, attention, mode
				c.Objective.TimeSimilarity.Weight, c.Objective.VICReg.Weight = 0.1, 0.1
				outcome, err := Run(t.Context(), c, one())
				require.NoError(t, err)
				require.NotEmpty(t, outcome.Last.Horizons)
				for _, h := range outcome.Last.Horizons {
					require.Positive(t, h.Prediction)
					require.Positive(t, h.Persistence)
				}
			})
		}
	}
}

func TestTrainingMeantToCollapseIsToldAndStopped(t *testing.T) {
	c := tiny(t)
	c.Objective.Target, c.Objective.Spread.Weight, c.Objective.Scale.Weight = TargetOnline, 0, 0
	c.Optimiser.Rate, c.Budget.Steps = 1e-2, 400
	c.Collapse = CollapseConfig{Deviation: 0.1, Rank: 0.05, Fall: 0.35, Patience: 2, After: 10, Stop: true}
	c.Telemetry.Every = 5
	var told []*Collapse
	options := one()
	options.Progress = func(p Progress) {
		if p.Collapse != nil {
			told = append(told, p.Collapse)
		}
	}
	outcome, err := Run(t.Context(), c, options)
	collapse, ok := errors.AsType[*Collapse](err)
	require.Truef(t, ok, "it did not collapse: %v; last look %+v", err, outcome.Last)
	require.Equal(t, []*Collapse{collapse}, told)
	require.Equal(t, collapse, outcome.Collapse)
	require.Less(t, outcome.Steps, 400)
	require.Empty(t, outcome.Model, "a collapsed model is not left where it could be used")
	page, err := os.ReadFile(filepath.Join(c.Output, PageFile))
	require.NoError(t, err)
	require.Contains(t, string(page), "collapsed at step")

	// The same with what keeps it from collapsing.
	c.Output = t.TempDir()
	c.Objective.Spread.Weight, c.Budget.Steps = 1, outcome.Steps
	outcome, err = Run(t.Context(), c, one())
	require.NoError(t, err)
	require.Nil(t, outcome.Collapse)
}

// outputVariable names the output of a training that a test starts as a process of its own.
const outputVariable = "ENSUE_TEST_TRAIN_OUTPUT"

// resumable is a training whose losses are all told.
func resumable(tb testing.TB, output string) Config {
	tb.Helper()
	c := tiny(tb)
	c.Output, c.Budget.Steps = output, 20
	c.Telemetry.Every, c.Checkpoint.Steps = 1, 5
	c.Objective.Pixels.Weight, c.Objective.SIGReg.Weight = 0.1, 0.1
	return c
}

// TestProcessThatTrains is the process of the test after it; by itself it does nothing.
func TestProcessThatTrains(t *testing.T) {
	output := os.Getenv(outputVariable)
	if output == "" {
		t.Skip("started by TestKilledTrainingGoesOnBitForBit")
	}
	options := one()
	options.Progress = func(p Progress) {
		_, _ = os.Stdout.WriteString("step " + strconv.Itoa(p.Step) + "\n")
		time.Sleep(5 * time.Millisecond) // so that the kill comes between two checkpoints
	}
	_, err := Run(t.Context(), resumable(t, output), options)
	require.NoError(t, err)
}

func TestKilledTrainingGoesOnBitForBit(t *testing.T) {
	whole, killed := t.TempDir(), t.TempDir()
	want, err := Run(t.Context(), resumable(t, whole), one())
	require.NoError(t, err)

	killAt(t, killed, 12)
	options := one()
	options.Resume = true
	got, err := Run(t.Context(), resumable(t, killed), options)
	require.NoError(t, err)
	require.Equal(t, 20, got.Steps)
	require.Equal(t, want.Losses[20-len(got.Losses):], got.Losses)
	require.GreaterOrEqual(t, len(got.Losses), 5)
	require.Less(t, len(got.Losses), 20, "it began anew")

	a, err := os.ReadFile(filepath.Join(whole, ModelFolder, "model.safetensors"))
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(killed, ModelFolder, "model.safetensors"))
	require.NoError(t, err)
	require.Equal(t, a, b)
	require.Equal(t, rowsWithoutTimes(t, whole), rowsWithoutTimes(t, killed))
}

// killAt starts a training and kills it with a signal that cannot be caught when it has taken a number of steps.
func killAt(t *testing.T, output string, step int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestProcessThatTrains$")
	command.Env = append(os.Environ(), outputVariable+"="+output)
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "step "+strconv.Itoa(step) {
	}
	require.NoError(t, command.Process.Kill())
	require.Error(t, command.Wait(), "it ended before it was killed")
}

// rowsWithoutTimes is a telemetry without what differs from run to run.
func rowsWithoutTimes(t *testing.T, output string) [][]string {
	t.Helper()
	file, err := os.Open(filepath.Join(output, TelemetryFile))
	require.NoError(t, err)
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	for _, name := range []string{"seconds", "windows_per_second"} {
		at := slices.Index(rows[0], name)
		require.GreaterOrEqual(t, at, 0)
		for i := range rows {
			rows[i] = slices.Delete(rows[i], at, at+1)
		}
	}
	return rows
}

func TestInterruptedTrainingSavesWhereItIs(t *testing.T) {
	c := resumable(t, t.TempDir())
	c.Checkpoint = CheckpointConfig{}
	ctx, cancel := context.WithCancel(t.Context())
	options := one()
	options.Progress = func(p Progress) {
		if p.Step == 7 {
			cancel()
		}
	}
	outcome, err := Run(ctx, c, options)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 7, outcome.Steps)
	options = one()
	options.Resume = true
	outcome, err = Run(t.Context(), c, options)
	require.NoError(t, err)
	require.Len(t, outcome.Losses, 13)
}

func TestTimeThatWasTrainedCountsAfterAnInterruption(t *testing.T) {
	c := tiny(t)
	c.Budget = BudgetConfig{Steps: 3, Time: time.Hour}
	first, err := Run(t.Context(), c, one())
	require.NoError(t, err)
	c.Budget.Steps = 5
	options := one()
	options.Resume = true
	var elapsed []time.Duration
	options.Progress = func(p Progress) { elapsed = append(elapsed, p.Elapsed) }
	second, err := Run(t.Context(), c, options)
	require.NoError(t, err)
	require.Len(t, elapsed, 2)
	require.Greater(t, elapsed[0], first.Elapsed)
	require.Equal(t, elapsed[1], second.Elapsed)

	// A budget of time that is spent already takes no step.
	c.Budget = BudgetConfig{Time: time.Nanosecond}
	third, err := Run(t.Context(), c, options)
	require.NoError(t, err)
	require.Empty(t, third.Losses)
	require.Equal(t, 5, third.Steps)
}

func TestTrainingRefusesWhatItWouldSpoil(t *testing.T) {
	c := tiny(t)
	_, err := Run(t.Context(), c, one())
	require.NoError(t, err)

	_, err = Run(t.Context(), c, one())
	require.ErrorIs(t, err, ErrExists)

	options := one()
	options.Resume = true
	other := c
	other.Objective.JEPA.Weight = 2
	_, err = Run(t.Context(), other, options)
	require.ErrorIs(t, err, ErrOther)

	empty := c
	empty.Output = t.TempDir()
	_, err = Run(t.Context(), empty, options)
	require.ErrorIs(t, err, ErrNoCheckpoint)
}

func TestTrainingGoesOnFromAModel(t *testing.T) {
	c := tiny(t)
	first, err := Run(t.Context(), c, one())
	require.NoError(t, err)
	c.Model.Start, c.Output, c.Budget.Steps, c.Optimiser.Rate = first.Model, t.TempDir(), 1, 1e-9
	second, err := Run(t.Context(), c, one())
	require.NoError(t, err)
	a, b := weightsIn(t, first.Model), weightsIn(t, second.Model)
	for name, values := range a {
		require.InDeltaSlice(t, values, b[name], 1e-6, name)
	}

	c.Output, c.Model.Recurrent.Hidden = t.TempDir(), 16
	_, err = Run(t.Context(), c, one())
	require.ErrorContains(t, err, "model.start")
}

func weightsIn(t *testing.T, dir string) map[string][]float32 {
	t.Helper()
	m, err := model.Open(dir)
	require.NoError(t, err)
	all := map[string][]float32{}
	for _, tensor := range m.Tensors() {
		values, err := m.Source("")(tensor.Name, tensor.Shape...)
		require.NoError(t, err)
		all[tensor.Name] = slices.Clone(values.Float32s())
	}
	require.NoError(t, m.Close())
	return all
}

func TestDivergenceEndsTheTraining(t *testing.T) {
	c := tiny(t)
	c.Optimiser.Rate, c.Optimiser.Warmup, c.Optimiser.Clip, c.Budget.Steps = 0.99, 0, 1e30, 200
	c.Objective.Target = TargetOnline
	c.Objective.VICReg.Weight = 1e30
	_, err := Run(t.Context(), c, one())
	require.ErrorIs(t, err, ErrDiverged)
}

func TestWindowsDoNotDependOnTheWorkers(t *testing.T) {
	var losses [2][]float64
	for i, workers := range []int{1, 3} {
		c := tiny(t)
		c.Data.Workers, c.Data.Ahead, c.Data.Scenes.Weight = workers, workers-1, 1
		outcome, err := Run(t.Context(), c, one())
		require.NoError(t, err)
		losses[i] = outcome.Losses
	}
	require.Equal(t, losses[0], losses[1])
}

func TestFootageIsTrainedOnAndCredited(t *testing.T) {
	c := tiny(t)
	c.Data.Sprites.Weight, c.Data.Footage.Weight = 0, 1
	c.Data.Footage.Paths, c.Data.Footage.Cache = []string{example()}, t.TempDir()
	var decoded []string
	c.Data.Footage.Paths = append(c.Data.Footage.Paths, pictureOf(t, 5))
	var logged bytes.Buffer
	options := one()
	options.Log = slog.New(slog.NewTextHandler(&logged, nil))
	options.Progress = func(p Progress) {
		if p.Footage.Path != "" {
			decoded = append(decoded, p.Footage.Path)
		}
	}
	_, err := Run(t.Context(), c, options)
	require.NoError(t, err)
	require.Len(t, decoded, 2)
	require.Contains(t, logged.String(), "shorter than a window is left out\" files=1")
	credits, err := os.ReadFile(filepath.Join(c.Output, CreditsFile))
	require.NoError(t, err)
	require.Contains(t, string(credits), "shelf.mp4,shelf,")
	require.True(t, strings.HasPrefix(string(credits), "file,"))
}

// pictureOf is a video of a few frames, made by the ffmpeg command.
func pictureOf(t *testing.T, frames int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "short.mp4")
	command := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=8",
		"-frames:v", strconv.Itoa(frames), path)
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skipf("needs the ffmpeg command: %v", err)
	}
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	return path
}
