// Package metrics is what a pipeline tells Prometheus of itself.
//
// Table declares every metric once: name, type, unit, labels and what bounds them, help. A Set is the metrics of one pipeline in a registry
// of its own. docs/metrics.md is made from the table (Reference).
//
// What it keeps to:
//
//  1. Only what Table declares is told: anything else is an error of the scrape, not a metric.
//  2. Every label is bounded: words of a fixed list, the codes of failures (maxCodes), the partitions of this process (maxPartitions), or
//     streams (Options.Streams); what is beyond goes under Other.
//  3. The pipeline is not slowed: what the engine counts anyway is read when somebody scrapes; what has to be booked costs a few atomic
//     additions a segment, on the goroutine that delivers.
//  4. There are no globals: two pipelines in one process have two Sets, told apart by the label `pipeline`.
package metrics
