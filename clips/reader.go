package clips

import (
	"context"
	"fmt"
	"time"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/stream"
)

// Reader cuts recordings into clips. One goroutine uses it at a time.
type Reader struct {
	decoder *decode.Decoder
	length  int
	// OnSegment is called for every segment of a recording that has been worked on, OnProblem for what could not be read; both may be nil.
	OnSegment func(*stream.Segment)
	OnProblem func(*stream.Failure)
}

// segmentLength is about how long the segments are that a recording is decoded in: as long as those of a replay.
const segmentLength = 2 * time.Second

// NewReader makes a reader of clips of length frames, 0: as long as the recording, at fps frames per second, for a model. Close it.
func NewReader(model Info, length int, fps float64) (*Reader, error) {
	config := decode.Default()
	config.FPS = fps
	// A recording is not sent by a stranger: what lies between two key frames may be long.
	config.Limits.Bytes, config.Limits.Frames = 1<<30, 1<<20
	config.Limits.Duration, config.Limits.Timeout = 24*time.Hour, time.Hour
	fit := decode.Squash
	if model.Crop {
		fit = decode.Crop
	}
	decoder, err := decode.New(config, decode.Size{Width: model.Width, Height: model.Height}, decode.WithFit(fit))
	if err != nil {
		return nil, err
	}
	return &Reader{decoder: decoder, length: length}, nil
}

// Close frees the reader.
func (r *Reader) Close() { r.decoder.Close() }

// Read emits the clips of a recording in their order; a clip is the receiver's until it returns. All have the reader's length, but the
// only one of a recording that is shorter. The last one overlaps the one before it where the frames do not come out even.
//
// Where the recording has a hole, or a part that cannot be read, clips end before it and begin anew after it. Read fails with emit's
// error, or when ctx ends.
func (r *Reader) Read(ctx context.Context, path string, emit func(*stream.Clip) error) error {
	run := &reading{Reader: r, collector: collector{length: r.length, emit: emit}}
	err := ingest.SegmentsOf(ctx, path, path, segmentLength, func(segment *stream.Segment) error { return run.take(ctx, segment) })
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return run.end()
}

// reading is one recording being read.
type reading struct {
	*Reader
	collector
	timeline   decode.Timeline
	continuity encoder.Continuity
}

func (r *reading) take(ctx context.Context, segment *stream.Segment) error {
	if r.OnSegment != nil {
		defer r.OnSegment(segment)
	}
	if segment.Problem != nil {
		return r.problem(segment.Problem)
	}
	if len(segment.Payload) == 0 { // the end of the recording
		return nil
	}
	offset := r.timeline.Offset(segment)
	clip, err := r.decoder.Decode(ctx, segment, offset)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.timeline.Skip(segment, offset)
		return r.problem(err)
	}
	defer clip.Release()
	r.timeline.Advance(clip)
	if !r.continuity.Next(clip) {
		if err := r.end(); err != nil {
			return err
		}
	}
	return r.add(clip)
}

// problem tells what could not be read, and ends the clip before it.
func (r *reading) problem(err error) error {
	if r.OnProblem != nil {
		r.OnProblem(stream.AsFailure(err, "decode"))
	}
	return r.end()
}
