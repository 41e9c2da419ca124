package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/claim"
	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

// References are the claims that records of topics hold.
type References struct {
	// Refs are their addresses, written one way.
	Refs map[string]bool
	// Records is how many were read.
	Records int64
}

// FindReferences reads the topics from their oldest record to where they ended when it began, and gathers the claims. An error means that
// it did not see all of them.
func FindReferences(ctx context.Context, brokers []string, security *connect.Security, topics []string) (References, error) {
	found := References{Refs: map[string]bool{}}
	client, err := kgo.NewClient(append(connect.Options(brokers, security), kgo.ClientID("ensue-claims"),
		// A partition may end in a marker of a transaction; only who sees it knows that the end is reached.
		kgo.KeepControlRecords())...)
	if err != nil {
		return found, fmt.Errorf("connecting to %v: %w", brokers, err)
	}
	defer client.Close()
	for _, topic := range topics {
		if err := found.read(ctx, client, topic); err != nil {
			return found, fmt.Errorf("reading the claims of the topic %q: %w", topic, err)
		}
	}
	return found, nil
}

// stalled is how long reading may bring nothing before it is given up.
const stalled = 30 * time.Second

// read reads one topic.
func (r *References) read(ctx context.Context, client *kgo.Client, topic string) error {
	starts, err := ends(ctx, client, topic, -2)
	if err != nil {
		return err
	}
	stops, err := ends(ctx, client, topic, -1)
	if err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	for partition, stop := range stops {
		if starts[partition] < stop {
			from[partition] = kgo.NewOffset().At(starts[partition])
		}
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	defer client.PurgeTopicsFromConsuming(topic)
	for len(from) > 0 {
		polling, cancel := context.WithTimeout(ctx, stalled)
		fetches := client.PollFetches(polling)
		err := polling.Err()
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("nothing came for %s, and %d partitions are not read to their end", stalled, len(from))
		}
		if failed := fetches.Errors(); len(failed) > 0 {
			return failed[0].Err
		}
		fetches.EachRecord(func(record *kgo.Record) { r.note(record) })
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if n := len(p.Records); n > 0 && p.Records[n-1].Offset+1 >= stops[p.Partition] || p.LogStartOffset >= stops[p.Partition] {
				delete(from, p.Partition)
			}
		})
	}
	return nil
}

func (r *References) note(record *kgo.Record) {
	r.Records++
	for _, header := range record.Headers {
		if header.Key != stream.HeaderRef {
			continue
		}
		if ref, err := claim.ParseRef(string(header.Value)); err == nil {
			r.Refs[ref.String()] = true
		}
	}
}

// ends are the offsets of every partition of a topic at a time, which -2 says is its beginning and -1 its end.
func ends(ctx context.Context, client *kgo.Client, topic string, at int64) (map[int32]int64, error) {
	meta := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	meta.Topics = append(meta.Topics, asked)
	known, err := meta.RequestWith(ctx, client)
	if err == nil && len(known.Topics) != 1 {
		err = errors.New("the broker did not answer for it")
	}
	if err == nil {
		err = kerr.ErrorForCode(known.Topics[0].ErrorCode)
	}
	if err != nil {
		return nil, err
	}
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	wanted := kmsg.NewListOffsetsRequestTopic()
	wanted.Topic = topic
	for i := range known.Topics[0].Partitions {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = known.Topics[0].Partitions[i].Partition, at
		wanted.Partitions = append(wanted.Partitions, partition)
	}
	request.Topics = append(request.Topics, wanted)
	found := map[int32]int64{}
	for _, shard := range client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			return nil, shard.Err
		}
		for _, answered := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, partition := range answered.Partitions {
				if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
					return nil, err
				}
				found[partition.Partition] = partition.Offset
			}
		}
	}
	if len(found) != len(wanted.Partitions) {
		return nil, errors.New("the broker did not answer for every partition")
	}
	return found, nil
}
