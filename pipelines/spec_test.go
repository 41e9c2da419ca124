package pipelines

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/sink"
)

func TestSpecAndStructsHaveTheSameLeaves(t *testing.T) {
	_, err := bind(definitionFields(), reflect.TypeFor[Definition]())
	require.NoError(t, err)
}

func TestBindTellsEveryMismatch(t *testing.T) {
	type inner struct {
		Name string `def:"name"`
	}
	type outer struct {
		Inner *inner `def:"inner"`
		Count int    `def:"count"`
	}
	object := Field{Path: "inner", Kind: KindObject}
	name, count := Field{Path: "inner.name", Kind: KindString}, Field{Path: "count", Kind: KindInt}
	tests := map[string]struct {
		fields []Field
		wants  string
	}{
		"complete":                {[]Field{object, name, count}, ""},
		"struct field not in it":  {[]Field{object, count}, "no entry in the spec for inner.name"},
		"entry without a field":   {[]Field{object, name, count, {Path: "size", Kind: KindInt}}, `no field with the tag def:"size"`},
		"entry without an object": {[]Field{name, count}, "no entry for the object around it"},
		"entry twice":             {[]Field{object, name, name, count}, "twice"},
		"kind that does not fit":  {[]Field{object, name, {Path: "count", Kind: KindDuration}}, "a int cannot hold a duration"},
	}
	for what, test := range tests {
		t.Run(what, func(t *testing.T) {
			_, err := bind(test.fields, reflect.TypeFor[outer]())
			if test.wants == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.wants)
		})
	}
}

func TestEverySpecEntryIsWhole(t *testing.T) {
	for _, field := range Spec() {
		t.Run(field.Path, func(t *testing.T) {
			require.True(t, strings.HasSuffix(field.Doc, "."), "the sentence ends with a full stop")
			require.NotContains(t, strings.TrimSuffix(field.Doc, "."), ". ", "one sentence")
			if !field.leaf() {
				return
			}
			defaults := 0
			for _, has := range []bool{field.Required, field.Default != "", field.Computed != ""} {
				if has {
					defaults++
				}
			}
			require.Equal(t, 1, defaults, "required, or a default, or a computed one")
			require.Equal(t, !field.Required, field.Why != "", "a default has a reason")
			require.NotEmpty(t, field.example())
			for _, text := range append([]string{field.Default}, field.Examples...) {
				requireReadable(t, field, text)
			}
			for _, bound := range []string{field.Min, field.Max} {
				if bound != "" {
					value, c := field.scalar().read(bound)
					require.Nil(t, c)
					require.NotEmpty(t, field.scalar().amounts(value))
				}
			}
			if field.scalar() == KindEnum {
				require.NotEmpty(t, field.Options)
			}
			for _, meant := range field.Meant {
				require.Contains(t, field.Options, meant)
			}
			if kind := field.scalar(); kind == KindInt || kind == KindFloat {
				require.True(t, field.Unit != "" || field.Required, "a number says what it counts")
				require.NotEmpty(t, field.Min)
				require.NotEmpty(t, field.Max)
			}
			if kind := field.scalar(); kind == KindDuration || kind == KindBytes || kind == KindPixels {
				require.NotEmpty(t, field.Min)
				require.NotEmpty(t, field.Max)
			}
		})
	}
}

func requireReadable(t *testing.T, field Field, text string) {
	t.Helper()
	if text == "" {
		return
	}
	items := []string{text}
	if field.Kind == KindList {
		items = splitCommas(strings.Trim(text, "[]"))
	}
	for _, item := range items {
		item = substituter{env: noEnv, file: func(string) (string, error) { return "hidden", nil }}.expand(strings.Trim(item, `"`)).text
		value, c := field.scalar().read(item)
		require.Nil(t, c, "%s: %q", field.Path, item)
		require.True(t, field.within(value), "%s: %q", field.Path, item)
		if field.scalar() == KindEnum && (!field.OrPath || !strings.Contains(item, "/")) {
			require.Contains(t, field.Options, item)
		}
		if field.check != nil {
			require.Nil(t, field.check(item), "%s: %q", field.Path, item)
		}
	}
}

func TestOptionsAreThoseOfTheStages(t *testing.T) {
	options := func(path string) []string { return definitionTree().find(path).Options }
	require.ElementsMatch(t, encoder.Names(), options("encoder.model"))
	require.ElementsMatch(t, predictor.Names(), options("predictor.model"))
	require.Equal(t, append([]string{encoder.AttentionAuto}, model.Attentions()...), options("encoder.attention"))
	require.Equal(t, []string{encoder.PrecisionF32, encoder.PrecisionBF16}, options("encoder.precision"))
	require.ElementsMatch(t,
		[]string{string(ingest.LateDrop), string(ingest.LateDeadLetter), string(ingest.LateScoreAlone)}, options("ingest.order.late"))
	require.Contains(t, options("queues.full"), FullDropOldest)
	require.Equal(t, []string{sink.DeliverAtLeastOnce, sink.DeliverExactlyOnce}, options("sink.kafka.delivery"))
}

