package pipelines

import (
	"context"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/sink"
)

func TestCheckTellsMembersWithAnotherDelivery(t *testing.T) {
	started, err := broker.StartEmbedded(t.Context(), broker.Options{Topics: []broker.Topic{{Name: "video.segments", Partitions: 2}}})
	require.NoError(t, err)
	t.Cleanup(started.Close)
	def := live(t, started.Addrs()[0], "")
	none := checkMembers(t.Context(), def)
	require.Len(t, none, 1)
	require.True(t, none[0].OK)
	require.Equal(t, "has no members yet", none[0].Detail)

	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: def.Ingest.Kafka.Group, Brokers: started.Addrs(), Topics: []string{"video.segments"},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, group.Close()) }()
	generation, err := group.Next(t.Context())
	require.NoError(t, err)
	generation.Start(func(ctx context.Context) { <-ctx.Done() })
	same := checkMembers(t.Context(), def)
	require.True(t, same[0].OK)
	require.Equal(t, `1 members share by "range"`, same[0].Detail)
	require.Empty(t, same[0].Hint)

	def.Sink.Kafka = &sink.KafkaConfig{Delivery: sink.DeliverExactlyOnce}
	other := checkMembers(t.Context(), def)
	require.False(t, other[0].OK)
	require.Contains(t, other[0].Hint, "stop those that run")
}
