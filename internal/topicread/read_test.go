package topicread

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/broker"
)

const topic = "some"

func embedded(t *testing.T) (Reader, *kgo.Client) {
	t.Helper()
	started, err := broker.StartEmbedded(t.Context(), broker.Options{Topics: []broker.Topic{{Name: topic, Partitions: 3}}})
	require.NoError(t, err)
	t.Cleanup(started.Close)
	options := []kgo.Opt{kgo.SeedBrokers(started.Addrs()...)}
	writer, err := kgo.NewClient(append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("t"))...)
	require.NoError(t, err)
	t.Cleanup(writer.Close)
	return Reader{Options: options}, writer
}

// write writes values to a partition in one transaction, which then ends so.
func write(t *testing.T, writer *kgo.Client, partition int32, end kgo.TransactionEndTry, values ...string) {
	t.Helper()
	require.NoError(t, writer.BeginTransaction())
	for _, value := range values {
		record := &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)}
		require.NoError(t, writer.ProduceSync(t.Context(), record).FirstErr())
	}
	require.NoError(t, writer.EndTransaction(t.Context(), end))
}

func all(t *testing.T, r Reader) []string {
	t.Helper()
	var got []string
	require.NoError(t, r.All(t.Context(), topic, func(record *kgo.Record) error {
		got = append(got, fmt.Sprintf("%d:%s", record.Partition, record.Value))
		return nil
	}))
	return got
}

func TestATopicIsReadToItsEndAndNoFurther(t *testing.T) {
	reader, writer := embedded(t)
	require.Empty(t, all(t, reader))
	write(t, writer, 0, kgo.TryCommit, "a", "b")
	write(t, writer, 2, kgo.TryCommit, "c")
	require.ElementsMatch(t, []string{"0:a", "0:b", "2:c"}, all(t, reader))
	var one []string
	require.NoError(t, reader.Partition(t.Context(), topic, 0, func(record *kgo.Record) error {
		one = append(one, string(record.Value))
		return nil
	}))
	require.Equal(t, []string{"a", "b"}, one)
}

func TestWhatWasNotCommittedIsNotThere(t *testing.T) {
	reader, writer := embedded(t)
	write(t, writer, 0, kgo.TryCommit, "a")
	write(t, writer, 0, kgo.TryAbort, "never")
	require.Equal(t, []string{"0:a"}, all(t, reader))
}

func TestATransactionThatIsNotDecidedIsWaitedFor(t *testing.T) {
	reader, writer := embedded(t)
	require.NoError(t, writer.BeginTransaction())
	record := &kgo.Record{Topic: topic, Partition: 1, Value: []byte("soon")}
	require.NoError(t, writer.ProduceSync(t.Context(), record).FirstErr())
	decided := make(chan error, 1)
	go func() {
		time.Sleep(300 * time.Millisecond)
		decided <- writer.EndTransaction(t.Context(), kgo.TryCommit)
	}()
	require.Equal(t, []string{"1:soon"}, all(t, reader))
	require.NoError(t, <-decided)
}

func TestOneRecordIsFoundByItsOffset(t *testing.T) {
	reader, writer := embedded(t)
	write(t, writer, 0, kgo.TryCommit, "a", "b", "c")
	record, err := reader.Record(t.Context(), topic, 0, 1)
	require.NoError(t, err)
	require.Equal(t, "b", string(record.Value))
	record, err = reader.Record(t.Context(), topic, 0, 100)
	require.NoError(t, err)
	require.Nil(t, record)
}

func TestATopicThatIsMissingIsTold(t *testing.T) {
	reader, _ := embedded(t)
	err := reader.All(t.Context(), "nowhere", func(*kgo.Record) error { return nil })
	require.ErrorIs(t, err, kerr.UnknownTopicOrPartition)
	require.ErrorContains(t, err, "nowhere")
}
