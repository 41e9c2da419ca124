package pipelines

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/web"
)

func TestLintTellsEverythingAboutBrokenDefinitions(t *testing.T) {
	all := cases(t, "bad")
	require.GreaterOrEqual(t, len(all), 10)
	for name, data := range all {
		t.Run(name, func(t *testing.T) {
			findings := Lint(name, data, testEnv)
			require.True(t, HasErrors(findings))
			golden(t, filepath.Join("testdata", "bad", strings.TrimSuffix(name, ".yaml")+".txt"), []byte(render(findings)))
			for _, f := range findings {
				require.Positive(t, f.Line)
				require.Positive(t, f.Column)
				require.NotEmpty(t, f.Message)
				require.NotEmpty(t, f.Hint, "a finding says what to do: %s", f)
				require.NotContains(t, f.String(), "hunter2")
			}
			def, _ := Parse(name, data, testEnv)
			if def != nil {
				require.True(t, HasErrors(Review(def)), "lint finds what parse or review finds")
			}
		})
	}
}

func TestGoodDefinitionsHaveNoErrorsAndNoWarnings(t *testing.T) {
	for name, data := range cases(t, "good") {
		t.Run(name, func(t *testing.T) {
			require.Empty(t, findingCodes(Lint(name, data, noEnv), SeverityError, SeverityWarning))
			def, findings := Parse(name, data, noEnv)
			require.NotNil(t, def, render(findings))
		})
	}
}

