package ingest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
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

func TestKafkaReadsInOrderAndCommitsBehindTheContext(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0), counted(0, "b", 0), counted(0, "a", 2), counted(0, "a", 1), counted(0, "b", 1), counted(0, "a", 1))
	p := start(t, b.source(), false)
	got := p.wait(5)
	require.Equal(t, []string{"a/0", "b/0", "a/1", "a/2", "b/1"}, words(got))
	require.Equal(t, "video of a/1", string(got[2].Payload))
	require.Equal(t, stream.Origin{Topic: testTopic, Offset: 3}, got[2].Origin)
	eventuallyCommitted(t, b, 0, 0)

	// Invariants 1 and 3: nothing is committed that is in flight or needed.
	finish(got[1], 0)
	finish(got[4], 1)
	p.quiet()
	eventuallyCommitted(t, b, 0, 0)
	finish(got[0], 0)
	p.quiet()
	eventuallyCommitted(t, b, 0, 0) // a/0 is the context of a/1
	finish(got[2], 1)
	finish(got[3], 2)
	eventuallyCommitted(t, b, 0, 2) // a/2
	require.NoError(t, p.stop())
	eventuallyCommitted(t, b, 0, 2)
	stats := p.source.Stats()
	require.EqualValues(t, 6, stats.Received)
	require.EqualValues(t, 1, stats.Duplicates)
	require.Empty(t, stats.Partitions, "none is owned any more")
}

func TestKafkaReadsContextAgainAfterARestart(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0), counted(0, "b", 0), counted(0, "a", 1), counted(0, "b", 1), counted(0, "a", 2))
	p := start(t, b.source(func(k *Kafka) { k.cfg.DrainTimeout = 50 * time.Millisecond }), false)
	for _, s := range p.wait(5) {
		if s.Stream == "a" || s.Sequence == 0 { // the process dies with b/1 in flight
			finish(s, s.Sequence)
		}
	}
	require.NoError(t, p.stop())

	b.publish(counted(0, "b", 2), counted(0, "a", 3))
	p = start(t, b.source(), true)
	require.Equal(t, []string{"b/0c", "b/1", "a/2c", "b/2", "a/3"}, words(p.wait(5)),
		"a/0 and a/1 are passed over, b/0 and a/2 are only context")
	require.EqualValues(t, 1, p.source.Stats().Passed)
	eventuallyCommitted(t, b, 0, 5)
}

func TestKafkaIgnoresForeignMetadata(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0), counted(0, "a", 1), counted(0, "a", 2))
	b.commit(0, 1, "reset by hand")
	p := start(t, b.source(), true)
	require.Equal(t, []string{"a/1", "a/2"}, words(p.wait(2)))
}

func TestKafkaBareVideo(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(record(0, "", "video"), record(0, "cam", "video"), record(0, "", "video"))
	p := start(t, b.source(), true)
	got := p.wait(3)
	require.Equal(t, []string{"default/0", "cam/1", "default/2"}, words(got))
	for _, s := range got {
		require.False(t, s.Sequenced)
		require.False(t, s.Received.IsZero())
	}
}

func TestKafkaPoisonGoesOnAsAProblem(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(
		counted(0, "a", 0),
		record(0, "a", "video", "ensue-sequence", "one"),
		record(0, "b", ""),
		record(0, "\xff\xfe", "video"),
		counted(0, "a", 1, "ensue-start", "yesterday"),
		record(0, "c", "", "ensue-ref", "s3://bucket/key"), // a claim: whether it is one to follow the pipeline says
		counted(0, "a", 2),
	)
	p := start(t, b.source(), true)
	codes := map[int64]stream.Code{}
	for _, s := range p.wait(7) {
		if s.Problem != nil {
			codes[s.Origin.Offset] = stream.AsFailure(s.Problem, "ingest").Code
			require.Equal(t, s.Origin.Offset, s.Record.Offset, "the dead letter needs the record")
		}
	}
	require.Equal(t, map[int64]stream.Code{
		1: stream.CodeBadHeader, 2: stream.CodeEmptyValue, 3: stream.CodeBadKey, 4: stream.CodeBadHeader,
	}, codes)
	require.EqualValues(t, 4, p.source.Stats().Problems)
	eventuallyCommitted(t, b, 0, 5) // the claim may be context
}

