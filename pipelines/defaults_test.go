package pipelines

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/sink"
)

func TestADefinitionsDefaultsAreThoseOfTheStages(t *testing.T) {
	parse := func(text string) *Definition {
		def, findings := Parse("test", []byte(text), noEnv)
		require.NotNil(t, def, "%v", findings)
		return def
	}
	def := parse("version: 1\nname: a\ningest: {kafka: {topic: in}}\nsink: {jsonl: {path: out}}\n")
	kafka := ingest.DefaultKafka()
	kafka.Brokers, kafka.Topic, kafka.Group = []string{"localhost:9092"}, "in", "ensue-a"
	require.Equal(t, &kafka, def.Ingest.Kafka)
	require.Equal(t, ingest.DefaultOrder(), def.Ingest.Order)
	require.Equal(t, decode.Default(), def.Decode)
	want := predictor.Config{}.Default()
	want.Map = def.Predictor.Map // off in the library, where nobody may look at it
	require.Equal(t, want, def.Predictor)

	def = parse("version: 1\nname: a\ningest: {files: {paths: [x.mp4]}}\nsink: {jsonl: {path: out}}\n")
	files := ingest.DefaultFiles()
	files.Paths = []string{"x.mp4"}
	require.Equal(t, &files, def.Ingest.Files)

	def = parse("version: 1\nname: a\ningest: {files: {paths: [x.mp4]}}\n" +
		"sink: {parquet: {path: out}, postgres: {url: \"${P:postgres://localhost/x}\"}, webhook: {url: \"http://localhost/x\"}}\n")
	table, database, webhook := sink.DefaultParquet(), sink.DefaultPostgres(), sink.DefaultWebhook()
	table.Path, database.URL, webhook.URL = "out", "postgres://localhost/x", "http://localhost/x"
	require.Equal(t, &table, def.Sink.Parquet)
	require.Equal(t, &database, def.Sink.Postgres)
	require.Equal(t, &webhook, def.Sink.Webhook)
}
