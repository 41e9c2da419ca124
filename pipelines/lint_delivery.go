package pipelines

import (
	"fmt"
	"time"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/sink"
)

// brokerTransactionMax is transaction.max.timeout.ms of a broker where nobody changed it.
const brokerTransactionMax = 15 * time.Minute

// deliveryRules say when exactly-once delivery cannot be had, and when it would not work well.
func deliveryRules() []rule {
	return []rule{
		{
			code: "definition.exactly_once", severity: SeverityError,
			doc: "`delivery: exactly_once` cannot be had here: everything that is written has to take part in the transactions of the cluster " +
				"that segments are read from.",
			reads: []string{
				"sink.kafka.delivery", "sink.kafka.brokers", "sink.jsonl", "sink.parquet", "sink.postgres", "sink.webhook",
				"sink.dead_letter.jsonl", "sink.dead_letter.kafka.brokers",
				"ingest.kafka", "ingest.files",
			}, find: exactlyOnceRefused,
		},
		{
			code: "definition.transaction_timeout", severity: SeverityWarning,
			doc:   "The broker aborts transactions before they are written, refuses so long a timeout, or keeps readers waiting after a crash.",
			reads: []string{"sink.kafka.transaction.timeout", "ingest.kafka.session_timeout", "decode.limits.bytes"}, find: transactionTimeout,
		},
		{
			code: "definition.transaction_id", severity: SeverityWarning,
			doc:   "The transactional id is the same in every process; two that run at once end each other's transactions.",
			reads: []string{"sink.kafka.transaction.id"}, find: transactionID,
		},
		{
			code: "definition.transaction_unused", severity: SeverityNote,
			doc:   "`sink.kafka.transaction` changes nothing with `delivery: at_least_once`.",
			reads: []string{"sink.kafka.transaction", "sink.kafka.delivery"}, find: transactionUnused,
		},
	}
}

func exactly(def *Definition) *sink.KafkaConfig {
	if out := def.Sink.Kafka; out != nil && out.Delivery == sink.DeliverExactlyOnce {
		return out
	}
	return nil
}

func exactlyOnceRefused(def *Definition) []violation {
	const path = "sink.kafka.delivery"
	const instead = "write at_least_once: results have deterministic ids, and ensue tail --once keeps one of each; or "
	out := exactly(def)
	if out == nil {
		return nil
	}
	in := def.Ingest.Kafka
	if in == nil {
		return when(true, path, "exactly_once needs segments from Kafka: what was read is committed in the transaction that has the results",
			instead+"read from ingest.kafka")
	}
	var found []violation
	refuse := func(refused bool, path, message, hint string) {
		found = append(found, when(refused, path, message, instead+hint)...)
	}
	refuse(!sameCluster(def, out.Brokers, in.Brokers), "sink.kafka.brokers",
		"results go to another cluster than segments come from, and a transaction is within one", "write to the brokers of ingest.kafka")
	refuse(def.Sink.JSONL != nil, "sink.jsonl", "a file takes no part in Kafka's transactions: it would have results that are then aborted",
		"remove sink.jsonl")
	const outside = "takes no part in Kafka's transactions: it would have results that are then aborted"
	refuse(def.Sink.Parquet != nil, "sink.parquet", "a table "+outside, "remove sink.parquet")
	refuse(def.Sink.Postgres != nil, "sink.postgres", "a database "+outside, "remove sink.postgres")
	refuse(def.Sink.Webhook != nil, "sink.webhook", "a receiver of webhooks "+outside, "remove sink.webhook")
	dead := def.Sink.DeadLetter
	refuse(dead.JSONL != nil, "sink.dead_letter.jsonl", "a file takes no part in Kafka's transactions: it would have dead letters twice",
		"use sink.dead_letter.kafka")
	refuse(dead.Kafka != nil && !sameCluster(def, dead.Kafka.Brokers, in.Brokers), "sink.dead_letter.kafka.brokers",
		"dead letters go to another cluster than segments come from, and a transaction is within one", "write to the brokers of ingest.kafka")
	return found
}

func transactionTimeout(def *Definition) []violation {
	const path = "sink.kafka.transaction.timeout"
	out, in := exactly(def), def.Ingest.Kafka
	if out == nil || in == nil {
		return nil
	}
	timeout := out.Transaction.Timeout
	largest := wholeSeconds(time.Duration(float64(def.Decode.Limits.Bytes+letterBytes) * 8 / assumedBandwidth * float64(time.Second)))
	found := when(timeout > brokerTransactionMax, path,
		fmt.Sprintf("%s is more than the %s that brokers allow unless told otherwise (transaction.max.timeout.ms): nothing could be written",
			formatDuration(timeout), formatDuration(brokerTransactionMax)), "write at most "+formatDuration(in.SessionTimeout))
	found = append(found, when(timeout > in.SessionTimeout && timeout <= brokerTransactionMax, path,
		fmt.Sprintf("after a crash the next owner of the partitions waits %s for what was left open, although it has them after %s "+
			"(ingest.kafka.session_timeout)", formatDuration(timeout), formatDuration(in.SessionTimeout)),
		"write at most "+formatDuration(in.SessionTimeout))...)
	found = append(found, when(timeout <= out.Transaction.Interval, path,
		fmt.Sprintf("results are gathered for %s (interval), longer than a transaction may be open", formatDuration(out.Transaction.Interval)),
		"write more than "+formatDuration(out.Transaction.Interval))...)
	return append(found, when(def.Sink.DeadLetter.Kafka != nil && timeout < largest, path,
		fmt.Sprintf("writing the dead letters of one transaction may take %s at an assumed 50 Mbit/s (the largest has decode.limits.bytes: %s): "+
			"the broker would abort it for ever", formatDuration(largest), formatBytes(def.Decode.Limits.Bytes)),
		"write at least "+formatDuration(largest)+", or a smaller decode.limits.bytes")...)
}