// TestEveryRule changes one thing in a definition that is good, to the last value that is and to the first that is not.
func TestEveryRule(t *testing.T) {
	type change func(*Definition)
	files := func(d *Definition) {
		d.Ingest.Kafka, d.Ingest.Files = nil, &ingest.FilesConfig{Paths: []string{"a.mp4"}, Segment: 2 * time.Second, Settle: 2 * time.Second}
	}
	deadTopic := func(topic string, brokers ...string) change {
		return func(d *Definition) {
			d.Sink.DeadLetter = sink.DeadLetterConfig{Kafka: &sink.DeadLetterKafkaConfig{Topic: topic, Brokers: brokers}}
		}
	}
	const signed = "whsec_bm90IGEgc2VjcmV0LCBmb3IgdHJpZXMgb25seQ=="
	webhook := func(url, secret string) change {
		return func(d *Definition) {
			out := sink.DefaultWebhook()
			out.URL, out.Secret = url, secret
			d.Sink.Webhook = &out
		}
	}
	database := func(url string) change {
		return func(d *Definition) {
			out := sink.DefaultPostgres()
			out.URL = url
			d.Sink.Postgres = &out
		}
	}
	outTopic := func(topic string, brokers ...string) change {
		return func(d *Definition) { d.Sink.Kafka = &sink.KafkaConfig{Topic: topic, Brokers: brokers} }
	}
	tests := []struct {
		code        stream.Code
		path        string
		good, wrong []change
	}{
		{
			"definition.no_source", "ingest", nil,
			[]change{func(d *Definition) { d.Ingest.Kafka = nil }},
		},
		{
			"definition.two_sources", "ingest.files",
			[]change{files},
			[]change{func(d *Definition) { d.Ingest.Files = &ingest.FilesConfig{Segment: 2 * time.Second} }},
		},
		{
			"definition.no_sink", "sink",
			[]change{outTopic("video.energy"), func(d *Definition) { d.Sink.JSONL = nil }},
			[]change{func(d *Definition) { d.Sink.JSONL = nil }},
		},
		{
			"definition.no_dead_letter", "sink.dead_letter",
			[]change{files, func(d *Definition) { d.Sink.DeadLetter = sink.DeadLetterConfig{} }},
			[]change{func(d *Definition) { d.Sink.DeadLetter = sink.DeadLetterConfig{} }},
		},
		{
			"definition.two_dead_letters", "sink.dead_letter.jsonl",
			[]change{deadTopic("video.dead")},
			[]change{func(d *Definition) { d.Sink.DeadLetter.Kafka = &sink.DeadLetterKafkaConfig{Topic: "video.dead"} }},
		},
		{
			"definition.topic_loop", "sink.kafka.topic",
			[]change{outTopic("video.segments", "other:9092")},
			[]change{outTopic("video.segments")},
		},
		{
			"definition.topic_loop", "sink.dead_letter.kafka.topic",
			[]change{deadTopic("video.segments", "other:9092")},
			[]change{deadTopic("video.segments", "other:9092", "localhost:9092")},
		},
		{
			"definition.topic_shared", "sink.dead_letter.kafka.topic",
			[]change{outTopic("video.energy"), deadTopic("video.dead")},
			[]change{outTopic("video.energy"), deadTopic("video.energy")},
		},
		{
			"definition.path_shared", "sink.dead_letter.jsonl.path", nil,
			[]change{func(d *Definition) { d.Sink.DeadLetter.JSONL.Path = "./" + d.Sink.JSONL.Path }},
		},
		{
			"definition.no_sink", "sink",
			[]change{func(d *Definition) {
				out := sink.DefaultParquet()
				out.Path = "results"
				d.Sink.JSONL, d.Sink.Parquet = nil, &out
			}},
			[]change{func(d *Definition) { d.Sink.JSONL = nil }},
		},
		{
			"definition.webhook_open", "sink.webhook.url",
			[]change{webhook("http://localhost:8080/x", ""), webhook("http://127.0.0.1/x", ""), webhook("https://example.com/x", signed)},
			[]change{webhook("http://example.com/x", signed)},
		},
		{
			"definition.webhook_open", "sink.webhook.secret",
			[]change{webhook("https://example.com/x", signed)},
			[]change{webhook("https://example.com/x", "")},
		},
		{
			"definition.postgres_open", "sink.postgres.url",
			[]change{
				database("postgres://a:b@localhost/x"), database("postgres:///x?host=/run"),
				database("postgres://a:b@db/x?sslmode=verify-full"), database("host=db user=a"),
			},
			[]change{database("postgres://a:b@db/x?sslmode=prefer")},
		},
		{
			"definition.webhook_refusals", "sink.dead_letter",
			[]change{files, webhook("https://example.com/x", signed)},
			[]change{func(d *Definition) { d.Sink.DeadLetter = sink.DeadLetterConfig{} }, files, webhook("https://example.com/x", signed)},
		},
		{
			"definition.no_brokers", "sink.kafka.brokers",
			[]change{files, outTopic("video.energy", "localhost:9092")},
			[]change{files, outTopic("video.energy")},
		},
		{
			"definition.no_brokers", "sink.dead_letter.kafka.brokers",
			[]change{files, deadTopic("video.dead", "localhost:9092")},
			[]change{files, deadTopic("video.dead")},
		},
		{
			"definition.drops_results", "queues.full",
			[]change{func(d *Definition) { d.Queues.Full = FullDropOldest }},
			[]change{files, func(d *Definition) { d.Queues.Full = FullDropOldest }},
		},
		{
			"definition.drops_live", "queues.full", nil,
			[]change{func(d *Definition) { d.Queues.Full = FullDropOldest }},
		},
		{
			"definition.two_states", "state.folder",
			[]change{
				func(d *Definition) { d.State = StateConfig{Topic: "video.state"} }, func(d *Definition) { d.State = StateConfig{Folder: "s"} },
			},
			[]change{func(d *Definition) { d.State = StateConfig{Topic: "video.state", Folder: "s"} }},
		},
		{
			"definition.state_shared", "state.topic",
			[]change{outTopic("video.energy"), deadTopic("video.dead"), func(d *Definition) { d.State.Topic = "video.state" }},
			[]change{func(d *Definition) { d.State.Topic = "video.segments" }},
		},
		{
			"definition.state_shared", "state.topic",
			[]change{outTopic("video.energy", "elsewhere:9092"), func(d *Definition) { d.State.Topic = "video.energy" }},
			[]change{outTopic("video.energy"), func(d *Definition) { d.State.Topic = "video.energy" }},
		},
		{
			"definition.state_shared", "state.topic", nil,
			[]change{deadTopic("video.dead"), func(d *Definition) { d.State.Topic = "video.dead" }},
		},
		{
			"definition.state_transaction", "state.folder",
			[]change{outTopic("video.energy"), func(d *Definition) { d.State.Folder, d.Sink.Kafka.Delivery = "s", sink.DeliverAtLeastOnce }},
			[]change{outTopic("video.energy"), func(d *Definition) { d.State.Folder, d.Sink.Kafka.Delivery = "s", sink.DeliverExactlyOnce }},
		},
		{
			"definition.state_large", "predictor.calibrate.history",
			[]change{func(d *Definition) { d.State.Topic, d.Predictor.Calibrate.History = "video.state", 190_000 }},
			[]change{func(d *Definition) { d.State.Topic, d.Predictor.Calibrate.History = "video.state", 200_000 }},
		},
		{
			"definition.state_no_effect", "state.topic",
			[]change{files},
			[]change{files, func(d *Definition) { d.State.Topic = "video.state" }},
		},
		{
			"definition.no_state", "state",
			[]change{func(d *Definition) { d.State.Folder = "s" }},
			[]change{func(d *Definition) { d.State = StateConfig{} }},
		},
		{
			"definition.hold_back_short", "ingest.kafka.hold_back",
			[]change{func(d *Definition) { d.Ingest.Kafka.HoldBack = 300 }},
			[]change{func(d *Definition) { d.Ingest.Kafka.HoldBack = 299 }},
		},
		{
			"definition.hold_back_short", "ingest.kafka.hold_back",
			[]change{func(d *Definition) { d.Ingest.Kafka.HoldBack = 0 }},
			[]change{func(d *Definition) { d.Ingest.Order.Evict, d.Ingest.Kafka.HoldBack = time.Hour, 10_000 }},
		},
		{
			"definition.breaker_order", "breaker.failed",
			[]change{func(d *Definition) { d.Breaker = BreakerConfig{Failed: 5, Of: 5} }, func(d *Definition) { d.Breaker = BreakerConfig{Of: 5} }},
			[]change{func(d *Definition) { d.Breaker = BreakerConfig{Failed: 6, Of: 5} }},
		},
		{
			"definition.retry_order", "retry.first",
			[]change{func(d *Definition) { d.Retry = Retry{First: time.Second, Most: time.Second} }},
			[]change{func(d *Definition) { d.Retry = Retry{First: 2 * time.Second, Most: time.Second} }},
		},
		{
			"definition.settle_short", "ingest.files.settle",
			[]change{files, func(d *Definition) { d.Ingest.Files.Settle = time.Millisecond }},
			[]change{files, func(d *Definition) { d.Ingest.Files.Watch, d.Ingest.Files.Settle = true, time.Second-1 }},
		},
		{
			"definition.evict_order", "ingest.order.evict",
			[]change{files, func(d *Definition) { d.Ingest.Order.Evict = d.Ingest.Order.Grace + 1 }},
			[]change{files, func(d *Definition) { d.Ingest.Order.Evict = d.Ingest.Order.Grace }},
		},
		{
			"definition.evict_short", "ingest.order.evict",
			[]change{func(d *Definition) { d.Ingest.Order.Evict = 4*time.Second + 1 }},
			[]change{func(d *Definition) { d.Ingest.Order.Evict = 4 * time.Second }},
		},
		{
			"definition.timeout_order", "decode.limits.timeout",
			[]change{func(d *Definition) { d.Decode.Limits.Timeout = 40*time.Second - 1 }},
			[]change{func(d *Definition) { d.Decode.Limits.Timeout = 40 * time.Second }},
		},
		{
			"definition.timeout_order", "ingest.kafka.drain_timeout",
			[]change{func(d *Definition) { d.Ingest.Kafka.RebalanceTimeout = 40*time.Second + 1 }},
			[]change{func(d *Definition) { d.Ingest.Kafka.RebalanceTimeout = 40 * time.Second }},
		},
		{
			"definition.timeout_order", "ingest.kafka.drain_timeout",
			[]change{func(d *Definition) { d.Ingest.Kafka.SessionTimeout = 40*time.Second + 1 }},
			[]change{func(d *Definition) { d.Ingest.Kafka.SessionTimeout = 40 * time.Second }},
		},
		{
			"definition.session_short", "ingest.kafka.session_timeout",
			[]change{func(d *Definition) { d.Ingest.Kafka.SessionTimeout = 9 * time.Second }},
			[]change{func(d *Definition) { d.Ingest.Kafka.SessionTimeout = 9*time.Second - 1 }},
		},
		{
			"definition.session_short", "ingest.kafka.session_timeout", nil,
			[]change{func(d *Definition) { d.Ingest.Kafka.SessionTimeout = 5 * time.Second }},
		},
		{
			"definition.max_wait_short", "ingest.kafka.max_wait",
			[]change{func(d *Definition) { d.Ingest.Kafka.MaxWait = time.Second }},
			[]change{func(d *Definition) { d.Ingest.Kafka.MaxWait = time.Second - 1 }},
		},
		{
			"definition.max_wait_long", "ingest.kafka.max_wait",
			[]change{func(d *Definition) { d.Ingest.Kafka.MaxWait = 30 * time.Second }},
			[]change{func(d *Definition) { d.Ingest.Kafka.MaxWait = 30*time.Second + 1 }},
		},
		{
			"definition.read_batch_timeout_short", "ingest.kafka.read_batch_timeout", // 64 MiB at 50 Mbit/s: 10.7 s
			[]change{func(d *Definition) { d.Ingest.Kafka.ReadBatchTimeout = 11 * time.Second }},
			[]change{func(d *Definition) { d.Ingest.Kafka.ReadBatchTimeout = 10 * time.Second }},
		},
		{
			"definition.read_batch_timeout_short", "ingest.kafka.read_batch_timeout", nil,
			[]change{func(d *Definition) { d.Decode.Limits.Bytes = 1 << 30 }},
		},
		{
			"definition.max_bytes_small", "ingest.kafka.max_bytes",
			[]change{func(d *Definition) { d.Ingest.Kafka.MaxBytes = 64 << 20 }},
			[]change{func(d *Definition) { d.Ingest.Kafka.MaxBytes = 64<<20 - 1 }},
		},
		{
			"definition.message_size", "ingest.kafka.topic",
			[]change{func(d *Definition) { d.Decode.Limits.Bytes = brokerMessageMax }},
			[]change{func(d *Definition) { d.Decode.Limits.Bytes = brokerMessageMax + 1 }},
		},
		{
			"definition.result_size", "sink.kafka", // an hour at 8 steps a second of 64 places, 2 bytes each in base64, is 4.7 MiB
			[]change{outTopic("video.energy"), func(d *Definition) { d.Decode.Limits.Duration, d.Predictor.Map = time.Hour, false }},
			[]change{outTopic("video.energy"), func(d *Definition) { d.Decode.Limits.Duration = time.Hour }},
		},
		{
			"definition.grace_short", "ingest.order.grace",
			[]change{files, func(d *Definition) { d.Ingest.Order.Grace = 0 }},
			[]change{func(d *Definition) { d.Ingest.Order.Grace = 2*time.Second - 1 }},
		},
		{
			"definition.grace_long", "ingest.order.grace",
			[]change{func(d *Definition) { d.Ingest.Order.Grace = 40*time.Second - 1 }},
			[]change{func(d *Definition) { d.Ingest.Order.Grace = 40 * time.Second }},
		},
		{
			"definition.horizons_order", "predictor.horizons[1]",
			[]change{func(d *Definition) { d.Predictor.Horizons = []time.Duration{time.Second, time.Second + 1} }},
			[]change{func(d *Definition) { d.Predictor.Horizons = []time.Duration{time.Second, time.Second} }},
		},
		{
			"definition.horizon_long", "predictor.horizons[1]",
			[]change{func(d *Definition) { d.Predictor.Horizons[1] = time.Minute }},
			[]change{func(d *Definition) { d.Predictor.Horizons[1] = time.Minute + 1 }},
		},
		{
			"definition.horizon_short", "predictor.horizons[0]",
			[]change{func(d *Definition) { d.Predictor.Horizons[0] = 125 * time.Millisecond }},
			[]change{func(d *Definition) { d.Predictor.Horizons[0] = 124 * time.Millisecond }},
		},
		{
			"definition.window_long", "predictor.horizons[0]",
			[]change{files, func(d *Definition) { d.Ingest.Files.Segment = time.Second }},
			[]change{files, func(d *Definition) { d.Ingest.Files.Segment = time.Second - 1 }},
		},
		{
			"definition.context_short", "predictor.context",
			[]change{func(d *Definition) { d.Predictor.Context = time.Second }},
			[]change{func(d *Definition) { d.Predictor.Context = time.Second - 1 }},
		},
		{
			"definition.warmup_short", "predictor.calibrate.warmup",
			[]change{func(d *Definition) { d.Predictor.Calibrate.Warmup = 8 * time.Second }},
			[]change{func(d *Definition) { d.Predictor.Calibrate.Warmup = 8*time.Second - 1 }},
		},
		{
			"definition.history_short", "predictor.calibrate.history",
			[]change{func(d *Definition) { d.Predictor.Calibrate.History = 60 }},
			[]change{func(d *Definition) { d.Predictor.Calibrate.History = 59 }},
		},
		{
			"definition.p_value_resolution", "predictor.calibrate.false_alarms_per_day", // 2/601 of 86,400 windows: 287.5
			[]change{func(d *Definition) { d.Predictor.Calibrate.FalseAlarmsPerDay = 288 }},
			[]change{func(d *Definition) { d.Predictor.Calibrate.FalseAlarmsPerDay = 287 }},
		},
		{
			"definition.always_alarm", "predictor.calibrate.false_alarms_per_day",
			[]change{func(d *Definition) { d.Predictor.Calibrate.FalseAlarmsPerDay = 86399 }},
			[]change{func(d *Definition) { d.Predictor.Calibrate.FalseAlarmsPerDay = 86400 }},
		},
		{
			"definition.segment_long", "ingest.files.segment",
			[]change{files, func(d *Definition) { d.Ingest.Files.Segment = time.Minute }},
			[]change{files, func(d *Definition) { d.Ingest.Files.Segment = time.Minute + 1 }},
		},
		{
			"definition.bytes_small", "decode.limits.bytes", // 2 s at 8 Mbit/s
			[]change{func(d *Definition) { d.Decode.Limits.Bytes = 2_000_000 }},
			[]change{func(d *Definition) { d.Decode.Limits.Bytes = 2_000_000 - 1 }},
		},
		{
			"definition.frames_few", "decode.limits.frames", // a minute at 25 frames a second
			[]change{func(d *Definition) { d.Decode.Limits.Frames = 1500 }},
			[]change{func(d *Definition) { d.Decode.Limits.Frames = 1499 }},
		},
		{
			"definition.serve_open", "serve.address",
			[]change{func(d *Definition) { d.Serve = &web.Config{Address: "localhost:8080"} }},
			[]change{func(d *Definition) { d.Serve = &web.Config{Address: ":8080"} }},
		},
		{
			"definition.memory_small", "queues.memory", // 64 MiB and 721 frames of 128x128
			[]change{func(d *Definition) { d.Queues.Memory = 64<<20 + 721*128*128*3 }},
			[]change{func(d *Definition) { d.Queues.Memory = 64<<20 + 721*128*128*3 - 1 }},
		},
	}
	covered := map[stream.Code]bool{"definition.no_effect": true} // see TestKeysWithoutEffect
	for _, r := range modelRules() {
		covered[r.code] = true // see TestEveryModelRule
	}
	for _, r := range energyRules() {
		covered[r.code] = true // see TestEveryEnergyRule
	}
	for _, r := range claimRules() {
		covered[r.code] = true // see TestEveryClaimRule
	}
	for _, r := range append(deliveryRules(), securityRules()...) {
		covered[r.code] = true // see TestEveryDeliveryRule
	}
	for _, test := range tests {
		covered[test.code] = true
		t.Run(string(test.code)+" "+test.path, func(t *testing.T) {
			good, wrong := parsed(t, minimal), parsed(t, minimal)
			for _, c := range test.good {
				c(good)
			}
			require.NotContains(t, findingCodes(Review(good), SeverityError, SeverityWarning, SeverityNote), test.code)
			for _, c := range test.wrong {
				c(wrong)
			}
			var at []string
			for _, f := range Review(wrong) {
				if f.Code == test.code {
					at = append(at, f.Path)
					require.NotEmpty(t, f.Hint)
				}
			}
			require.Equal(t, []string{test.path}, at)
			requireStagesAgree(t, good)
			requireStagesAgree(t, wrong)
		})
	}
	for _, r := range rules() {
		require.True(t, covered[r.code], "no test for the rule %s", r.code)
	}
}

