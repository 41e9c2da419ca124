package sink

import (
	"context"
	"errors"
	"log/slog"

	"github.com/ensue-video/ensue/stream"
)

// opener opens one kind of sink; it returns nil where the configuration has none of that kind.
type opener struct {
	name string
	open func(*Config, []string, *slog.Logger, []Option) (Sink, error)
}

// openers is every kind of sink, in the order in which they are written to.
func openers() []opener {
	return []opener{
		{"kafka", openKafka},
		{"jsonl", openJSONL},
		{"parquet", openParquet},
		{"postgres", openPostgres},
		{"webhook", openWebhook},
	}
}

// New opens every sink of the configuration. A kafka sink without brokers of its own uses brokersDefault, those of
// ingest.kafka. It does not connect: a broker that is not there is told by the first Write.
func New(c Config, brokersDefault []string, log *slog.Logger, options ...Option) (Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var sinks []Sink
	for _, kind := range openers() {
		opened, err := kind.open(&c, brokersDefault, log, options)
		if err != nil {
			return nil, errors.Join(err, closeAll(sinks))
		}
		if opened != nil {
			sinks = append(sinks, opened)
		}
	}
	return Fanout(sinks...), nil
}

// NewDeadLetters opens the dead-letter sink of the configuration, as New does. Without one, what it returns refuses every
// letter and says what to set.
func NewDeadLetters(c Config, brokersDefault []string, log *slog.Logger, options ...Option) (DeadLetters, error) {
	v := &validation{}
	v.deadLetter(&c)
	if err := errors.Join(v.problems...); err != nil {
		return nil, err
	}
	switch {
	case c.DeadLetter.Kafka != nil:
		return openKafkaDeadLetters(c.DeadLetter.Kafka, brokersDefault, log, options)
	case c.DeadLetter.JSONL != nil:
		return openJSONLDeadLetters(c.DeadLetter.JSONL, log)
	}
	return noDeadLetters{}, nil
}

// Fanout is a sink that writes the same results to all of sinks, one after the other in the order given. It stops at the first
// that fails: those before it have the results already and get them again (ids are deterministic, invariant 2).
func Fanout(sinks ...Sink) Sink {
	if len(sinks) == 1 {
		return sinks[0]
	}
	return fanout(sinks)
}

type fanout []Sink

func (f fanout) Write(ctx context.Context, results []*stream.Result) error {
	for _, sink := range f {
		if err := sink.Write(ctx, results); err != nil {
			return err
		}
	}
	return nil
}

func (f fanout) Close() error { return closeAll(f) }

func closeAll(sinks []Sink) error {
	var errs []error
	for _, sink := range sinks {
		errs = append(errs, sink.Close())
	}
	return errors.Join(errs...)
}

// noDeadLetters stands where the definition names no place for dead letters. Dropping them would break invariant 4, so the
// pipeline stops at the first one.
type noDeadLetters struct{}

func (noDeadLetters) Write(_ context.Context, letters []*stream.DeadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	first, cause := letters[0], letters[0].Cause()
	return failTransient(CodeNoDeadLetter, "segment %s from %s could not be processed (%w [%s]) and there is nowhere to tell it: "+
		"set sink.dead_letter.kafka.topic or sink.dead_letter.jsonl.path", first.Segment, first.Origin, cause, cause.Code)
}

func (noDeadLetters) Close() error { return nil }
