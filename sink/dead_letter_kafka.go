package sink

import (
	"context"
	"log/slog"

	"github.com/ensue-video/ensue/stream"
)

// kafkaDeadLetters writes dead letters to a topic: the record as it came, with what went wrong in headers (docs/wire.md).
type kafkaDeadLetters struct {
	producer Writer
	log      *slog.Logger
	shrinking
}

func openKafkaDeadLetters(c *DeadLetterKafkaConfig, brokersDefault []string, log *slog.Logger, options []Option) (DeadLetters, error) {
	producer, err := OpenWriter(ProducerConfig{
		Brokers: orDefault(c.Brokers, brokersDefault), Security: c.Security, Topic: c.Topic,
		DeliveryTimeout: c.DeliveryTimeout, Key: "sink.dead_letter.kafka", Log: log,
	}, options...)
	if err != nil {
		return nil, err
	}
	return &kafkaDeadLetters{producer: producer, log: orSilent(log).With("topic", c.Topic)}, nil
}

// Write writes letter by letter: they are rare, and each may have to shrink by itself.
func (d *kafkaDeadLetters) Write(ctx context.Context, letters []*stream.DeadLetter) error {
	for _, letter := range letters {
		if err := d.write(ctx, letter); err != nil {
			return err
		}
	}
	return nil
}

// write tells the letter in the fullest form that the broker takes (invariant 4): with the payload, without it, and at last
// without the original key and headers.
func (d *kafkaDeadLetters) write(ctx context.Context, letter *stream.DeadLetter) error {
	forms := []func() stream.Record{
		func() stream.Record { return stream.RecordFromDeadLetter(letter) },
		func() stream.Record { return stream.TruncatedRecordFromDeadLetter(letter, false) },
		func() stream.Record { return stream.TruncatedRecordFromDeadLetter(letter, true) },
	}
	id := letter.ID()
	var err error
	for i := d.form(id); i < len(forms); i++ {
		err = d.producer.Write(ctx, []stream.Record{forms[i]()})
		if err == nil && i > 0 {
			d.log.Warn("dead letter written without its payload, which the topic does not take",
				"segment", letter.Segment, "bytes", len(letter.Record.Value), "dead_id", id)
		}
		if err == nil || stream.AsFailure(err, "sink").Code != CodeTooLarge {
			break
		}
		d.shrink(id)
	}
	if err == nil || !ErrAgain(err) {
		d.forget(id)
	}
	return err
}

func (d *kafkaDeadLetters) Close() error { return d.producer.Close() }
