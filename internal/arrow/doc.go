// Package arrow writes the schema that Arrow keeps inside a Parquet file: readers that follow it (pyarrow, pandas, Polars) then see
// lists of a fixed length, which Parquet itself does not know.
//
// Schema is that entry; Key is the name it is kept under. The format is Arrow's (github.com/apache/arrow, format/Schema.fbs); its own
// package would bring gRPC.
//
// Invariants: the same fields give the same bytes.
package arrow
