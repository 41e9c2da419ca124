package decode

import (
	"time"

	"github.com/ensue-video/ensue/stream"
)

// Timeline is the clock of one stream: it tells where each segment begins, counted from the stream's first frame. The zero value is
// the clock of a stream that begins. One goroutine uses it at a time.
//
// Where the sender told times, a segment begins at its Start minus the Epoch of its stream; the first Start stands in for an Epoch
// nobody told. Where it told none, a segment begins where the one before it ended.
type Timeline struct {
	end   time.Duration
	epoch time.Time
}

// TimelineAt is the clock of a stream of which so much has passed.
func TimelineAt(end time.Duration) *Timeline { return &Timeline{end: end} }

// Offset is where the segment begins.
func (t *Timeline) Offset(segment *stream.Segment) time.Duration {
	if segment.Start.IsZero() {
		return t.end
	}
	if !segment.Epoch.IsZero() && !segment.Start.Before(segment.Epoch) {
		t.epoch = segment.Epoch
	}
	if t.epoch.IsZero() || segment.Start.Before(t.epoch) {
		t.epoch = segment.Start.Add(-t.end) // a clock that was set back starts anew from here
	}
	return segment.Start.Sub(t.epoch)
}

// End is where the last segment ended.
func (t *Timeline) End() time.Duration { return t.end }

// Advance moves the clock to the end of the clip.
func (t *Timeline) Advance(clip *stream.Clip) { t.end = clip.End }

// Skip moves the clock over a segment at offset that gave no clip, as far as its sender told how long it is.
func (t *Timeline) Skip(segment *stream.Segment, offset time.Duration) {
	t.end = offset + segment.Duration
}
