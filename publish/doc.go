// Package publish cuts recorded video on key frames and puts the segments on Kafka, as a camera would.
//
// It cuts with the same function as ingest's files source, so publishing a file and running a pipeline gives the same results
// as replaying the file (invariant 7). Records are keyed by stream, written idempotently and acknowledged by all in-sync
// replicas before File returns.
package publish
