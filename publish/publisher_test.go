package publish

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
)

// published is the segments of a topic with one partition, as a consumer gets them.
func published(t *testing.T, addrs []string, count int) []*stream.Segment {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics("in"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var segments []*stream.Segment
	for len(segments) < count {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err())
		fetches.EachRecord(func(record *kgo.Record) { segments = append(segments, arrived(record)) })
	}
	return segments
}

// arrived is the segment of a record, as a pipeline gets it.
func arrived(record *kgo.Record) *stream.Segment {
	var headers []stream.Header
	for _, header := range record.Headers {
		headers = append(headers, stream.Header{Key: header.Key, Value: header.Value})
	}
	return stream.SegmentFromRecord(stream.Record{Key: record.Key, Value: record.Value, Headers: headers})
}

func embedded(t *testing.T) []string {
	t.Helper()
	started, err := broker.StartEmbedded(t.Context(), broker.Options{Topics: []broker.Topic{{Name: "in", Partitions: 1}}})
	require.NoError(t, err)
	t.Cleanup(started.Close)
	return started.Addrs()
}

func TestLoopsAreOneStreamWithoutSeamsInItsNumbersAndTimes(t *testing.T) {
	addrs := embedded(t)
	publisher, err := New(Config{Brokers: addrs, Topic: "in", Segment: 10 * time.Second, Loops: 2})
	require.NoError(t, err)
	defer publisher.Close()
	summary, err := publisher.File(t.Context(), fixture.Repository("examples", "video", "shelf.mp4"), "shelf", nil)
	require.NoError(t, err)
	segments := published(t, addrs, summary.Segments)
	var end time.Time
	for i, segment := range segments {
		require.NoError(t, segment.Problem)
		require.EqualValues(t, i, segment.Sequence)
		require.True(t, segment.Sequenced)
		if i > 0 {
			require.WithinDuration(t, end, segment.Start, time.Millisecond)
		}
		end = segment.Start.Add(segment.Duration)
		require.Equal(t, i == len(segments)-1, segment.Mark == stream.MarkEnd, "only the last one ends the stream")
	}
	require.InDelta(t, 2*39.854749, end.Sub(segments[0].Epoch).Seconds(), 0.01)
}

func TestThePaceHoldsSegmentsBackUntilTheyWouldBeThere(t *testing.T) {
	publisher, err := New(Config{Brokers: embedded(t), Topic: "in", Segment: 10 * time.Second, Loops: 1, Speed: 40})
	require.NoError(t, err)
	defer publisher.Close()
	begin := time.Now()
	_, err = publisher.File(t.Context(), fixture.Repository("examples", "video", "shelf.mp4"), "shelf", nil)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begin), 39_854*time.Millisecond/40, "39.854 s of video at 40 times the speed")
}

func TestAMissingTopicIsNamedAndCanBeCreated(t *testing.T) {
	addrs := embedded(t)
	publisher, err := New(Config{Brokers: addrs, Topic: "elsewhere", Segment: 10 * time.Second, Loops: 1})
	require.NoError(t, err)
	defer publisher.Close()
	path := fixture.Repository("examples", "video", "shelf.mp4")
	_, err = publisher.File(t.Context(), path, "shelf", nil)
	require.EqualValues(t, "publish.topic_missing", stream.AsFailure(err, "publish").Code)
	topic := []broker.Topic{{Name: "elsewhere", Partitions: 2}}
	require.NoError(t, broker.CreateTopics(t.Context(), addrs, topic))
	require.NoError(t, broker.CreateTopics(t.Context(), addrs, topic), "a topic that is there is left alone")
	_, err = publisher.File(t.Context(), path, "shelf", nil)
	require.NoError(t, err)
}

func TestAFileThatIsNoVideoIsAnError(t *testing.T) {
	publisher, err := New(Config{Brokers: embedded(t), Topic: "in", Segment: time.Second, Loops: 1})
	require.NoError(t, err)
	defer publisher.Close()
	_, err = publisher.File(t.Context(), "/nowhere.mp4", "nowhere", nil)
	require.EqualValues(t, "ingest.open", stream.AsFailure(err, "publish").Code)
}
