package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
)

// beEnsue makes the test binary be the program: tests that kill it start it as a process of its own.
const beEnsue = "ENSUE_TEST_BE_ENSUE"

func TestMain(m *testing.M) {
	if os.Getenv(beEnsue) != "" {
		main()
		return
	}
	fixture.Main(m)
}

// ran is what a command line came to.
type outcome struct {
	code     int
	out, err string
}

// ensue runs a command line in this process.
func ensue(t *testing.T, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var out, err bytes.Buffer
	code := run(ctx, args, newApp(strings.NewReader(""), &out, &err, os.LookupEnv))
	return outcome{code: code, out: out.String(), err: err.String()}
}

// envelopeOf runs a command line with --json and returns its envelope, which must be valid by the published schema.
func envelopeOf(t *testing.T, args ...string) (envelope, outcome) {
	t.Helper()
	got := ensue(t, append(args, "--json")...)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(envelopeSchema))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("envelope.json", document))
	schema, err := compiler.Compile("envelope.json")
	require.NoError(t, err)
	instance, err := jsonschema.UnmarshalJSON(strings.NewReader(got.out))
	require.NoError(t, err, "stdout: %s stderr: %s", got.out, got.err)
	require.NoError(t, schema.Validate(instance))
	var parsed envelope
	require.NoError(t, json.Unmarshal([]byte(got.out), &parsed))
	require.Equal(t, got.code == 0, parsed.OK)
	if !parsed.OK {
		require.Equal(t, got.code, parsed.Error.Exit)
	}
	return parsed, got
}

// process is the program, running on its own.
type process struct {
	*exec.Cmd
	out, err bytes.Buffer
}

// prepared is the program before it is started.
func prepared(args ...string) *process {
	p := &process{Cmd: exec.Command(os.Args[0], args...)}
	p.Env = append(os.Environ(), beEnsue+"=1")
	p.Stdout, p.Stderr = &p.out, &p.err
	return p
}

// start starts the program with a command line; it is killed at the end of the test if it still runs.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := prepared(args...)
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	})
	return p
}

// end waits for the program to end and returns its exit code; -1 where it was killed.
func (p *process) end(t *testing.T) int {
	t.Helper()
	timer := time.AfterFunc(2*time.Minute, func() { _ = p.Process.Kill() })
	defer timer.Stop()
	_ = p.Wait()
	return p.ProcessState.ExitCode()
}

// write writes a file of the test and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// samples are the sample streams of the repository.
func samples() []string {
	return []string{
		fixture.Repository("examples", "video", "shelf.mp4"),
		fixture.Repository("examples", "video", "yard.mp4"),
		fixture.Repository("examples", "video", "garden.mp4"),
	}
}
