package sink

import "github.com/ensue-video/ensue/stream"

// Codes of this package.
const (
	// CodeBadConfig: the definition's sink cannot be used as it is written.
	CodeBadConfig stream.Code = "sink.bad_config"

	// CodeBrokerUnreachable: no broker answered, or none that leads the partition, for as long as was allowed.
	CodeBrokerUnreachable stream.Code = "sink.broker_unreachable"
	// CodeNotEnoughReplicas: the topic has fewer in-sync replicas than it wants (min.insync.replicas).
	CodeNotEnoughReplicas stream.Code = "sink.not_enough_replicas"
	// CodeTopicMissing: the topic does not exist.
	CodeTopicMissing stream.Code = "sink.topic_missing"
	// CodeNotAuthorized: the broker does not let this client write to the topic.
	CodeNotAuthorized stream.Code = "sink.not_authorized"
	// CodeTLS: no encrypted connection to the broker can be made.
	CodeTLS stream.Code = "sink.tls_failed"
	// CodeLogin: the broker does not accept who this client says it is.
	CodeLogin stream.Code = "sink.login_failed"
	// CodeTooLarge: the record is larger than the topic takes. Permanent.
	CodeTooLarge stream.Code = "sink.too_large"
	// CodeRejected: the broker refuses this record, whatever is done. Permanent.
	CodeRejected stream.Code = "sink.rejected"
	// CodeInterrupted: the caller's context ended before anything else went wrong.
	CodeInterrupted stream.Code = "sink.interrupted"

	// CodeUnreachable: a database or a receiver of webhooks did not answer, for as long as was allowed.
	CodeUnreachable stream.Code = "sink.unreachable"
	// CodeDatabase: the database does not have what is needed: the database itself, the table, its columns, pgvector.
	CodeDatabase stream.Code = "sink.database"

	// CodeFile: a file cannot be opened or written.
	CodeFile stream.Code = "sink.file"
	// CodeFileInUse: another process writes the same file.
	CodeFileInUse stream.Code = "sink.file_in_use"
	// CodeNotJSONL: the file is there and holds something else than JSON lines.
	CodeNotJSONL stream.Code = "sink.not_jsonl"
	// CodeClosed: written to after Close.
	CodeClosed stream.Code = "sink.closed"

	// CodeNoDeadLetter: something could not be processed and the definition does not say where to tell it.
	CodeNoDeadLetter stream.Code = "sink.no_dead_letter"
)

// fail makes a failure about what was to be written: permanent.
func fail(code stream.Code, format string, args ...any) *stream.Failure {
	return stream.Fail("sink", code, format, args...)
}

// failTransient makes a failure about the world: the same write may succeed later.
func failTransient(code stream.Code, format string, args ...any) *stream.Failure {
	return stream.FailTransient("sink", code, format, args...)
}
