package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/postgres"
	"github.com/ensue-video/ensue/resultfile"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

// readResults is what a file of results holds, without what a run does not repeat.
func readResults(t *testing.T, path string) (results []*stream.Result) {
	t.Helper()
	opened, err := resultfile.Open(path)
	require.NoError(t, err)
	for result, err := range opened {
		require.NoError(t, err)
		result.Latency = stream.Latency{}
		extents := []*stream.Extent{&result.Y}
		if result.X != nil {
			extents = append(extents, result.X)
		}
		for _, extent := range extents { // a table has microseconds
			extent.Start, extent.End = extent.Start.Truncate(time.Microsecond), extent.End.Truncate(time.Microsecond)
		}
		results = append(results, result)
	}
	return results
}

func TestReplayWritesTablesAndRecordingsAndExportDoesToo(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	for _, name := range []string{"a.jsonl", "a.parquet", "a.mcap"} {
		got := ensue(t, "replay", samples()[0], "--results", at(name))
		require.Zero(t, got.code, got.err)
		require.Contains(t, got.out, "results: "+at(name))
	}
	lines := readResults(t, at("a.jsonl"))
	require.Greater(t, len(lines), 10)
	require.Equal(t, lines, readResults(t, at("a.parquet")), "the table says what the lines do")

	got := ensue(t, "export", at("a.parquet"), "--jsonl", at("b.jsonl"), "--mcap", at("b.mcap"))
	require.Zero(t, got.code, got.err)
	require.Equal(t, lines, readResults(t, at("b.jsonl")))
	b, err := os.Stat(at("b.mcap"))
	require.NoError(t, err)
	require.Positive(t, b.Size())

	said, got := envelopeOf(t, "export", folder, "--parquet", at("c.parquet"), "--once")
	require.Zero(t, got.code, got.err)
	require.InEpsilon(t, len(lines), said.Data.(map[string]any)["written"].([]any)[0].(map[string]any)["results"], 0)

	got = ensue(t, "replay", samples()[0], "--results", at("nowhere/a.parquet"))
	require.Equal(t, exitInput, got.code)
	got = ensue(t, "export", at("a.jsonl"))
	require.Equal(t, exitInput, got.code)
	require.Contains(t, got.err, "hint: give --parquet, --mcap or --jsonl")
	got = ensue(t, "export", at("nothing.jsonl"), "--mcap", at("x.mcap"))
	require.Equal(t, exitInput, got.code)
	require.Contains(t, got.err, "export.no_such_file")
}

func TestSearchFindsWhatLooksAlike(t *testing.T) {
	folder := t.TempDir()
	lines, table := filepath.Join(folder, "r.jsonl"), filepath.Join(folder, "r.parquet")
	require.Zero(t, ensue(t, append([]string{"replay", "--results", lines}, samples()...)...).code)
	require.Zero(t, ensue(t, "export", lines, "--parquet", table).code)

	got := ensue(t, "search", lines, "--like", "garden@12.5s", "--k", "3")
	require.Zero(t, got.code, got.err)
	require.Contains(t, got.out, "like garden at 0:12.0")
	require.Contains(t, got.out, "SIMILARITY")
	_, inLines := envelopeOf(t, "search", lines, "--like", "garden@12.5s", "--k", "3")
	_, inTable := envelopeOf(t, "search", table, "--like", "garden@12.5s", "--k", "3")
	require.Equal(t, ids(t, inLines.out), ids(t, inTable.out))

	for want, args := range map[string][]string{
		`did you mean "garden"? stored are garden, shelf, yard`: {"--like", "gardn@12.5s"},
		"of garden is stored 1970-01-01T00:00:00Z":              {"--like", "garden@2h"},
		"the results have no horizon of 9s":                     {"--like", "garden@12.5s", "--horizon", "9s"},
		"--like is missing":                                     {},
		"names no moment":                                       {"--like", "garden"},
		"nothing to search, or two things at once":              {"--like", "garden@1s", "--postgres"},
	} {
		got := ensue(t, append([]string{"search", lines}, args...)...)
		require.Equal(t, exitInput, got.code)
		require.Contains(t, got.err, want)
	}
	got = ensue(t, "search", "--like", "garden@1s", "--postgres")
	require.Equal(t, exitInput, got.code)
	require.Contains(t, got.err, "search.no_database")

	server := postgres.Start(t)
	config := sink.DefaultPostgres()
	config.URL = server.URL()
	out, err := sink.New(sink.Config{Postgres: &config}, nil, nil)
	require.NoError(t, err)
	require.NoError(t, out.Write(t.Context(), readResults(t, lines)))
	require.NoError(t, out.Close())
	t.Setenv("POSTGRES", server.URL())
	_, inDatabase := envelopeOf(t, "search", "--postgres", "--like", "garden@12.5s", "--k", "3")
	require.Zero(t, inDatabase.code, inDatabase.err)
	require.Equal(t, ids(t, inLines.out), ids(t, inDatabase.out))
}

func ids(t *testing.T, text string) (found []string) {
	t.Helper()
	var said struct {
		Data struct{ Matches []struct{ ID string } }
	}
	require.NoError(t, json.Unmarshal([]byte(text), &said))
	for _, match := range said.Data.Matches {
		found = append(found, match.ID)
	}
	require.NotEmpty(t, found)
	return found
}
