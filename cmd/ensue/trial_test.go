package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// tried writes a definition and a test for it into a folder, and returns the test.
func tried(t *testing.T, expectations string) string {
	t.Helper()
	folder := t.TempDir()
	definition := `version: 1
name: lobby
ingest: {files: {paths: [video]}}
predictor: {calibrate: {false_alarms_per_day: 50, warmup: 8s}}
sink: {jsonl: {path: r.jsonl}}
`
	require.NoError(t, os.WriteFile(filepath.Join(folder, "lobby.yaml"), []byte(definition), 0o644))
	path := filepath.Join(folder, "lobby_test.yaml")
	require.NoError(t, os.WriteFile(path, []byte("version: 1\nclips:\n  - files: ["+samples()[1]+"]\n"+expectations), 0o644))
	return path
}

func TestATestThatIsMetEndsWithZero(t *testing.T) {
	path := tried(t, "    verdicts: [{at: 28.86s, verdict: breaks}]\n    never: [stalls]\n    counts: {breaks: 1}\n")
	got := ensue(t, "test", path)
	require.Zero(t, got.code, got.out+got.err)
	require.Regexp(t, `(?m)^ok    `+regexp.QuoteMeta(path)+`: yard\.mp4 \(3[78]\.\d s\)$`, got.out)
	require.Contains(t, got.out, "1 clip, 4 expectations met, 0 not")

	junit := filepath.Join(t.TempDir(), "out.xml")
	got = ensue(t, "test", filepath.Dir(path), "--junit", junit, "--quiet")
	require.Zero(t, got.code)
	require.Empty(t, got.out)
	var suites junitSuites
	text, err := os.ReadFile(junit)
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(text, &suites))
	require.Equal(t, 1, suites.Suites[0].Tests)
	require.Zero(t, suites.Suites[0].Failures)
}

// TestATestThatIsNotMetShowsTheDifference, ends with 1, and is met once what was measured is written into it.
func TestATestThatIsNotMetShowsTheDifference(t *testing.T) {
	path := tried(t, "    verdicts:\n      - {at: 12s, verdict: breaks} # wrong\n    median_energy: 7\n")
	junit := filepath.Join(t.TempDir(), "out.xml")
	got := ensue(t, "test", path, "--junit", junit)
	require.Equal(t, exitRuntime, got.code, got.err)
	require.Contains(t, got.out, "FAIL  "+path+": yard.mp4")
	require.Contains(t, got.out, path+":5:9: clips[0].verdicts[0]\n      - breaks at 12s (± 1s)\n      + continues at 1")
	require.Contains(t, got.out, ":6:20: clips[0].median_energy\n      - median energy 7 (± 2 %)\n      + median energy 0.")
	text, err := os.ReadFile(junit)
	require.NoError(t, err)
	require.Contains(t, string(text), `failures="1"`)

	said, got := envelopeOf(t, "test", path)
	require.Equal(t, exitRuntime, got.code)
	require.Equal(t, "test.failed", said.Error.Code)
	trial := said.Data.([]any)[0].(map[string]any)
	require.EqualValues(t, 2, trial["failed"])

	require.Zero(t, ensue(t, "test", path, "--update").code)
	text, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "- {at: 12s, verdict: continues} # wrong")
	require.Zero(t, ensue(t, "test", path).code)
}

func TestATestThatIsWrongEndsWithTwo(t *testing.T) {
	path := tried(t, "    verdict: []\n")
	got := ensue(t, "test", path)
	require.Equal(t, exitInput, got.code)
	require.Contains(t, got.err, path+`:4:5: error definition.unknown_key: clips[0].verdict: `+
		`there is no key "verdict" in clips[0] (did you mean "verdicts"?)`)
	got = ensue(t, "test", write(t, "gone_test.yaml", "version: 1\nclips: [{files: [a.mp4]}]\n"))
	require.Equal(t, exitInput, got.code)
	require.Contains(t, got.err, "definition.no_such_file")
	got = ensue(t, "test", t.TempDir())
	require.Equal(t, exitInput, got.code)
	require.Contains(t, got.err, "test.none")
	require.Equal(t, exitInput, ensue(t, "test", "/nowhere_test.yaml").code)
}
