package pipelines

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// item is a segment on its way through the stages, with what they have made of it so far.
type item struct {
	segment *stream.Segment
	clip    *stream.Clip
	tokens  *stream.Tokens
	result  *stream.Result
	// failure ends the work on the segment: later stages pass the item on, deliver writes the dead letter.
	failure *stream.Failure
	// needed is the oldest segment of the stream that is still wanted as context.
	needed  stream.SegmentID
	latency stream.Latency
	// taken is when the item entered the stage's queue, charge how much memory it was admitted with.
	taken  time.Time
	charge int64
}

// video says that the item has frames to work on: it is no control segment and nothing has gone wrong with it.
func (it *item) video() bool {
	return it.failure == nil && it.segment.Mark != stream.MarkForget && len(it.segment.Payload) > 0
}

// forgets says that the stream has no state after this item.
func (it *item) forgets() bool { return it.segment.Mark != stream.MarkNone }

// step is one worker's part of a stage. work never fails: what goes wrong becomes the item's failure.
type step struct {
	stage string
	do    func(ctx context.Context, it *item) error
	// spent is where the time is booked.
	spent func(*stream.Latency) *float64
	free  func()
}

func (s step) work(ctx context.Context, it *item) {
	begin := time.Now()
	if s.stage == stageDecode {
		it.latency.Queue = begin.Sub(it.taken).Seconds()
	}
	if err := s.guard(ctx, it); err != nil {
		it.fail(stream.AsFailure(err, s.stage))
	}
	*s.spent(&it.latency) = time.Since(begin).Seconds()
}

// guard is the stage's boundary: the only place where a panic is caught, and it names the segment.
func (s step) guard(ctx context.Context, it *item) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = stream.Fail(s.stage, stream.Code(s.stage+".panic"),
				"working on segment %s: panic: %v\n%s", it.segment.ID(), cause, debug.Stack())
		}
	}()
	if err := s.do(ctx, it); err != nil {
		if doing, ok := gerund[s.stage]; ok {
			return fmt.Errorf("%s segment %s: %w", doing, it.segment.ID(), err)
		}
		return err
	}
	return nil
}

func (s step) close() {
	if s.free != nil {
		s.free()
	}
}

// fail records the first failure of the item and frees what the stages made of it.
func (it *item) fail(failure *stream.Failure) {
	if it.failure == nil {
		it.failure = failure
	}
	it.clip.Release()
	it.clip, it.tokens, it.result = nil, nil, nil
}

// The names of the stages, as in failures, metrics and explain.
const (
	stageIngest  = "ingest"
	stageDecode  = "decode"
	stageEncode  = "encode"
	stagePredict = "predict"
)

// gerund is what a stage was doing, for errors that do not name the segment by themselves as those of decode do.
var gerund = map[string]string{stageEncode: "encoding", stagePredict: "scoring"}
