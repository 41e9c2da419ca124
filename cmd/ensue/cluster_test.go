package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/internal/apachekafka"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
)

// The whole, as a black box, on both brokers: what is published and run gives what replay gives, through crashes too.

func TestPublishedVideoGivesTheResultsOfReplayOnTheEmbeddedBroker(t *testing.T) {
	comparePublishedWithReplayed(t, embedded(t), footage(t), nil)
}

func TestPublishedVideoGivesTheResultsOfReplayOnApacheKafka(t *testing.T) {
	comparePublishedWithReplayed(t, apachekafka.Start(t).Addr(), footage(t), nil)
}

func TestNothingIsLostWhenRunIsKilledOnTheEmbeddedBroker(t *testing.T) {
	killInMidStream(t, embedded(t), nil)
}

func TestNothingIsLostWhenRunIsKilledOnApacheKafka(t *testing.T) {
	killInMidStream(t, apachekafka.Start(t).Addr(), nil)
}

func embedded(t *testing.T) string {
	t.Helper()
	started, err := broker.StartEmbedded(t.Context(), broker.Options{})
	require.NoError(t, err)
	t.Cleanup(started.Close)
	return started.Addrs()[0]
}

// topics makes the three topics of a test.
func topics(t *testing.T, addr string) {
	t.Helper()
	require.NoError(t, broker.CreateTopics(t.Context(), []string{addr}, []broker.Topic{
		{Name: "video.segments", Partitions: 4}, {Name: "video.energy", Partitions: 2}, {Name: "video.dead", Partitions: 1},
	}))
}

// definition writes a definition from topic to topic, with more lines at its end.
func definition(t *testing.T, addr string, more ...string) string {
	t.Helper()
	return write(t, "test.yaml", fmt.Sprintf(`
version: 1
name: test
ingest:
  kafka: {brokers: ["%s"], topic: video.segments, group: test, session_timeout: 6s, drain_timeout: 5s}
decode:
  # A raw stream has no times to cut by, so it is one long segment.
  limits: {timeout: 4s, duration: 10m, frames: 20000}
predictor:
  calibrate: {warmup: 5s, false_alarms_per_day: 50}
sink:
  kafka: {topic: video.energy}
  dead_letter: {kafka: {topic: video.dead}}
%s`, addr, strings.Join(more, "\n")))
}

// footage is the dev clips where they are, the sample streams everywhere.
func footage(t *testing.T) []string {
	t.Helper()
	root := os.Getenv("ENSUE_SHARED")
	if root == "" {
		root = fixture.Repository("..", "shared")
	}
	clips, err := filepath.Glob(filepath.Join(root, "video", "dev", "*"))
	require.NoError(t, err)
	return append(samples(), clips...)
}

// comparePublishedWithReplayed takes what is said to replay in flags, and the same to run in more lines of its definition.
func comparePublishedWithReplayed(t *testing.T, addr string, files, flags []string, more ...string) {
	t.Helper()
	replayed := replay(t, files, flags...)
	topics(t, addr)
	got := ensue(t, append([]string{"publish", "--brokers", addr}, files...)...)
	require.Zero(t, got.code, got.err)
	pipeline := start(t, "run", definition(t, addr, more...))
	published := tailed(t, addr, len(replayed), pipeline)
	require.NoError(t, pipeline.Process.Signal(syscall.SIGTERM))
	require.Zero(t, pipeline.end(t), pipeline.err.String())
	requireSame(t, replayed, published)
}

// killInMidStream kills a pipeline twice in mid-stream, holds what came out once all is there against a replay, and returns it.
func killInMidStream(t *testing.T, addr string, flags []string, more ...string) map[string]*stream.Result {
	t.Helper()
	files := samples()
	replayed := replay(t, files, flags...)
	topics(t, addr)
	publisher := start(t, append([]string{"publish", "--brokers", addr, "--pace", "x6"}, files...)...)
	path := definition(t, addr, more...)
	for _, after := range []int{len(replayed) / 4, len(replayed) / 2} {
		pipeline := start(t, "run", path)
		tailed(t, addr, after, pipeline)
		require.NoError(t, pipeline.Process.Kill())
		require.Equal(t, -1, pipeline.end(t))
	}
	pipeline := start(t, "run", path)
	published := tailed(t, addr, len(replayed), pipeline)
	require.Zero(t, publisher.end(t), publisher.err.String())
	require.NoError(t, pipeline.Process.Signal(syscall.SIGTERM))
	require.Zero(t, pipeline.end(t), pipeline.err.String())
	requireSame(t, replayed, published)
	return replayed
}