func TestValuesAreReadAndWrittenBack(t *testing.T) {
	tests := []struct {
		kind       Kind
		text       string
		canonical  string // of what is readable
		suggestion string // for what is not
	}{
		{KindInt, "8", "8", ""},
		{KindInt, "-3", "-3", ""},
		{KindInt, "010", "", "10"},
		{KindInt, "3_000", "", "3000"},
		{KindInt, "0x10", "", ""},
		{KindInt, "99999999999999999999", "", ""},
		{KindFloat, "8", "8", ""},
		{KindFloat, ".5", "0.5", ""},
		{KindFloat, "1e3", "1000", ""},
		{KindFloat, "1e999", "", ""},
		{KindFloat, ".nan", "", ""},
		{KindFloat, "0x1p4", "", ""},
		{KindBool, "true", "true", ""},
		{KindBool, "False", "false", ""},
		{KindBool, "yes", "", "true"},
		{KindBool, "Off", "", "false"},
		{KindBool, "1", "", ""},
		{KindDuration, "2s", "2s", ""},
		{KindDuration, "90s", "90s", ""},
		{KindDuration, "1m30s", "90s", ""},
		{KindDuration, "1.5s", "1.5s", ""},
		{KindDuration, "250ms", "250ms", ""},
		{KindDuration, "1h", "1h", ""},
		{KindDuration, "15m", "15m", ""},
		{KindDuration, "0s", "0s", ""},
		{KindDuration, "60", "", "60s"},
		{KindDuration, "2 s", "", "2s"},
		{KindDuration, "5 minutes", "", "5m"},
		{KindDuration, "2d", "", "48h"},
		{KindDuration, "1:30", "", ""},
		{KindDuration, "-2s", "", ""},
		{KindDuration, "9999999999h", "", ""},
		{KindBytes, "64MiB", "64MiB", ""},
		{KindBytes, "1.5GiB", "1536MiB", ""},
		{KindBytes, "10MB", "10000000B", ""},
		{KindBytes, "0B", "0B", ""},
		{KindBytes, "64M", "", "64MiB"},
		{KindBytes, "64 MiB", "", "64MiB"},
		{KindBytes, "1gb", "", "1GiB"},
		{KindBytes, "67108864", "", "64MiB"},
		{KindBytes, "many", "", ""},
		{KindBytes, "99999999TiB", "", ""},
		{KindPixels, "4096x4096", "4096x4096", ""},
		{KindPixels, "1920×1080", "", "1920x1080"},
		{KindPixels, "1920 x 1080", "", "1920x1080"},
		{KindPixels, "4096", "", "4096x4096"},
		{KindPixels, "1080p", "", ""},
	}
	for _, test := range tests {
		t.Run(string(test.kind)+" "+test.text, func(t *testing.T) {
			value, c := test.kind.read(test.text)
			if test.canonical == "" {
				require.NotNil(t, c)
				require.NotEmpty(t, c.hint)
				require.Equal(t, test.suggestion, c.suggestion)
				if c.suggestion != "" {
					_, again := test.kind.read(c.suggestion)
					require.Nil(t, again, "what is suggested can be read")
				}
				return
			}
			require.Nil(t, c)
			require.Equal(t, test.canonical, test.kind.format(value))
			again, c := test.kind.read(test.canonical)
			require.Nil(t, c)
			require.Equal(t, value, again)
		})
	}
}

func TestRangeInWords(t *testing.T) {
	require.Equal(t, "1", Field{Min: "1", Max: "1"}.Range())
	require.Equal(t, "1s to 2s", Field{Min: "1s", Max: "2s"}.Range())
	require.Equal(t, "at least 1", Field{Min: "1"}.Range())
	require.Equal(t, "at most 1", Field{Max: "1"}.Range())
	require.Empty(t, Field{}.Range())
}

func TestChecksOfSingleValues(t *testing.T) {
	tests := []struct {
		check      func(string) *complaint
		text       string
		ok         bool
		suggestion string
	}{
		{checkName, "lobby", true, ""},
		{checkName, "car-park.north_2", true, ""},
		{checkName, "Lobby", false, "lobby"},
		{checkName, "-", false, ""},
		{checkName, "a b", false, "a-b"},
		{checkName, strings.Repeat("a", 64), false, ""},
		{checkTopic, "video.segments", true, ""},
		{checkTopic, "..", false, ""},
		{checkTopic, "video/segments", false, ""},
		{checkTopic, strings.Repeat("a", 250), false, ""},
		{checkGroup, "ensue lobby", true, ""},
		{checkGroup, " lobby", false, ""},
		{checkGroup, "a\nb", false, ""},
		{checkBroker, "localhost:9092", true, ""},
		{checkBroker, "[::1]:9092", true, ""},
		{checkBroker, "kafka-1", false, "kafka-1:9092"},
		{checkBroker, "kafka-1:0", false, ""},
		{checkBroker, "kafka-1:99999", false, ""},
		{checkBroker, ":9092", false, ""},
		{checkBroker, "kafka://kafka-1:9092", false, ""},
		{checkBroker, "user:password@kafka-1:9092", false, ""},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			c := test.check(test.text)
			if test.ok {
				require.Nil(t, c)
				return
			}
			require.NotNil(t, c)
			require.NotEmpty(t, c.hint)
			require.Equal(t, test.suggestion, c.suggestion)
			if c.suggestion != "" {
				require.Nil(t, test.check(c.suggestion))
			}
		})
	}
}
