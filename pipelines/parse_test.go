package pipelines

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

const minimal = `version: 1
name: lobby
ingest: {kafka: {topic: video.segments}}
sink: {jsonl: {path: results.jsonl}, dead_letter: {jsonl: {path: dead.jsonl}}}
`

// parsed is the definition without where its values came from.
func parsed(t *testing.T, text string) *Definition {
	t.Helper()
	def, findings := Parse("test.yaml", []byte(text), testEnv)
	require.Empty(t, render(findings))
	require.NotNil(t, def)
	def.source = nil
	return def
}

func TestParseFillsInTheDefaults(t *testing.T) {
	want := &Definition{
		Version: 1,
		Name:    "lobby",
		Log:     "warn",
		Ingest: ingest.Config{
			Kafka: &ingest.KafkaConfig{
				Brokers: []string{"localhost:9092"}, Topic: "video.segments", Group: "ensue-lobby", StartAt: "oldest",
				MaxBytes: 64 << 20, MaxWait: 2 * time.Second, ReadBatchTimeout: 30 * time.Second,
				SessionTimeout: 45 * time.Second, RebalanceTimeout: time.Minute, DrainTimeout: 40 * time.Second, HoldBack: 10_000,
			},
			Order: ingest.OrderConfig{Grace: 2 * time.Second, Late: ingest.LateDeadLetter, Evict: time.Minute},
		},
		Decode: decode.Config{
			FPS: 8,
			Limits: decode.Limits{
				Bytes: 64 << 20, Pixels: decode.Size{Width: 4096, Height: 4096}, Frames: 3000,
				Duration: time.Minute, Timeout: 20 * time.Second,
			},
		},
		Encoder: encoder.Config{Model: "pixels", Attention: "auto", Precision: "f32"},
		Predictor: predictor.Config{
			Model: "auto", Energy: "auto", Context: 2 * time.Second, Horizons: []time.Duration{time.Second, 2 * time.Second}, Map: true,
			Calibrate: predictor.CalibrateConfig{FalseAlarmsPerDay: 1, Warmup: time.Minute, History: 600},
		},
		Sink: sink.Config{
			JSONL:      &sink.JSONLConfig{Path: "results.jsonl"},
			DeadLetter: sink.DeadLetterConfig{JSONL: &sink.JSONLConfig{Path: "dead.jsonl"}},
		},
		Retry:   Retry{Attempts: 3, First: 200 * time.Millisecond, Most: 5 * time.Second},
		Breaker: BreakerConfig{Failed: 50, Of: 100},
		Queues:  Queues{Size: 8, Full: "block", Memory: 1 << 30},
	}
	require.Equal(t, want, parsed(t, minimal))
}

func TestTheStagesAcceptTheDefaults(t *testing.T) {
	def := parsed(t, minimal)
	require.NoError(t, def.Ingest.Validate())
	require.NoError(t, def.Decode.Validate())
	require.NoError(t, def.Predictor.Validate())
	require.NoError(t, def.Sink.Validate())
	require.Empty(t, findingCodes(Review(def), SeverityError, SeverityWarning))
}

func TestParseReadsEveryKind(t *testing.T) {
	def := parsed(t, string(cases(t, "good")["everything.yaml"]))
	require.Equal(t, []string{"kafka-1:9092", "kafka-2:9092", "kafka-3:9092"}, def.Ingest.Kafka.Brokers)
	require.Equal(t, 90*time.Second, def.Ingest.Kafka.RebalanceTimeout)
	require.Equal(t, decode.Size{Width: 3840, Height: 2160}, def.Decode.Limits.Pixels)
	require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, def.Predictor.Horizons)
	require.Equal(t, ingest.LateScoreAlone, def.Ingest.Order.Late)
	require.False(t, def.Predictor.Map)
	require.Equal(t, int64(1536<<20), def.Queues.Memory)
	require.Equal(t, "protobuf", def.Sink.Kafka.Encoding)
	require.Nil(t, def.Ingest.Files)
}

