package pipelines

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStockDefinitionsLint(t *testing.T) {
	require.Equal(t, []string{"demo", "live", "replay"}, StockNames())
	for _, name := range StockNames() {
		t.Run(name, func(t *testing.T) {
			data, ok := Stock(name)
			require.True(t, ok)
			require.True(t, strings.HasPrefix(string(data), "# yaml-language-server: $schema="))
			findings := Lint(name, data, noEnv)
			require.Empty(t, findingCodes(findings, SeverityError, SeverityWarning), render(findings))
			def, _ := Parse(name, data, noEnv)
			require.Equal(t, name, def.Name)
			require.NoError(t, def.Ingest.Validate())
			require.NoError(t, def.Predictor.Validate())
		})
	}
}

func TestStockKnowsOnlyItsNames(t *testing.T) {
	for _, name := range []string{"", "nothing", "../stock/live", "live.yaml"} {
		_, ok := Stock(name)
		require.False(t, ok, name)
	}
}

func TestStockDefinitionsTakeBrokersFromTheEnvironment(t *testing.T) {
	env := func(name string) (string, bool) { return "a:9092,b:9092", name == "KAFKA" }
	for _, name := range []string{"demo", "live"} {
		data, _ := Stock(name)
		def, _ := Parse(name, data, env)
		require.Equal(t, []string{"a:9092", "b:9092"}, def.Ingest.Kafka.Brokers)
		require.Empty(t, def.Sink.Kafka.Brokers, "empty means those of ingest.kafka")
	}
}
