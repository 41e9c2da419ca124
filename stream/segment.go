package stream

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// DefaultStream is the stream of a record that names none.
const DefaultStream = "default"

// Mark says what a Segment is besides a piece of video.
type Mark uint8

const (
	// MarkNone is an ordinary segment.
	MarkNone Mark = iota
	// MarkEnd is the last segment of its stream: once it is scored, the state of the stream is dropped.
	// Its payload may be empty; then it only tells the end.
	MarkEnd
	// MarkForget carries no video: it tells the stages to drop the state of the stream without a result,
	// because the stream died or now belongs to another process.
	MarkForget
)

// Segment is a few seconds of one stream as it arrived: the bytes of a container with what is known about them.
// It is owned by one stage at a time and passed on through channels; nobody keeps it after passing it on.
type Segment struct {
	// Stream names the stream; it is never empty (see DefaultStream).
	Stream string
	// Sequence orders the segments of a stream. Where the sender told none it is the record's offset, and Sequenced is false.
	Sequence int64
	// Sequenced says that the sender numbered the segments one by one, so that a missing number is a missing segment.
	Sequenced bool
	// Start is when the first frame was taken; zero where nobody said.
	Start time.Time
	// Epoch is when the first frame of the whole stream was taken; zero where nobody said. With it the sampling grid is the
	// same for whoever picks the stream up in the middle (invariant 7).
	Epoch time.Time
	// Duration is how long the segment lasts; zero where nobody said.
	Duration time.Duration
	// ContentType is the sender's word for the container ("video/mp4"); only a hint, the bytes decide.
	ContentType string
	// SHA256 is the hex digest of the payload where the sender told one; a payload that does not match it is refused.
	SHA256 string
	// Ref is a claim: where the payload lies when it is not in the record. Empty otherwise.
	Ref string
	// Size is how many bytes the sender says a claim has; zero where it told none.
	Size int64
	// Actions are the sender's opaque bytes on what the camera's owner did meanwhile; carried, not read.
	Actions []byte
	// Traceparent is the W3C trace context of the record.
	Traceparent string
	// Payload is the container. Nobody changes it.
	Payload []byte
	// Origin says where the segment came from, for dead letters and logs.
	Origin Origin
	// Record is the record as it came, for the dead letter; empty for files.
	Record Record
	// Mark says whether the stream ends or is to be forgotten.
	Mark Mark
	// Gap says that segments before this one are missing: it must not be compared with what came before them.
	Gap bool
	// Alone says that the segment came too late for its place: it is compared with nothing and leaves no state.
	Alone bool
	// ContextOnly says that the results of this segment are already written: it is read again only so that its tokens can be
	// the context of the next one (invariant 3).
	ContextOnly bool
	// Saved is what is known of the stream so far, from whoever had it before: on the first segment after a take-over, nil otherwise.
	Saved *Saved
	// Counted says that the segment is part of what Saved knows: it is read again as context, and its energies are in the calibration.
	Counted bool
	// Retried says that the segment was a dead letter and was sent again: its place in the stream has long passed.
	Retried bool
	// Moved says of a MarkForget that the stream lives on in another process.
	Moved bool
	// Group and Generation say under which membership of which consumer group the segment was read.
	Group      string
	Generation int32
	// Charge is how many bytes of the pipeline's memory the segment was admitted with; whoever admits it sets it.
	Charge int64
	// Problem is what ingest already found wrong with the segment; then the payload is not decoded.
	Problem error
	// Received is when the segment was available to this process.
	Received time.Time
	// Receipt is told when the segment is dealt with; never nil after ingest (see NoReceipt).
	Receipt Receipt
}

// ID is the identity of the segment: "stream/sequence".
func (s *Segment) ID() SegmentID { return SegmentID{Stream: s.Stream, Sequence: s.Sequence} }

// SegmentID is the identity of a segment: a stream and a sequence number.
type SegmentID struct {
	Stream   string
	Sequence int64
}

// String is "stream/sequence", as results carry it.
func (id SegmentID) String() string { return id.Stream + "/" + strconv.FormatInt(id.Sequence, 10) }

// ParseSegmentID is the inverse of SegmentID.String. The stream may contain slashes.
func ParseSegmentID(text string) (SegmentID, bool) {
	cut := strings.LastIndexByte(text, '/')
	if cut <= 0 {
		return SegmentID{}, false
	}
	sequence, err := strconv.ParseInt(text[cut+1:], 10, 64)
	if err != nil {
		return SegmentID{}, false
	}
	return SegmentID{Stream: text[:cut], Sequence: sequence}, true
}

// Origin is where a segment came from.
type Origin struct {
	// Topic, Partition and Offset of the record; Topic is empty for files.
	Topic     string
	Partition int
	Offset    int64
	// File is the path, for segments cut from files.
	File string
}

// String is "topic[partition]@offset" or the file's path.
func (o Origin) String() string {
	if o.Topic == "" {
		return o.File
	}
	return o.Topic + "[" + strconv.Itoa(o.Partition) + "]@" + strconv.FormatInt(o.Offset, 10)
}

// Receipt is how a segment is acknowledged.
type Receipt interface {
	// Done says that every result and dead letter of the segment is durably written (invariant 1), and that of its stream only
	// the segments from needed on are still wanted as context (invariant 3). It is called exactly once, from any goroutine,
	// and does not block on the network.
	Done(needed SegmentID)
}

// Holding is a Receipt that knows whether the segment is still this process's to deal with.
type Holding interface {
	Receipt
	// Held is false once another process deals with the segment: nothing may be written about it any more. It may wait for an answer, until
	// ctx ends; then it is false.
	Held(ctx context.Context) bool
}

// NoReceipt is the receipt of segments nobody waits for.
type NoReceipt struct{}

// Done does nothing.
func (NoReceipt) Done(SegmentID) {}
