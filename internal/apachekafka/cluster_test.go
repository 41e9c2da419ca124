package apachekafka

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/broker"
)

// TestApacheKafkaKeepsRecordsOverARestartAndAKill writes, restarts, writes, kills, starts and writes again, and reads all of it
// as a member of a group.
func TestApacheKafkaKeepsRecordsOverARestartAndAKill(t *testing.T) {
	cluster := Start(t)
	brokers := []string{cluster.Addr()}
	topic := broker.Topic{Name: "video.segments", Partitions: 2, Configs: map[string]string{"flush.messages": "1"}}
	require.NoError(t, broker.CreateTopics(t.Context(), brokers, []broker.Topic{topic}))

	large := make([]byte, 8<<20)
	write(t, brokers, "0", large)
	cluster.Restart()
	write(t, brokers, "1", []byte("after a restart"))
	cluster.Kill()
	_, err := net.DialTimeout("tcp", cluster.Addr(), time.Second)
	require.Error(t, err, "a killed broker still listens")
	cluster.Restart()
	write(t, brokers, "2", []byte("after a kill"))

	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: brokers, Topic: topic.Name, GroupID: "test", StartOffset: kafka.FirstOffset, MaxBytes: 64 << 20, MaxWait: time.Second,
	})
	defer func() { require.NoError(t, reader.Close()) }()
	sizes := map[string]int{}
	for range 3 {
		message, err := reader.FetchMessage(t.Context())
		require.NoError(t, err)
		require.NoError(t, reader.CommitMessages(t.Context(), message))
		sizes[string(message.Key)] = len(message.Value)
	}
	require.Equal(t, map[string]int{"0": 8 << 20, "1": len("after a restart"), "2": len("after a kill")}, sizes)
}

func write(t *testing.T, brokers []string, key string, value []byte) {
	t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	writer := &kafka.Writer{
		Addr: kafka.TCP(brokers...), Topic: "video.segments", Transport: transport, RequiredAcks: kafka.RequireAll,
		BatchBytes: 64 << 20, BatchTimeout: time.Millisecond,
	}
	require.NoError(t, writer.WriteMessages(t.Context(), kafka.Message{Key: []byte(key), Value: value}))
	require.NoError(t, writer.Close())
}

func TestFreePortsAreDifferentAndFree(t *testing.T) {
	ports, err := freePorts(5)
	require.NoError(t, err)
	require.Len(t, ports, 5)
	seen := map[int]bool{}
	for _, port := range ports {
		require.False(t, seen[port])
		seen[port] = true
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		require.NoError(t, err)
		require.NoError(t, listener.Close())
	}
}
