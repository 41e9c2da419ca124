package sink

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/stream"
)

// result is the nth result of a stream.
func result(name string, n int) *stream.Result {
	energy := float64(n) / 8
	at := time.Date(2026, 11, 23, 17, 55, 2*n, 0, time.UTC)
	y := stream.SegmentID{Stream: name, Sequence: int64(n)}.String()
	x := stream.SegmentID{Stream: name, Sequence: int64(n - 1)}.String()
	return &stream.Result{
		ID: stream.ResultID(name, x, y, "m"), Stream: name,
		X:       &stream.Extent{Segment: x, Start: at.Add(-2 * time.Second), End: at},
		Y:       stream.Extent{Segment: y, Start: at, End: at.Add(2 * time.Second)},
		Verdict: stream.Continues, Energy: &energy, Model: "m",
	}
}

// largeResult is a result of about size bytes of Protobuf.
func largeResult(name string, n, size int) *stream.Result {
	r := result(name, n)
	dim := int32(size / 4)
	r.Next = []stream.Next{{Seconds: 1, Dim: dim, Encoding: "float32-base64", Data: make([]byte, 4*dim)}}
	return r
}

func letter(n int, payload []byte) *stream.DeadLetter {
	return &stream.DeadLetter{
		Segment: stream.SegmentID{Stream: "lobby", Sequence: int64(n)},
		Origin:  stream.Origin{Topic: "video.segments", Partition: 0, Offset: int64(n)},
		Failure: stream.Fail("decode", "decode.no_video", "there is no video stream in it"), Attempts: 1,
		Record: stream.Record{
			Key: []byte("lobby"), Value: payload, Headers: []stream.Header{{Key: "x-mine", Value: []byte("kept")}},
		},
	}
}

// cluster is an in-memory broker with the topics, each of 4 partitions.
func cluster(t *testing.T, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	broker, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(2), kfake.SeedTopics(4, "energy", "dead")}, options...)...)
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	return broker
}

// consume reads n records of the topic with another client than the one that wrote them.
func consume(t *testing.T, broker *kfake.Cluster, topic string, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		out = append(out, fetches.Records()...)
	}
	require.Len(t, out, n)
	return out
}

// written is how many records the topic holds.
func written(broker *kfake.Cluster, topic string) (count int64) {
	for _, partition := range broker.PartitionInfos(topic) {
		count += partition.HighWatermark
	}
	return count
}

func toRecord(r *kgo.Record) stream.Record {
	out := stream.Record{Topic: r.Topic, Partition: int(r.Partition), Offset: r.Offset, Time: r.Timestamp, Key: r.Key, Value: r.Value}
	for _, header := range r.Headers {
		out.Headers = append(out.Headers, stream.Header{Key: header.Key, Value: header.Value})
	}
	return out
}

func kafkaConfig(broker *kfake.Cluster, change ...func(*KafkaConfig)) Config {
	c := DefaultKafka()
	c.Brokers, c.Topic, c.DeliveryTimeout = broker.ListenAddrs(), "energy", 10*time.Second
	for _, f := range change {
		f(&c)
	}
	return Config{Kafka: &c}
}

func open(t *testing.T, c Config) Sink {
	t.Helper()
	opened, err := New(c, nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, opened.Close()) })
	return opened
}

func openLetters(t *testing.T, c Config, log *slog.Logger) DeadLetters {
	t.Helper()
	opened, err := NewDeadLetters(c, nil, log)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, opened.Close()) })
	return opened
}

func failureOf(t *testing.T, err error) *stream.Failure {
	t.Helper()
	var failure *stream.Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, "sink", failure.Stage)
	return failure
}

// logged is a logger and what it was told.
type logged struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func streamName(n int) string { return fmt.Sprintf("cam%02d", n) }

func bytesOf(vector []float32) []byte {
	var data []byte
	for _, value := range vector {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(value))
	}
	return data
}
