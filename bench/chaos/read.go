package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stalled is how long reading a topic to its end may bring nothing.
const stalled = time.Minute

// readAll reads a topic to where it ends now, partition by partition in the order of the offsets.
func readAll(ctx context.Context, addrs []string, topic string, committed bool) ([]*kgo.Record, error) {
	level := kgo.ReadUncommitted()
	if committed {
		level = kgo.ReadCommitted()
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(addrs...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(level),
		kgo.KeepControlRecords(), kgo.ClientID("bench-check"),
	)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", topic, err)
	}
	defer client.Close()
	ends, err := topicEnds(ctx, client, topic)
	if err != nil {
		return nil, fmt.Errorf("looking for the end of %s: %w", topic, err)
	}
	var records []*kgo.Record
	for len(ends) > 0 {
		polling, cancel := context.WithTimeout(ctx, stalled)
		fetches := client.PollFetches(polling)
		err := polling.Err()
		cancel()
		if err != nil {
			return nil, fmt.Errorf("reading %s: nothing came for %s, %d partitions are not read to their end %v", topic, stalled, len(ends), ends)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			if record.Offset+1 >= ends[record.Partition] {
				delete(ends, record.Partition)
			}
			if !record.Attrs.IsControl() {
				records = append(records, record)
			}
		})
	}
	slices.SortFunc(records, func(a, b *kgo.Record) int {
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
	return records, nil
}

// topicEnds are the offsets that the next records of the partitions get; empty partitions are left out.
func topicEnds(ctx context.Context, client *kgo.Client, topic string) (map[int32]int64, error) {
	meta := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	meta.Topics = append(meta.Topics, asked)
	known, err := meta.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	if len(known.Topics) != 1 || known.Topics[0].ErrorCode != 0 {
		return nil, errors.New("the broker does not know it")
	}
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	wanted := kmsg.NewListOffsetsRequestTopic()
	wanted.Topic = topic
	for i := range known.Topics[0].Partitions {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = known.Topics[0].Partitions[i].Partition, -1
		wanted.Partitions = append(wanted.Partitions, partition)
	}
	request.Topics = append(request.Topics, wanted)
	ends, answered := map[int32]int64{}, 0
	for _, shard := range client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			return nil, shard.Err
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, err
				}
				answered++
				if p.Offset > 0 {
					ends[p.Partition] = p.Offset
				}
			}
		}
	}
	if answered != len(wanted.Partitions) {
		return nil, fmt.Errorf("%d of %d partitions answered", answered, len(wanted.Partitions))
	}
	return ends, nil
}
