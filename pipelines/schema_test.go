package pipelines

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ensue-video/ensue/stream"
)

func TestSchemaIsUpToDate(t *testing.T) { golden(t, "schema.json", Schema()) }

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	require.NoError(t, compiler.AddResource(schemaID, document))
	schema, err := compiler.Compile(schemaID)
	require.NoError(t, err)
	return schema
}

// asJSON is a YAML document as an editor gives it to the schema.
func asJSON(data []byte) (any, error) {
	var value any
	if err := yaml.Unmarshal(data, &value); err != nil {
		return nil, err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

func TestSchemaAcceptsGoodDefinitions(t *testing.T) {
	schema := compiledSchema(t)
	all := cases(t, "good")
	for _, name := range StockNames() {
		all["stock "+name], _ = Stock(name)
	}
	for name, data := range all {
		t.Run(name, func(t *testing.T) {
			value, err := asJSON(data)
			require.NoError(t, err)
			require.NoError(t, schema.Validate(value))
		})
	}
}

// TestSchemaRefusesWhatItCanKnow: of the broken definitions that are YAML, the schema refuses exactly those with a mistake of
// the kind that a schema can see.
func TestSchemaRefusesWhatItCanKnow(t *testing.T) {
	visible := []stream.Code{
		codeUnknownKey, codeMergeKey, codeMissingKey, codeWrongType, codeEmptyValue, codeNotAnOption, codeNotOffered,
		"definition.no_source", "definition.two_sources", "definition.no_sink", "definition.two_dead_letters",
	}
	schema := compiledSchema(t)
	refused, accepted := 0, 0
	for name, data := range cases(t, "bad") {
		value, err := asJSON(data)
		if err != nil {
			continue // not YAML at all
		}
		t.Run(name, func(t *testing.T) {
			seen := slices.ContainsFunc(findingCodes(Lint(name, data, noEnv), SeverityError), func(code stream.Code) bool {
				return slices.Contains(visible, code)
			})
			err := schema.Validate(value)
			if seen {
				require.Error(t, err)
				refused++
				return
			}
			require.NoError(t, err)
			accepted++
		})
	}
	require.Positive(t, refused)
	require.Positive(t, accepted)
}

func TestSchemaAndParserAgreeOnSingleValues(t *testing.T) {
	schema := compiledSchema(t)
	tests := []string{
		"decode: {fps: 8}", "decode: {fps: 8.5}", `decode: {fps: "8"}`, `decode: {fps: "${RATE}"}`, "decode: {fps: 0}", "decode: {fps: 241}",
		"decode: {workers: 1.5}", "decode: {workers: -1}",
		"predictor: {map: yes please}", "predictor: {map: true}", `predictor: {map: "${MISSING:false}"}`,
		"predictor: {context: 2s}", "predictor: {context: 1m30s}", "predictor: {context: 2}", "predictor: {context: 2 s}",
		"predictor: {horizons: [1s]}", "predictor: {horizons: []}", "predictor: {horizons: 1s}", "predictor: {horizons: [1]}",
		"predictor: {model: flow}", "predictor: {model: Flow}", `predictor: {model: "${MISSING:flow}"}`,
		"queues: {memory: 1GiB}", "queues: {memory: 1G}", "queues: {memory: 1.5GiB}",
		"decode: {limits: {pixels: 640x480}}", "decode: {limits: {pixels: 640}}", "decode: {limits: {pixels: [640, 480]}}",
		"decode: {limits: {}}", "decode: {limits: []}", "decode: {limits: 1}", "decode:", "queue: {}",
	}
	for _, extra := range tests {
		t.Run(extra, func(t *testing.T) {
			text := []byte(minimal + extra + "\n")
			_, findings := Parse("test.yaml", text, testEnv)
			value, err := asJSON(text)
			require.NoError(t, err)
			err = schema.Validate(value)
			require.Equal(t, HasErrors(findings), err != nil, "parser: %sschema: %v", render(findings), err)
		})
	}
}
