package rig

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Sender puts records on a topic, durably and each once: its client is idempotent and never gives up.
type Sender struct{ client *kgo.Client }

// NewSender makes a sender; it connects with the first record.
func NewSender(addrs []string, topic string) (*Sender, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(addrs...), kgo.DefaultProduceTopic(topic), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ClientID("bench"),
		kgo.ProducerBatchMaxBytes(128<<20), kgo.BrokerMaxWriteBytes(256<<20), kgo.ProducerBatchCompression(kgo.NoCompression()),
		// A large record over a slow link takes its time; the client's own limit is 10 s for a request to be written.
		kgo.RequestTimeoutOverhead(5*time.Minute),
		kgo.ProducerLinger(0), kgo.MaxBufferedRecords(1<<16), kgo.ProduceRequestTimeout(2*time.Minute),
		// A broker that is killed cuts connections whose first request is under way; the client would take that for a missing login.
		kgo.AlwaysRetryEOF(),
	)
	if err != nil {
		return nil, fmt.Errorf("making a sender: %w", err)
	}
	return &Sender{client: client}, nil
}

// Close ends it.
func (s *Sender) Close() { s.client.Close() }

// Segment is a segment as it is sent.
type Segment struct {
	Stream         string
	Sequence       int
	Epoch          time.Time
	Start          time.Time
	Length         time.Duration
	Value          []byte
	More           map[string]string
	End, Unordered bool
}

// Record is the segment as a record, by docs/wire.md.
func (s Segment) Record() *kgo.Record {
	record := &kgo.Record{Key: []byte(s.Stream), Value: s.Value}
	add := func(key, value string) {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	if !s.Unordered {
		add("ensue-sequence", strconv.Itoa(s.Sequence))
		add("ensue-epoch", s.Epoch.Format(time.RFC3339Nano))
		add("ensue-start", s.Start.Format(time.RFC3339Nano))
		add("ensue-duration", s.Length.String())
	}
	if s.End {
		add("ensue-end", "true")
	}
	for key, value := range s.More {
		add(key, value)
	}
	return record
}

// Send sends a record and calls sent, from another goroutine, when it is durable or never will be.
func (s *Sender) Send(ctx context.Context, record *kgo.Record, sent func(*kgo.Record, error)) {
	s.client.Produce(ctx, record, sent)
}

// Flush waits until everything that was sent is durable.
func (s *Sender) Flush(ctx context.Context) error { return s.client.Flush(ctx) }
