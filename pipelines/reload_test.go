package pipelines

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/metrics"
	"github.com/ensue-video/ensue/stream"
)

// recorded is a definition over the sample streams that writes into a folder.
func recorded(t *testing.T, folder, name, more string) *Definition {
	t.Helper()
	video := fixture.Repository("examples", "video")
	text := fmt.Sprintf(`version: 1
name: reloaded
ingest: {files: {paths: [%s/shelf.mp4, %s/yard.mp4, %s/garden.mp4]}}
sink:
  jsonl: {path: %s}
  dead_letter: {jsonl: {path: %s/dead.jsonl}}
%s`, video, video, video, filepath.Join(folder, name), folder, more)
	def, findings := Parse("reloaded.yaml", []byte(text), noEnv)
	require.NotNil(t, def, render(findings))
	return def
}

// energiesIn are the energies of the results in the files, by id; every id is there once.
func energiesIn(t *testing.T, paths ...string) map[string]float64 {
	t.Helper()
	energies := map[string]float64{}
	for _, path := range paths {
		file, err := os.Open(path)
		require.NoError(t, err)
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var result stream.Result
			require.NoError(t, json.Unmarshal(lines.Bytes(), &result))
			require.NotContains(t, energies, result.ID, "written twice")
			energies[result.ID] = -1
			if result.Energy != nil {
				energies[result.ID] = *result.Energy
			}
		}
		require.NoError(t, lines.Err())
		require.NoError(t, file.Close())
	}
	return energies
}

// TestReloadsLoseAndDoubleNothing changes sinks, limits and calibration again and again while video goes through.
func TestReloadsLoseAndDoubleNothing(t *testing.T) {
	quiet, folder := t.TempDir(), t.TempDir()
	undisturbed, err := New(recorded(t, quiet, "all.jsonl", ""))
	require.NoError(t, err)
	require.NoError(t, undisturbed.Run(t.Context()))

	passed := make(chan struct{}, 1000)
	engine, err := New(recorded(t, folder, "0.jsonl", ""), WithOnDone(func(*stream.Segment, *stream.Result, *stream.Failure) {
		passed <- struct{}{}
	}))
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(t.Context()) }()
	var paths []string
	for i := 1; ; i++ {
		for range 4 {
			select {
			case <-passed:
			case err := <-ended:
				require.NoError(t, err)
				ended <- nil
			}
		}
		next := recorded(t, folder, fmt.Sprintf("%d.jsonl", i), fmt.Sprintf(
			"decode: {limits: {frames: %d}}\npredictor: {calibrate: {warmup: %ds}}\nretry: {attempts: %d}\nbreaker: {failed: %d}\n",
			3000+i, 60-i, 3+i, 50+i))
		changes, err := engine.Reload(t.Context(), next)
		if err != nil {
			require.ErrorContains(t, err, "the pipeline has ended")
			break
		}
		require.Len(t, changes, 5, "%v", changes)
		paths = append(paths, filepath.Join(folder, fmt.Sprintf("%d.jsonl", i)))
	}
	require.NoError(t, <-ended)
	require.Greater(t, len(paths), 3, "reloads while it ran")
	require.EqualValues(t, len(paths), engine.Counts().Reloads.Load())

	paths = append(paths, filepath.Join(folder, "0.jsonl"))
	got, want := energiesIn(t, paths...), energiesIn(t, filepath.Join(quiet, "all.jsonl"))
	require.NotEmpty(t, want)
	require.Equal(t, want, got)
}

func TestReloadRefusesKeyByKeyWhatNeedsARestart(t *testing.T) {
	folder := t.TempDir()
	engine, err := New(recorded(t, folder, "r.jsonl", ""))
	require.NoError(t, err)
	next := recorded(t, folder, "other.jsonl", "decode: {fps: 4}\nqueues: {size: 3}\npredictor: {calibrate: {warmup: 9s}}\n")
	next.Name = "renamed"
	changes, err := engine.Reload(t.Context(), next)
	require.ErrorContains(t, err, "decode.fps: frames taken at another rate are no past for the ones before them, so it needs a restart")
	require.Equal(t, CodeReloadRefused, stream.AsFailure(err, "").Code)
	refused := map[string]bool{}
	for _, change := range changes {
		refused[change.Path] = change.Refused != ""
	}
	require.Equal(t, map[string]bool{
		"name": true, "decode.fps": true, "queues.size": true, "predictor.calibrate.warmup": false, "sink.jsonl.path": false,
	}, refused)
	require.EqualValues(t, 1, engine.Counts().ReloadsRefused.Load())
	require.Equal(t, []float64{0, 0, 1, 0}, counted(t, engine))
	since := told(t, engine, metrics.ReloadSuccessTime)[0]
	changes, err = engine.Reload(t.Context(), recorded(t, folder, "r.jsonl", ""))
	require.NoError(t, err)
	require.Empty(t, changes)
	require.Equal(t, []float64{0, 1, 1, 1}, counted(t, engine), "what the file says is what runs again")
	require.Greater(t, told(t, engine, metrics.ReloadSuccessTime)[0], since)
	require.Zero(t, engine.Counts().Reloads.Load())
	require.Equal(t, time.Minute, engine.reloading.now.Load().def.Predictor.Calibrate.Warmup, "nothing was taken over")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, engine.Run(ctx))
}

