package pipelines

import (
	"context"

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
	timelines *states[*decode.Timeline]
}

func (s *decodeStage) newStep() (step, error) {
	decoder, err := decode.New(s.config, s.size, decode.WithPool(s.pool), decode.WithFit(s.fit))
	if err != nil {
		return step{}, err
	}
	return step{
		stage: stageDecode,
		spent: func(l *stream.Latency) *float64 { return &l.Decode },
		free:  decoder.Close,
		do:    func(ctx context.Context, it *item) error { return s.decode(ctx, decoder, it) },
	}, nil
}

func (s *decodeStage) decode(ctx context.Context, decoder *decode.Decoder, it *item) error {
	if it.forgets() {
		defer s.timelines.drop(it.segment.Stream)
	}
	if it.segment.Problem != nil {
		return it.segment.Problem
	}
	if !it.video() {
		return nil
	}
	timeline := s.timelines.of(it.segment.Stream)
	offset := timeline.Offset(it.segment)
	clip, err := decoder.Decode(ctx, it.segment, offset)
	if err != nil {
		if !it.segment.Alone {
			timeline.Skip(it.segment, offset)
		}
		return err
	}
	it.clip = clip
	if !it.segment.Alone {
		timeline.Advance(clip)
	}
	return nil
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
		known.torn = known.torn || it.failure != nil && !it.segment.Alone
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
	scorer  *predictor.Scorer
	streams *states[*scoredStream]
}

// scoredStream is a scorer's state and whether a segment was lost since.
type scoredStream struct {
	state *predictor.State
	torn  bool
}

func newPredictStage(scorer *predictor.Scorer) *predictStage {
	return &predictStage{
		scorer:  scorer,
		streams: newStates(func() *scoredStream { return &scoredStream{state: scorer.NewState()} }),
	}
}

func (s *predictStage) newStep() step {
	return step{stage: stagePredict, do: s.predict, spent: func(l *stream.Latency) *float64 { return &l.Predict }}
}

func (s *predictStage) predict(ctx context.Context, it *item) (err error) {
	defer it.clip.Release()
	known := s.streams.of(it.segment.Stream)
	if it.forgets() {
		defer s.streams.drop(it.segment.Stream)
	}
	switch {
	case it.segment.Mark == stream.MarkForget:
		return nil
	case it.failure != nil:
		known.torn = known.torn || !it.segment.Alone
	default:
		it.segment.Gap = it.segment.Gap || known.torn && !it.segment.Alone
		known.torn = known.torn && it.segment.Alone
		it.result, err = s.scorer.Score(ctx, known.state, it.segment, it.clip, it.tokens)
	}
	if !it.forgets() { // Invariant 3: what is still needed holds the committed offset back.
		it.needed = s.scorer.Needed(known.state)
	}
	return err
}
