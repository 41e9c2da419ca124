package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/pipelines"
)

func TestEveryCommandSaysTheSameEnvelopeUnderJSON(t *testing.T) {
	bad := write(t, "bad.yaml", "version: 1\nname: x\ndecode: {fsp: 8}\n")
	cases := map[string]struct {
		args []string
		code int
	}{
		"version":            {args: []string{"version"}},
		"doctor":             {args: []string{"doctor"}},
		"schema":             {args: []string{"schema"}},
		"schema of results":  {args: []string{"schema", "result"}},
		"schema of envelope": {args: []string{"schema", "envelope"}},
		"lint":               {args: []string{"lint", "demo", "live", "replay"}},
		"lint a bad one":     {args: []string{"lint", bad}, code: exitInput},
		"explain":            {args: []string{"explain", "live"}},
		"explain a bad one":  {args: []string{"explain", bad}, code: exitInput},
		"run a bad one":      {args: []string{"run", bad}, code: exitInput},
		"replay":             {args: []string{"replay", samples()[0]}},
		"replay of nothing":  {args: []string{"replay", "/nowhere/*.mp4"}, code: exitInput},
		"publish of nothing": {args: []string{"publish"}, code: exitInput},
		"publish, no broker": {args: []string{"publish", "--brokers", "127.0.0.1:1", samples()[0]}, code: exitEnvironment},
		"tail, no broker":    {args: []string{"tail", "--brokers", "127.0.0.1:1"}, code: exitEnvironment},
		"check, no broker":   {args: []string{"check", definition(t, "127.0.0.1:1")}, code: exitEnvironment},
		"run, no broker":     {args: []string{"run", definition(t, "127.0.0.1:1")}, code: exitEnvironment},
		"an unknown flag":    {args: []string{"replay", "--fast"}, code: exitInput},
		"an unknown command": {args: []string{"rerun"}, code: exitInput},
		"a missing argument": {args: []string{"lint"}, code: exitInput},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			said, got := envelopeOf(t, c.args...)
			require.Equal(t, c.code, got.code, "stdout: %s stderr: %s", got.out, got.err)
			if c.code == exitOK {
				require.NotNil(t, said.Data)
			}
		})
	}
}

func TestErrorsNameTheirCodeAndAHint(t *testing.T) {
	got := ensue(t, "publish", "--pace", "quick", samples()[0])
	require.Equal(t, exitInput, got.code)
	require.Contains(t, got.err, `--pace "quick" is not known [flags.value]`)
	require.Contains(t, got.err, "hint: it is realtime, asap")
}

func TestReplayShowsATableOfStreams(t *testing.T) {
	got := ensue(t, append([]string{"replay"}, samples()...)...)
	require.Zero(t, got.code, got.err)
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	require.Len(t, lines, 4)
	for i, name := range []string{"STREAM", "garden", "shelf", "yard"} {
		require.True(t, strings.HasPrefix(lines[i], name), lines[i])
	}
}

func TestReplayScoresEveryDevClip(t *testing.T) {
	folder := fixture.Shared(t, "video", "dev")
	clips, err := os.ReadDir(folder)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "r.jsonl")
	got := ensue(t, "replay", folder, "--results", path)
	require.Zero(t, got.code, got.err)
	require.NotContains(t, got.err, "refused")
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	scored := map[string]bool{}
	for _, result := range results(t, bufio.NewScanner(file)) {
		if result.Energy != nil {
			scored[result.Stream] = true
		}
	}
	require.Len(t, scored, len(clips))
}

