package pipelines

import (
	"fmt"
	"path/filepath"
	"slices"
)

// topologyRules look at where video comes from and where results go.
func topologyRules() []rule {
	return []rule{
		{
			code: "definition.no_source", severity: SeverityError, doc: "Neither `ingest.kafka` nor `ingest.files` is there.",
			reads: []string{"ingest.kafka", "ingest.files"}, find: noSource,
		},
		{
			code: "definition.two_sources", severity: SeverityError, doc: "Both `ingest.kafka` and `ingest.files` are there.",
			reads: []string{"ingest.kafka", "ingest.files"}, find: twoSources,
		},
		{
			code: "definition.no_sink", severity: SeverityError, doc: "Results go nowhere.",
			reads: []string{"sink.kafka", "sink.jsonl", "sink.parquet", "sink.postgres", "sink.webhook"}, find: noSink,
		},
		{
			code: "definition.no_dead_letter", severity: SeverityWarning,
			doc:   "There is no place for segments that cannot be processed, so the first one stops the pipeline.",
			reads: []string{"ingest.kafka", "sink.dead_letter.kafka", "sink.dead_letter.jsonl"}, find: noDeadLetter,
		},
		{
			code: "definition.two_dead_letters", severity: SeverityError, doc: "Dead letters go to one place, not to two.",
			reads: []string{"sink.dead_letter.kafka", "sink.dead_letter.jsonl"}, find: twoDeadLetters,
		},
		{
			code: "definition.topic_loop", severity: SeverityError,
			doc:   "Results or dead letters are written to the topic that segments are read from.",
			reads: []string{"ingest.kafka", "ingest.kafka.brokers", "ingest.kafka.topic"}, find: topicLoop,
		},
		{
			code: "definition.topic_shared", severity: SeverityError, doc: "Results and dead letters are written to the same topic.",
			reads: []string{"sink.kafka.topic", "sink.dead_letter.kafka.topic"}, find: topicShared,
		},
		{
			code: "definition.path_shared", severity: SeverityError, doc: "Results and dead letters are written to the same file.",
			reads: []string{"sink.jsonl.path", "sink.dead_letter.jsonl.path"}, find: pathShared,
		},
		{
			code: "definition.no_brokers", severity: SeverityError,
			doc:   "A Kafka sink names no brokers and there is no `ingest.kafka` to take them from.",
			reads: []string{"ingest.kafka", "sink.kafka.brokers", "sink.dead_letter.kafka.brokers"}, find: noBrokers,
		},
		{
			code: "definition.serve_open", severity: SeverityError,
			doc:   "Other machines can reach `serve.address`, and there is no `serve.token` to keep them out.",
			reads: []string{"serve", "serve.address", "serve.token"}, find: serveOpen,
		},
		{
			code: "definition.drops_results", severity: SeverityWarning,
			doc:   "`queues.full: drop_oldest` gives segments up although nothing forces it.",
			reads: []string{"queues.full", "ingest.files"}, find: dropsFiles,
		},
		{
			code: "definition.drops_live", severity: SeverityNote,
			doc:   "`queues.full: drop_oldest` means that segments may go unscored.",
			reads: []string{"queues.full", "ingest.kafka"}, find: dropsLive,
		},
		{
			code: "definition.no_effect", severity: SeverityNote, doc: "A key is written that changes nothing here.",
			reads: []string{"ingest.files", "ingest.files.watch", "ingest.order"}, find: noEffect,
		},
		{
			code: "definition.settle_short", severity: SeverityWarning,
			doc:   "A watched file may be taken for finished while its recorder still writes.",
			reads: []string{"ingest.files.watch", "ingest.files.settle"}, find: settleShort,
		},
		{
			code: "definition.evict_order", severity: SeverityError, doc: "`evict` must be longer than `grace`.",
			reads: []string{"ingest.order.grace", "ingest.order.evict"}, find: evictOrder,
		},
		{
			code: "definition.evict_short", severity: SeverityWarning,
			doc:   "A stream would be forgotten while a missing segment of it is still waited for.",
			reads: []string{"ingest.order.grace", "ingest.order.evict"}, find: evictShort,
		},
	}
}

func noSource(def *Definition) []violation {
	return when(def.Ingest.Kafka == nil && def.Ingest.Files == nil, "ingest",
		"there is no source", "write kafka: {topic: …} or files: {paths: […]} below ingest")
}

func twoSources(def *Definition) []violation {
	return when(def.Ingest.Kafka != nil && def.Ingest.Files != nil, "ingest.files",
		"there are two sources, kafka and files", "keep one; two pipelines can write to the same topic")
}

func noSink(def *Definition) []violation {
	return when(!def.Sink.Some(), "sink",
		"results go nowhere", "write kafka: {topic: …} or jsonl: {path: …} below sink")
}

func noDeadLetter(def *Definition) []violation {
	dead := def.Sink.DeadLetter
	return when(def.Ingest.Kafka != nil && dead.Kafka == nil && dead.JSONL == nil, "sink.dead_letter",
		"there is no place for segments that cannot be processed: the first one stops the pipeline",
		"write dead_letter: {kafka: {topic: …}} or dead_letter: {jsonl: {path: …}} below sink")
}

func twoDeadLetters(def *Definition) []violation {
	dead := def.Sink.DeadLetter
	return when(dead.Kafka != nil && dead.JSONL != nil, "sink.dead_letter.jsonl",
		"dead letters have two places, kafka and jsonl", "keep one")
}

