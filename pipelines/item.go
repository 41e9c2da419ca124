package pipelines

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/tracing"
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
	// trail is the segment's trace; nil where it is not recorded.
	trail *tracing.Trail
	// taken is when the item entered the pipeline.
	taken time.Time
	// settle tells the gate how many bytes the segment really takes; nil: nobody counts.
	settle func(*stream.Segment, int64)
	// dropped says that the segment was given up because the stages could not keep up: it has no payload any more.
	dropped bool
	// spent is the time of the stage that has the item, all its attempts together.
	spent time.Duration
	// tries is how often the stage that has the item has tried, pause how long it wants to wait before it tries again.
	tries int
	pause time.Duration
	// remembered is what the predictor remembered before the segment.
	remembered []byte
	// from and to are where the segment begins and ends on its stream's clock, once decoding was tried.
	from, to time.Duration
	// saved is what is known of the stream after the item; nil: nothing is to be kept.
	saved *stream.Saved
}

// video says that the item has frames to work on: it is no control segment and nothing has gone wrong with it.
func (it *item) video() bool {
	return it.failure == nil && it.segment.Mark != stream.MarkForget && len(it.segment.Payload) > 0
}

// weigh tells the gate what the item takes after a stage: its payload, which the dead letter may still need, and what was made of it.
func (it *item) weigh() {
	if it.settle == nil {
		return
	}
	bytes := int64(max(len(it.segment.Payload), len(it.segment.Record.Value)))
	if it.clip != nil {
		bytes += int64(cap(it.clip.Frames))
	}
	if it.tokens != nil {
		bytes += 4 * int64(cap(it.tokens.Data))
	}
	it.settle(it.segment, bytes)
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
	// retry says what is tried again; nil is nothing. A step that is tried again finds everything as it was.
	retry func() Retry
	// watch books segments that had something to work on.
	watch watch
	// gaveUp is told an item that failed for good; nil: nobody has to know.
	gaveUp func(it *item)
}

// work works on an item and says whether that is done: it is not where the step wants to try again, after it.pause.
func (s step) work(ctx context.Context, it *item) (done bool) {
	begin := time.Now()
	if s.stage == stageDecode && it.tries == 0 {
		it.latency.Queue = begin.Sub(it.taken).Seconds()
	}
	worth := it.video()
	err := s.guard(ctx, it)
	took := time.Since(begin)
	*s.spent(&it.latency) += took.Seconds()
	it.spent += took
	if worth || s.stage == stageClaim {
		it.trail.Stage(s.stage, begin, begin.Add(took), err)
	}
	if err != nil && !s.failed(ctx, it, stream.AsFailure(err, s.stage)) {
		return false
	}
	if worth || s.stage == stageClaim && it.failure == nil {
		s.watch.pass(it.spent, err == nil)
	}
	it.tries, it.pause, it.spent = 0, 0, 0
	if s.stage != stageClaim { // before decoding nobody knows better than the estimate
		it.weigh()
	}
	return true
}

// failed is true when the failure counts, false when the step is to be tried again.
func (s step) failed(ctx context.Context, it *item, failure *stream.Failure) bool {
	it.tries++
	if s.retry != nil {
		it.pause = s.retry().after(failure, it.tries)
	}
	if it.pause > 0 && ctx.Err() == nil {
		return false
	}
	failure.Attempts = max(failure.Attempts, it.tries)
	if s.gaveUp != nil && it.failure == nil {
		s.gaveUp(it)
	}
	it.fail(failure)
	return true
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

// traceparent is what results and dead letters carry on: the segment's own trace where it is recorded, else what its sender told.
func (it *item) traceparent() string {
	if own := it.trail.Traceparent(); own != "" {
		return own
	}
	return it.segment.Traceparent
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
	stageSink    = "sink"
)

// gerund is what a stage was doing, for errors that do not name the segment by themselves as those of decode do.
var gerund = map[string]string{stageEncode: "encoding", stagePredict: "scoring"}