func TestKafkaLateSegmentsFollowThePolicy(t *testing.T) {
	b := newBroker(t, 1)
	p := start(t, b.source(), true)
	b.publish(counted(0, "a", 0), counted(0, "a", 2))
	p.wait(2)
	b.publish(counted(0, "a", 1), counted(0, "a", 3))
	require.Equal(t, []string{"a/0", "a/2g", "a/1pa", "a/3"}, words(p.wait(4)))
	eventuallyCommitted(t, b, 0, 3)
}

func TestKafkaAnIdleStreamDoesNotHoldTheOffset(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "dead", 0), counted(0, "a", 0))
	p := start(t, b.source(func(k *Kafka) { k.order.Evict = 400 * time.Millisecond }), false)
	for _, s := range p.wait(2) {
		finish(s, s.Sequence)
	}
	eventuallyCommitted(t, b, 0, 0)
	for i := 1; i < 4; i++ { // a lives
		b.publish(counted(0, "a", i))
		time.Sleep(150 * time.Millisecond)
	}
	require.Eventually(t, func() bool {
		for _, s := range p.segments() {
			if s.Mark == stream.MarkForget {
				return s.Stream == "dead"
			}
		}
		return false
	}, soon, 10*time.Millisecond)
	for _, s := range p.segments()[2:] {
		finish(s, s.Sequence)
	}
	require.Eventually(t, func() bool { at, _ := b.committed(0); return at >= 2 }, soon, 10*time.Millisecond)
}

func TestKafkaTwoMembersShareWithoutLossOrRewind(t *testing.T) {
	b := newBroker(t, 2)
	for i := range 10 {
		b.publish(counted(0, "a", i), counted(1, "b", i))
	}
	first := start(t, b.source(), false)
	inFlight := first.wait(20)
	done := map[string]int{}
	result := func(s *stream.Segment) {
		if !s.ContextOnly && s.Mark == stream.MarkNone {
			done[s.ID().String()]++
		}
		finish(s, s.Sequence)
	}
	for _, s := range inFlight[:10] {
		result(s)
	}
	// The second member joins while the first has work in flight. The first one drains, then both read on.
	second := start(t, b.source(), false)
	time.Sleep(300 * time.Millisecond)
	require.Empty(t, second.segments(), "no partition is given away while it has work in flight")
	for _, s := range inFlight[10:] {
		result(s)
	}
	for i := 10; i < 15; i++ {
		b.publish(counted(0, "a", i), counted(1, "b", i))
	}
	var forgotten []string
	finished := map[*stream.Segment]bool{}
	require.Eventually(t, func() bool {
		for _, s := range append(first.segments()[20:], second.segments()...) {
			if finished[s] {
				continue
			}
			finished[s] = true
			if s.Mark == stream.MarkForget {
				forgotten = append(forgotten, s.Stream)
				s.Receipt.Done(stream.SegmentID{})
				continue
			}
			result(s)
		}
		return len(done) == 30
	}, soon, 10*time.Millisecond, "nothing is lost")
	for id, n := range done {
		require.Equal(t, 1, n, "results of %s", id)
	}
	require.Subset(t, forgotten, []string{"a", "b"}, "the first member's stages forget what they gave back")
	require.NotEmpty(t, first.source.Stats().Partitions)
	require.NotEmpty(t, second.source.Stats().Partitions)
	require.NotEqual(t, first.source.Stats().Partitions[0].Partition, second.source.Stats().Partitions[0].Partition)
	require.NoError(t, first.stop())
	require.NoError(t, second.stop())
	eventuallyCommitted(t, b, 0, 14) // the last segment of each is the context of what may come
	eventuallyCommitted(t, b, 1, 14)
}

