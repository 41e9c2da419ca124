// Package tracing tells an OpenTelemetry collector how each segment went through a pipeline: one trace a segment, a span for every stage.
//
// The trace goes on where the sender's `traceparent` began it, and results and dead letters carry it on. Whether a trace is recorded is the
// sender's decision where there is one, else a share of them is (Config.Sample).
//
// What it keeps to:
//
//  1. It never makes the pipeline wait: spans go into a bounded queue, and what the collector does not take in time is left out, and logged
//     once.
//  2. It is off unless the definition has `traces`; then nothing of it runs, and a `traceparent` passes through unchanged.
//  3. There are no globals: every pipeline has a provider of its own.
package tracing
