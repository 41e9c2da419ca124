package dead

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/stream"
)

// Retry sends the records of letters to where they came from, one after the other, and marks each letter. done is told each letter, and
// what kept it from being sent (nil: nothing did); a letter that cannot be sent does not keep the others from it. It fails only where
// nothing can be sent at all.
func Retry(ctx context.Context, config Config, letters []*Letter, done func(*Letter, error)) error {
	client, err := kgo.NewClient(append(config.options(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(maxRecord), kgo.RecordDeliveryTimeout(deliveryTimeout),
		kgo.AllowIdempotentProduceCancellation())...) // a broker that went away without an answer must not be waited for for ever
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer client.Close()
	for _, letter := range letters {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := config.retry(ctx, client, letter)
		if err == nil {
			letter.Retried = time.Now()
		}
		done(letter, err)
	}
	return nil
}

const (
	// maxRecord is as much as a broker reads at once; its topic decides how much it takes.
	maxRecord = 100 << 20
	// deliveryTimeout is how long a write is tried again.
	deliveryTimeout = 30 * time.Second
)

func (c Config) retry(ctx context.Context, client *kgo.Client, letter *Letter) error {
	whole, err := Whole(ctx, c, letter)
	if err != nil {
		return err
	}
	if whole.Origin.Topic == "" {
		return stream.Fail("dead", CodeNoRecord, "letter %s is of the file %s: replay that", letter.ID, whole.Origin.File)
	}
	// The partition is that of the stream, whoever chose it.
	record := whole.RetryOf()
	if err := c.produce(ctx, client, record); err != nil {
		return fmt.Errorf("sending letter %s to %s[%d]: %w", letter.ID, record.Topic, record.Partition, err)
	}
	now := time.Now()
	if c.File != "" {
		return c.markLine(letter.ID, now)
	}
	if err := c.produce(ctx, client, letter.RetriedRecord(now)); err != nil {
		return fmt.Errorf("marking letter %s, which was sent: %w", letter.ID, err)
	}
	return nil
}

func (c Config) produce(ctx context.Context, client *kgo.Client, record stream.Record) error {
	out := &kgo.Record{Topic: record.Topic, Partition: int32(record.Partition), Key: record.Key, Value: record.Value}
	for _, header := range record.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
	}
	return c.failed("writing", client.ProduceSync(ctx, out).FirstErr())
}
