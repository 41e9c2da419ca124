package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sabotages are what can be done to the results behind the pipeline's back, so that everybody can see the checker fail.
var sabotages = map[string]func(context.Context, *kgo.Client, *kgo.Record) error{
	"lose": loseRecord, "repeat": repeatRecord, "change": changeRecord,
}

// sabotage does to one result what was asked for.
func (sc *scene) sabotage(ctx context.Context) error {
	spoil, asked := sabotages[sc.settings.sabotage]
	if !asked {
		return nil
	}
	results, err := readAll(ctx, sc.kafka.Addrs(), sc.topics.results, sc.delivery == exactlyOnce)
	if err != nil {
		return err
	}
	if len(results) == 0 {
		return errors.New("there is no result to sabotage")
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(sc.kafka.Addrs()...), kgo.ClientID("bench-sabotage"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	if err != nil {
		return fmt.Errorf("sabotaging: %w", err)
	}
	defer client.Close()
	fmt.Printf("sabotage: %s a result, the oldest of partition %d\n", sc.settings.sabotage, results[0].Partition)
	if err := spoil(ctx, client, results[0]); err != nil {
		return fmt.Errorf("sabotaging %s: %w", sc.topics.results, err)
	}
	return nil
}

// loseRecord deletes the record, and what is before it.
func loseRecord(ctx context.Context, client *kgo.Client, record *kgo.Record) error {
	request := kmsg.NewPtrDeleteRecordsRequest()
	request.TimeoutMillis = 10_000
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = record.Topic
	partition := kmsg.NewDeleteRecordsRequestTopicPartition()
	partition.Partition, partition.Offset = record.Partition, record.Offset+1
	topic.Partitions = append(topic.Partitions, partition)
	request.Topics = append(request.Topics, topic)
	for _, shard := range client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			return shard.Err
		}
		for _, t := range shard.Resp.(*kmsg.DeleteRecordsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// repeatRecord writes the record once more.
func repeatRecord(ctx context.Context, client *kgo.Client, record *kgo.Record) error {
	again := &kgo.Record{Topic: record.Topic, Partition: record.Partition, Key: record.Key, Value: record.Value, Headers: record.Headers}
	return client.ProduceSync(ctx, again).FirstErr()
}

// changeRecord writes the record once more, saying something else.
func changeRecord(ctx context.Context, client *kgo.Client, record *kgo.Record) error {
	other := *record
	last := len(record.Value) - 1
	other.Value = append(append([]byte{}, record.Value[:last]...), `,"verdict":"another"}`...)
	return repeatRecord(ctx, client, &other)
}
