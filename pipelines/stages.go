package pipelines

import (
	"context"
	"log/slog"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// decodeStage turns payloads into clips. Every worker has a decoder of its own.
type decodeStage struct {
	config    decode.Config
	size      decode.Size
	fit       decode.Fit
	pool      *decode.Pool
	timelines *states[*clock]
	retry     func() Retry
	// limits are those of now; nil: those of the configuration, for good.
	limits func() *decode.Limits
	// burden is told what FFmpeg holds while it decodes.
	burden func(int64)
}

// clock is the timeline of a stream, and what was known of it before it was taken over: until the first segment that is read again.
type clock struct {
	*decode.Timeline
	saved *stream.Saved
}

// restore sets the clock where the stream was left. The first segment to be read again sets it back to where that one begins.
func (c *clock) restore(segment *stream.Segment) {
	if segment.Saved != nil && !segment.Saved.Ended {
		c.saved, c.Timeline = segment.Saved, decode.TimelineAt(segment.Saved.End)
	}
	if c.saved != nil && segment.Counted && segment.Sequence == c.saved.Needed {
		c.Timeline, c.saved = decode.TimelineAt(c.saved.From), nil
	}
}

func (s *decodeStage) newStep() (step, error) {
	decoder, err := decode.New(s.config, s.size, decode.WithPool(s.pool), decode.WithFit(s.fit), decode.WithBurden(s.burden))
	if err != nil {
		return step{}, err
	}
	return step{
		stage: stageDecode,
		spent: func(l *stream.Latency) *float64 { return &l.Decode },
		free:  decoder.Close,
		do:    s.within(decoder),
		retry: s.retry, gaveUp: s.skip,
	}, nil
}

// within decodes by the limits of the moment.
func (s *decodeStage) within(decoder *decode.Decoder) func(context.Context, *item) error {
	var known *decode.Limits
	return func(ctx context.Context, it *item) error {
		if s.limits != nil {
			if now := s.limits(); now != known {
				if err := decoder.SetLimits(*now); err != nil {
					return err
				}
				known = now
			}
		}
		return s.decode(ctx, decoder, it)
	}
}

func (s *decodeStage) decode(ctx context.Context, decoder *decode.Decoder, it *item) error {
	if it.forgets() {
		defer s.timelines.drop(it.segment.Stream)
	}
	timeline := s.timelines.of(it.segment.Stream)
	timeline.restore(it.segment)
	it.from, it.to = timeline.End(), timeline.End()
	if it.segment.Problem != nil {
		return it.segment.Problem
	}
	if it.dropped {
		s.skip(it)
	}
	if !it.video() {
		return nil
	}
	offset := timeline.Offset(it.segment)
	clip, err := decoder.Decode(ctx, it.segment, offset)
	if err != nil {
		return err
	}
	it.clip, it.from, it.to = clip, clip.Start, clip.End
	if !it.segment.Alone {
		timeline.Advance(clip)
	}
	return nil
}

// skip moves the stream's clock over a segment that gives no clip.
func (s *decodeStage) skip(it *item) {
	if it.segment.Problem != nil || it.segment.Alone || !it.dropped && !it.video() {
		return
	}
	timeline := s.timelines.of(it.segment.Stream)
	it.from = timeline.Offset(it.segment)
	timeline.Skip(it.segment, it.from)
	it.to = timeline.End()
}

// encodeStage turns clips into tokens.
type encodeStage struct {
	encoder encoder.Encoder
	streams *states[*encodedStream]
}

// encodedStream is an encoder's state, how far the stream's clips follow on each other, and whether it was torn since.
type encodedStream struct {
	state      encoder.State
	continuity encoder.Continuity
	torn       bool
}

func newEncodeStage(enc encoder.Encoder) *encodeStage {
	return &encodeStage{
		encoder: enc,
		streams: newStates(func() *encodedStream { return &encodedStream{state: enc.NewState()} }),
	}
}

func (s *encodeStage) newStep() step {
	return step{stage: stageEncode, do: s.encode, spent: func(l *stream.Latency) *float64 { return &l.Encode }}
}

func (s *encodeStage) encode(ctx context.Context, it *item) (err error) {
	if it.forgets() {
		defer s.streams.drop(it.segment.Stream)
	}
	if it.segment.Alone && it.video() {
		it.tokens, err = s.encoder.Encode(ctx, it.clip, s.encoder.NewState())
		return err
	}
	known := s.streams.of(it.segment.Stream)
	if !it.video() {
		known.torn = known.torn || it.dropped || it.failure != nil && !it.segment.Alone
		return nil
	}
	gap := it.segment.Gap || known.torn
	if gap {
		known.continuity = encoder.Continuity{}
	}
	if !known.continuity.Next(it.clip) || gap {
		known.state.Reset()
		it.segment.Gap = true // a hole or another frame rate is one for the scorer, too
	}
	it.tokens, err = s.encoder.Encode(ctx, it.clip, known.state)
	known.torn = err != nil
	return err
}

// predictStage scores tokens against what the past let expect.
type predictStage struct {
	scorer    *predictor.Scorer
	streams   *states[*scoredStream]
	observers observers
	retry     func() Retry
	// current is the scorer of now: the same model, perhaps calibrated otherwise.
	current func() *predictor.Scorer
	// keeps says that what is known of streams is saved, keepsMemory that this is all there is of what the predictor remembers.
	keeps, keepsMemory bool
	log                *slog.Logger
}

// scoredStream is a scorer's state, whether a segment was lost since, and what whoever takes the stream over has to know.
type scoredStream struct {
	state *predictor.State
	// scorer is the one that judged the stream last.
	scorer *predictor.Scorer
	torn   bool
	course course
	// memory is what the predictor remembered before the segment from, until that is read again.
	memory []byte
	from   int64
}

func newPredictStage(scorer *predictor.Scorer, watching observers) *predictStage {
	return &predictStage{
		scorer:    scorer,
		streams:   newStates(func() *scoredStream { return &scoredStream{state: scorer.NewState(), scorer: scorer} }),
		current:   func() *predictor.Scorer { return scorer },
		observers: watching, log: slog.New(slog.DiscardHandler),
	}
}

func (s *predictStage) newStep() step {
	return step{
		stage: stagePredict, do: s.predict, spent: func(l *stream.Latency) *float64 { return &l.Predict }, retry: s.retry,
		gaveUp: s.lose,
	}
}

func (s *predictStage) predict(ctx context.Context, it *item) (err error) {
	known := s.streams.of(it.segment.Stream)
	if err := s.adopt(known); err != nil {
		return err
	}
	s.restore(known, it.segment)
	if it.tries == 0 {
		it.remembered = s.remembered(known, it)
	}
	if it.forgets() {
		defer s.streams.drop(it.segment.Stream)
	}
	switch {
	case it.segment.Mark == stream.MarkForget:
	case it.dropped:
		known.torn = true
		it.result = s.scorer.Skipped(known.state, it.segment, stream.ReasonDropped)
		s.observers.scored(it)
	case it.failure != nil:
		known.torn = known.torn || !it.segment.Alone
	default:
		it.segment.Gap = it.segment.Gap || known.torn && !it.segment.Alone
		known.torn = known.torn && it.segment.Alone
		it.result, err = known.scorer.Score(ctx, known.state, it.segment, it.clip, it.tokens)
		s.observers.scored(it)
	}
	if !it.forgets() { // Invariant 3: what is still needed holds the committed offset back.
		it.needed = s.scorer.Needed(known.state)
	}
	if err == nil { // otherwise it may be tried again
		s.note(known, it, known.torn)
		it.clip.Release()
	}
	return err
}

// adopt has the stream judged by the calibration of now.
func (s *predictStage) adopt(known *scoredStream) error {
	now := s.current()
	if known.scorer == now {
		return nil
	}
	if err := now.Adopt(known.state); err != nil {
		return err
	}
	known.scorer = now
	return nil
}

// restore takes over what is known of a stream from whoever had it before.
func (s *predictStage) restore(known *scoredStream, segment *stream.Segment) {
	saved := segment.Saved
	if known.course.saved == nil {
		known.course.saved = stream.NewSaved(segment.Stream, s.scorer.Model())
	}
	if saved == nil {
		return
	}
	known.course.restore(saved)
	if saved.Ended || len(saved.Calibration) == 0 {
		return
	}
	known.memory, known.from = saved.Memory, saved.Needed
	if err := known.state.Calibrator().Import(saved.Calibration); err != nil {
		s.log.Warn("the stream warms up anew: its calibration cannot be read", "stream", segment.Stream, "error", err)
	}
}

// remembered is what the predictor remembers before the item; nil after a gap, or where it remembers nothing. Before the first segment that
// is read again after a take-over that is what it remembered there then.
func (s *predictStage) remembered(known *scoredStream, it *item) []byte {
	if !s.keepsMemory || it.segment.Alone || it.segment.Gap || known.torn {
		return nil
	}
	if known.memory != nil && it.segment.Counted && it.segment.Sequence == known.from {
		if err := s.scorer.Restore(known.state, known.memory); err != nil {
			s.log.Warn("what the predictor remembered of the stream is built up anew", "stream", it.segment.Stream, "error", err)
		}
		known.memory = nil
	}
	return s.scorer.Memory(known.state)
}

// lose notes an item that cannot be scored: its failure is written, its stream goes on.
func (s *predictStage) lose(it *item) {
	known := s.streams.of(it.segment.Stream)
	if !it.forgets() {
		it.needed = s.scorer.Needed(known.state)
	}
	s.note(known, it, true)
}

// note says what is known of the stream after the item, so that it is saved with the item's result.
func (s *predictStage) note(known *scoredStream, it *item, torn bool) {
	if s.keeps {
		it.saved = known.course.pass(it, torn, it.remembered, known.state.Calibrator().Export)
	}
}
