package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/internal/topicread"
	"github.com/ensue-video/ensue/stream"
)

// The codes of a state topic that cannot be used. All are about the world: once that is mended, the same works.
const (
	// CodeTopicMissing: the topic does not exist and cannot be made.
	CodeTopicMissing stream.Code = "state.topic_missing"
	// CodeBroker: no broker answered.
	CodeBroker stream.Code = "state.broker_unreachable"
	// CodeNotAuthorized: the broker does not let this client use the topic.
	CodeNotAuthorized stream.Code = "state.not_authorized"
	// CodeTLS: no encrypted connection to the brokers can be made.
	CodeTLS stream.Code = "state.tls_failed"
	// CodeLogin: the brokers do not accept who this client says it is.
	CodeLogin stream.Code = "state.login_failed"
)

// keySecurity is where a definition says how to get into the brokers of the state: those of the source.
const keySecurity = "ingest.kafka.security"

// Writer writes records, each to the partition it names, and returns once they are durable.
type Writer interface {
	Write(ctx context.Context, records []stream.Record) error
	Close() error
}

// TopicConfig says where a Topic is.
type TopicConfig struct {
	Brokers  []string
	Topic    string
	Security *connect.Security
	// Source is the topic that the pipeline reads: a state topic that has to be made gets as many partitions.
	Source string
	Log    *slog.Logger
}

// Topic is a Store on a compacted topic. The streams of partition p of the source lie on partition p mod n of its n, so that whoever is
// given p reads that one partition and no other.
type Topic struct {
	config TopicConfig
	writer Writer
	log    *slog.Logger

	mu sync.Mutex
	// count is how many partitions the topic has; 0 before it was found or made.
	count int
}

// NewTopic makes the store; writer is closed with it. Nothing is connected before Prepare, which must be called first.
func NewTopic(config TopicConfig, writer Writer) *Topic {
	log := config.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Topic{config: config, writer: writer, log: log.With("topic", config.Topic)}
}

// Prepare makes the topic where it does not exist: compacted, in small segments, so that little has to be read at a take-over. While no
// broker answers it goes on trying until ctx ends. That the topic of the segments is missing is for the source to tell; it may also come
// later, and Load then makes the topic.
func (t *Topic) Prepare(ctx context.Context) error {
	for {
		_, err := t.partitions(ctx)
		if err == nil || errors.Is(err, errNoSource) {
			return nil
		}
		if stream.AsFailure(err, "ingest").Code != CodeBroker {
			return err
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// errNoSource says that there is no topic of segments.
var errNoSource = errors.New("the topic of the segments is not there")

// partitions is how many partitions the topic has; where there is none it is made.
func (t *Topic) partitions(ctx context.Context) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count > 0 {
		return t.count, nil
	}
	client, err := t.client()
	if err != nil {
		return 0, err
	}
	defer client.Close()
	count, err := topicread.Partitions(ctx, client, t.config.Topic)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		count, err = t.create(ctx, client)
	}
	if err != nil {
		return 0, t.failed("looking for the topic", err)
	}
	t.count = count
	return count, nil
}

// topicSettings are of a topic that Prepare makes. The active segment of a log is never compacted and has to be read at every
// take-over, so segments are small.
var topicSettings = [][2]string{
	{"cleanup.policy", "compact"}, {"segment.bytes", "16777216"}, {"min.cleanable.dirty.ratio", "0.1"},
}

// create makes the topic, with as many partitions as that of the segments has.
func (t *Topic) create(ctx context.Context, client *kgo.Client) (int, error) {
	count, err := topicread.Partitions(ctx, client, t.config.Source)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = fmt.Errorf("%w: %s (%w)", errNoSource, t.config.Source, err)
	}
	if err != nil {
		return 0, err
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = 15000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = t.config.Topic, int32(count), -1
	for _, setting := range topicSettings {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = setting[0], &setting[1]
		topic.Configs = append(topic.Configs, config)
	}
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	for _, made := range response.Topics {
		if err := kerr.ErrorForCode(made.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return 0, err
		}
	}
	t.log.Info("made the state topic", "partitions", count)
	return t.settled(ctx, client)
}

// settled waits until the topic that was just made is known, and tells how many partitions it has.
func (t *Topic) settled(ctx context.Context, client *kgo.Client) (int, error) {
	for {
		count, err := topicread.Partitions(ctx, client, t.config.Topic)
		if !errors.Is(err, kerr.UnknownTopicOrPartition) && !errors.Is(err, kerr.LeaderNotAvailable) {
			return count, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return 0, fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
	}
}

// Load implements Store. It reads what is committed only, so that a transaction that was given up leaves no trace.
func (t *Topic) Load(ctx context.Context, partition Partition) (map[string]*stream.Saved, error) {
	count, err := t.partitions(ctx)
	if err != nil {
		return nil, err
	}
	number := int32(partition.Number % count)
	found := &newest{partition: partition, streams: map[string]*stream.Saved{}}
	reader := topicread.Reader{Options: t.options()}
	err = reader.Partition(ctx, t.config.Topic, number, func(record *kgo.Record) error {
		t.take(record, found)
		return nil
	})
	if err != nil {
		return nil, t.failed(fmt.Sprintf("reading partition %d", number), err)
	}
	return found.streams, nil
}

// take takes in a record.
func (t *Topic) take(record *kgo.Record, found *newest) {
	if len(record.Value) == 0 {
		found.drop(string(record.Key))
		return
	}
	saved, err := stream.UnmarshalSaved(record.Value)
	if err != nil {
		t.log.Warn("leaving out the state of a stream that cannot be read; the stream warms up anew", "offset", record.Offset, "error", err)
		return
	}
	found.add(saved)
}

// Save implements Store: invariant 1 is kept by the writer.
func (t *Topic) Save(ctx context.Context, entries []Entry) error {
	count, err := t.partitions(ctx)
	if err != nil {
		return err
	}
	records := make([]stream.Record, 0, len(entries))
	for _, entry := range entries {
		record := stream.Record{Key: []byte(entry.Key()), Partition: entry.Partition % count}
		if !entry.Gone {
			value, err := stream.MarshalSaved(entry.Saved)
			if err != nil {
				return fmt.Errorf("writing the state of stream %s: %w", entry.Stream, err)
			}
			record.Value = value
		}
		records = append(records, record)
	}
	return t.writer.Write(ctx, records)
}

// Close implements Store.
func (t *Topic) Close() error { return t.writer.Close() }

func (t *Topic) options() []kgo.Opt {
	return append(connect.Options(t.config.Brokers, t.config.Security), kgo.ClientID("ensue-state"), kgo.DisableClientMetrics())
}

func (t *Topic) client() (*kgo.Client, error) {
	client, err := kgo.NewClient(t.options()...)
	if err != nil {
		return nil, t.failed("connecting", err)
	}
	return client, nil
}

func (t *Topic) failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	code, hint := CodeBroker, t.config.Security.Advice(err, connect.Below(keySecurity))
	switch why := connect.Why(err); {
	case why == connect.ReasonTLS, why == connect.ReasonLogin:
		code = stream.Code("state." + string(why))
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		code, hint = CodeTopicMissing, "create the topic, compacted (cleanup.policy=compact), or correct state.topic"
	case why == connect.ReasonRights:
		code, hint = CodeNotAuthorized, "allow this client to read and write it, or create it beforehand (cleanup.policy=compact)"
	}
	return stream.FailTransient("ingest", code, "state.topic %s: %s: %w; %s", t.config.Topic, doing, err, hint)
}
