package dead

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/internal/topicread"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

const (
	segmentsTopic = "video.segments"
	deadTopic     = "video.dead"
)

// lines is a broker with a topic of segments, one of dead letters that takes small records only, and their sink.
type lines struct {
	t       *testing.T
	config  Config
	client  *kgo.Client
	letters sink.DeadLetters
}

func newLines(t *testing.T, letters func(addr string) sink.Config) *lines {
	t.Helper()
	started, err := broker.StartEmbedded(t.Context(), broker.Options{Topics: []broker.Topic{
		{Name: segmentsTopic, Partitions: 3}, {Name: deadTopic, Partitions: 2, Configs: map[string]string{"max.message.bytes": "20000"}},
	}})
	require.NoError(t, err)
	t.Cleanup(started.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(started.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	opened, err := sink.NewDeadLetters(letters(started.Addrs()[0]), started.Addrs(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, opened.Close()) })
	return &lines{t: t, config: Config{Brokers: started.Addrs(), Topic: deadTopic}, client: client, letters: opened}
}

func toTopic(string) sink.Config {
	config := sink.DefaultDeadLetterKafka()
	config.Topic = deadTopic
	return sink.Config{DeadLetter: sink.DeadLetterConfig{Kafka: &config}}
}

// die publishes a segment that then dies.
func (l *lines) die(name string, partition int32, bytes int, failure *stream.Failure) *stream.DeadLetter {
	l.t.Helper()
	value := make([]byte, bytes)
	copy(value, name)
	record := &kgo.Record{Topic: segmentsTopic, Partition: partition, Key: []byte(name), Value: value, Headers: []kgo.RecordHeader{
		{Key: "ensue-sequence", Value: []byte("42")}, {Key: "mine", Value: []byte("kept")},
	}}
	sent := l.client.ProduceSync(l.t.Context(), record)
	require.NoError(l.t, sent.FirstErr())
	plain := recordOf(sent[0].Record)
	segment := stream.SegmentFromRecord(plain)
	letter := &stream.DeadLetter{
		Segment: segment.ID(), Origin: segment.Origin, Failure: failure, Attempts: 2, Record: segment.Record,
	}
	require.NoError(l.t, l.letters.Write(l.t.Context(), []*stream.DeadLetter{letter}))
	return letter
}

func (l *lines) list(filter Filter) []*Letter {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	found, err := Letters(ctx, l.config, filter, nil)
	require.NoError(l.t, err)
	return found
}

// segments is what lies in the topic of the segments.
func (l *lines) segments() []stream.Record {
	l.t.Helper()
	var all []stream.Record
	reader := topicread.Reader{Options: []kgo.Opt{kgo.SeedBrokers(l.config.Brokers...)}}
	require.NoError(l.t, reader.All(l.t.Context(), segmentsTopic, func(record *kgo.Record) error {
		all = append(all, recordOf(record))
		return nil
	}))
	return all
}

func (l *lines) retry(letters ...*Letter) map[string]error {
	l.t.Helper()
	failed := map[string]error{}
	require.NoError(l.t, Retry(l.t.Context(), l.config, letters, func(letter *Letter, err error) {
		if err != nil {
			failed[letter.ID] = err
		}
	}))
	return failed
}

func TestLettersAreListedOnceWithWhatWentWrong(t *testing.T) {
	l := newLines(t, toTopic)
	require.Empty(t, l.list(Filter{}))
	first := l.die("a", 0, 10, stream.Fail("decode", "decode.not_video", "rubbish"))
	second := l.die("b", 1, 10, stream.FailTransient("decode", "decode.timeout", "too slow"))
	require.NoError(t, l.letters.Write(t.Context(), []*stream.DeadLetter{first})) // a crash wrote it again
	letters := l.list(Filter{})
	require.Len(t, letters, 2)
	byID := map[string]*Letter{letters[0].ID: letters[0], letters[1].ID: letters[1]}
	require.Equal(t, first.Origin, byID[first.ID()].Origin)
	require.Equal(t, 2, byID[second.ID()].Attempts)
	require.Equal(t, "too slow", byID[second.ID()].Failure.Error())
	require.Nil(t, byID[first.ID()].Record.Value, "payloads stay where they are")
	require.Equal(t, 10, byID[first.ID()].Bytes)

	for name, filter := range map[string]Filter{
		"code": {Code: "decode.timeout"}, "stream": {Stream: "b"}, "both": {Stream: "b", Code: "decode.timeout"},
	} {
		found := l.list(filter)
		require.Len(t, found, 1, name)
		require.Equal(t, second.ID(), found[0].ID)
	}
	require.Empty(t, l.list(Filter{Since: time.Now().Add(time.Hour)}))
}

func TestALetterThatIsSentAgainIsTheRecordAsItWasAndMarked(t *testing.T) {
	l := newLines(t, toTopic)
	died := l.die("a", 2, 10, stream.Fail("decode", "decode.not_video", "rubbish"))
	l.die("b", 1, 10, stream.Fail("decode", "decode.not_video", "rubbish"))
	letter, err := Find(l.list(Filter{}), died.ID()[:6])
	require.NoError(t, err)
	require.Empty(t, l.retry(letter))
	var again []stream.Record
	for _, record := range l.segments() {
		if of, ok := record.Get(stream.HeaderRetryOf); ok {
			require.Equal(t, died.ID(), of)
			again = append(again, record)
		}
	}
	require.Len(t, again, 1)
	require.Equal(t, 2, again[0].Partition, "the partition of its stream")
	require.Equal(t, died.Record.Key, again[0].Key)
	require.Equal(t, died.Record.Value, again[0].Value)
	require.Equal(t, died.Record.Headers, again[0].Headers[:len(again[0].Headers)-1])
	require.True(t, stream.SegmentFromRecord(again[0]).Retried)

	marked, err := Find(l.list(Filter{}), died.ID())
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), marked.Retried, time.Minute)
	fresh := l.list(Filter{Fresh: true})
	require.Len(t, fresh, 1)
	require.NotEqual(t, died.ID(), fresh[0].ID)
}

