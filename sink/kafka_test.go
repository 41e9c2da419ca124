package sink

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/stream"
)

func TestResultsArriveAsTheyWereInTheOrderOfTheirStream(t *testing.T) {
	for _, encoding := range []stream.Encoding{stream.EncodingJSON, stream.EncodingProtobuf} {
		t.Run(string(encoding), func(t *testing.T) {
			broker := cluster(t)
			out := open(t, kafkaConfig(broker, func(c *KafkaConfig) { c.Encoding = string(encoding) }))
			want := map[string][]*stream.Result{}
			for batch := range 5 {
				var results []*stream.Result
				for n := range 8 {
					for camera := range 6 {
						r := result(streamName(camera), 8*batch+n)
						results = append(results, r)
						want[r.Stream] = append(want[r.Stream], r)
					}
				}
				require.NoError(t, out.Write(t.Context(), results))
				require.Equal(t, int64(48*(batch+1)), written(broker, "energy"), "Write returns when all is written")
			}
			got := map[string][]*stream.Result{}
			partitions := map[string]int32{}
			for _, record := range consume(t, broker, "energy", 240) {
				r, err := stream.ResultFromRecord(toRecord(record))
				require.NoError(t, err)
				got[string(record.Key)] = append(got[string(record.Key)], r)
				if partition, ok := partitions[r.Stream]; ok {
					require.Equal(t, partition, record.Partition, "a stream stays on its partition")
				}
				partitions[r.Stream] = record.Partition
				require.WithinDuration(t, time.Now(), record.Timestamp, time.Minute, "retention counts from the writing")
			}
			require.Equal(t, want, got)
		})
	}
}

func TestStreamsGoToThePartitionThatOtherClientsChoose(t *testing.T) {
	broker := cluster(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.DefaultProduceTopic("dead"))
	require.NoError(t, err)
	defer client.Close()
	out := open(t, kafkaConfig(broker))
	want := map[string]int32{}
	var results []*stream.Result
	for n := range 50 {
		name := streamName(n) + strings.Repeat("ü", n%7)
		produced := client.ProduceSync(t.Context(), &kgo.Record{Key: []byte(name), Value: []byte("x")})
		record, err := produced.First()
		require.NoError(t, err)
		want[name] = record.Partition
		results = append(results, result(name, 1))
	}
	require.NoError(t, out.Write(t.Context(), results))
	got := map[string]int32{}
	for _, record := range consume(t, broker, "energy", 50) {
		got[string(record.Key)] = record.Partition
	}
	require.Equal(t, want, got)
}

func TestWritesAreAcknowledgedByAllReplicas(t *testing.T) {
	broker := cluster(t)
	var acks atomic.Int32
	acks.Store(99)
	broker.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		acks.Store(int32(request.(*kmsg.ProduceRequest).Acks))
		return nil, nil, false
	})
	require.NoError(t, open(t, kafkaConfig(broker)).Write(t.Context(), []*stream.Result{result("lobby", 1)}))
	require.Equal(t, int32(-1), acks.Load())
}

func TestNothingToWriteNeedsNoBroker(t *testing.T) {
	c := DefaultKafka()
	c.Brokers, c.Topic = []string{"127.0.0.1:1"}, "energy"
	require.NoError(t, open(t, Config{Kafka: &c}).Write(t.Context(), nil))
}

func TestBrokerThatIsNotThereIsTold(t *testing.T) {
	c := DefaultKafka()
	c.Brokers, c.Topic, c.DeliveryTimeout = []string{"127.0.0.1:1"}, "energy", 500*time.Millisecond
	start := time.Now()
	err := open(t, Config{Kafka: &c}).Write(t.Context(), []*stream.Result{result("lobby", 1)})
	failure := failureOf(t, err)
	require.Equal(t, CodeBrokerUnreachable, failure.Code)
	require.False(t, failure.Permanent)
	require.Less(t, time.Since(start), 10*time.Second)
	for _, word := range []string{`"energy"`, "127.0.0.1:1", "connection refused", "sink.kafka.brokers", "delivery timeout"} {
		require.Contains(t, err.Error(), word)
	}
}

// silent accepts connections and never answers, like a broker behind a half-open connection.
func silent(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var held []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				for _, conn := range held {
					_ = conn.Close()
				}
				return
			}
			held = append(held, conn)
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		<-done
	})
	return listener.Addr().String()
}

