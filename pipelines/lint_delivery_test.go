package pipelines

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

// TestEveryDeliveryRule changes one thing in a definition that delivers exactly once, or that logs in, to what the rule finds.
func TestEveryDeliveryRule(t *testing.T) {
	type change func(*Definition)
	exactlyOnce := func(d *Definition) {
		out := sink.DefaultKafka()
		out.Topic, out.Delivery = "video.energy", sink.DeliverExactlyOnce
		dead := sink.DefaultDeadLetterKafka()
		dead.Topic = "video.dead"
		d.Sink = sink.Config{Kafka: &out, DeadLetter: sink.DeadLetterConfig{Kafka: &dead}}
	}
	login := func(mechanism string, tls *connect.TLS) change {
		return func(d *Definition) {
			d.Ingest.Kafka.Security = &connect.Security{TLS: tls, SASL: &connect.SASL{Mechanism: mechanism, User: "ensue", Password: "hunter2"}}
		}
	}
	for _, test := range []struct {
		code        stream.Code
		path        string
		good, wrong change
	}{
		{"definition.exactly_once", "sink.kafka.brokers", nil, func(d *Definition) { d.Sink.Kafka.Brokers = []string{"other:9092"} }},
		{"definition.exactly_once", "sink.jsonl", nil, func(d *Definition) { d.Sink.JSONL = &sink.JSONLConfig{Path: "out.jsonl"} }},
		{"definition.exactly_once", "sink.parquet", nil, func(d *Definition) { d.Sink.Parquet = &sink.ParquetConfig{} }},
		{"definition.exactly_once", "sink.postgres", nil, func(d *Definition) { d.Sink.Postgres = &sink.PostgresConfig{} }},
		{"definition.exactly_once", "sink.webhook", nil, func(d *Definition) { d.Sink.Webhook = &sink.WebhookConfig{} }},
		{"definition.exactly_once", "sink.dead_letter.jsonl", nil, func(d *Definition) {
			d.Sink.DeadLetter = sink.DeadLetterConfig{JSONL: &sink.JSONLConfig{Path: "dead.jsonl"}}
		}},
		{"definition.exactly_once", "sink.dead_letter.kafka.brokers", nil, func(d *Definition) {
			d.Sink.DeadLetter.Kafka.Brokers = []string{"other:9092"}
		}},
		{"definition.exactly_once", "sink.kafka.delivery", nil, func(d *Definition) {
			d.Ingest.Kafka, d.Ingest.Files = nil, &ingest.FilesConfig{Paths: []string{"a.mp4"}, Segment: time.Second}
		}},
		{
			"definition.transaction_timeout", "sink.kafka.transaction.timeout",
			func(d *Definition) { d.Sink.Kafka.Transaction.Timeout = 45 * time.Second },
			func(d *Definition) { d.Sink.Kafka.Transaction.Timeout = 46 * time.Second }, // longer than the session
		},
		{
			"definition.transaction_timeout", "sink.kafka.transaction.timeout",
			func(d *Definition) { d.Sink.Kafka.Transaction.Timeout = 14 * time.Second },
			func(d *Definition) { d.Sink.Kafka.Transaction.Timeout = 13 * time.Second }, // 80 MiB at 50 Mbit/s
		},
		{
			"definition.password_in_the_clear", "ingest.kafka.security.sasl.mechanism",
			login(connect.MechanismPlain, &connect.TLS{}), login(connect.MechanismPlain, nil),
		},
		{
			"definition.tls_insecure", "ingest.kafka.security.tls.insecure",
			login(connect.MechanismPlain, &connect.TLS{}), login(connect.MechanismPlain, &connect.TLS{Insecure: true}),
		},
		{
			"definition.security", "ingest.kafka.security.tls.key",
			login(connect.MechanismScram512, &connect.TLS{Certificate: "c.pem", Key: "k.pem"}),
			login(connect.MechanismScram512, &connect.TLS{Certificate: "c.pem"}),
		},
		{"definition.security_missing", "sink.kafka.brokers", login(connect.MechanismScram512, nil), func(d *Definition) {
			login(connect.MechanismScram512, nil)(d)
			d.Sink.Kafka.Brokers = d.Ingest.Kafka.Brokers
		}},
	} {
		t.Run(string(test.code)+" "+test.path, func(t *testing.T) {
			good, wrong := parsed(t, minimal), parsed(t, minimal)
			exactlyOnce(good)
			exactlyOnce(wrong)
			if test.good != nil {
				test.good(good)
			}
			test.wrong(wrong)
			require.NotContains(t, findingCodes(Review(good), SeverityError, SeverityWarning, SeverityNote), test.code)
			var at []string
			for _, f := range Review(wrong) {
				require.NotContains(t, f.String(), "hunter2", "a secret is never told")
				if f.Code == test.code {
					at = append(at, f.Path)
					require.NotEmpty(t, f.Hint)
				}
			}
			require.Equal(t, []string{test.path}, at)
		})
	}
}

func TestTransactionKeysAreToldWhereTheyDoNothingOrTooMuch(t *testing.T) {
	codes := func(sinkText string) []stream.Code {
		text := "version: 1\nname: a\ningest: {kafka: {topic: in}}\nsink:\n  kafka: {topic: out, " + sinkText +
			"}\n  dead_letter: {kafka: {topic: dead}}\n"
		return findingCodes(Lint("test.yaml", []byte(text), noEnv), SeverityError, SeverityWarning, SeverityNote)
	}
	require.Contains(t, codes("transaction: {interval: 1s}"), stream.Code("definition.transaction_unused"))
	require.Contains(t, codes("delivery: exactly_once, transaction: {id: fixed}"), stream.Code("definition.transaction_id"))
	require.NotContains(t, codes(`delivery: exactly_once, transaction: {id: "a-${HOST:b}"}`), stream.Code("definition.transaction_id"))
}
