package publish

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/claim"
	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/stream"
)

// maxRecord is the largest segment that is offered to a broker; what a broker really takes is its own max.message.bytes.
const maxRecord = 512 << 20

// Config says where segments go and how.
type Config struct {
	Brokers []string
	Topic   string
	// Security is how to get into the brokers; nil is neither TLS nor login.
	Security *connect.Security
	// Naming says how messages name what to change about that; nil is as flags.
	Naming connect.Naming
	// Store, where there is one, takes the payloads that are larger than ClaimAbove bytes; their records carry a claim. It stays the
	// caller's.
	Store      claim.Store
	ClaimAbove int64
	// Patience is how long a segment is tried to be delivered while the brokers or the store are away; zero means a minute.
	Patience time.Duration
	// Segment is the length to cut at; a cut falls on the first key frame at or after it.
	Segment time.Duration
	// Speed is how many times faster than real time segments are sent; 0 is as fast as it goes.
	Speed float64
	// Loops is how often the file is sent, one time after the other in one stream; 0 is without end.
	Loops int
	// Start is when the first frame was taken. The zero time stands for 1970-01-01T00:00:00Z, as replay takes it.
	Start time.Time
	// Unnumbered leaves the sequence to the broker's offsets, for senders that know nothing of what was sent before.
	Unnumbered bool
	// Open leaves the stream open at the end, for senders that will go on with another file.
	Open bool
}

// Publisher puts the segments of files on a topic. Several files may be published at once.
type Publisher struct {
	config Config
	client *kgo.Client
}

// Summary is what publishing a file came to.
type Summary struct {
	Stream   string  `json:"stream"`
	File     string  `json:"file"`
	Segments int     `json:"segments"`
	Bytes    int64   `json:"bytes"`
	Seconds  float64 `json:"seconds"`
}

// New connects nothing yet. Close must be called.
func New(config Config) (*Publisher, error) {
	config.Patience = cmp.Or(config.Patience, time.Minute)
	if config.Naming == nil {
		config.Naming = connect.Flag
	}
	client, err := kgo.NewClient(append(connect.Options(config.Brokers, config.Security),
		kgo.ClientID("ensue-publish"), kgo.DefaultProduceTopic(config.Topic),
		// The client's own 10 s for a request to be written are too few for a large segment over a slow link: it would be sent again and
		// again, for ever in vain. The limit that counts is the delivery's.
		kgo.RequestTimeoutOverhead(min(max(config.Patience, 10*time.Second), 15*time.Minute)),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchMaxBytes(maxRecord), kgo.BrokerMaxWriteBytes(2*maxRecord),
		// Video does not compress; trying costs more than it saves.
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordDeliveryTimeout(config.Patience), kgo.UnknownTopicRetries(3),
		// A broker that went away without an answer: whoever sends is told in time, and sends again. Without this the client would wait
		// for the answer for ever. The segment may then be on the topic twice, which a pipeline knows.
		kgo.AllowIdempotentProduceCancellation(),
	)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to %v: %w", config.Brokers, err)
	}
	return &Publisher{config: config, client: client}, nil
}

// Check asks whether a broker answers, within the time of ctx.
func (p *Publisher) Check(ctx context.Context) error {
	if err := p.client.Ping(ctx); err != nil {
		return p.config.Security.Unreached("publish", p.config.Brokers, p.config.Naming, err)
	}
	return nil
}

// Close ends the connections.
func (p *Publisher) Close() { p.client.Close() }

// File cuts the file and sends its segments as the stream, in order; each is durable before the next is sent. sent is called
// after each one; it may be nil. File returns when the last one is durable or ctx is done.
func (p *Publisher) File(ctx context.Context, path, name string, sent func(*stream.Segment)) (Summary, error) {
	run := &sending{publisher: p, begun: time.Now(), summary: Summary{Stream: name, File: path}, sent: sent}
	run.epoch = p.config.Start
	if run.epoch.IsZero() {
		run.epoch = time.Unix(0, 0).UTC()
	}
	for run.loop = 0; p.config.Loops == 0 || run.loop < p.config.Loops; run.loop++ {
		if err := run.once(ctx, path); err != nil {
			return run.summary, fmt.Errorf("publishing %s: %w", path, err)
		}
	}
	return run.summary, nil
}

// sending is one file on its way.
type sending struct {
	publisher *Publisher
	epoch     time.Time
	begun     time.Time
	loop      int
	// offset is where the present loop begins on the stream's clock.
	offset  time.Duration
	summary Summary
	sent    func(*stream.Segment)
}

// once sends the file one time.
func (s *sending) once(ctx context.Context, path string) error {
	var length time.Duration
	err := ingest.SegmentsOf(ctx, path, s.summary.Stream, s.publisher.config.Segment, func(segment *stream.Segment) error {
		if segment.Problem != nil {
			return segment.Problem
		}
		length = segment.Start.Sub(segment.Epoch) + segment.Duration
		return s.send(ctx, s.place(segment))
	})
	s.offset += length
	s.summary.Seconds = s.offset.Seconds()
	return err
}

