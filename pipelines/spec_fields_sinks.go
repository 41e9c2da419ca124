package pipelines

import (
	"github.com/ensue-video/ensue/sink"
)

// furtherSinkFields are the sinks that lead out of Kafka and files of lines.
func furtherSinkFields() []Field {
	fields := append(parquetFields(), postgresFields()...)
	return append(fields, webhookFields()...)
}

func parquetFields() []Field {
	return []Field{
		{
			Path: "sink.parquet", Kind: KindObject,
			Doc: "Writes results to a folder of Parquet tables, a row each, embeddings as lists of a fixed length.",
			Notes: "Results are acknowledged once they are in a journal beside the table that grows; the table itself appears when it is " +
				"finished. What a crash leaves in a journal is in a table of the next run.",
		},
		{
			Path: "sink.parquet.path", Kind: KindString, Required: true, Examples: []string{"/var/lib/ensue/results"}, check: checkTableFolder,
			Doc: "The folder; it is made where it is missing.",
		},
		{
			Path: "sink.parquet.every", Kind: KindDuration, Default: "5m", Min: "1s", Max: "24h",
			Why: "results can be queried within minutes, and a day makes some hundred tables",
			Doc: "After how long a table is finished and a new one begun.",
		},
		{
			Path: "sink.parquet.size", Kind: KindBytes, Default: "64MiB", Min: "64KiB", Max: "16GiB",
			Why: "making it takes a second or two, during which results wait",
			Doc: "At how many bytes of results, as JSON, a table is finished earlier.",
		},
		{
			Path: "sink.parquet.map", Kind: KindBool, Default: "true",
			Why: "a table holds what a result does",
			Doc: "Whether rows carry the energy of every token.",
		},
	}
}

func postgresFields() []Field {
	return []Field{
		{
			Path: "sink.postgres", Kind: KindObject,
			Doc: "Writes results to a table of PostgreSQL by their id, embeddings as vectors of pgvector.",
			Notes: "A batch is a transaction; a result that is written again replaces itself. docs/sinks.md has the columns, and what to run " +
				"where the program may not make the table.",
		},
		{
			Path: "sink.postgres.url", Kind: KindString, Required: true, Secret: true, check: checkPostgresURL,
			Examples: []string{`"${POSTGRES:postgres://ensue@localhost/video}"`},
			Doc:      "The database: postgres://user:password@host:5432/database; it counts as a secret, for it may hold a password.",
		},
		{
			Path: "sink.postgres.table", Kind: KindString, Default: sink.DefaultPostgresTable, Examples: []string{"video.results"},
			check: checkTable,
			Why:   "nothing else is likely to have that name",
			Doc:   "The table, behind its schema and a dot where it has one.",
		},
		{
			Path: "sink.postgres.create", Kind: KindBool, Default: "true",
			Why: "a new database works at once",
			Doc: "Whether the extension, the table and its columns are made where they are missing.",
		},
		deliveryTimeoutOf("sink.postgres.delivery_timeout", "the database"),
	}
}

func webhookFields() []Field {
	return []Field{
		{
			Path: "sink.webhook", Kind: KindObject,
			Doc: "Posts results to a URL as JSON, signed as Standard Webhooks describes.",
			Notes: "A receiver that cannot be reached or answers 5xx, 408, 425 or 429 is asked again, with growing pauses; any other answer than " +
				"2xx refuses the result for good, which becomes a dead letter. A result that is sent again has the same webhook-id.",
		},
		{
			Path: "sink.webhook.url", Kind: KindString, Required: true, Examples: []string{"https://example.com/alarms"}, check: checkWebhookURL,
			Doc: "Where to post to.",
		},
		{
			Path: "sink.webhook.secret", Kind: KindString, Secret: true, Computed: "none", check: checkWebhookSecret,
			Examples: []string{`"${WEBHOOK_SECRET:whsec_bm90IGEgc2VjcmV0LCBmb3IgdHJpZXMgb25seQ==}"`},
			Why:      "a receiver in the same network may need none",
			Doc:      "What requests are signed with: `whsec_` and 24 to 64 bytes in base64; without it nothing is signed.",
		},
		{
			Path: "sink.webhook.verdicts", Kind: KindList, Item: KindEnum, Default: "[breaks, stalls]", Options: sink.Verdicts(),
			Why: "they are what somebody should hear of",
			Doc: "Which results are sent, by their verdict.",
		},
		{
			Path: "sink.webhook.batch", Kind: KindInt, Unit: "results", Default: "1", Min: "1", Max: "128",
			Why: "a receiver of alarms takes one at a time",
			Doc: "How many results one request takes at most, without waiting for more; above 1 its `data` is a list.",
		},
		{
			Path: "sink.webhook.timeout", Kind: KindDuration, Default: "10s", Min: "100ms", Max: "2m",
			Why: "a receiver should take a message first and work on it later",
			Doc: "How long one request may take.",
		},
		deliveryTimeoutOf("sink.webhook.delivery_timeout", "the receiver"),
	}
}

// checkTableFolder refuses the name of one table.
func checkTableFolder(text string) *complaint {
	if err := sink.CheckTableFolder(text); err != nil {
		return &complaint{message: err.Error(), hint: "name a folder"}
	}
	return nil
}

func checkPostgresURL(text string) *complaint {
	if err := sink.CheckPostgresURL(text); err != nil {
		return &complaint{message: err.Error(), hint: "write postgres://user:password@host:5432/database"}
	}
	return nil
}

func checkTable(text string) *complaint {
	if err := sink.CheckTable(text); err != nil {
		return &complaint{message: err.Error(), hint: "as in ensue_results, or video.results"}
	}
	return nil
}

func checkWebhookURL(text string) *complaint {
	if err := sink.CheckWebhookURL(text); err != nil {
		return &complaint{message: err.Error(), hint: "write https://host/path"}
	}
	return nil
}

func checkWebhookSecret(text string) *complaint {
	if err := sink.CheckWebhookSecret(text); err != nil {
		return &complaint{message: err.Error(), hint: "write whsec_ and the output of openssl rand -base64 32"}
	}
	return nil
}
