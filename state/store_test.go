package state

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/internal/apachekafka"
	"github.com/ensue-video/ensue/internal/authority"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

const (
	segmentsTopic = "video.segments"
	stateTopic    = "video.state"
)

// opener opens a store once more, as another process would.
type opener func(t *testing.T) Store

func embedded(t *testing.T) string {
	t.Helper()
	started, err := broker.StartEmbedded(t.Context(), broker.Options{Topics: []broker.Topic{{Name: segmentsTopic, Partitions: 3}}})
	require.NoError(t, err)
	t.Cleanup(started.Close)
	return started.Addrs()[0]
}

// topicOn opens a Topic on a broker.
func topicOn(addr string) opener {
	return func(t *testing.T) Store {
		t.Helper()
		writer, err := sink.NewProducer(sink.ProducerConfig{Brokers: []string{addr}, Topic: stateTopic, Explicit: true, Key: "state"})
		require.NoError(t, err)
		topic := NewTopic(TopicConfig{Brokers: []string{addr}, Topic: stateTopic, Source: segmentsTopic}, writer)
		require.NoError(t, topic.Prepare(t.Context()))
		return topic
	}
}

// stores are all kinds that outlive their process.
func stores(t *testing.T) map[string]opener {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "a", "state")
	return map[string]opener{
		"topic": topicOn(embedded(t)),
		"folder": func(t *testing.T) Store {
			t.Helper()
			opened, err := NewFolder(folder, nil)
			require.NoError(t, err)
			return opened
		},
	}
}

// known is something that is known of a stream of a partition.
func known(name string, partition int, sequence int64) *stream.Saved {
	return &stream.Saved{
		Stream: name, Model: "model", Group: "ensue", Topic: segmentsTopic, Partition: partition, Generation: 1,
		Sequence: sequence, Offset: 10 * sequence, Since: -1, Needed: sequence, Calibration: fmt.Appendf(nil, "%s %d", name, sequence),
		Time: time.Unix(1_700_000_000, int64(sequence)*1e6).UTC(),
	}
}

func save(t *testing.T, store Store, entries ...*stream.Saved) {
	t.Helper()
	all := make([]Entry, len(entries))
	for i, saved := range entries {
		all[i] = Entry{Saved: saved}
	}
	require.NoError(t, store.Save(t.Context(), all))
}

func load(t *testing.T, store Store, partition int) map[string]*stream.Saved {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	found, err := store.Load(ctx, Partition{Group: "ensue", Topic: segmentsTopic, Number: partition})
	require.NoError(t, err)
	return found
}

func each(t *testing.T, do func(t *testing.T, open opener)) {
	t.Helper()
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) { do(t, open) })
	}
}

func closing(t *testing.T, store Store) {
	t.Helper()
	require.NoError(t, store.Close())
}

func TestTheNextOwnerFindsWhatWasSavedLast(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		first := open(t)
		require.Empty(t, load(t, first, 0))
		save(t, first, known("a", 0, 1), known("b", 1, 1), known("c/ü", 0, 1))
		save(t, first, known("a", 0, 2))
		next := open(t) // the first is still there: nothing is lost when it is killed
		require.Equal(t, map[string]*stream.Saved{"a": known("a", 0, 2), "c/ü": known("c/ü", 0, 1)}, load(t, next, 0))
		require.Equal(t, map[string]*stream.Saved{"b": known("b", 1, 1)}, load(t, next, 1))
		require.Empty(t, load(t, next, 2))
		closing(t, first)
		closing(t, next)
	})
}

func TestWhatIsGoneIsFoundNoMore(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		store := open(t)
		save(t, store, known("a", 0, 1), known("b", 0, 1))
		require.NoError(t, store.Save(t.Context(), []Entry{{Saved: known("a", 0, 2)}, {Saved: known("a", 0, 2), Gone: true}}))
		require.Equal(t, map[string]*stream.Saved{"b": known("b", 0, 1)}, load(t, store, 0))
		closing(t, store)
	})
}

