// Package resultfile keeps results in files that other programs read, and reads them again.
//
//   - Results is what is written and read: results one after another.
//   - Open reads a file of results, JSON lines or Parquet; Kinds lists the endings.
//   - Write writes one: .jsonl, .parquet or .mcap. CreateJSONL, CreateParquet and CreateMCAP
//     do whatever the ending.
//   - Embedding is the vector of a horizon, in numbers.
//
// A Parquet file is a table with a row a result (docs/sinks.md lists the columns); the embeddings of what comes next are lists of a fixed
// length for readers that follow Arrow. An MCAP file has a channel a stream with the result as JSON, and one with the alarms as
// foxglove.Log.
//
// Invariants: a file appears under its name when it is whole and on the disk, or not at all. Memory does not grow with the number of
// results but by 40 bytes each where Options.Once asks to leave out repeated ids (invariant 6). The same results give the same bytes. What
// Parquet cannot say of a result is below a microsecond.
package resultfile
