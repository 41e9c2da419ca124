package sink

import (
	"context"
	"log/slog"

	"github.com/ensue-video/ensue/stream"
)

// kafkaSink writes results to a topic: keyed by stream, with CloudEvents headers (docs/wire.md).
type kafkaSink struct {
	producer Writer
	encoding stream.Encoding
}

func openKafka(c *Config, brokersDefault []string, log *slog.Logger, options []Option) (Sink, error) {
	if c.Kafka == nil {
		return nil, nil
	}
	producer, err := OpenWriter(ProducerConfig{
		Brokers: orDefault(c.Kafka.Brokers, brokersDefault), Security: c.Kafka.Security, Topic: c.Kafka.Topic,
		DeliveryTimeout: c.Kafka.DeliveryTimeout, Key: "sink.kafka", Log: log,
	}, options...)
	if err != nil {
		return nil, err
	}
	return &kafkaSink{producer: producer, encoding: stream.Encoding(c.Kafka.Encoding)}, nil
}

func orDefault(brokers, brokersDefault []string) []string {
	if len(brokers) == 0 {
		return brokersDefault
	}
	return brokers
}

func (s *kafkaSink) Write(ctx context.Context, results []*stream.Result) error {
	records := make([]stream.Record, len(results))
	for i, result := range results {
		record, err := stream.RecordFromResult(result, s.encoding)
		if err != nil {
			return err
		}
		records[i] = record
	}
	return s.producer.Write(ctx, records)
}

func (s *kafkaSink) Close() error { return s.producer.Close() }