// requireStagesAgree: what has no errors for the lint is not refused by a stage when it runs.
func requireStagesAgree(t *testing.T, def *Definition) {
	t.Helper()
	if HasErrors(Review(def)) {
		return
	}
	if out := def.Sink.Kafka; out != nil { // what the parser would have filled in
		out.Delivery, out.Encoding, out.DeliveryTimeout = sink.DeliverAtLeastOnce, "json", time.Minute
	}
	if dead := def.Sink.DeadLetter.Kafka; dead != nil {
		dead.DeliveryTimeout = time.Minute
	}
	require.NoError(t, def.Ingest.Validate())
	require.NoError(t, def.Decode.Validate())
	require.NoError(t, def.Predictor.Validate())
	require.NoError(t, def.Sink.Validate())
}

func TestKeysWithoutEffect(t *testing.T) {
	text := "version: 1\nname: a\ningest:\n  files: {paths: [a.mp4], settle: 3s}\n  order: {grace: 3s, late: drop, evict: 5s}\n" +
		"sink: {jsonl: {path: out}}\n"
	var told []string
	for _, f := range Lint("test.yaml", []byte(text), noEnv) {
		require.Equal(t, stream.Code("definition.no_effect"), f.Code)
		told = append(told, f.Path)
	}
	require.Equal(t, []string{"ingest.files.settle", "ingest.order.grace", "ingest.order.late"}, told)
}