func topicLoop(def *Definition) []violation {
	in := def.Ingest.Kafka
	if in == nil {
		return nil
	}
	var found []violation
	if out := def.Sink.Kafka; out != nil && out.Topic == in.Topic && sameCluster(def, out.Brokers, in.Brokers) {
		found = append(found, violation{
			path: "sink.kafka.topic", message: fmt.Sprintf("results go to %q, the topic that segments are read from", out.Topic),
			hint: "use a topic of its own for results",
		})
	}
	if dead := def.Sink.DeadLetter.Kafka; dead != nil && dead.Topic == in.Topic && sameCluster(def, dead.Brokers, in.Brokers) {
		found = append(found, violation{
			path: "sink.dead_letter.kafka.topic", message: fmt.Sprintf("dead letters go to %q, the topic that segments are read from", dead.Topic),
			hint: "use a topic of its own for dead letters: they would be read and die again for ever",
		})
	}
	return found
}

func topicShared(def *Definition) []violation {
	out, dead := def.Sink.Kafka, def.Sink.DeadLetter.Kafka
	if out == nil || dead == nil {
		return nil
	}
	return when(out.Topic == dead.Topic, "sink.dead_letter.kafka.topic",
		fmt.Sprintf("dead letters go to %q, the topic of the results", dead.Topic),
		"use a topic of its own for dead letters: readers of results cannot read them")
}

// sameCluster says whether two lists of brokers have one in common; an empty list stands for the brokers of ingest.kafka.
func sameCluster(def *Definition, a, b []string) bool {
	if len(a) == 0 {
		a = def.Brokers()
	}
	if len(b) == 0 {
		b = def.Brokers()
	}
	return slices.ContainsFunc(a, func(broker string) bool { return slices.Contains(b, broker) })
}

func pathShared(def *Definition) []violation {
	out, dead := def.Sink.JSONL, def.Sink.DeadLetter.JSONL
	return when(out != nil && dead != nil && filepath.Clean(out.Path) == filepath.Clean(dead.Path), "sink.dead_letter.jsonl.path",
		"dead letters go to the file of the results", "use a file of its own for dead letters")
}

func noBrokers(def *Definition) []violation {
	const message, hint = "there are no brokers to write to: only ingest.kafka has a default for them", "write brokers: [host:port]"
	if def.Ingest.Kafka != nil {
		return nil
	}
	var found []violation
	if out := def.Sink.Kafka; out != nil && len(out.Brokers) == 0 {
		found = append(found, violation{"sink.kafka.brokers", message, hint})
	}
	if dead := def.Sink.DeadLetter.Kafka; dead != nil && len(dead.Brokers) == 0 {
		found = append(found, violation{"sink.dead_letter.kafka.brokers", message, hint})
	}
	return found
}

func dropsFiles(def *Definition) []violation {
	return when(def.Queues.Full == FullDropOldest && def.Ingest.Files != nil, "queues.full",
		"files are read as fast as they are scored, yet the oldest segments would be given up", "write block")
}

func dropsLive(def *Definition) []violation {
	return when(def.Queues.Full == FullDropOldest && def.Ingest.Kafka != nil, "queues.full",
		"segments that do not fit in are given up and counted: their results are unscored (dropped), and the next one of their stream has a "+
			"gap before it",
		"write block to score every segment, however late")
}

func noEffect(def *Definition) []violation {
	if def.Ingest.Files == nil {
		return nil
	}
	var found []violation
	for _, path := range []string{"ingest.order.grace", "ingest.order.late"} {
		if _, parsed := def.source.origin(path); parsed && written(def, path) {
			found = append(found, violation{path, "has no effect: the segments of a file are always in order", "remove it"})
		}
	}
	const settle = "ingest.files.settle"
	if _, parsed := def.source.origin(settle); parsed && written(def, settle) && !def.Ingest.Files.Watch {
		found = append(found, violation{settle, "has no effect without watch: true", "remove it, or write watch: true"})
	}
	return found
}

func settleShort(def *Definition) []violation {
	files := def.Ingest.Files
	return when(files != nil && files.Watch && files.Settle < usualFlush, "ingest.files.settle",
		fmt.Sprintf("recorders may write only once in %s, so a file that is still growing would be taken for finished",
			formatDuration(usualFlush)), "write at least "+formatDuration(usualFlush))
}

func evictOrder(def *Definition) []violation {
	order := def.Ingest.Order
	return when(order.Evict <= order.Grace, "ingest.order.evict",
		fmt.Sprintf("a stream is forgotten after %s, but a missing segment of it is waited for %s",
			formatDuration(order.Evict), formatDuration(order.Grace)),
		"write more than "+formatDuration(order.Grace))
}

func evictShort(def *Definition) []violation {
	order := def.Ingest.Order
	short := order.Evict > order.Grace && order.Evict <= order.Grace+assumedSegment
	return when(def.Ingest.Kafka != nil && short, "ingest.order.evict",
		fmt.Sprintf("a stream is forgotten after %s, but a missing segment is waited for %s and the next one comes %s later (assumed)",
			formatDuration(order.Evict), formatDuration(order.Grace), formatDuration(assumedSegment)),
		"write more than "+formatDuration(order.Grace+assumedSegment))
}

func serveOpen(def *Definition) []violation {
	return when(def.Serve != nil && def.Serve.Open(), "serve.address", "other machines can reach this address, and serve.token is missing",
		"write serve.token, or listen on localhost")
}
