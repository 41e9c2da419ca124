// Package stream holds the nouns that flow through a pipeline, and how they look on the wire.
//
//   - Segment: a few seconds of one stream, as it arrived: bytes of a container, who it belongs to, when it starts,
//     and how to acknowledge it.
//   - Clip: the frames decoded from a segment, sampled by presentation time.
//   - Tokens: what the encoder makes of a clip.
//   - Result: what is said about one pair (X, Y): how badly Y continues X.
//   - Failure: what could not be processed, with a stable code; it becomes a dead letter.
//
// The package knows no broker, no codec and no model; everything else imports it and it imports nothing of this module but
// streampb, the generated Protobuf form of results.
//
// # Wire format
//
// docs/wire.md describes it for senders and readers; here it is code. SegmentFromRecord and RecordFromSegment translate what
// comes in, RecordFromResult and ResultFromRecord what goes out (MarshalResult and UnmarshalResult without the record),
// RecordFromDeadLetter what could not be processed. Record is the message of whatever client carries it.
//
// # Invariants
//
// They are numbered here and cited in the code where they are enforced.
//
//  1. A segment is acknowledged only after every result and dead letter it gave rise to is durably written.
//  2. Results of one stream leave in the order of the stream, once per (stream, X, Y, model): their ids are deterministic,
//     so a replay overwrites instead of duplicating.
//  3. A committed offset never passes a segment whose tokens are still needed as context, nor one that is in flight.
//  4. What cannot be processed goes to the dead-letter sink with its code, stage, attempts and origin; it never blocks or
//     changes another stream.
//  5. No token depends on a later frame.
//  6. Queues are bounded; memory is bounded by configuration and independent of the length of a stream.
//  7. Same segments, same model, same definition: same results, live or replayed, whatever the concurrency.
package stream