// replay is the results of the files by id.
func replay(t *testing.T, files []string, flags ...string) map[string]*stream.Result {
	t.Helper()
	path := filepath.Join(t.TempDir(), "replayed.jsonl")
	if !slices.Contains(flags, "--model") { // that of a definition which names none
		flags = append([]string{"--model", encoder.DefaultModel}, flags...)
	}
	got := ensue(t, slices.Concat([]string{"replay", "--quiet", "--results", path}, flags, files)...)
	require.Zero(t, got.code, got.err)
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	return results(t, bufio.NewScanner(file))
}

// tailed is the first so many results of the topic by id; a result that comes twice counts once.
func tailed(t *testing.T, addr string, count int, pipeline *process) map[string]*stream.Result {
	t.Helper()
	return tailedBy(t, []string{"--brokers", addr}, count, pipeline)
}

// tailedBy is tailed by a reader that gets in as flags say.
func tailedBy(t *testing.T, flags []string, count int, pipeline *process) map[string]*stream.Result {
	t.Helper()
	reader := start(t, append([]string{"tail", "--json", "--once", "--max", strconv.Itoa(count), "--idle", "60s"}, flags...)...)
	require.Zero(t, reader.end(t), reader.err.String())
	got := results(t, bufio.NewScanner(&reader.out))
	require.Len(t, got, count, "results missing; the pipeline said: %s", pipeline.err.String())
	return got
}

func results(t *testing.T, lines *bufio.Scanner) map[string]*stream.Result {
	t.Helper()
	lines.Buffer(nil, 16<<20)
	found := map[string]*stream.Result{}
	for lines.Scan() {
		var result stream.Result
		require.NoError(t, json.Unmarshal(lines.Bytes(), &result))
		found[result.ID] = &result
	}
	require.NoError(t, lines.Err())
	return found
}

// requireSame holds two sets of results against each other in everything that a replay must give again: not the p-values, which
// a process that was killed has to learn anew, nor the latencies.
func requireSame(t *testing.T, want, got map[string]*stream.Result) {
	t.Helper()
	require.Len(t, got, len(want))
	for id, expected := range want {
		actual, ok := got[id]
		require.True(t, ok, "the result on %s is missing", expected.Y.Segment)
		require.Equal(t, lasting(expected), lasting(actual), expected.Y.Segment)
	}
}

func lasting(result *stream.Result) stream.Result {
	plain := *result
	plain.Latency, plain.PValue, plain.Expected, plain.Verdict = stream.Latency{}, nil, nil, ""
	plain.Windows = nil
	for _, window := range result.Windows {
		plain.Windows = append(plain.Windows, stream.Window{Start: window.Start, Energy: window.Energy})
	}
	plain.X, plain.Y = nil, stream.Extent{Segment: result.Y.Segment}
	return plain
}

func TestRunEndsWithTheCodeOfTheEnvironmentWhereThereIsNoBroker(t *testing.T) {
	got := ensue(t, "check", definition(t, "127.0.0.1:1"))
	require.Equal(t, exitEnvironment, got.code)
	require.Contains(t, got.out, "127.0.0.1:1")
}

func TestRunNamesTheTopicThatIsMissing(t *testing.T) {
	got := ensue(t, "run", definition(t, embedded(t)))
	require.Equal(t, exitEnvironment, got.code)
	require.Contains(t, got.err, "video.segments")
	require.Contains(t, got.err, "topic_missing")
}

func TestPublishNamesTheTopicThatIsMissing(t *testing.T) {
	got := ensue(t, "publish", "--brokers", embedded(t), samples()[0])
	require.Equal(t, exitEnvironment, got.code)
	require.Contains(t, got.err, "video.segments")
}

func TestPoisonBecomesADeadLetterAndTheStreamsBesideItGoOn(t *testing.T) {
	addr := embedded(t)
	topics(t, addr)
	poison(t, addr)
	got := ensue(t, "publish", "--brokers", addr, samples()[0])
	require.Zero(t, got.code, got.err)
	pipeline := start(t, "run", definition(t, addr))
	tailed(t, addr, len(replay(t, samples()[:1])), pipeline)
	codes := deadCodes(t, addr, len(poisonous()))
	require.NoError(t, pipeline.Process.Signal(syscall.SIGTERM))
	require.Zero(t, pipeline.end(t), pipeline.err.String())
	for name, record := range poisonous() {
		require.Equal(t, record.code, codes[name], name)
	}
}

// patience is how long a test waits for records.
const patience = time.Minute
