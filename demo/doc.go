// Package demo runs the main job in one process, from topic to topic: an embedded Kafka broker, the sample streams published
// as cameras would, the stock pipeline, and a reader of its results. It is what `ensue demo` and the tests of the whole run.
//
// The streams of examples/video hold events at known times, so the demo also says whether what it found was there.
package demo