// A member that was put out of the group may not know it yet.
func TestALateWriterDoesNotReplaceWhatItsSuccessorWrote(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		old := open(t)
		load(t, old, 0)
		save(t, old, known("a", 0, 1))
		successor := open(t)
		load(t, successor, 0)
		newer := known("a", 0, 5)
		newer.Generation = 2
		save(t, successor, newer)
		save(t, old, known("a", 0, 3))
		third := open(t)
		require.Equal(t, map[string]*stream.Saved{"a": newer}, load(t, third, 0))
		for _, store := range []Store{old, successor, third} {
			closing(t, store)
		}
	})
}

func TestGroupsAndTopicsDoNotMix(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		store := open(t)
		other := known("a", 0, 9)
		other.Group = "another"
		elsewhere := known("a", 0, 8)
		elsewhere.Topic = "elsewhere"
		save(t, store, known("a", 0, 1), other, elsewhere)
		require.Equal(t, map[string]*stream.Saved{"a": known("a", 0, 1)}, load(t, store, 0))
		found, err := store.Load(t.Context(), Partition{Group: "another", Topic: segmentsTopic, Number: 0})
		require.NoError(t, err)
		require.Equal(t, map[string]*stream.Saved{"a": other}, found)
		closing(t, store)
	})
}

func TestAStateTopicThatIsMissingIsMadeCompactedWithAsManyPartitions(t *testing.T) {
	addr := embedded(t)
	store := topicOn(addr)(t).(*Topic)
	require.Equal(t, 3, store.count)
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	require.NoError(t, err)
	defer client.Close()
	request := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.ConfigNames = kmsg.ConfigResourceTypeTopic, stateTopic, []string{"cleanup.policy"}
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(t.Context(), client)
	require.NoError(t, err)
	require.Equal(t, "compact", *response.Resources[0].Configs[0].Value)
	again := topicOn(addr)(t).(*Topic)
	require.Equal(t, 3, again.count)
	closing(t, store)
	closing(t, again)
}

func TestTheApacheKafkaStateTopicFindsWhatWasSavedLast(t *testing.T) {
	cluster := apachekafka.Start(t)
	topic := broker.Topic{Name: segmentsTopic, Partitions: 3}
	require.NoError(t, broker.CreateTopics(t.Context(), []string{cluster.Addr()}, []broker.Topic{topic}))
	open := topicOn(cluster.Addr())
	store := open(t)
	for i := range int64(50) {
		save(t, store, known("a", 0, i), known("b", 2, i))
	}
	require.NoError(t, store.Save(t.Context(), []Entry{{Saved: known("b", 2, 49), Gone: true}}))
	next := open(t)
	require.Equal(t, map[string]*stream.Saved{"a": known("a", 0, 49)}, load(t, next, 0))
	require.Empty(t, load(t, next, 2))
	closing(t, store)
	closing(t, next)
}

// What a transaction wrote that was given up, and what it has not decided yet, is not there.
func TestOnlyWhatIsCommittedIsLoaded(t *testing.T) {
	addr := embedded(t)
	store := topicOn(addr)(t)
	defer closing(t, store)
	save(t, store, known("a", 0, 1))
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		value, err := stream.MarshalSaved(known("a", 0, 2))
		require.NoError(t, err)
		require.NoError(t, client.BeginTransaction())
		record := &kgo.Record{Topic: stateTopic, Key: []byte("ensue/video.segments/a"), Value: value}
		require.NoError(t, client.ProduceSync(t.Context(), record).FirstErr())
		require.NoError(t, client.EndTransaction(t.Context(), end))
		want := known("a", 0, 1)
		if end == kgo.TryCommit {
			want = known("a", 0, 2)
		}
		require.Equal(t, map[string]*stream.Saved{"a": want}, load(t, store, 0))
	}
}

func TestAFileThatGrowsIsWrittenAnewAndSurvivesACrash(t *testing.T) {
	path := t.TempDir()
	store, err := NewFolder(path, nil)
	require.NoError(t, err)
	heavy := known("a", 0, 0)
	heavy.Calibration = make([]byte, 300<<10)
	for i := range int64(60) {
		heavy.Sequence = i
		save(t, store, heavy, known("b", 0, i))
	}
	name := filepath.Join(path, "ensue.video.segments.0.jsonl")
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(rewriteFrom+(1<<20)), "60 times 400 KiB are 24 MiB")
	closing(t, store)

	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteString(`{"version":1,"stream":"b","sequ`) // a crash in mid-write
	require.NoError(t, err)
	require.NoError(t, file.Close())
	store, err = NewFolder(path, nil)
	require.NoError(t, err)
	found := load(t, store, 0)
	require.EqualValues(t, 59, found["a"].Sequence)
	require.EqualValues(t, 59, found["b"].Sequence)
	save(t, store, known("b", 0, 60))
	require.EqualValues(t, 60, load(t, store, 0)["b"].Sequence, "what follows the line that was cut off can be read")
	closing(t, store)
}

func TestAFolderThatCannotBeMadeIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := NewFolder(filepath.Join(file, "state"), nil)
	require.ErrorContains(t, err, "state.folder")
	require.Equal(t, CodeFolder, stream.AsFailure(err, "ingest").Code)
}

func TestMemoryForgetsWhatWasSavedLongestAgo(t *testing.T) {
	m := NewMemory()
	m.limit = 2
	save(t, m, known("a", 0, 1), known("b", 0, 1), known("a", 0, 2), known("c", 0, 1))
	require.Equal(t, map[string]*stream.Saved{"a": known("a", 0, 2), "c": known("c", 0, 1)}, load(t, m, 0))
	ended := known("a", 0, 3)
	ended.Ended = true
	save(t, m, ended)
	require.Equal(t, map[string]*stream.Saved{"c": known("c", 0, 1)}, load(t, m, 0))
}

// The source tells that its topic is missing; where that comes later, so does the topic of the state.
func TestATopicOfSegmentsThatComesLaterIsWaitedFor(t *testing.T) {
	addr := embedded(t)
	writer, err := sink.NewProducer(sink.ProducerConfig{Brokers: []string{addr}, Topic: stateTopic, Explicit: true, Key: "state"})
	require.NoError(t, err)
	topic := NewTopic(TopicConfig{Brokers: []string{addr}, Topic: stateTopic, Source: "later"}, writer)
	defer closing(t, topic)
	require.NoError(t, topic.Prepare(t.Context()))
	_, err = topic.Load(t.Context(), Partition{Group: "ensue", Topic: "later"})
	require.ErrorContains(t, err, "later")
	require.Equal(t, CodeTopicMissing, stream.AsFailure(err, "ingest").Code)
	require.NoError(t, broker.CreateTopics(t.Context(), []string{addr}, []broker.Topic{{Name: "later", Partitions: 2}}))
	found, err := topic.Load(t.Context(), Partition{Group: "ensue", Topic: "later"})
	require.NoError(t, err)
	require.Empty(t, found)
	require.Equal(t, 2, topic.count)
}

func TestABrokerThatIsAwayIsWaitedFor(t *testing.T) {
	writer, err := sink.NewProducer(sink.ProducerConfig{Brokers: []string{"127.0.0.1:1"}, Topic: stateTopic, Explicit: true, Key: "state"})
	require.NoError(t, err)
	topic := NewTopic(TopicConfig{Brokers: []string{"127.0.0.1:1"}, Topic: stateTopic, Source: segmentsTopic}, writer)
	defer closing(t, topic)
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err = topic.Prepare(ctx)
	require.Equal(t, CodeBroker, stream.AsFailure(err, "ingest").Code)
	require.ErrorContains(t, err, "state.topic")
	require.GreaterOrEqual(t, time.Since(begin), time.Second)
}

func TestABrokerThatDoesNotLetTheStateInIsToldAtOnce(t *testing.T) {
	ours, theirs := authority.New(t, "ours"), authority.New(t, "theirs")
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(ours.Issue("127.0.0.1").Server(t, nil)))
	require.NoError(t, err)
	defer cluster.Close()
	security := &connect.Security{TLS: &connect.TLS{CA: theirs.CA()}}
	writer, err := sink.NewProducer(sink.ProducerConfig{Brokers: cluster.ListenAddrs(), Topic: stateTopic, Security: security, Key: "state"})
	require.NoError(t, err)
	topic := NewTopic(TopicConfig{Brokers: cluster.ListenAddrs(), Topic: stateTopic, Source: segmentsTopic, Security: security}, writer)
	defer func() { require.NoError(t, topic.Close()) }()
	err = topic.Prepare(t.Context())
	require.Equal(t, CodeTLS, stream.AsFailure(err, "state").Code, "%v", err)
	require.ErrorContains(t, err, "ingest.kafka.security.tls.ca")
}
