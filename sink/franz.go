package sink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

// Writer writes records to one topic. A Producer writes them for good; one made by Within writes them into a transaction.
type Writer interface {
	// Write returns nil once all records are durably written, in the order given for each key, or are part of the transaction.
	Write(ctx context.Context, records []stream.Record) error
	Close() error
}

// Session is an open Kafka transaction, or where there will be one.
type Session interface {
	// Produce writes into the open transaction and waits for the brokers.
	Produce(ctx context.Context, records ...*kgo.Record) kgo.ProduceResults
}

// ByKey is the partition of a record that goes where its key leads; a Session writes all others to the partition they name.
const ByKey = -1

// Option changes how New and NewDeadLetters open what writes to Kafka.
type Option func(*opening)

// opening is how writers to topics are made.
type opening struct{ session Session }

// Within has everything that goes to Kafka written into the transactions of session. It is for delivery: exactly_once, where whoever
// owns the session begins and ends the transactions around Write.
func Within(session Session) Option { return func(o *opening) { o.session = session } }

// OpenWriter makes the writer of a topic.
func OpenWriter(c ProducerConfig, options ...Option) (Writer, error) {
	var o opening
	for _, option := range options {
		option(&o)
	}
	if o.session == nil {
		return NewProducer(c)
	}
	return &transactional{config: c, session: o.session}, nil
}

// errAborted is wrapped by what Write of a transactional writer returns when the same write, a little different, will succeed in
// another transaction.
var errAborted = errors.New("the transaction has to be written again")

// ErrAgain says whether the transaction that a write failed in should be aborted and written again at once.
func ErrAgain(err error) bool { return errors.Is(err, errAborted) }

// transactional writes into a transaction. It does not try again by itself: the client does, until its delivery timeout has passed.
type transactional struct {
	config  ProducerConfig
	session Session
}

// Write implements Writer. The failure it returns is the first record's that is permanent, else the first.
func (t *transactional) Write(ctx context.Context, records []stream.Record) error {
	if len(records) == 0 {
		return nil
	}
	out := make([]*kgo.Record, len(records))
	for i := range records {
		out[i] = t.record(&records[i])
	}
	var first *stream.Failure
	for _, result := range t.session.Produce(ctx, out...) {
		failure := t.classify(ctx, result)
		if failure != nil && (first == nil || failure.Permanent && !first.Permanent) {
			first = failure
		}
	}
	if first == nil {
		return nil
	}
	first.Err = fmt.Errorf("writing %d records to topic %q in a transaction: %w%s",
		len(records), t.config.Topic, first.Err, hint(t.config, first))
	return first
}

// Close implements Writer; the session is its owner's.
func (t *transactional) Close() error { return nil }

func (t *transactional) record(from *stream.Record) *kgo.Record {
	record := &kgo.Record{Topic: t.config.Topic, Key: from.Key, Value: from.Value, Timestamp: time.Now(), Partition: ByKey}
	if t.config.Explicit {
		record.Partition = int32(from.Partition) //nolint:gosec // a partition is that wide
	}
	if record.Key == nil {
		record.Key = []byte{} // a nil key would go to any partition
	}
	for _, header := range from.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
	}
	return record
}

// classify is the failure behind what became of a record.
func (t *transactional) classify(ctx context.Context, result kgo.ProduceResult) *stream.Failure {
	err := result.Err
	if err == nil {
		return nil
	}
	failure := &stream.Failure{Code: CodeBrokerUnreachable, Stage: "sink", Err: err}
	told, ofBroker := errors.AsType[*kerr.Error](err)
	switch {
	case ctx.Err() != nil:
		failure.Code = CodeInterrupted
	case ofBroker && told.Code == kerr.MessageTooLarge.Code:
		failure.Code, failure.Permanent = CodeTooLarge, true
		failure.Err = fmt.Errorf("record %q of %d bytes: %w", result.Record.Key, len(result.Record.Value), err)
	case ofBroker:
		known, ok := brokerErrors()[kafkaError(told)]
		if ok {
			failure.Code, failure.Permanent = known.Code, known.Permanent
		} else {
			// A fenced producer, a group that moved on: the transaction is lost, and only that.
			failure.Err = fmt.Errorf("%w: %w", errAborted, err)
		}
	case connect.Why(err) != "":
		failure.Code = stream.Code("sink." + string(connect.Why(err)))
	case !errors.Is(err, kgo.ErrRecordTimeout) && !errors.Is(err, kgo.ErrRecordRetries):
		failure.Err = fmt.Errorf("%w: %w", errAborted, err)
	}
	return failure
}

// shrinking remembers how far dead letters had to shrink, from one transaction to the next: one that is too large costs its
// transaction.
type shrinking struct {
	mu    sync.Mutex
	forms map[string]int
}

func (s *shrinking) form(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forms[id]
}

func (s *shrinking) shrink(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forms == nil {
		s.forms = map[string]int{}
	}
	s.forms[id]++
}

func (s *shrinking) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.forms, id)
}