func TestCancelledWriteReturnsAtOnceAndCloseDoesNotHang(t *testing.T) {
	c := DefaultKafka()
	c.Brokers, c.Topic = []string{silent(t)}, "energy"
	out, err := New(Config{Kafka: &c}, nil, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	start := time.Now()
	err = out.Write(ctx, []*stream.Result{result("lobby", 1)})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, CodeInterrupted, failureOf(t, err).Code)
	require.NoError(t, out.Close())
	require.Less(t, time.Since(start), 3*time.Second)
	// goleak (TestMain) sees to it that nothing waits for the silent broker.
}

func TestBrokerThatStopsAnsweringInMidWriteDoesNotHoldClose(t *testing.T) {
	broker := cluster(t)
	// The control function never answers and keeps the connection open.
	broker.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true })
	out, err := New(kafkaConfig(broker), nil, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, out.Write(ctx, []*stream.Result{result("lobby", 1)}), context.DeadlineExceeded)
	start := time.Now()
	require.NoError(t, out.Close())
	require.Less(t, time.Since(start), 2*time.Second)
}

func TestWriteAfterCloseIsRefused(t *testing.T) {
	broker := cluster(t)
	out, err := New(kafkaConfig(broker), nil, nil)
	require.NoError(t, err)
	require.NoError(t, out.Close())
	require.Equal(t, CodeClosed, failureOf(t, out.Write(t.Context(), []*stream.Result{result("lobby", 1)})).Code)
}

func TestMissingTopicIsToldSoon(t *testing.T) {
	broker := cluster(t)
	out := open(t, kafkaConfig(broker, func(c *KafkaConfig) { c.Topic = "energie" }))
	out.(*kafkaSink).producer.(*Producer).patience.missing = 300 * time.Millisecond
	err := out.Write(t.Context(), []*stream.Result{result("lobby", 1)})
	failure := failureOf(t, err)
	require.Equal(t, CodeTopicMissing, failure.Code)
	require.False(t, failure.Permanent, "it can be created")
	require.Contains(t, err.Error(), `"energie"`)
	require.Contains(t, err.Error(), "sink.kafka.topic")
	require.Nil(t, broker.TopicInfo("energie"), "a typo does not create a topic")
}

func TestTopicThatAppearsIsWrittenTo(t *testing.T) {
	broker := cluster(t)
	out := open(t, kafkaConfig(broker, func(c *KafkaConfig) { c.Topic = "later" }))
	out.(*kafkaSink).producer.(*Producer).patience.missing = 9 * time.Second
	timer := time.AfterFunc(300*time.Millisecond, func() { _ = broker.CreateTopic("later", 1, nil) })
	defer timer.Stop()
	require.NoError(t, out.Write(t.Context(), []*stream.Result{result("lobby", 1)}))
	require.Equal(t, int64(1), written(broker, "later"))
}

// A broker that just started may not know its topics for longer than a topic that is spelled wrongly is waited for.
func TestTopicThatWasThereIsWaitedForUntilTheDeliveryTimeout(t *testing.T) {
	broker := cluster(t)
	out := open(t, kafkaConfig(broker))
	out.(*kafkaSink).producer.(*Producer).patience.missing = time.Nanosecond
	require.NoError(t, out.Write(t.Context(), []*stream.Result{result("lobby", 1)}))
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Metadata} {
		fault := broker.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Topic: "energy", Err: kerr.UnknownTopicOrPartition, Count: 4})
		out.(*kafkaSink).producer.(*Producer).transport.CloseIdleConnections() // what is known has to be asked for again
		require.NoError(t, out.Write(t.Context(), []*stream.Result{result("lobby", 2)}))
		require.Equal(t, 4, fault.Hits())
	}
	require.Equal(t, int64(3), written(broker, "energy"))
}

