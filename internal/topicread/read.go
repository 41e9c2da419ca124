package topicread

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// quiet is how long a broker may give nothing while there is something to read: longer than a transaction that was left behind is kept
// open.
const quiet = 90 * time.Second

// Reader reads topics with a client's options: brokers, encryption, login.
type Reader struct {
	Options []kgo.Opt
}

// All calls each with every record of the topic. An error of each ends the reading and is returned.
func (r Reader) All(ctx context.Context, topic string, each func(*kgo.Record) error) error {
	client, err := r.client()
	if err != nil {
		return err
	}
	defer client.Close()
	count, err := Partitions(ctx, client, topic)
	if err != nil {
		return fmt.Errorf("looking for topic %s: %w", topic, err)
	}
	partitions := make([]int32, count)
	for i := range partitions {
		partitions[i] = int32(i)
	}
	return r.read(ctx, client, topic, partitions, each)
}

// Partition is All for one partition.
func (r Reader) Partition(ctx context.Context, topic string, partition int32, each func(*kgo.Record) error) error {
	client, err := r.client()
	if err != nil {
		return err
	}
	defer client.Close()
	return r.read(ctx, client, topic, []int32{partition}, each)
}

// Record is the record at an offset; nil where there is none any more.
func (r Reader) Record(ctx context.Context, topic string, partition int32, offset int64) (*kgo.Record, error) {
	client, err := r.client()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	first, end, err := ends(ctx, client, topic, partition)
	if err != nil {
		return nil, fmt.Errorf("looking for the end of %s[%d]: %w", topic, partition, err)
	}
	if offset < first || offset >= end {
		return nil, nil //nolint:nilnil // retention has passed it
	}
	var found *kgo.Record
	err = r.drain(ctx, topic, map[int32]span{partition: {offset, offset + 1}}, func(record *kgo.Record) error {
		if record.Offset == offset {
			found = record
		}
		return nil
	})
	return found, err
}

// span is from an offset up to, and without, another one.
type span struct{ next, end int64 }

func (r Reader) read(ctx context.Context, client *kgo.Client, topic string, partitions []int32, each func(*kgo.Record) error) error {
	spans := map[int32]span{}
	for _, partition := range partitions {
		first, end, err := ends(ctx, client, topic, partition)
		if err != nil {
			return fmt.Errorf("looking for the end of %s[%d]: %w", topic, partition, err)
		}
		if first < end {
			spans[partition] = span{first, end}
		}
	}
	return r.drain(ctx, topic, spans, each)
}

// drain reads the spans to their ends.
func (r Reader) drain(ctx context.Context, topic string, spans map[int32]span, each func(*kgo.Record) error) error {
	if len(spans) == 0 {
		return nil
	}
	from := map[int32]kgo.Offset{}
	for partition, span := range spans {
		from[partition] = kgo.NewOffset().At(span.next)
	}
	client, err := r.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchMaxWait(250*time.Millisecond),
		// The last record of a partition may be the mark that ends a transaction: it has to be seen to know that the end is reached.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for len(spans) > 0 {
		if err := poll(ctx, client, spans, each); err != nil {
			return fmt.Errorf("reading topic %s: %w", topic, err)
		}
	}
	return nil
}

func poll(ctx context.Context, client *kgo.Client, spans map[int32]span, each func(*kgo.Record) error) error {
	ctx, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	fetches := client.PollFetches(ctx)
	if err := fetches.Err0(); err != nil {
		return err
	}
	for _, failed := range fetches.Errors() {
		return failed.Err
	}
	for records := fetches.RecordIter(); !records.Done(); {
		record := records.Next()
		span, wanted := spans[record.Partition]
		if !wanted || record.Offset >= span.end {
			delete(spans, record.Partition) // compaction may have taken the last ones
			continue
		}
		if !record.Attrs.IsControl() {
			if err := each(record); err != nil {
				return err
			}
		}
		if record.Offset+1 >= span.end {
			delete(spans, record.Partition)
		}
	}
	return nil
}

func (r Reader) client(more ...kgo.Opt) (*kgo.Client, error) {
	options := append([]kgo.Opt{kgo.DisableClientMetrics()}, r.Options...)
	client, err := kgo.NewClient(append(options, more...)...)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return client, nil
}

// Partitions is how many partitions a topic has.
func Partitions(ctx context.Context, client *kgo.Client, topic string) (int, error) {
	request := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	request.Topics = append(request.Topics, asked)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	for _, found := range response.Topics {
		return len(found.Partitions), kerr.ErrorForCode(found.ErrorCode)
	}
	return 0, kerr.UnknownTopicOrPartition
}

// ends are the first offset of a partition and the one after its last record, committed or not.
func ends(ctx context.Context, client *kgo.Client, topic string, partition int32) (first, end int64, err error) {
	const earliest, latest = -2, -1
	at := [2]int64{earliest, latest}
	for i, which := range at {
		request := kmsg.NewPtrListOffsetsRequest()
		request.ReplicaID = -1
		asked, p := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
		asked.Topic, p.Partition, p.Timestamp = topic, partition, which
		asked.Partitions = append(asked.Partitions, p)
		request.Topics = append(request.Topics, asked)
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return 0, 0, err
		}
		if len(response.Topics) == 0 || len(response.Topics[0].Partitions) == 0 {
			return 0, 0, kerr.UnknownTopicOrPartition
		}
		found := response.Topics[0].Partitions[0]
		if err := kerr.ErrorForCode(found.ErrorCode); err != nil {
			return 0, 0, err
		}
		at[i] = found.Offset
	}
	return at[0], at[1], nil
}
