package sink

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/internal/apachekafka"
	"github.com/ensue-video/ensue/stream"
)

// TestSinksOnApacheKafka holds the sinks against the real broker: results while it is killed and comes back, and what it refuses.
func TestSinksOnApacheKafka(t *testing.T) {
	cluster := apachekafka.Start(t)
	brokers := []string{cluster.Addr()}
	require.NoError(t, broker.CreateTopics(t.Context(), brokers, []broker.Topic{
		{Name: "energy", Partitions: 4}, {Name: "dead", Partitions: 1, Configs: map[string]string{"max.message.bytes": "4000"}},
	}))
	t.Run("results survive a kill of the broker", func(t *testing.T) { testKilledBroker(t, cluster, brokers) })
	t.Run("a missing topic is told", func(t *testing.T) {
		c := DefaultKafka()
		c.Brokers, c.Topic = brokers, "energie"
		out := open(t, Config{Kafka: &c})
		out.(*kafkaSink).producer.(*Producer).patience.missing = time.Second
		err := out.Write(t.Context(), []*stream.Result{result("lobby", 1)})
		require.Equal(t, CodeTopicMissing, failureOf(t, err).Code)
	})
	t.Run("an oversized dead letter is told", func(t *testing.T) {
		c := DefaultDeadLetterKafka()
		c.Brokers, c.Topic = brokers, "dead"
		out := openLetters(t, Config{DeadLetter: DeadLetterConfig{Kafka: &c}}, nil)
		letters := []*stream.DeadLetter{letter(1, make([]byte, 1<<20)), letter(2, []byte("small"))}
		require.NoError(t, out.Write(t.Context(), letters))
		records := consumeFrom(t, brokers, "dead", 2)
		first := toRecord(records[0])
		truncated, _ := first.Get(stream.HeaderTruncated)
		require.Equal(t, "true", truncated)
		require.Equal(t, stream.RecordFromDeadLetter(letters[1]).Headers, toRecord(records[1]).Headers)
	})
}

// testKilledBroker writes the results of four streams, one after the other, while the broker is killed and started again.
func testKilledBroker(t *testing.T, cluster *apachekafka.Cluster, brokers []string) {
	t.Helper()
	const count = 60
	c := DefaultKafka()
	c.Brokers, c.Topic = brokers, "energy"
	out := open(t, Config{Kafka: &c})
	half := make(chan struct{})
	var writer sync.WaitGroup
	var failed error
	writer.Go(func() {
		for n := range count {
			if n == count/2 {
				close(half)
			}
			var results []*stream.Result
			for camera := range 4 {
				results = append(results, result(streamName(camera), n))
			}
			if failed = out.Write(t.Context(), results); failed != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	<-half
	cluster.Kill()
	cluster.Restart()
	writer.Wait()
	require.NoError(t, failed)

	byStream := map[string][]*kgo.Record{}
	for _, record := range consumeFrom(t, brokers, "energy", 4*count) {
		byStream[string(record.Key)] = append(byStream[string(record.Key)], record)
	}
	for camera := range 4 {
		var all []*stream.Result
		for n := range count {
			all = append(all, result(streamName(camera), n))
		}
		require.Equal(t, want(all), lastOfEach(t, byStream[streamName(camera)]), "none missing, in order")
	}
}

// consumeFrom reads the topic until it has seen n different records, by value, and then what else is there already.
func consumeFrom(t *testing.T, brokers []string, topic string, n int) (out []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seen := map[string]bool{}
	for len(seen) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		for _, record := range fetches.Records() {
			seen[string(record.Value)] = true
			out = append(out, record)
		}
	}
	return out
}
