// Package search finds moments that look alike in stored results, by their embeddings of what comes next.
//
//   - Point is a moment as a person names it: "lobby@12.5s", "lobby@2026-11-23T17:55:02Z". ParsePoint reads one.
//   - Store is where results are: Files (JSON lines and Parquet) or Postgres, as sink.postgres writes it.
//   - Find looks for the moments nearest to a point, by the cosine of their embeddings.
//
// Embeddings are compared with those of the same model and horizon only: numbers of another model mean something else.
//
// Invariants: files are read through, a result at a time, and memory holds the best matches and one line a stream (invariant 6 of package
// stream). The same results give the same answer: of equal matches the one that comes first in stream and time is first.
package search
