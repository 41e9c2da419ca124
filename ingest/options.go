package ingest

import (
	"context"

	"github.com/ensue-video/ensue/stream"
)

// Gate lets segments into a pipeline. A source calls it before it sends a segment on, from the goroutine of the partition or file that
// the segment comes from: where there is no room for one stream, what waits is its partition and nothing else.
type Gate interface {
	// Enter waits until there is room for the segment; it fails only when ctx is done. Whoever is told that the segment is done lets
	// the room go.
	Enter(ctx context.Context, segment *stream.Segment) error
	// Leave lets the room of a segment go that was not sent after all.
	Leave(segment *stream.Segment)
}

// Recovery knows what was saved of streams by whoever had them before.
type Recovery interface {
	// Recover is what is known of the streams of a partition, by their names.
	Recover(ctx context.Context, group, topic string, partition int) (map[string]*stream.Saved, error)
}

// Option is what a source gets from the pipeline around it.
type Option func(*options)

type options struct {
	gate     Gate
	recovery Recovery
	memory   int64
}

// WithGate has the source ask before it sends a segment on.
func WithGate(gate Gate) Option { return func(o *options) { o.gate = gate } }

// WithRecovery has the source hand out what is known of a stream with the first segment of it after a take-over.
func WithRecovery(recovery Recovery) Option { return func(o *options) { o.recovery = recovery } }

// WithMemory bounds the payloads that the source itself holds, waiting and just read: to that many bytes, as nearly as the size of a
// single segment allows.
func WithMemory(bytes int64) Option { return func(o *options) { o.memory = bytes } }