func TestTopicIsNotMissingWhileNoBrokerAnswers(t *testing.T) {
	broker := cluster(t)
	out := open(t, kafkaConfig(broker, func(c *KafkaConfig) { c.DeliveryTimeout = 3 * time.Second }))
	require.NoError(t, out.Write(t.Context(), []*stream.Result{result("lobby", 1)}))
	broker.Close()
	producer := out.(*kafkaSink).producer.(*Producer)
	err := producer.writeBatch(withDelivery(t, producer), 0, []stream.Record{{Key: []byte("lobby"), Value: []byte("{}")}})
	require.ErrorIs(t, err, errDelivery)
	require.Equal(t, CodeBrokerUnreachable, failureOf(t, err).Code)
	require.NotContains(t, err.Error(), "topic not found")
}

// withDelivery is the context of one write.
func withDelivery(t *testing.T, producer *Producer) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), producer.config.DeliveryTimeout, errDelivery)
	t.Cleanup(cancel)
	return ctx
}

func TestWriteWithoutRightsIsRefusedAtOnce(t *testing.T) {
	broker := cluster(t)
	broker.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "energy", Err: kerr.TopicAuthorizationFailed, Count: -1})
	start := time.Now()
	failure := failureOf(t, open(t, kafkaConfig(broker)).Write(t.Context(), []*stream.Result{result("lobby", 1)}))
	require.Equal(t, CodeNotAuthorized, failure.Code)
	require.False(t, failure.Permanent, "nothing may be given up for it")
	require.Less(t, time.Since(start), 5*time.Second)
}

func TestTransientErrorsAreTriedAgainInOrder(t *testing.T) {
	for _, passing := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.RequestTimedOut, kerr.UnknownServerError} {
		t.Run(passing.Message, func(t *testing.T) {
			broker := cluster(t)
			fault := broker.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "energy", Err: passing, Count: 3})
			log := &logged{}
			out, err := New(kafkaConfig(broker), nil, log.logger())
			require.NoError(t, err)
			defer func() { require.NoError(t, out.Close()) }()
			var results []*stream.Result
			for n := range 20 {
				results = append(results, result("lobby", n))
			}
			require.NoError(t, out.Write(t.Context(), results))
			require.Equal(t, 3, fault.Hits())
			require.Equal(t, 3, strings.Count(log.String(), "trying again"))
			// A try that timed out may have been written all the same: then its results are there twice, which their ids tell.
			require.Equal(t, want(results), lastOfEach(t, consume(t, broker, "energy", int(written(broker, "energy")))))
		})
	}
}

func want(results []*stream.Result) (ids []string) {
	for _, r := range results {
		ids = append(ids, r.ID)
	}
	return ids
}

// lastOfEach is the ids in the order in which they came last.
func lastOfEach(t *testing.T, records []*kgo.Record) (ids []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, record := range slices.Backward(records) {
		r, err := stream.ResultFromRecord(toRecord(record))
		require.NoError(t, err)
		if !seen[r.ID] {
			ids = append([]string{r.ID}, ids...)
		}
		seen[r.ID] = true
	}
	return ids
}

func TestBrokerThatDropsTheConnectionIsTriedAgain(t *testing.T) {
	broker := cluster(t)
	var drops atomic.Int32
	broker.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		if drops.Add(1) <= 2 {
			broker.KeepControl()
			return nil, errors.New("dropped"), true
		}
		return nil, nil, false
	})
	require.NoError(t, open(t, kafkaConfig(broker)).Write(t.Context(), []*stream.Result{result("lobby", 1)}))
	require.Equal(t, int64(1), written(broker, "energy"))
	require.GreaterOrEqual(t, drops.Load(), int32(3))
}

func TestNewLeadersAreFound(t *testing.T) {
	broker := cluster(t)
	out := open(t, kafkaConfig(broker))
	for n := range 4 {
		var results []*stream.Result
		for camera := range 8 {
			results = append(results, result(streamName(camera), n))
		}
		require.NoError(t, out.Write(t.Context(), results))
		broker.ShufflePartitionLeaders()
	}
	require.Equal(t, int64(32), written(broker, "energy"))
}