// The topic of the dead letters did not take the payload: it is fetched from where the letter says it lies.
func TestALetterWithoutItsPayloadIsCompletedFromWhereItCameFrom(t *testing.T) {
	l := newLines(t, toTopic)
	died := l.die("a", 0, 50_000, stream.Fail("decode", "decode.not_video", "rubbish"))
	letter := l.list(Filter{})[0]
	require.True(t, letter.Truncated)
	require.Equal(t, 50_000, letter.Bytes)
	whole, err := Whole(t.Context(), l.config, letter)
	require.NoError(t, err)
	require.Equal(t, died.Record.Value, whole.Record.Value)
	require.Empty(t, l.retry(letter))
	records := l.segments()
	require.Len(t, records, 2)
	require.Equal(t, records[0].Value, records[1].Value)
}

func TestALetterWhoseRecordIsGoneIsToldAndTheOthersAreSent(t *testing.T) {
	l := newLines(t, toTopic)
	gone := l.die("a", 0, 50_000, stream.Fail("decode", "decode.not_video", "rubbish"))
	l.die("b", 0, 10, stream.Fail("decode", "decode.not_video", "rubbish"))
	letters := l.list(Filter{})
	for _, letter := range letters {
		if letter.ID == gone.ID() {
			letter.Origin.Offset, letter.Place.Offset = 900, 900 // what retention does to both
		}
	}
	failed := l.retry(letters...)
	require.Len(t, failed, 1)
	require.Equal(t, CodeNoRecord, stream.AsFailure(failed[gone.ID()], "dead").Code)
	require.Len(t, l.segments(), 3)
}

func TestLettersInAFileAreSentAgainFromWhereTheyCameFrom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead.jsonl")
	l := newLines(t, func(string) sink.Config {
		return sink.Config{DeadLetter: sink.DeadLetterConfig{JSONL: &sink.JSONLConfig{Path: path}}}
	})
	l.config.File = path
	died := l.die("a", 1, 1000, stream.FailTransient("decode", "decode.timeout", "too slow"))
	recorded := &stream.DeadLetter{
		Segment: stream.SegmentID{Stream: "yard", Sequence: 3}, Origin: stream.Origin{File: "yard.mp4"}, Attempts: 1,
		Failure: stream.Fail("decode", "decode.corrupt", "damaged"),
	}
	require.NoError(t, l.letters.Write(t.Context(), []*stream.DeadLetter{recorded}))
	letters := l.list(Filter{})
	require.Len(t, letters, 2)
	letter, err := Find(letters, died.ID())
	require.NoError(t, err)
	require.Equal(t, died.Origin, letter.Origin)
	require.Equal(t, died.Failure.Code, letter.Failure.Code)
	failed := l.retry(letters...)
	require.Equal(t, CodeNoRecord, stream.AsFailure(failed[recorded.ID()], "dead").Code, "a file is replayed")
	require.NotContains(t, failed, died.ID())
	require.Len(t, l.segments(), 2)
	require.Len(t, l.list(Filter{Fresh: true}), 1)
	require.NoError(t, l.letters.Write(t.Context(), []*stream.DeadLetter{recorded}), "the pipeline goes on writing to it")
}

func TestAnIDNamesOneLetter(t *testing.T) {
	letters := []*Letter{{ToldLetter: &stream.ToldLetter{ID: "abc1"}}, {ToldLetter: &stream.ToldLetter{ID: "abd2"}}}
	for id, want := range map[string]string{"abc": "abc1", "abd2": "abd2"} {
		found, err := Find(letters, id)
		require.NoError(t, err)
		require.Equal(t, want, found.ID)
	}
	for _, id := range []string{"", "ab", "x", "abc12"} {
		_, err := Find(letters, id)
		require.Equal(t, CodeNoSuchLetter, stream.AsFailure(err, "dead").Code, id)
	}
}

func TestWhatHoldsNoLettersIsTold(t *testing.T) {
	l := newLines(t, toTopic)
	_, err := Letters(t.Context(), Config{Brokers: l.config.Brokers, Topic: "nowhere"}, Filter{}, nil)
	require.Equal(t, CodeTopicMissing, stream.AsFailure(err, "dead").Code)
	l.die("a", 0, 10, stream.Fail("decode", "decode.not_video", "rubbish"))
	odd := 0
	letters, err := Letters(t.Context(), Config{Brokers: l.config.Brokers, Topic: segmentsTopic}, Filter{}, func(error) { odd++ })
	require.NoError(t, err)
	require.Empty(t, letters)
	require.Equal(t, 1, odd)
	_, err = Letters(t.Context(), Config{File: filepath.Join(t.TempDir(), "none")}, Filter{}, nil)
	require.Equal(t, CodeNoFile, stream.AsFailure(err, "dead").Code)
	path := filepath.Join(t.TempDir(), "other.jsonl")
	require.NoError(t, os.WriteFile(path, []byte("no letters\n{}\n"), 0o600))
	letters, err = Letters(t.Context(), Config{File: path}, Filter{}, func(error) { odd++ })
	require.NoError(t, err)
	require.Empty(t, letters)
	require.Equal(t, 3, odd)
}