func TestRulesNameEveryPathTheyReadAsItIs(t *testing.T) {
	for _, r := range rules() {
		for _, path := range r.reads {
			require.NotNil(t, definitionTree().find(path), "%s reads %s", r.code, path)
		}
		require.NotEmpty(t, r.doc)
	}
}

func TestOneMistakeIsToldOnce(t *testing.T) {
	text := strings.Replace(minimal, "name: lobby", "name: lobby\npredictor: {horizons: [2], context: 1s}", 1)
	require.Equal(t, []stream.Code{codeWrongType},
		findingCodes(Lint("test.yaml", []byte(text), noEnv), SeverityError, SeverityWarning),
		"nothing is said about a context that fits no horizon")
	text = strings.Replace(minimal, "kafka: {", "kafak: {", 1)
	require.Equal(t, []stream.Code{codeUnknownKey}, findingCodes(Lint("test.yaml", []byte(text), noEnv), SeverityError))
}

func TestReviewKnowsWhereAChangedValueStands(t *testing.T) {
	def, _ := Parse("test.yaml", []byte(minimal), noEnv)
	def.Sink.JSONL.Path = def.Sink.DeadLetter.JSONL.Path
	findings := Review(def)
	at := findings[len(findings)-1]
	require.Equal(t, stream.Code("definition.path_shared"), at.Code)
	require.Equal(t, "test.yaml", at.File)
	require.Equal(t, 4, at.Line)
	require.Equal(t, `"dead.jsonl"`, at.Value)
}

func TestCodesAreUniqueAndSorted(t *testing.T) {
	codes := Codes()
	for i, c := range codes {
		require.True(t, strings.HasPrefix(string(c.Code), "definition."))
		require.NotEmpty(t, c.Doc)
		if i > 0 {
			require.Less(t, codes[i-1].Code, c.Code)
		}
	}
}
