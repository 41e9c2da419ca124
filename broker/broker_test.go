package broker

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/stream"
)

func start(t *testing.T, options Options) *Embedded {
	t.Helper()
	embedded, err := StartEmbedded(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(embedded.Close)
	return embedded
}

// video is bytes that do not compress, as video does not.
func video(size int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	payload := make([]byte, size)
	_, _ = random.Read(payload)
	return payload
}

func TestBothClientsProduceAndConsumeEightMebibytes(t *testing.T) {
	embedded := start(t, Options{Topics: []Topic{{Name: "video.segments", Partitions: 3}}})
	payload := video(8 << 20)

	produce := map[string]func(*testing.T, []string, []byte){"kafka-go": produceKafkaGo, "franz-go": produceFranz}
	consume := map[string]func(*testing.T, []string, int) []byte{"kafka-go": consumeKafkaGo, "franz-go": consumeFranz}
	offset := 0
	for from, write := range produce {
		write(t, embedded.Addrs(), payload)
		for to, read := range consume {
			t.Run(from+" to "+to, func(t *testing.T) {
				require.True(t, bytes.Equal(payload, read(t, embedded.Addrs(), offset)))
			})
		}
		offset++
	}
}

func produceKafkaGo(t *testing.T, brokers []string, payload []byte) {
	t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	writer := &kafka.Writer{
		Addr: kafka.TCP(brokers...), Topic: "video.segments", Transport: transport, RequiredAcks: kafka.RequireAll,
		BatchBytes: DefaultMaxMessageBytes, BatchTimeout: time.Millisecond, Balancer: toPartition(1),
	}
	require.NoError(t, writer.WriteMessages(t.Context(), kafka.Message{Key: []byte("lobby"), Value: payload}))
	require.NoError(t, writer.Close())
}

// toPartition sends every record to one partition.
type toPartition int

func (p toPartition) Balance(kafka.Message, ...int) int { return int(p) }

func consumeKafkaGo(t *testing.T, brokers []string, offset int) []byte {
	t.Helper()
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: brokers, Topic: "video.segments", Partition: 1, MaxBytes: 64 << 20, MaxWait: time.Second,
	})
	defer func() { require.NoError(t, reader.Close()) }()
	require.NoError(t, reader.SetOffset(int64(offset)))
	message, err := reader.ReadMessage(t.Context())
	require.NoError(t, err)
	require.Equal(t, "lobby", string(message.Key))
	return message.Value
}

func produceFranz(t *testing.T, brokers []string, payload []byte) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ProducerBatchMaxBytes(DefaultMaxMessageBytes),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	record := &kgo.Record{Topic: "video.segments", Partition: 1, Key: []byte("lobby"), Value: payload}
	require.NoError(t, client.ProduceSync(t.Context(), record).FirstErr())
}

func consumeFranz(t *testing.T, brokers []string, offset int) []byte {
	t.Helper()
	from := map[string]map[int32]kgo.Offset{"video.segments": {1: kgo.NewOffset().At(int64(offset))}}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumePartitions(from))
	require.NoError(t, err)
	defer client.Close()
	fetches := client.PollRecords(t.Context(), 1)
	require.NoError(t, fetches.Err())
	require.Equal(t, "lobby", string(fetches.Records()[0].Key))
	return fetches.Records()[0].Value
}

func TestMessageLimitIsTheOneAskedFor(t *testing.T) {
	embedded := start(t, Options{Topics: []Topic{{Name: "small", Partitions: 1}}, MaxMessageBytes: 1 << 20})
	client, err := kgo.NewClient(kgo.SeedBrokers(embedded.Addrs()...), kgo.ProducerBatchMaxBytes(4<<20),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.DefaultProduceTopic("small"))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Value: video(1 << 20)}).FirstErr())
	require.ErrorContains(t, client.ProduceSync(t.Context(), &kgo.Record{Value: video(2 << 20)}).FirstErr(), "MESSAGE_TOO_LARGE")
}

