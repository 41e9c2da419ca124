// Package sink takes results and dead letters out of a pipeline.
//
//   - Sink takes results: New opens the kafka and jsonl sinks of a definition, Fanout writes to several at once.
//   - DeadLetters takes what could not be processed: NewDeadLetters opens the one of a definition.
//   - Producer writes records to a Kafka topic; both Kafka sinks are built on it.
//
// # What it enforces
//
// Invariant 1: Write returns nil only once everything is durably written: acknowledged by all in-sync replicas, or synchronised
// to the disk. After an error the caller writes the same again.
//
// Invariant 2: what is written for one stream keeps its order. A stream's records go to one partition (the key's murmur2 hash,
// the same partition that Java's and most other clients choose), one batch after the other, and nothing is written behind a
// batch that failed.
//
// Invariant 4: a dead letter is told even when the broker will not take its payload: then without it.
//
// # Failures
//
// What Write returns is a *stream.Failure of stage "sink". Permanent ones are about what was to be written (CodeTooLarge,
// CodeRejected, stream.CodeBadResult): the same would be refused again. All others are about the world (no broker, no topic, no
// rights, no room, no place for dead letters): once that is mended, the same write succeeds, so nothing may be given up because
// of them.
package sink
