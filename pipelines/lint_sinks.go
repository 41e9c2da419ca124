package pipelines

import (
	"net"
	"net/url"
	"strings"
)

// sinkRules look at the sinks that lead out of Kafka.
func sinkRules() []rule {
	return []rule{
		{
			code: "definition.webhook_open", severity: SeverityWarning,
			doc:   "Results are posted to another machine unsigned, or without encryption.",
			reads: []string{"sink.webhook.url", "sink.webhook.secret"}, find: webhookOpen,
		},
		{
			code: "definition.postgres_open", severity: SeverityWarning,
			doc:   "A password goes to the database of another machine over a connection that nobody has asked to be encrypted.",
			reads: []string{"sink.postgres.url"}, find: postgresOpen,
		},
		{
			code: "definition.webhook_refusals", severity: SeverityNote,
			doc:   "What a receiver of webhooks refuses becomes a dead letter, and there is no place for dead letters.",
			reads: []string{"sink.webhook.url", "sink.dead_letter.kafka", "sink.dead_letter.jsonl", "ingest.kafka"}, find: webhookRefusals,
		},
	}
}

// local says whether only this machine is meant by the host.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || host == "" || strings.HasPrefix(host, "/") || ip != nil && ip.IsLoopback()
}

func webhookOpen(def *Definition) []violation {
	out := def.Sink.Webhook
	if out == nil {
		return nil
	}
	address, err := url.Parse(out.URL)
	if err != nil || local(address.Hostname()) {
		return nil
	}
	return append(when(out.Secret == "", "sink.webhook.secret", "requests are not signed: the receiver cannot tell who sends them",
		"write a secret, and check it there"),
		when(address.Scheme != "https", "sink.webhook.url", "results go to another machine unencrypted", "write https://")...)
}

func postgresOpen(def *Definition) []violation {
	out := def.Sink.Postgres
	if out == nil {
		return nil
	}
	address, err := url.Parse(out.URL)
	if err != nil || address.Host == "" || local(address.Hostname()) {
		return nil
	}
	mode := address.Query().Get("sslmode")
	return when(mode == "" || mode == "disable" || mode == "allow" || mode == "prefer", "sink.postgres.url",
		"the connection to another machine is encrypted only where that machine offers it, and nobody checks who it is",
		"add ?sslmode=verify-full to the address")
}

func webhookRefusals(def *Definition) []violation {
	dead := def.Sink.DeadLetter
	// With ingest.kafka a warning tells of the missing place already.
	return when(def.Sink.Webhook != nil && dead.Kafka == nil && dead.JSONL == nil && def.Ingest.Kafka == nil, "sink.dead_letter",
		"there is no place for results that the receiver refuses: the first one stops the pipeline",
		"write dead_letter: {jsonl: {path: …}} below sink")
}