func TestKafkaChurn(t *testing.T) {
	// Members come and go while segments flow: every segment is scored, in order, and none is lost.
	b := newBroker(t, 4)
	const streams, each = 4, 40
	var members []*pipeline
	members = append(members, start(t, b.source(), true))
	var publishing sync.WaitGroup
	publishing.Go(func() {
		client := b.client()
		defer client.Close()
		for i := range each {
			for s := range streams {
				r := client.ProduceSync(context.Background(), counted(int32(s), fmt.Sprint("cam", s), i))
				if err := r.FirstErr(); err != nil {
					t.Errorf("publishing: %v", err)
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	defer publishing.Wait()
	for range 3 {
		time.Sleep(100 * time.Millisecond)
		members = append(members, start(t, b.source(), true))
		time.Sleep(150 * time.Millisecond)
		require.NoError(t, members[len(members)-2].stop())
	}
	require.Eventually(t, func() bool {
		scored := map[string]bool{}
		for _, m := range members {
			for _, s := range m.segments() {
				if s.Mark == stream.MarkNone && !s.ContextOnly {
					scored[s.ID().String()] = true
				}
			}
		}
		return len(scored) == streams*each
	}, soon, 20*time.Millisecond)
	require.NoError(t, members[len(members)-1].stop())
	scored := map[string]int{}
	for _, m := range members {
		last := map[string]int64{}
		for _, s := range m.segments() {
			switch {
			case s.Mark == stream.MarkForget:
				delete(last, s.Stream)
				continue
			case !s.ContextOnly:
				scored[s.ID().String()]++
			}
			before, follows := last[s.Stream]
			require.True(t, !follows || s.Sequence == before+1, "%s after %d", s.ID(), before)
			require.False(t, s.Gap, "%s", s.ID())
			require.True(t, follows || s.Sequence == 0 || s.ContextOnly, "%s comes without its context", s.ID())
			last[s.Stream] = s.Sequence
		}
	}
	for id, n := range scored {
		require.Equal(t, 1, n, "%s: members that leave in peace hand over exactly", id)
	}
}

func TestKafkaLeavesABrokerThatDoesNotAnswer(t *testing.T) {
	b := newBroker(t, 1)
	joining, release := make(chan struct{}), make(chan struct{})
	b.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(joining)
		b.SleepControl(func() { <-release })
		return nil, fmt.Errorf("never"), true
	})
	p := start(t, b.source(func(k *Kafka) { k.timing.leave = 200 * time.Millisecond }), true)
	<-joining
	begin := time.Now()
	require.NoError(t, p.stop())
	require.Less(t, time.Since(begin), 3*time.Second, "a join may take the whole rebalance timeout (10s here)")
	close(release)
}

func TestKafkaStopsAtItsDrainTimeout(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0), counted(0, "a", 1))
	p := start(t, b.source(func(k *Kafka) { k.cfg.DrainTimeout = 100 * time.Millisecond }), false)
	got := p.wait(2)
	finish(got[0], 0)
	begin := time.Now()
	require.NoError(t, p.stop())
	require.Less(t, time.Since(begin), 3*time.Second)
	finish(got[1], 1) // too late: the partition may belong to somebody else
	offset, _ := b.committed(0)
	require.EqualValues(t, 0, offset)
}

func TestKafkaStopsWhileThePipelineIsFull(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0), counted(0, "a", 1))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.source().Run(ctx, make(chan *stream.Segment)) }()
	time.Sleep(200 * time.Millisecond)
	cancel()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(soon):
		t.Fatal("Run hangs on a full pipeline")
	}
	offset, _ := b.committed(0)
	require.EqualValues(t, 0, offset)
}

