package tail

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

// Config says what to read.
type Config struct {
	Brokers []string
	Topic   string
	// Security is how to get into the brokers; nil is neither TLS nor login.
	Security *connect.Security
	// Naming says how messages name what to change about that; nil is as flags.
	Naming connect.Naming
	// Newest begins with what comes from now on, instead of with the oldest record that is still there.
	Newest bool
	// Once drops a result whose id was seen already: pipelines deliver at least once, ids make that exactly once. Window is how many ids
	// are remembered at least, in 40 bytes or so each; 0 means DefaultOnceWindow.
	Once   bool
	Window int
	// Uncommitted shows results of transactions that are still open, or were aborted, too.
	Uncommitted bool
}

// Reader reads results of a topic, of every partition.
type Reader struct {
	config Config
	client *kgo.Client
	seen   *seen
}

// NewReader connects nothing yet. Close must be called.
func NewReader(config Config) (*Reader, error) {
	if config.Naming == nil {
		config.Naming = connect.Flag
	}
	begin := kgo.NewOffset().AtStart()
	if config.Newest {
		begin = kgo.NewOffset().AtEnd()
	}
	isolation := kgo.ReadCommitted()
	if config.Uncommitted {
		isolation = kgo.ReadUncommitted()
	}
	client, err := kgo.NewClient(append(connect.Options(config.Brokers, config.Security),
		kgo.ConsumeTopics(config.Topic), kgo.ConsumeResetOffset(begin), kgo.FetchIsolationLevel(isolation),
		// A result and its map are small; whoever reads along wants it at once.
		kgo.FetchMaxWait(fetchWait), kgo.ClientID("ensue-tail"),
	)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to %v: %w", config.Brokers, err)
	}
	return &Reader{config: config, client: client, seen: newSeen(config.Window)}, nil
}

// Check asks a broker whether the topic is there, within the time of ctx.
func (r *Reader) Check(ctx context.Context) error {
	if err := r.client.Ping(ctx); err != nil {
		return r.config.Security.Unreached("tail", r.config.Brokers, r.config.Naming, err)
	}
	return nil
}

// Read calls each with every result in turn until ctx is done, then returns nil. A record that is no result goes to bad; it
// may be nil. An error of each ends the reading and is returned.
func (r *Reader) Read(ctx context.Context, each func(*stream.Result) error, bad func(stream.Record, error)) error {
	for {
		fetches := r.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the caller ended the reading; that is no failure
		}
		if err := r.refused(fetches); err != nil {
			return err
		}
		for records := fetches.RecordIter(); !records.Done(); {
			if err := r.pass(records.Next(), each, bad); err != nil {
				return err
			}
		}
	}
}

// refused is the error that reading on cannot mend; kgo goes on by itself after all others.
func (r *Reader) refused(fetches kgo.Fetches) error {
	for _, failed := range fetches.Errors() {
		if errors.Is(failed.Err, kerr.UnknownTopicOrPartition) {
			return stream.Fail("tail", "tail.topic_missing", "reading results: the topic %q is not there", r.config.Topic)
		}
		if errors.Is(failed.Err, kerr.TopicAuthorizationFailed) {
			return stream.Fail("tail", "tail.not_authorized", "reading results: not allowed to read the topic %q: %s read it",
				r.config.Topic, r.config.Security.Hint(connect.ReasonRights, failed.Err, r.config.Naming))
		}
	}
	return nil
}

func (r *Reader) pass(record *kgo.Record, each func(*stream.Result) error, bad func(stream.Record, error)) error {
	plain := recordOf(record)
	result, err := stream.ResultFromRecord(plain)
	if err != nil {
		if bad != nil {
			bad(plain, err)
		}
		return nil
	}
	if r.config.Once && r.seen.again(result.ID) {
		return nil
	}
	return each(result)
}

// Close ends the connections.
func (r *Reader) Close() { r.client.Close() }

func recordOf(record *kgo.Record) stream.Record {
	headers := make([]stream.Header, len(record.Headers))
	for i, header := range record.Headers {
		headers[i] = stream.Header{Key: header.Key, Value: header.Value}
	}
	return stream.Record{
		Topic: record.Topic, Partition: int(record.Partition), Offset: record.Offset, Time: record.Timestamp,
		Key: record.Key, Value: record.Value, Headers: headers,
	}
}