func TestReplayScoresOrRefusesEveryRobustFile(t *testing.T) {
	folder := fixture.Shared(t, "video", "robust")
	files, err := filepath.Glob(filepath.Join(folder, "*.*"))
	require.NoError(t, err)
	for _, file := range files {
		if filepath.Base(file) == "manifest.csv" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			begin := time.Now()
			said, got := envelopeOf(t, "replay", file)
			require.Less(t, time.Since(begin), 20*time.Second)
			data := said.Data.(map[string]any)
			refused, _ := data["refused"].([]any)
			if got.code == exitOK {
				require.NotZero(t, data["results"])
				return
			}
			require.Equal(t, exitInput, got.code)
			require.NotEmpty(t, refused)
			require.NotContains(t, refused[0].(map[string]any)["code"], "internal")
		})
	}
}

func TestReplayOfNothingButRubbishFailsAsInput(t *testing.T) {
	got := ensue(t, "replay", write(t, "rubbish.mp4", "this is no video"))
	require.Equal(t, exitInput, got.code)
	require.Contains(t, got.err, "rubbish.mp4")
	require.Contains(t, got.err, "replay.nothing_scored")
}

func TestTheFirstSignalDrains(t *testing.T) {
	addr := embedded(t)
	topics(t, addr)
	require.Zero(t, ensue(t, "publish", "--brokers", addr, samples()[0]).code)
	pipeline := start(t, "run", definition(t, addr), "--log", "info")
	tailed(t, addr, 3, pipeline)
	require.NoError(t, pipeline.Process.Signal(syscall.SIGINT))
	require.Zero(t, pipeline.end(t), pipeline.err.String())
	require.Contains(t, pipeline.err.String(), "pipeline stopped")
}

func TestTheSecondSignalKills(t *testing.T) {
	started, err := broker.StartEmbedded(t.Context(), broker.Options{})
	require.NoError(t, err)
	addr := started.Addrs()[0]
	topics(t, addr)
	publisher := start(t, "publish", "--brokers", addr, "--loop", "0", samples()[0])
	pipeline := start(t, "run", definition(t, addr))
	tailed(t, addr, 3, pipeline)
	started.Close() // results can no longer be written, so the drain cannot end
	time.Sleep(time.Second)
	require.NoError(t, pipeline.Process.Signal(syscall.SIGTERM))
	time.Sleep(time.Second)
	require.NoError(t, pipeline.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 143, pipeline.end(t), pipeline.err.String())
	require.NoError(t, publisher.Process.Kill())
}

func TestStockDefinitionsExplainTheirGuarantee(t *testing.T) {
	for _, name := range pipelines.StockNames() {
		got := ensue(t, "explain", name)
		require.Zero(t, got.code, got.err)
		require.Contains(t, got.out, "at least once")
	}
}

func TestThePrintedSchemasAreSchemas(t *testing.T) {
	for _, kind := range []string{"definition", "result", "envelope"} {
		got := ensue(t, "schema", kind)
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(got.out))
		require.NoError(t, err)
		compiler := jsonschema.NewCompiler()
		require.NoError(t, compiler.AddResource(kind, document))
		_, err = compiler.Compile(kind)
		require.NoError(t, err)
	}
}

func TestPublishIsMediaMTXsHook(t *testing.T) {
	addr := embedded(t)
	topics(t, addr)
	recording, err := os.ReadFile(samples()[0])
	require.NoError(t, err)
	t.Setenv("MTX_PATH", "front/door")
	t.Setenv("MTX_SEGMENT_DURATION", "39.85")
	// A recorder calls it for one file after the other; somebody calls it once more for the first, because they are not sure.
	for _, name := range []string{"2026-05-01_12-00-00.mp4", "2026-05-01_12-00-39-850000.mp4", "2026-05-01_12-00-00.mp4"} {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, recording, 0o600))
		t.Setenv("MTX_SEGMENT_PATH", path)
		got := ensue(t, "publish", "--hook", "--brokers", addr)
		require.Zero(t, got.code, got.err)
		require.Contains(t, got.out, "front/door: 20 segments")
	}
	pipeline := start(t, "run", definition(t, addr))
	for _, result := range tailed(t, addr, 40, pipeline) {
		require.Equal(t, "front/door", result.Stream)
	}
}