func TestKafkaOffsetOutOfRange(t *testing.T) {
	t.Run("at the start", func(t *testing.T) {
		b := newBroker(t, 1)
		for i := range 10 {
			b.publish(counted(0, "a", i))
		}
		b.commit(0, 2, progress{Base: 2, Next: 9, Needed: []int64{2, 8}}.text(maxMetadata))
		b.deleteBefore(0, 6)
		p := start(t, b.source(), true)
		require.Equal(t, []string{"a/8c", "a/9"}, words(p.wait(2)), "what the metadata says of the rest still holds")
		require.EqualValues(t, 1, p.source.Stats().OutOfRange)
	})
	t.Run("of a topic made anew", func(t *testing.T) {
		b := newBroker(t, 1)
		b.publish(counted(0, "a", 0), counted(0, "a", 1))
		b.commit(0, 500, progress{Base: 500, Next: 501}.text(maxMetadata))
		p := start(t, b.source(), true)
		require.Equal(t, []string{"a/0", "a/1"}, words(p.wait(2)))
	})
	t.Run("while reading", func(t *testing.T) {
		b := newBroker(t, 1)
		for i := range 10 {
			b.publish(record(0, "plain", fmt.Sprint(i)))
		}
		p := &pipeline{t: t, source: b.source(func(k *Kafka) { k.cfg.MaxBytes = 1 }), out: make(chan *stream.Segment)}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- p.source.Run(ctx, p.out) }()
		one := <-p.out // the source waits for the next one to be taken
		require.EqualValues(t, 0, one.Sequence)
		finish(one, 0)
		time.Sleep(100 * time.Millisecond)
		b.deleteBefore(0, 7)
		var got []*stream.Segment
		for len(got) == 0 || got[len(got)-1].Sequence < 9 {
			s := <-p.out
			finish(s, s.Sequence)
			got = append(got, s)
		}
		cancel()
		require.NoError(t, <-ended)
		at := slices.IndexFunc(got, func(s *stream.Segment) bool { return s.Sequence >= 7 })
		require.Equal(t, "7g", show(got[at:at+1]), "the first one after the loss: %v", words(got))
		require.EqualValues(t, 1, p.source.Stats().OutOfRange)
		require.Equal(t, 1, strings.Count(show(got), "g"))
	})
}

func TestKafkaStartsAtTheNewestAndPinsIt(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0), counted(0, "a", 1))
	newest := func(k *Kafka) { k.cfg.StartAt = "newest" }
	p := start(t, b.source(newest), true)
	eventuallyCommitted(t, b, 0, 2)
	require.NoError(t, p.stop())
	b.publish(counted(0, "a", 2)) // between two runs: must not be lost
	p = start(t, b.source(newest), true)
	require.Equal(t, []string{"a/2"}, words(p.wait(1)))
}

func TestKafkaLargeRecords(t *testing.T) {
	b := newBroker(t, 1)
	big := strings.Repeat("v", 8<<20)
	altered, err := withClient(b, func(ctx context.Context, c *kafka.Client) (*kafka.IncrementalAlterConfigsResponse, error) {
		limit := kafka.IncrementalAlterConfigsRequestConfig{
			Name: "max.message.bytes", Value: "33554432", ConfigOperation: kafka.ConfigOperationSet,
		}
		return c.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
			Resources: []kafka.IncrementalAlterConfigsRequestResource{{
				ResourceType: kafka.ResourceTypeTopic, ResourceName: testTopic,
				Configs: []kafka.IncrementalAlterConfigsRequestConfig{limit},
			}},
		})
	})
	require.NoError(t, err)
	require.NoError(t, altered.Resources[0].Error)
	b.publish(record(0, "cam", big), record(0, "cam", "small"), record(0, "cam", big))
	p := start(t, b.source(func(k *Kafka) { k.cfg.MaxBytes = 1 << 20 }), true)
	got := p.wait(3)
	require.Len(t, got[0].Payload, len(big))
	require.Equal(t, "small", string(got[1].Payload))
	require.Equal(t, big, string(got[2].Payload))
}

func TestKafkaRecordsThatAreTooLargeForTheLinkArriveLate(t *testing.T) {
	// A Reader of the library would download the first one for ever.
	b := newBroker(t, 1, kfake.ListenFn(func(network, address string) (net.Listener, error) {
		listener, err := net.Listen(network, address)
		return slowListener{listener}, err
	}))
	big := strings.Repeat("v", 800<<10) // 0.4 s on this link
	b.publish(record(0, "cam", big), record(0, "cam", big))
	p := start(t, b.source(func(k *Kafka) { k.cfg.MaxBytes, k.cfg.ReadBatchTimeout = 256<<10, 100*time.Millisecond }), true)
	require.Len(t, p.wait(2)[1].Payload, len(big))
}

func TestKafkaStepsOverTransactionMarkers(t *testing.T) {
	b := newBroker(t, 1)
	client := b.client(kgo.TransactionalID("tx"))
	require.NoError(t, client.BeginTransaction())
	require.NoError(t, client.ProduceSync(context.Background(), counted(0, "a", 0)).FirstErr())
	require.NoError(t, client.EndTransaction(context.Background(), kgo.TryCommit))
	client.Close()
	p := start(t, b.source(), true)
	p.wait(1)
	require.Eventually(t, func() bool {
		stats := p.source.Stats().Partitions
		return len(stats) == 1 && stats[0].Lag == 0
	}, soon, 10*time.Millisecond, "the marker behind the record is read over")
	b.publish(counted(0, "a", 1))
	require.Equal(t, []string{"a/0", "a/1"}, words(p.wait(2)))
}

