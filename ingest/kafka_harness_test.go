package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/stream"
)

const (
	testTopic = "video.segments"
	testGroup = "ensue-test"
	// soon is how long anything may take that should happen at once.
	soon = 20 * time.Second
)

// broker is an embedded Kafka with one topic.
type broker struct {
	*kfake.Cluster
	t *testing.T
}

func newBroker(t *testing.T, partitions int32, opts ...kfake.Opt) *broker {
	t.Helper()
	cluster, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.SeedTopics(partitions, testTopic))...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return &broker{cluster, t}
}

// record makes a record as a sender would; headers are pairs.
func record(partition int32, key, value string, headers ...string) *kgo.Record {
	r := &kgo.Record{Topic: testTopic, Partition: partition, Value: []byte(value)}
	if key != "" {
		r.Key = []byte(key)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

// counted makes the record of a numbered segment.
func counted(partition int32, key string, sequence int, headers ...string) *kgo.Record {
	headers = append(headers, "ensue-sequence", strconv.Itoa(sequence))
	return record(partition, key, fmt.Sprintf("video of %s/%d", key, sequence), headers...)
}

func (b *broker) client(opts ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.DisableClientMetrics(), kgo.SeedBrokers(b.ListenAddrs()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(32<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))...)
	require.NoError(b.t, err)
	return client
}

// publish writes records, each in a batch of its own.
func (b *broker) publish(records ...*kgo.Record) {
	b.t.Helper()
	client := b.client()
	defer client.Close()
	for _, r := range records {
		require.NoError(b.t, client.ProduceSync(context.Background(), r).FirstErr())
	}
}

// committed is what the group has committed of a partition; −1 is nothing.
func (b *broker) committed(partition int) (int64, string) {
	b.t.Helper()
	response, err := withClient(b, func(ctx context.Context, c *kafka.Client) (*kafka.OffsetFetchResponse, error) {
		return c.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: testGroup, Topics: map[string][]int{testTopic: {partition}}})
	})
	require.NoError(b.t, err)
	if len(response.Topics[testTopic]) == 0 {
		return -1, "" // the group is not known yet
	}
	p := response.Topics[testTopic][0]
	require.NoError(b.t, p.Error)
	return p.CommittedOffset, p.Metadata
}

// commit commits as an operator would, outside of the group.
func (b *broker) commit(partition int, offset int64, metadata string) {
	b.t.Helper()
	_, err := withClient(b, func(ctx context.Context, c *kafka.Client) (*kafka.OffsetCommitResponse, error) {
		return c.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
			GroupID: testGroup, GenerationID: -1,
			Topics: map[string][]kafka.OffsetCommit{testTopic: {{Partition: partition, Offset: offset, Metadata: metadata}}},
		})
	})
	require.NoError(b.t, err)
}

func withClient[R any](b *broker, do func(context.Context, *kafka.Client) (R, error)) (R, error) {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	return do(ctx, &kafka.Client{Addr: kafka.TCP(b.ListenAddrs()...), Transport: transport})
}

// deleteBefore removes records, as retention does.
func (b *broker) deleteBefore(partition int32, offset int64) {
	b.t.Helper()
	client := b.client()
	defer client.Close()
	request := kmsg.NewPtrDeleteRecordsRequest()
	request.TimeoutMillis = 5000
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = testTopic
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	topic.Partitions = append(topic.Partitions, p)
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(context.Background(), client)
	require.NoError(b.t, err)
	require.NoError(b.t, kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode))
}

// testSource is a source for tests: fast, and with little patience.
func (b *broker) source(edits ...func(*Kafka)) *Kafka {
	cfg := DefaultKafka()
	cfg.Brokers, cfg.Topic, cfg.Group = b.ListenAddrs(), testTopic, testGroup
	cfg.MaxWait = 50 * time.Millisecond
	cfg.SessionTimeout, cfg.RebalanceTimeout, cfg.DrainTimeout = 6*time.Second, 10*time.Second, 5*time.Second
	order := DefaultOrder()
	order.Grace = 100 * time.Millisecond
	k := NewKafka(cfg, order, slog.New(slog.NewTextHandler(b.t.Output(), nil)))
	k.timing = timing{
		reach: time.Second, topic: 200 * time.Millisecond, request: 5 * time.Second,
		commit: 10 * time.Millisecond, rejoin: 50 * time.Millisecond, leave: 8 * time.Second,
		heartbeat: 50 * time.Millisecond, watch: time.Second,
	}
	for _, edit := range edits {
		edit(k)
	}
	return k
}

// pipeline is the other end of a source. It keeps what it gets; auto makes it acknowledge at once, needing only the segment
// itself as context.
type pipeline struct {
	t      *testing.T
	source *Kafka
	out    chan *stream.Segment
	stop   func() error // ends the source and waits for it
	auto   bool

	mu  sync.Mutex
	got []*stream.Segment
}

func start(t *testing.T, source *Kafka, auto bool) *pipeline {
	t.Helper()
	p := &pipeline{t: t, source: source, out: make(chan *stream.Segment), auto: auto}
	ctx, cancel := context.WithCancel(context.Background())
	ended, read := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- source.Run(ctx, p.out)
		close(p.out)
	}()
	go func() {
		defer close(read)
		for s := range p.out {
			p.mu.Lock()
			p.got = append(p.got, s)
			p.mu.Unlock()
			if auto {
				s.Receipt.Done(s.ID())
			}
		}
	}()
	p.stop = sync.OnceValue(func() error {
		cancel()
		err := <-ended
		<-read
		return err
	})
	t.Cleanup(func() { _ = p.stop() })
	return p
}

func (p *pipeline) segments() []*stream.Segment {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// wait waits for n segments in all, and returns them.
func (p *pipeline) wait(n int) []*stream.Segment {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return len(p.segments()) >= n }, soon, 5*time.Millisecond,
		"waiting for %d segments", n)
	got := p.segments()
	require.Len(p.t, got, n)
	return got
}

func (p *pipeline) quiet() {
	time.Sleep(150 * time.Millisecond)
}

// finish acknowledges a segment; of its stream everything from needed on stays needed.
func finish(s *stream.Segment, needed int64) {
	s.Receipt.Done(stream.SegmentID{Stream: s.Stream, Sequence: needed})
}

// words shows segments as "stream/sequence" with the flags of show.
func words(segments []*stream.Segment) []string {
	out := make([]string, len(segments))
	for i, s := range segments {
		out[i] = s.Stream + "/" + show([]*stream.Segment{s})
		if s.ContextOnly {
			out[i] += "c"
		}
	}
	return out
}

func eventuallyCommitted(t *testing.T, b *broker, partition int, want int64) {
	t.Helper()
	got := int64(-1)
	for deadline := time.Now().Add(soon); got != want && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		got, _ = b.committed(partition)
	}
	require.Equal(t, want, got, "the committed offset")
}

// slowListener throttles what the broker sends, per connection.
type slowListener struct{ net.Listener }

type slowConn struct{ net.Conn }

const slowBytesPerSecond = 2 << 20

func (l slowListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return slowConn{conn}, nil
}

func (c slowConn) Write(data []byte) (int, error) {
	written := 0
	for len(data) > 0 {
		n, err := c.Conn.Write(data[:min(len(data), 32<<10)])
		written += n
		if err != nil {
			return written, err
		}
		data = data[n:]
		time.Sleep(time.Duration(n) * time.Second / slowBytesPerSecond)
	}
	return written, nil
}