// Invariant 2: what follows a batch that failed is not written before it.
func TestNothingOvertakesABatchThatFailed(t *testing.T) {
	broker := cluster(t)
	var requests atomic.Int32
	broker.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		if requests.Add(1) == 2 {
			broker.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "energy", Err: kerr.TopicAuthorizationFailed})
		}
		return nil, nil, false
	})
	var results []*stream.Result
	for n := range 9 {
		results = append(results, largeResult("lobby", n, 200_000))
	}
	out := open(t, kafkaConfig(broker, func(c *KafkaConfig) { c.Encoding = "protobuf" }))
	require.Error(t, out.Write(t.Context(), results))
	// Two results fit into a request: the first went out, the second failed, no third was sent.
	require.Equal(t, int64(2), written(broker, "energy"))
	require.Equal(t, int32(2), requests.Load())
	require.NoError(t, out.Write(t.Context(), results), "the caller writes the same again")
	require.Equal(t, want(results), lastOfEach(t, consume(t, broker, "energy", 11)))
}

func TestResultsLargerThanABatchAreWritten(t *testing.T) {
	broker := cluster(t)
	require.NoError(t, broker.CreateTopic("large", 1, map[string]string{"max.message.bytes": "8000000"}))
	out := open(t, kafkaConfig(broker, func(c *KafkaConfig) { c.Topic, c.Encoding = "large", "protobuf" }))
	results := []*stream.Result{result("lobby", 1), largeResult("lobby", 2, 5_000_000), result("lobby", 3)}
	require.NoError(t, out.Write(t.Context(), results))
	require.Equal(t, want(results), lastOfEach(t, consume(t, broker, "large", 3)))
}

func TestResultTooLargeForTheTopicIsTold(t *testing.T) {
	broker := cluster(t)
	require.NoError(t, broker.CreateTopic("small", 1, map[string]string{"max.message.bytes": "20000"}))
	out := open(t, kafkaConfig(broker, func(c *KafkaConfig) { c.Topic, c.Encoding = "small", "protobuf" }))
	results := []*stream.Result{result("lobby", 1), result("lobby", 2), largeResult("lobby", 3, 30_000), result("lobby", 4)}
	err := out.Write(t.Context(), results)
	failure := failureOf(t, err)
	require.Equal(t, CodeTooLarge, failure.Code)
	require.True(t, failure.Permanent)
	require.Contains(t, err.Error(), `"lobby"`)
	require.Contains(t, err.Error(), "max.message.bytes")
	require.Equal(t, int64(2), written(broker, "small"), "those before it are written, nothing behind it")
}

func TestManySmallResultsDoNotMakeABatchTooLarge(t *testing.T) {
	broker := cluster(t)
	require.NoError(t, broker.CreateTopic("small", 1, map[string]string{"max.message.bytes": "20000"}))
	out := open(t, kafkaConfig(broker, func(c *KafkaConfig) { c.Topic, c.Encoding = "small", "protobuf" }))
	var results []*stream.Result
	for n := range 10 {
		results = append(results, largeResult("lobby", n, 8_000))
	}
	require.NoError(t, out.Write(t.Context(), results))
	require.Equal(t, want(results), lastOfEach(t, consume(t, broker, "small", 10)))
}

func TestRecordBeyondWhatABrokerReadsIsRefusedHere(t *testing.T) {
	broker := cluster(t)
	producer, err := NewProducer(ProducerConfig{Brokers: broker.ListenAddrs(), Topic: "energy", Key: "sink.kafka"})
	require.NoError(t, err)
	defer func() { require.NoError(t, producer.Close()) }()
	err = producer.Write(t.Context(), []stream.Record{{Key: []byte("lobby"), Value: make([]byte, maxRequest)}})
	require.Equal(t, CodeTooLarge, failureOf(t, err).Code)
}

func TestResultThatIsNoneIsNotSent(t *testing.T) {
	broker := cluster(t)
	bad := result("lobby", 2)
	bad.Model = ""
	err := open(t, kafkaConfig(broker)).Write(t.Context(), []*stream.Result{result("lobby", 1), bad})
	require.Equal(t, stream.CodeBadResult, failureOf(t, err).Code)
	require.Zero(t, written(broker, "energy"))
}

func TestKafkaSinkUsesTheBrokersOfIngest(t *testing.T) {
	broker := cluster(t)
	c := kafkaConfig(broker)
	c.Kafka.Brokers = nil
	out, err := New(c, broker.ListenAddrs(), nil)
	require.NoError(t, err)
	require.NoError(t, out.Write(t.Context(), []*stream.Result{result("lobby", 1)}))
	require.NoError(t, out.Close())
	_, err = New(c, nil, nil)
	require.ErrorContains(t, err, "sink.kafka.brokers")
	require.Equal(t, CodeBadConfig, failureOf(t, err).Code)
}

