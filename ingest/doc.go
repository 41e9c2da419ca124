// Package ingest brings segments into a pipeline.
//
// A Source sends the segments of each stream in the order of the stream. New makes the one a Config asks for:
//
//   - Kafka reads records as a member of a consumer group: one worker a partition, each with an Order of its own. Offsets are
//     committed after the results, and held back at what the next segment of every live stream still needs as context.
//   - Files cuts recorded files on key frames, each file a stream; it can watch folders for finished files.
//
// Order is the state machine between a record and a pipeline: it sorts, waits for what is missing, tells duplicates and
// latecomers apart, and forgets streams that died.
//
// # Invariants
//
// The package enforces these of package stream: 1 (Kafka acknowledges a segment only when its receipt says Done), 3 (offsets.go
// computes what may be committed), 4 (a record or file that cannot be used becomes a segment with a Problem, and the streams
// beside it go on), 6 (Order and the fetches are bounded) and its part of 7 (the same cut and the same sampling epoch for a file
// whether it is replayed or published).
//
// # What the committed offset carries
//
// The metadata string of a committed offset says which offsets behind it are already done, and which of those are still
// needed as context; see progress. After a restart or a rebalance the next owner reads the latter again as ContextOnly and
// passes over the others, so no result is written again. Losing the metadata loses nothing but that: the segments are
// processed again and give the same results under the same ids (invariant 2).
package ingest