func transactionID(def *Definition) []violation {
	const path = "sink.kafka.transaction.id"
	out := exactly(def)
	if out == nil || out.Transaction.ID == "" {
		return nil
	}
	o, parsed := def.source.origin(path)
	return when(parsed && len(o.from) == 0, path,
		"every process that runs this definition has the same transactional id: the one that starts ends the transactions of the other",
		"put a variable into it that is another one in every process, such as ${HOSTNAME}, or leave it out")
}

func transactionUnused(def *Definition) []violation {
	const path = "sink.kafka.transaction"
	out := def.Sink.Kafka
	_, parsed := def.source.origin(path)
	return when(out != nil && exactly(def) == nil && parsed && written(def, path), path,
		"has no effect with delivery: at_least_once", "remove it, or write delivery: exactly_once")
}

// securityRules look at how the definition gets into its brokers.
func securityRules() []rule {
	reads := []string{
		"ingest.kafka.security", "ingest.kafka.security.sasl.password", "sink.kafka.security", "sink.kafka.security.sasl.password",
		"sink.dead_letter.kafka.security", "sink.dead_letter.kafka.security.sasl.password",
	}
	return []rule{
		{
			code: "definition.security", severity: SeverityError,
			doc:   "Keys of a `security` block are missing or contradict each other.",
			reads: reads, find: securityProblems,
		},
		{
			code: "definition.password_in_the_clear", severity: SeverityWarning,
			doc:   "A password or token is sent to the broker without encryption.",
			reads: reads, find: passwordInTheClear,
		},
		{
			code: "definition.tls_insecure", severity: SeverityWarning,
			doc:   "The broker's certificate is not checked.",
			reads: reads, find: tlsInsecure,
		},
		{
			code: "definition.security_missing", severity: SeverityWarning,
			doc:   "A sink names brokers of its own and no `security`, while the source needs some.",
			reads: append([]string{"sink.kafka.brokers", "sink.dead_letter.kafka.brokers"}, reads...), find: securityMissing,
		},
	}
}

// entrance is one place where a definition gets into brokers.
type entrance struct {
	path     string
	brokers  []string
	security *connect.Security
}

// entrances are all places with brokers.
func entrances(def *Definition) []entrance {
	var all []entrance
	if in := def.Ingest.Kafka; in != nil {
		all = append(all, entrance{"ingest.kafka", in.Brokers, in.Security})
	}
	if out := def.Sink.Kafka; out != nil {
		all = append(all, entrance{"sink.kafka", out.Brokers, out.Security})
	}
	if dead := def.Sink.DeadLetter.Kafka; dead != nil {
		all = append(all, entrance{"sink.dead_letter.kafka", dead.Brokers, dead.Security})
	}
	return all
}

func securityProblems(def *Definition) []violation {
	var found []violation
	for _, at := range entrances(def) {
		for _, p := range at.security.Problems() {
			found = append(found, violation{at.path + ".security." + p.Key, p.Message, p.Hint})
		}
	}
	return found
}

func passwordInTheClear(def *Definition) []violation {
	var found []violation
	for _, at := range entrances(def) {
		if !at.security.LogsIn() || at.security.Encrypted() {
			continue
		}
		switch mechanism := at.security.SASL.Mechanism; mechanism {
		case connect.MechanismPlain, connect.MechanismOAuthBearer:
			found = append(found, violation{
				at.path + ".security.sasl.mechanism", mechanism + " sends the secret itself, and the connection is not encrypted: " +
					"anybody in between can read it", "add tls: {} to " + at.path + ".security, or use " + connect.MechanismScram512,
			})
		}
	}
	return found
}

func tlsInsecure(def *Definition) []violation {
	var found []violation
	for _, at := range entrances(def) {
		found = append(found, when(at.security.Encrypted() && at.security.TLS.Insecure, at.path+".security.tls.insecure",
			"no certificate is checked: anybody in between can read and change everything",
			"remove it and name the broker's authority in "+at.path+".security.tls.ca")...)
	}
	return found
}

func securityMissing(def *Definition) []violation {
	in := def.Ingest.Kafka
	if in == nil || in.Security == nil {
		return nil
	}
	var found []violation
	for _, at := range entrances(def) {
		found = append(found, when(len(at.brokers) > 0 && at.security == nil, at.path+".brokers",
			"these brokers are spoken to without TLS and login, unlike those of ingest.kafka ("+in.Security.String()+")",
			"write a security block of its own, or remove brokers where they are those of ingest.kafka")...)
	}
	return found
}