func TestParseSubstitutes(t *testing.T) {
	def := parsed(t, `version: 1
name: lobby
ingest:
  kafka: {brokers: ["${KAFKA_LIST}", "${MISSING:c:9092}"], topic: "${MISSING:video}.segments"}
decode: {fps: "${RATE}"}
sink: {jsonl: {path: "$${RATE}.jsonl"}}
`)
	require.Equal(t, []string{"a:9092", "b:9092", "c:9092"}, def.Ingest.Kafka.Brokers)
	require.Equal(t, "video.segments", def.Ingest.Kafka.Topic)
	require.InDelta(t, 12.5, def.Decode.FPS, 0)
	require.Equal(t, "${RATE}.jsonl", def.Sink.JSONL.Path)
}

func TestParseWithoutAnEnvironment(t *testing.T) {
	def, findings := Parse("test.yaml", []byte(strings.Replace(minimal, "lobby", "${NAME:hall}", 1)), nil)
	require.Empty(t, findings)
	require.Equal(t, "hall", def.Name)
}

// findingCodes are the codes of the findings of the severities.
func findingCodes(findings []Finding, severities ...Severity) []stream.Code {
	var codes []stream.Code
	for _, f := range findings {
		for _, severity := range severities {
			if f.Severity == severity {
				codes = append(codes, f.Code)
			}
		}
	}
	return codes
}

func TestParseTellsWhatIsWrongAndWhere(t *testing.T) {
	head := "version: 1\nname: lobby\ningest: {kafka: {topic: video}}\nsink: {jsonl: {path: out}}\n"
	tests := map[string]struct {
		text       string
		code       stream.Code
		line       int
		column     int
		suggestion string
	}{
		"empty":                {"", codeEmpty, 1, 1, ""},
		"only a comment":       {"# nothing\n", codeEmpty, 1, 1, ""},
		"only null":            {"~\n", codeEmpty, 1, 1, ""},
		"a scalar":             {"lobby\n", codeWrongType, 1, 1, ""},
		"not UTF-8":            {"version: 1\nname: \xff\n", codeSyntax, 2, 7, ""},
		"too large":            {head + strings.Repeat("#\n", 200_000), codeTooLarge, 1, 1, ""},
		"unknown anchor":       {head + "queues: {size: *hunter2}\n", codeSyntax, 5, 16, ""},
		"bad indentation":      {"version: 1\n name: lobby\n", codeSyntax, 2, 2, ""},
		"unfinished list":      {head + "predictor:\n  horizons: [1s\nqueues: {}\n", codeSyntax, 6, 3, ""},
		"a tag":                {head + "queues: {size: !!int 8}\n", codeWrongType, 5, 16, ""},
		"unquoted yes is told": {strings.Replace(head, "name: lobby", "name: no", 1), codeYAMLBoolean, 2, 7, `"no"`},
		"true is not text":     {strings.Replace(head, "name: lobby", "name: true", 1), codeWrongType, 2, 7, `"true"`},
		"a float is not text":  {strings.Replace(head, "name: lobby", "name: 1.0", 1), codeWrongType, 2, 7, `"1.0"`},
		"a list item that is a list": {
			head + "predictor: {horizons: [[1s], 2s]}\n", codeWrongType, 5, 24, "",
		},
		"too many items":     {head + "predictor: {horizons: [" + strings.Repeat("1s, ", 300) + "]}\n", codeOutOfRange, 5, 13, ""},
		"too long":           {strings.Replace(head, "out", strings.Repeat("x", 5000), 1), codeOutOfRange, 4, 22, ""},
		"a number too large": {head + "queues: {size: 99999999999999999999}\n", codeOutOfRange, 5, 16, ""},
		"a key in quotes":    {head + "\"queus\": {}\n", codeUnknownKey, 5, 1, "queues"},
		"case matters":       {head + "Queues: {}\n", codeUnknownKey, 5, 1, "queues"},
		"dash for underscore": {
			strings.Replace(head, "topic: video", "topic: video, max-wait: 2s", 1), codeUnknownKey, 3, 32, "max_wait",
		},
		"a key from elsewhere": {head + "history: 5\n", codeUnknownKey, 5, 1, "predictor.calibrate.history"},
		"columns count characters": {
			strings.Replace(head, "topic: video", `group: "fünf", topics: x, topic: video`, 1), codeUnknownKey, 3, 33, "topic",
		},
		"a URL with a password": {strings.Replace(head, "out", "s3://key:hunter2@bucket/out", 1), codeInlineSecret, 4, 22, ""},
	}
	for what, test := range tests {
		t.Run(what, func(t *testing.T) {
			_, findings := Parse("test.yaml", []byte(test.text), noEnv)
			require.Len(t, findings, 1, render(findings))
			f := findings[0]
			require.Equal(t, test.code, f.Code, f)
			require.Equal(t, test.line, f.Line, f)
			require.Equal(t, test.column, f.Column, f)
			require.Equal(t, test.suggestion, f.Suggestion, f)
			require.NotContains(t, f.String(), "hunter2")
		})
	}
}