// counted are the reloads that were taken over, changed nothing and were refused, and whether the last one succeeded, as Prometheus is
// told.
func counted(t *testing.T, engine *Engine) []float64 {
	t.Helper()
	by := told(t, engine, metrics.Reloads, "taken_over", "unchanged", "refused")
	return append(by, told(t, engine, metrics.ReloadSuccessful)...)
}

// told are the values of a metric, one for each value of its label.
func told(t *testing.T, engine *Engine, name string, labels ...string) []float64 {
	t.Helper()
	families, err := engine.Metrics().Gather()
	require.NoError(t, err)
	values := make([]float64, max(len(labels), 1))
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			value, at := m.GetCounter().GetValue()+m.GetGauge().GetValue(), 0
			for _, label := range m.GetLabel() {
				if i := slices.Index(labels, label.GetValue()); i >= 0 {
					at = i
				}
			}
			values[at] = value
		}
	}
	return values
}

// TestASinkThatCannotBeOpenedLeavesTheOldOne: results go on where they went.
func TestASinkThatCannotBeOpenedLeavesTheOldOne(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "file"), nil, 0o644))
	started := make(chan struct{}, 1000)
	engine, err := New(recorded(t, folder, "r.jsonl", ""),
		WithOnDone(func(*stream.Segment, *stream.Result, *stream.Failure) { started <- struct{}{} }))
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(t.Context()) }()
	<-started
	_, err = engine.Reload(t.Context(), recorded(t, folder, "file/r.jsonl", ""))
	require.ErrorContains(t, err, "the old ones go on")
	require.NoError(t, <-ended)
	require.Len(t, energiesIn(t, filepath.Join(folder, "r.jsonl")), int(engine.Counts().Results.Load()))
}

// TestStreamsThatRunAreJudgedByTheNewCalibration: what was learned before the change counts.
func TestStreamsThatRunAreJudgedByTheNewCalibration(t *testing.T) {
	folder := t.TempDir()
	ten := make(chan struct{})
	seen := 0
	var verdicts []stream.Verdict
	resume := make(chan struct{})
	engine, err := New(recorded(t, folder, "r.jsonl", "queues: {size: 1}\npredictor: {calibrate: {warmup: 1h}}\n"),
		WithOnDone(func(segment *stream.Segment, result *stream.Result, _ *stream.Failure) {
			if segment.Stream != "garden" {
				return
			}
			verdicts = append(verdicts, result.Verdict)
			if seen++; seen == 10 {
				close(ten)
				<-resume
			}
		}))
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(t.Context()) }()
	<-ten
	changes, err := engine.Reload(t.Context(), recorded(t, folder, "r.jsonl", "queues: {size: 1}\npredictor: {calibrate: {warmup: 8s}}\n"))
	require.NoError(t, err)
	require.Equal(t, []Change{{Path: "predictor.calibrate.warmup", From: "1h", To: "8s"}}, changes)
	close(resume)
	require.NoError(t, <-ended)
	require.NotContains(t, slices.Collect(slices.Values(verdicts[:9])), stream.Continues)
	require.Contains(t, verdicts[10:], stream.Continues)
	last := verdicts[len(verdicts)-1]
	require.NotEqual(t, stream.WarmingUp, last)
}

func TestEveryKeySaysWhetherItReloads(t *testing.T) {
	known := map[string]bool{}
	for _, field := range Spec() {
		known[field.Path] = true
		require.NotEqual(t, field.Reload, field.Fixed != "", "%s reloads, or says why it does not", field.Path)
	}
	for _, path := range reloads {
		require.True(t, known[path], path)
	}
	for _, f := range fixed {
		require.True(t, known[f.path], f.path)
		require.False(t, strings.HasSuffix(f.why, "."), f.why)
	}
	require.NotEmpty(t, known)
}

func TestChangesHideSecrets(t *testing.T) {
	text := minimal + "serve: {token: \"%s\"}\n"
	old, _ := Parse("a.yaml", fmt.Appendf(nil, text, "aaaaaaaaaaaaaaaaaaaa"), noEnv)
	next, _ := Parse("a.yaml", fmt.Appendf(nil, text, "bbbbbbbbbbbbbbbbbbbb"), noEnv)
	changes := Changes(old, next)
	require.Equal(t, []Change{{Path: "serve.token", From: secretText, To: secretText, Refused: "it is set up at the start"}}, changes)
}