func TestAGroupGetsEveryRecordOfEveryPartition(t *testing.T) {
	embedded := start(t, Options{Topics: []Topic{{Name: "video.segments", Partitions: 4}}})
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	writer := &kafka.Writer{
		Addr: kafka.TCP(embedded.Addrs()...), Topic: "video.segments", Transport: transport, BatchTimeout: time.Millisecond,
		RequiredAcks: kafka.RequireAll, Balancer: &kafka.Hash{},
	}
	want := map[string]bool{}
	for i := range 20 {
		name := strconv.Itoa(i)
		want[name] = true
		require.NoError(t, writer.WriteMessages(t.Context(), kafka.Message{Key: []byte(name), Value: []byte(name)}))
	}
	require.NoError(t, writer.Close())

	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: embedded.Addrs(), Topic: "video.segments", GroupID: "g", StartOffset: kafka.FirstOffset, MaxWait: time.Second,
	})
	defer func() { require.NoError(t, reader.Close()) }()
	got := map[string]bool{}
	for range want {
		message, err := reader.ReadMessage(t.Context())
		require.NoError(t, err)
		got[string(message.Value)] = true
	}
	require.Equal(t, want, got)
}

func TestRetentionBoundsWhatIsKept(t *testing.T) {
	const retain = 4 << 20
	embedded := start(t, Options{Topics: []Topic{{Name: "video.segments", Partitions: 1}}, Retain: retain})
	client, err := kgo.NewClient(kgo.SeedBrokers(embedded.Addrs()...), kgo.DefaultProduceTopic("video.segments"),
		kgo.ProducerBatchMaxBytes(2<<20))
	require.NoError(t, err)
	defer client.Close()
	const records = 32
	for range records {
		require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Value: video(1 << 20)}).FirstErr())
	}
	require.Eventually(t, func() bool {
		oldest := oldestOffset(t, embedded.Addrs())
		return oldest >= records-retain>>20-1 && oldest < records
	}, 10*time.Second, 50*time.Millisecond, "the oldest records are still there")
}

func oldestOffset(t *testing.T, brokers []string) int64 {
	t.Helper()
	conn, err := kafka.DialLeader(t.Context(), "tcp", brokers[0], "video.segments", 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	oldest, err := conn.ReadFirstOffset()
	require.NoError(t, err)
	return oldest
}

func TestCreateTopicsLeavesExistingTopicsAlone(t *testing.T) {
	embedded := start(t, Options{Topics: []Topic{{Name: "a", Partitions: 2}}})
	require.NoError(t, CreateTopics(t.Context(), embedded.Addrs(), []Topic{{Name: "a", Partitions: 7}, {Name: "b", Partitions: 3}}))
	require.NoError(t, CreateTopics(t.Context(), embedded.Addrs(), nil))

	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(embedded.Addrs()...), Transport: transport}
	metadata, err := client.Metadata(t.Context(), &kafka.MetadataRequest{Topics: []string{"a", "b"}})
	require.NoError(t, err)
	partitions := map[string]int{}
	for _, topic := range metadata.Topics {
		partitions[topic.Name] = len(topic.Partitions)
	}
	require.Equal(t, map[string]int{"a": 2, "b": 3}, partitions)
}

func TestErrorsHaveCodes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	port := taken.Addr().(*net.TCPAddr).Port
	embedded := start(t, Options{})

	for name, test := range map[string]struct {
		call      func(context.Context) error
		code      stream.Code
		permanent bool
	}{
		"port taken": {
			call: func(ctx context.Context) error { _, err := StartEmbedded(ctx, Options{Port: port}); return err },
			code: "broker.listen",
		},
		"negative size": {
			call: func(ctx context.Context) error { _, err := StartEmbedded(ctx, Options{Retain: -1}); return err },
			code: "broker.options", permanent: true,
		},
		"names that collide": {
			call: func(ctx context.Context) error {
				return CreateTopics(ctx, embedded.Addrs(), []Topic{{Name: "a.b"}, {Name: "a_b"}})
			},
			code: "broker.topic", permanent: true,
		},
		"nobody there": {
			call: func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
				defer cancel()
				return CreateTopics(ctx, []string{"127.0.0.1:1"}, []Topic{{Name: "a"}})
			},
			code: "broker.unreachable",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.call(t.Context())
			var failure *stream.Failure
			require.ErrorAs(t, err, &failure)
			require.Equal(t, test.code, failure.Code)
			require.Equal(t, test.permanent, failure.Permanent)
		})
	}
}

func TestCloseLetsGoOfClientsAndPort(t *testing.T) {
	embedded, err := StartEmbedded(t.Context(), Options{})
	require.NoError(t, err)
	conn, err := net.Dial("tcp", embedded.Addrs()[0])
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()

	embedded.Close()
	embedded.Close()

	require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "the connection is still open")
	again, err := net.Listen("tcp", embedded.Addrs()[0])
	require.NoError(t, err, "the port is still taken")
	require.NoError(t, again.Close())
}