func TestMissingKeysAreToldOnceAtTheObject(t *testing.T) {
	_, findings := Parse("test.yaml", []byte("ingest:\n  kafka: {group: x}\nsink:\n  jsonl: {}\n"), noEnv)
	var told []string
	for _, f := range findings {
		require.Equal(t, codeMissingKey, f.Code)
		told = append(told, fmt.Sprintf("%d:%d %s", f.Line, f.Column, f.Path))
	}
	require.Equal(t, []string{"1:1 version", "1:1 name", "2:3 ingest.kafka.topic", "4:3 sink.jsonl.path"}, told)
}

func TestAliasesCannotMakeItLarge(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("version: 1\nname: lobby\na: &a [x, x, x, x, x, x, x, x, x, x]\n")
	for letter := 'b'; letter < 'k'; letter++ {
		fmt.Fprintf(&bomb, "%c: &%c [%s]\n", letter, letter, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", letter-1), 10), ", "))
	}
	bomb.WriteString("ingest: {files: {paths: *j}}\nsink: {jsonl: {path: out}}\n")
	tests := map[string]string{
		"a billion":        bomb.String(),
		"itself":           minimal + "queues: &q {size: 8, queues: *q}\n",
		"a list of itself": "version: 1\nname: lobby\ningest: {files: {paths: &p [*p]}}\nsink: {jsonl: {path: out}}\n",
		"root":             "&r\nversion: 1\ningest: *r\nsink: *r\n",
		"one long text": "version: 1\nname: &n " + strings.Repeat("x", 100_000) +
			"\ningest: {kafka: {topic: t, brokers: [" + strings.Repeat("*n, ", 30_000) + "]}}\n",
		"many unknown keys": strings.Repeat("ab", 3) + ": 1\n" + manyKeys(20_000),
		"many variables":    "version: 1\nname: " + strings.Repeat("$A", 100_000) + "\n",
		"deep":              "version: " + strings.Repeat("[", 5000),
	}
	for what, text := range tests {
		t.Run(what, func(t *testing.T) {
			begin := time.Now()
			def, findings := Parse("test.yaml", []byte(text), noEnv)
			require.Nil(t, def)
			require.True(t, HasErrors(findings))
			require.LessOrEqual(t, len(findings), maxFindings+1)
			require.Less(t, len(render(findings)), 200_000)
			require.Less(t, time.Since(begin), 5*time.Second)
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

func TestTooManyFindingsAreCut(t *testing.T) {
	_, findings := Parse("test.yaml", []byte(manyKeys(500)), noEnv)
	require.Len(t, findings, maxFindings+1)
	require.Contains(t, findingCodes(findings, SeverityError), codeTooMany)
}

// TestSecretsNeverPrint reads a definition with a secret field, which none of the stages has so far.
func TestSecretsNeverPrint(t *testing.T) {
	type login struct {
		Password string        `def:"password"`
		Word     string        `def:"word"`
		Wait     time.Duration `def:"wait"`
		Hosts    []string      `def:"hosts"`
	}
	fields := []Field{
		{Path: "password", Kind: KindString, Secret: true},
		{Path: "word", Kind: KindEnum, Secret: true, Options: []string{"hunter1"}},
		{Path: "wait", Kind: KindDuration, Secret: true},
		{Path: "hosts", Kind: KindList, Item: KindString, Secret: true, check: checkBroker},
	}
	root, err := bind(fields, reflect.TypeFor[login]())
	require.NoError(t, err)
	texts := map[string]string{
		"inline":            "password: hunter2\n",
		"not an option":     "word: hunter2\n",
		"wrong type":        "wait: hunter2\n",
		"guessable":         "wait: 7777\n",
		"a number":          "password: 7777\n",
		"bad":               "hosts: [hunter2]\n",
		"no list":           "hosts: hunter2\n",
		"bad reference":     "password: hunter2${\n",
		"bare variable":     "password: hunter2$ABC\n",
		"as a default":      "password: ${ABC:-hunter2}\n",
		"from a file":       "wait: ${file:/hunter}\n",
		"from a variable":   "hosts: ['${DB_PASSWORD}']\n",
		"too long":          "password: " + strings.Repeat("hunter2", 1000) + "\n",
		"in a key":          "user:hunter2@host: 1\n",
		"below unknown key": "pass: {word: hunter2}\n",
	}
	for what, text := range texts {
		t.Run(what, func(t *testing.T) {
			p := newParser("test.yaml", testEnv)
			p.root = root
			p.subst.file = func(string) (string, error) { return "hunter2", nil }
			node := p.document([]byte(text))
			require.NotNil(t, node)
			var into login
			require.True(t, p.object(root, "", node, reflect.ValueOf(&into).Elem()))
			require.NotEmpty(t, p.findings)
			printed, err := json.Marshal(p.findings)
			require.NoError(t, err)
			for _, secret := range []string{"hunter2", "7777"} {
				require.NotContains(t, render(p.findings), secret)
				require.NotContains(t, string(printed), secret)
			}
		})
	}
}

func TestLoadReadsAndReviews(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	def, findings := Load(write("good.yaml", minimal), noEnv)
	require.NotNil(t, def)
	require.False(t, HasErrors(findings))

	def, findings = Load(write("loop.yaml", string(cases(t, "bad")["loop.yaml"])), noEnv)
	require.Nil(t, def)
	require.Contains(t, findingCodes(findings, SeverityError), stream.Code("definition.topic_loop"))

	for _, path := range []string{dir, filepath.Join(dir, "missing.yaml")} {
		def, findings = Load(path, noEnv)
		require.Nil(t, def)
		require.Equal(t, []stream.Code{codeUnreadable}, findingCodes(findings, SeverityError))
	}
}

func TestRefusalIsAFailureWithACode(t *testing.T) {
	require.NoError(t, Refusal(nil))
	require.NoError(t, Refusal([]Finding{{Code: "definition.x", Severity: SeverityWarning}}))
	err := Refusal([]Finding{
		{File: "a.yaml", Line: 1, Column: 2, Code: "definition.w", Severity: SeverityWarning, Message: "warns"},
		{
			File: "a.yaml", Line: 3, Column: 4, Code: "definition.e", Severity: SeverityError, Path: "decode.fps",
			Message: "is wrong", Hint: "do this",
		},
	})
	var failure *stream.Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, stream.Code("definition.e"), failure.Code)
	require.True(t, failure.Permanent)
	require.Equal(t, "a.yaml:3:4: error definition.e: decode.fps: is wrong (do this)", failure.Err.Error())
}

func TestNearest(t *testing.T) {
	keys := []string{"brokers", "topic", "group", "max_wait", "max_bytes", "dead_letter"}
	tests := map[string]string{
		"brokrs": "brokers", "broker": "brokers", "Topic": "topic", "tpoic": "topic", "maxWait": "max_wait", "max-bytes": "max_bytes",
		"deadletter": "dead_letter", "dead_letters": "dead_letter", "password": "", "x": "", "": "", strings.Repeat("topic", 20): "",
	}
	for word, want := range tests {
		require.Equal(t, want, nearest(word, keys), word)
	}
}

func TestScrub(t *testing.T) {
	tests := map[string]string{
		"kafka://user:word@host:9092":  "kafka://***@host:9092",
		"user:word@host:9092":          "***@host:9092",
		"s3://key:a@b@bucket/x":        "s3://***@bucket/x",
		"/video/a@b.mp4":               "/video/a@b.mp4",
		"localhost:9092":               "localhost:9092",
		"https://token@host/x":         "https://***@host/x",
		"one user:word@host and other": "one ***@host and other",
	}
	for text, want := range tests {
		require.Equal(t, want, scrub(text))
	}
}