func TestKafkaWaitsForTheCoordinator(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0))
	var mu sync.Mutex
	refused := 0
	b.ControlKey(int16(kmsg.FindCoordinator), func(request kmsg.Request) (kmsg.Response, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		if refused == 3 {
			return nil, nil, false
		}
		refused++
		b.KeepControl()
		response := request.ResponseKind().(*kmsg.FindCoordinatorResponse)
		response.ErrorCode = kerr.CoordinatorNotAvailable.Code // 15, as a fresh cluster answers
		return response, nil, true
	})
	p := start(t, b.source(), true)
	p.wait(1)
	require.Equal(t, 3, refused)
}

func TestKafkaCommitsWithoutMetadataWhereTheBrokerTakesNone(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0), counted(0, "a", 1))
	b.ControlKey(int16(kmsg.OffsetCommit), func(request kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		commit := request.(*kmsg.OffsetCommitRequest)
		if m := commit.Topics[0].Partitions[0].Metadata; m == nil || *m == "" {
			return nil, nil, false
		}
		response := commit.ResponseKind().(*kmsg.OffsetCommitResponse)
		topic := kmsg.NewOffsetCommitResponseTopic()
		topic.Topic = testTopic
		partition := kmsg.NewOffsetCommitResponseTopicPartition()
		partition.ErrorCode = kerr.OffsetMetadataTooLarge.Code
		topic.Partitions = append(topic.Partitions, partition)
		response.Topics = append(response.Topics, topic)
		return response, nil, true
	})
	p := start(t, b.source(), true)
	p.wait(2)
	eventuallyCommitted(t, b, 0, 1)
	require.NoError(t, p.stop())
}

func TestKafkaOutlastsAFailingBroker(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0))
	p := start(t, b.source(func(k *Kafka) { k.order.Evict = 1500 * time.Millisecond }), true)
	p.wait(1)
	var mu sync.Mutex
	broken := true
	b.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		if !broken {
			return nil, nil, false
		}
		b.KeepControl()
		return nil, fmt.Errorf("the broker hangs up"), true
	})
	time.Sleep(2 * time.Second) // longer than evict: what cannot be read is not idle
	b.publish(counted(0, "a", 1))
	mu.Lock()
	broken = false
	mu.Unlock()
	require.Equal(t, []string{"a/0", "a/1"}, words(p.wait(2)))
}

func TestKafkaNeedsABrokerAndATopicAtTheStart(t *testing.T) {
	t.Run("no topic", func(t *testing.T) {
		b := newBroker(t, 1)
		err := b.source(func(k *Kafka) { k.cfg.Topic = "video.segmnets" }).Run(context.Background(), make(chan *stream.Segment))
		failure := stream.AsFailure(err, "")
		require.Equal(t, CodeTopic, failure.Code)
		require.ErrorContains(t, err, "video.segmnets")
		require.ErrorContains(t, err, "create it")
	})
	t.Run("no broker", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0") // somebody who never answers
		require.NoError(t, err)
		defer func() { require.NoError(t, listener.Close()) }()
		address := listener.Addr().String()
		b := newBroker(t, 1)
		source := b.source(func(k *Kafka) {
			k.cfg.Brokers = []string{address}
			k.timing.reach, k.timing.request = 300*time.Millisecond, 100*time.Millisecond
		})
		begin := time.Now()
		err = source.Run(context.Background(), make(chan *stream.Segment))
		require.Equal(t, CodeBroker, stream.AsFailure(err, "").Code)
		require.ErrorContains(t, err, address)
		require.Less(t, time.Since(begin), 5*time.Second)
	})
	t.Run("stopped while looking", func(t *testing.T) {
		b := newBroker(t, 1)
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		source := b.source(func(k *Kafka) { k.cfg.Brokers = []string{"127.0.0.1:1"}; k.timing.reach = time.Hour })
		require.NoError(t, source.Run(ctx, make(chan *stream.Segment)))
	})
}
