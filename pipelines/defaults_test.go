package pipelines

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/predictor"
)

func TestADefinitionsDefaultsAreThoseOfTheStages(t *testing.T) {
	parse := func(text string) *Definition {
		def, findings := Parse("test", []byte(text), nil)
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
}
