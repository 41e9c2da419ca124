package pipelines

import (
	"encoding/json"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/sink"
)

func TestExplainStockDefinitions(t *testing.T) {
	for _, name := range StockNames() {
		t.Run(name, func(t *testing.T) {
			data, _ := Stock(name)
			def, findings := Parse(name, data, noEnv)
			require.Empty(t, findings)
			golden(t, filepath.Join("testdata", "explain", name+".txt"), []byte(explain(def, 2).Text()))
		})
	}
}

func explained(t *testing.T, text string) Explanation {
	t.Helper()
	def, findings := Parse("test.yaml", []byte(text), testEnv)
	require.Empty(t, render(findings))
	return explain(def, 2)
}

func valueOf(t *testing.T, e Explanation, path string) ValueExplanation {
	t.Helper()
	for _, v := range e.Values {
		if v.Path == path {
			return v
		}
	}
	require.Fail(t, "not explained", path)
	return ValueExplanation{}
}

func TestExplainSaysWhereValuesComeFrom(t *testing.T) {
	def, _ := Parse("test.yaml", []byte(minimal+`decode: {fps: "${RATE}", workers: 3}
queues: {memory: "${MISSING:512MiB}"}
`), testEnv)
	def.Decode.Workers = 5
	def.Sink.Kafka = &sink.KafkaConfig{Topic: "video.energy", Delivery: "at_least_once"}
	e := explain(def, 2)
	tests := map[string]ValueExplanation{
		"name":                 {Value: "lobby", Origin: "line 2"},
		"decode.fps":           {Value: "12.5", Origin: "line 5 from ${RATE}"},
		"decode.workers":       {Value: "5", Origin: "the program"},
		"queues.memory":        {Value: "512MiB", Origin: "line 6 from the default of ${MISSING}"},
		"queues.size":          {Value: "8", Origin: "default", Why: "hides the jitter of a stage without adding much delay"},
		"sink.kafka.topic":     {Value: "video.energy", Origin: "the program"},
		"ingest.kafka.brokers": {Value: "[localhost:9092]", Origin: "default", Why: "a broker on the same machine, as in the compose file"},
		"ingest.kafka.group": {
			Value: "ensue-lobby", Origin: "default: ensue- and the name", Why: "pipelines with different names do not take segments from each other",
		},
		"sink.kafka.brokers": {
			Value: "(the brokers of ingest.kafka)", Origin: "default: the brokers of ingest.kafka",
			Why: "results usually go back where the video came from",
		},
	}
	for path, want := range tests {
		want.Path = path
		require.Equal(t, want, valueOf(t, e, path))
	}
}

func TestExplainMemoryIsTheSumOfItsTerms(t *testing.T) {
	e := explained(t, minimal+"decode: {workers: 3, limits: {pixels: 1920x1080}}\nqueues: {memory: 256MiB}\n")
	var sum int64
	bytes := map[string]int64{}
	for _, term := range e.Memory.Terms {
		sum += term.Bytes
		bytes[term.Name] = term.Bytes
	}
	require.Equal(t, sum, e.Memory.Bound)
	require.Equal(t, int64(256<<20), bytes["segments under way"])
	require.Equal(t, int64(3*17*1920*1080*3/2), bytes["decoders"])
	require.NotNil(t, e.Memory.PerPartition)
	require.Positive(t, e.Memory.PerStream.Bytes)

	longer := explained(t, minimal+"predictor: {context: 20s}\n")
	require.Greater(t, longer.Memory.PerStream.Bytes, e.Memory.PerStream.Bytes)
}

func TestExplainDelivery(t *testing.T) {
	require.Equal(t, "at least once", explained(t, minimal).Delivery.Guarantee)
	require.Equal(t, "at least once for the segments that are taken in",
		explained(t, minimal+"queues: {full: drop_oldest}\n").Delivery.Guarantee)
	files := strings.Replace(minimal, "{kafka: {topic: video.segments}}", "{files: {paths: [a.mp4]}}", 1)
	require.Equal(t, "once a run", explained(t, files).Delivery.Guarantee)
	without := explained(t, "version: 1\nname: a\ningest: {kafka: {topic: t}}\nsink: {jsonl: {path: out}}\n")
	require.Contains(t, strings.Join(without.Delivery.Why, "\n"), "no place for dead letters")
}

func TestExplainHidesSecrets(t *testing.T) {
	def, findings := Parse("test.yaml", []byte(`version: 1
name: lobby
ingest: {kafka: {topic: "${DB_PASSWORD}", group: "a ${DB_PASSWORD}\"b"}}
sink:
  jsonl: {path: "https://user:hunter2@host/out"}
  dead_letter: {kafka: {topic: "${DB_PASSWORD}"}}
`), testEnv)
	require.NotNil(t, def, render(findings))
	e := Explain(def)
	printed, err := json.Marshal(e)
	require.NoError(t, err)
	require.NotContains(t, string(printed), "hunter2")
	require.NotContains(t, e.Text(), "hunter2")
	require.Contains(t, e.Text(), secretText)
	require.NotContains(t, render(Review(def)), "hunter2", "dead letters go to the topic of the segments, whose name is not told")
	require.Contains(t, findingCodes(Review(def), SeverityError), rules()[5].code)
}

func TestExplainOfADefinitionThatNobodyParsed(t *testing.T) {
	e := Explain(&Definition{Name: "made"})
	require.Equal(t, "made", e.Name)
	require.Contains(t, e.Text(), "reads nothing")
	require.Equal(t, "the program", valueOf(t, e, "decode.fps").Origin)
}

func TestExplainIsAboutThisMachine(t *testing.T) {
	def, _ := Parse("test.yaml", []byte(minimal), noEnv)
	require.Equal(t, explain(def, runtime.GOMAXPROCS(0)), Explain(def))
	require.Equal(t, 7, explain(def, 7).Stages[1].Workers)
}