func deadConfig(broker *kfake.Cluster, topic string) Config {
	c := DefaultDeadLetterKafka()
	c.Brokers, c.Topic, c.DeliveryTimeout = broker.ListenAddrs(), topic, 10*time.Second
	return Config{DeadLetter: DeadLetterConfig{Kafka: &c}}
}

func TestDeadLettersKeepTheRecord(t *testing.T) {
	broker := cluster(t)
	out := openLetters(t, deadConfig(broker, "dead"), nil)
	keyless := letter(2, []byte("payload"))
	keyless.Record.Key = nil
	letters := []*stream.DeadLetter{letter(1, []byte("payload")), keyless, letter(3, []byte("other"))}
	require.NoError(t, out.Write(t.Context(), letters))
	byID := map[string]stream.Record{}
	for _, record := range consume(t, broker, "dead", 3) {
		r := toRecord(record)
		id, _ := r.Get(stream.HeaderDeadID)
		byID[id] = r
	}
	for _, l := range letters {
		want := stream.RecordFromDeadLetter(l)
		got := byID[l.ID()]
		require.Equal(t, want.Key, got.Key)
		require.Equal(t, want.Value, got.Value)
		require.Equal(t, want.Headers, got.Headers)
	}
}

func TestOversizedDeadLetterIsToldWithoutItsPayload(t *testing.T) {
	broker := cluster(t)
	require.NoError(t, broker.CreateTopic("tight", 1, map[string]string{"max.message.bytes": "4000"}))
	log := &logged{}
	out := openLetters(t, deadConfig(broker, "tight"), log.logger())
	wide := letter(2, []byte("payload"))
	wide.Record.Headers = append(wide.Record.Headers, stream.Header{Key: "ensue-actions", Value: make([]byte, 5000)})
	wideKey := letter(3, []byte("payload"))
	wideKey.Record.Key = bytes.Repeat([]byte("k"), 5000)
	letters := []*stream.DeadLetter{letter(1, make([]byte, 100_000)), wide, wideKey, letter(4, []byte("small"))}
	require.NoError(t, out.Write(t.Context(), letters))
	records := consume(t, broker, "tight", 4)
	for i, bytes := range []string{"100000", "7", "7", ""} {
		r := toRecord(records[i])
		id, _ := r.Get(stream.HeaderDeadID)
		require.Equal(t, letters[i].ID(), id)
		require.Equal(t, "lobby", string(r.Key))
		code, _ := r.Get(stream.HeaderErrorCode)
		require.Equal(t, "decode.no_video", code)
		truncated, _ := r.Get(stream.HeaderTruncated)
		require.Equal(t, bytes != "", truncated == "true")
		told, _ := r.Get(stream.HeaderPayloadBytes)
		require.Equal(t, bytes, told)
		mine, _ := r.Get("x-mine")
		require.Equal(t, i == 0 || i == 3, mine == "kept", "headers go only where they have to")
	}
	require.Equal(t, 3, strings.Count(log.String(), "without its payload"))
}

func TestDeadLetterThatCannotBeWrittenIsTold(t *testing.T) {
	c := DefaultDeadLetterKafka()
	c.Brokers, c.Topic, c.DeliveryTimeout = []string{"127.0.0.1:1"}, "dead", 300*time.Millisecond
	out := openLetters(t, Config{DeadLetter: DeadLetterConfig{Kafka: &c}}, nil)
	err := out.Write(t.Context(), []*stream.DeadLetter{letter(1, []byte("payload"))})
	require.Equal(t, CodeBrokerUnreachable, failureOf(t, err).Code)
	require.Contains(t, err.Error(), "sink.dead_letter.kafka.brokers")
}

func TestClassifyNamesTheCause(t *testing.T) {
	require.Nil(t, classify(nil))
	require.Equal(t, CodeBrokerUnreachable, classify(io.EOF).Code)
	require.Equal(t, CodeBrokerUnreachable, classify(&net.DNSError{Err: "no such host", Name: "kafka"}).Code)
	require.Equal(t, CodeBrokerUnreachable, classify(context.DeadlineExceeded).Code)
}
