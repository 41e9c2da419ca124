// Package pipelines turns a definition, the YAML a person writes, into a running pipeline.
//
// The field spec (Spec) is the only source of what a definition may say: parsing with line and column, defaults, lint, JSON
// Schema, explain and docs/definition.md all come from it.
//
// An Engine runs one Definition: it owns every channel and goroutine between ingest and sink. Segments pass through
// intake, decode, encode, predict and deliver; each edge is one bounded channel. A stage works on the segments of one stream
// one after another and on different streams side by side (lanes), so results leave in the order of the stream whatever the
// concurrency, and nothing has to be put back in order.
//
// Invariants enforced here: 1 (deliver acknowledges after writing), 2 (lanes), 4 (a failure travels as an item, to the dead
// letters), 6 (bounded channels, memory admission). They are written out in package stream.
package pipelines
