package stream

import "time"

// Saved is what is known of a stream after a segment of it, beside what can be made again from the segments that are still wanted as
// context: whoever takes the stream over reads those once more and goes on from here, as if it had always had the stream.
// It is a few kilobytes and written with every result; docs/wire.md has its form on a topic.
type Saved struct {
	// Stream is whose it is; Model names what the calibration was made with, as results do.
	Stream, Model string
	// Group, Topic and Partition say who read the stream, and where. Generation counts the memberships of the group: what a member
	// writes that was put out of it counts less than what its successor wrote.
	Group, Topic string
	Partition    int
	Generation   int32

	// Sequence is that of the last segment whose results and dead letters are durably written, Result the id of the last result.
	Sequence int64
	Result   string
	// Offset is the highest of the stream's records that are done, Time the latest of their times. Up to the offset Since they belong
	// to an earlier count of the sender's; -1 where there was none.
	Offset, Since int64
	Time          time.Time

	// Needed is the sequence of the oldest segment that is still wanted as context.
	Needed int64
	// Numbered says that the sender numbers the stream, so that Needed is where reading it again begins.
	Numbered bool
	// Epoch is when the first frame of the stream was taken, as far as anybody knows.
	Epoch time.Time
	// From and End are, on the stream's own clock, where the segment Needed begins and where the last one ended.
	From, End time.Duration
	// Torn says that the last segment could not be used: the next one has a gap before it.
	Torn bool
	// Ended says that the stream ended or was forgotten: nothing but what is done is still of interest.
	Ended bool
	// Calibration is the stream's past energies, in the form of its calibrator. Memory is what the predictor remembered before the segment
	// Needed; empty where it remembers nothing.
	Calibration, Memory []byte
}

// NewSaved is what is known of a stream of which nothing is done.
func NewSaved(name, model string) *Saved {
	return &Saved{Stream: name, Model: model, Offset: -1, Since: -1, Sequence: -1, Needed: -1}
}

// Pass says that a segment is done; it comes after all before it in the order of its stream. Segments without a place of their own in
// that order (Alone) say nothing.
func (s *Saved) Pass(segment *Segment) {
	if segment.Alone {
		return
	}
	if s.Offset >= 0 && segment.Sequence <= s.Sequence {
		s.Since = s.Offset // the sender counts anew: what was read of the count before is done or was given up
	}
	s.Group, s.Topic, s.Partition, s.Generation = segment.Group, segment.Origin.Topic, segment.Origin.Partition, segment.Generation
	s.Sequence, s.Numbered = segment.Sequence, segment.Sequenced
	s.Offset = max(s.Offset, segment.Origin.Offset)
	if segment.Record.Time.After(s.Time) {
		s.Time = segment.Record.Time
	}
	if !segment.Epoch.IsZero() {
		s.Epoch = segment.Epoch
	}
}

// Covers says whether the results and dead letters of a segment are durably written, as far as Saved knows. It never says so of
// one that is not: that would lose it.
//
// Records of a stream are not always in its order, so an offset alone does not tell; nor does a sequence, which a sender may use again;
// nor both, where a topic was deleted and made anew: what it holds came later than all that is done.
func (s *Saved) Covers(segment *Segment) bool {
	if segment.Origin.Topic != s.Topic || segment.Origin.Partition != s.Partition || segment.Record.Time.After(s.Time) {
		return false
	}
	return segment.Origin.Offset <= s.Since || segment.Origin.Offset <= s.Offset && segment.Sequence <= s.Sequence
}