// place moves a segment, which SegmentsOf counts from 1970, to its time and number in the stream.
func (s *sending) place(segment *stream.Segment) *stream.Segment {
	config := s.publisher.config
	segment.Start = s.epoch.Add(s.offset + segment.Start.Sub(segment.Epoch))
	segment.Epoch = s.epoch
	segment.Sequence, segment.Sequenced = int64(s.summary.Segments), !config.Unnumbered
	last := config.Loops != 0 && s.loop == config.Loops-1 && !config.Open
	if segment.Mark == stream.MarkEnd && !last {
		segment.Mark = stream.MarkNone
	}
	return segment
}

func (s *sending) send(ctx context.Context, segment *stream.Segment) error {
	if err := s.wait(ctx, segment); err != nil {
		return err
	}
	if _, err := s.publisher.Send(ctx, segment); err != nil {
		return err
	}
	s.summary.Segments++
	s.summary.Bytes += int64(len(segment.Payload))
	if s.sent != nil {
		s.sent(segment)
	}
	return nil
}

// Sent is where a segment is now.
type Sent struct {
	Partition int
	Offset    int64
	// SHA256 is the digest of the payload, Ref its address where the record carries a claim.
	SHA256, Ref string
}

// Send puts one segment on the topic, or its payload into the store and a claim on the topic. When it returns without an error the
// segment is durable: acknowledged by all in-sync replicas. The segment itself is not changed.
func (p *Publisher) Send(ctx context.Context, segment *stream.Segment) (Sent, error) {
	told := *segment
	if len(told.Payload) > 0 {
		digest := sha256.Sum256(told.Payload)
		told.SHA256 = hex.EncodeToString(digest[:])
	}
	if p.config.Store != nil && int64(len(told.Payload)) > p.config.ClaimAbove {
		if err := p.claim(ctx, &told); err != nil {
			return Sent{}, err
		}
	}
	record := stream.RecordFromSegment(&told)
	headers := make([]kgo.RecordHeader, len(record.Headers))
	for i, header := range record.Headers {
		headers[i] = kgo.RecordHeader{Key: header.Key, Value: header.Value}
	}
	if record.Value == nil {
		record.Value = []byte{} // nil is a tombstone: it would delete what a compacted topic has of the stream
	}
	// A record with nobody waiting for the next one could be batched; a stream's next segment is seconds away.
	result := p.client.ProduceSync(ctx, &kgo.Record{Key: record.Key, Value: record.Value, Headers: headers})
	if err := result.FirstErr(); err != nil {
		return Sent{}, p.explain(segment, err)
	}
	written := result[0].Record
	return Sent{Partition: int(written.Partition), Offset: written.Offset, SHA256: told.SHA256, Ref: told.Ref}, nil
}

// claim puts the payload of a segment into the store and a claim in its place.
func (p *Publisher) claim(ctx context.Context, segment *stream.Segment) error {
	ctx, cancel := context.WithTimeout(ctx, p.config.Patience)
	defer cancel()
	told, err := claim.NewWriter(p.config.Store).Put(ctx, segment.Stream, segment.ContentType, segment.Payload)
	if err != nil {
		return stream.FailTransient("publish", "publish.store", "putting the payload of segment %s into the store: %w", segment.ID(), err)
	}
	segment.Payload, segment.Ref, segment.Size = nil, told.Ref, told.Size
	return nil
}

// wait is the pace: a live segment is there once its last frame was taken.
func (s *sending) wait(ctx context.Context, segment *stream.Segment) error {
	if s.publisher.config.Speed <= 0 {
		return ctx.Err()
	}
	since := segment.Start.Add(segment.Duration).Sub(s.epoch)
	due := s.begun.Add(time.Duration(float64(since) / s.publisher.config.Speed))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// explain classifies what a broker refused.
func (p *Publisher) explain(segment *stream.Segment, err error) error {
	switch {
	case errors.Is(err, kerr.MessageTooLarge):
		return stream.Fail("publish", "publish.too_large",
			"segment %s has %d bytes, more than the topic %q takes: cut shorter (--segment) or raise the topic's max.message.bytes: %w",
			segment.ID(), len(segment.Payload), p.config.Topic, err)
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return stream.Fail("publish", "publish.topic_missing",
			"the topic %q is not there: create it, or say --create: %w", p.config.Topic, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return stream.Fail("publish", "publish.not_authorized", "not allowed to write to the topic %q: %s write to it: %w",
			p.config.Topic, p.config.Security.Hint(connect.ReasonRights, err, p.config.Naming), err)
	default:
		return fmt.Errorf("sending segment %s: %w", segment.ID(), err)
	}
}
