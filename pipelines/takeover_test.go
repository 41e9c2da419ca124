package pipelines

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/stream"
)

// live is a definition that reads from a broker and judges as the stock replay does, with more lines at its end.
func live(t *testing.T, addr string, more string) *Definition {
	t.Helper()
	text := fmt.Sprintf(`
version: 1
name: test
ingest: {kafka: {brokers: ["%s"], topic: video.segments, session_timeout: 6s, drain_timeout: 5s, rebalance_timeout: 8s}}
decode: {limits: {timeout: 4s}}
predictor: {calibrate: {false_alarms_per_day: 50, warmup: 8s}}
sink: {jsonl: {path: unused}, dead_letter: {jsonl: {path: unused}}}
%s`, addr, more)
	def, findings := Parse("live", []byte(text), func(string) (string, bool) { return "", false })
	require.NotNil(t, def, "%v", findings)
	return def
}

// undisturbed is the results of a replay that runs through.
func undisturbed(t *testing.T, encoder string, names ...string) []*stream.Result {
	t.Helper()
	var files []string
	for _, name := range names {
		files = append(files, sample(name))
	}
	def := stockReplay(t, files...)
	def.Encoder.Model = encoder
	return runs(t, def).results
}

// published is a broker with the segments of the sample streams, one stream a partition.
func published(t *testing.T, names ...string) string {
	t.Helper()
	started, err := broker.StartEmbedded(t.Context(), broker.Options{Topics: []broker.Topic{{Name: "video.segments", Partitions: len(names)}}})
	require.NoError(t, err)
	t.Cleanup(started.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(started.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(32<<20))
	require.NoError(t, err)
	defer client.Close()
	for partition, name := range names {
		for _, segment := range segmentsFrom(t, sample(name)) {
			record := stream.RecordFromSegment(segment)
			out := &kgo.Record{Topic: "video.segments", Partition: int32(partition), Key: record.Key, Value: record.Value}
			for _, header := range record.Headers {
				out.Headers = append(out.Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
			}
			require.NoError(t, client.ProduceSync(t.Context(), out).FirstErr())
		}
	}
	return started.Addrs()[0]
}

// failing is a sink that fails once it has taken so many results. What was to be written with them then is lost, or written all the same,
// as by a broker whose answer is lost.
type failing struct {
	*gathered
	after int
	loses bool
}

var errLost = errors.New("the answer was lost")

func (f *failing) Write(ctx context.Context, results []*stream.Result) error {
	fails := len(f.results)+len(results) >= f.after
	if !fails || !f.loses {
		if err := f.gathered.Write(ctx, results); err != nil {
			return err
		}
	}
	if fails {
		return errLost
	}
	return nil
}

// inPieces runs the definition until so many results are written in all, and again from there, as often as there are numbers; the last
// run ends when total results are there.
func inPieces(t *testing.T, def *Definition, total int, stops ...int) []*stream.Result {
	t.Helper()
	got := &gathered{}
	for i, stop := range stops {
		engine, err := New(def, WithSink(&failing{got, stop, i%2 == 1}), WithDeadLetters(deadGathered{got}))
		require.NoError(t, err)
		require.ErrorIs(t, engine.Run(t.Context()), errLost)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	engine, err := New(def, WithSink(got), WithDeadLetters(deadGathered{got}),
		WithOnDone(func(*stream.Segment, *stream.Result, *stream.Failure) {
			if len(byIDLoosely(got.results)) == total {
				cancel()
			}
		}))
	require.NoError(t, err)
	require.NoError(t, engine.Run(ctx))
	require.Empty(t, got.letters)
	return got.results
}

// byIDLoosely is the results by id; where one came twice, both must say the same.
func byIDLoosely(results []*stream.Result) map[string]*stream.Result {
	all := map[string]*stream.Result{}
	for _, result := range results {
		plain := *result
		plain.Latency = stream.Latency{}
		all[plain.ID] = &plain
	}
	return all
}

// Invariants 2 and 7: whoever takes a stream over goes on as if it had always had it. Verdicts and p-values are those of an undisturbed
// run, and what is written twice is the same both times.
func TestAStreamThatIsTakenOverGoesOnAsIfNothingHadHappened(t *testing.T) {
	names := []string{"yard", "shelf", "garden"}
	for name, test := range map[string]struct{ encoder, state string }{
		"in a topic":            {"pixels", "state: {topic: video.state}"},
		"in a folder":           {"pixels", "state: {folder: " + filepath.Join(t.TempDir(), "state") + "}"},
		"a model with a memory": {"builtin", "state: {topic: video.state}"},
	} {
		t.Run(name, func(t *testing.T) {
			want := byID(t, undisturbed(t, test.encoder, names...))
			def := live(t, published(t, names...), test.state)
			def.Encoder.Model = test.encoder
			results := inPieces(t, def, len(want), len(want)/4, len(want)/2, 3*len(want)/4)
			got := byIDLoosely(results)
			require.Len(t, got, len(want))
			for _, result := range results {
				plain := *result
				plain.Latency = stream.Latency{}
				require.Equal(t, want[plain.ID], plain, "%s", plain.Y.Segment)
			}
			requireFirstOrdered(t, results)
		})
	}
}

// Without a place for it the streams warm up again: the test above does not pass by itself.
func TestWithoutStateAStreamWarmsUpAgain(t *testing.T) {
	want := byID(t, undisturbed(t, "pixels", "yard"))
	def := live(t, published(t, "yard"), "")
	def.Encoder.Model = "pixels"
	results := inPieces(t, def, len(want), len(want)/2)
	warming := 0
	for _, result := range byIDLoosely(results) {
		if result.Verdict == stream.WarmingUp && want[result.ID].Verdict != stream.WarmingUp {
			warming++
		}
	}
	require.Positive(t, warming)
}

// Invariant 2: the first of every id comes in the order of its stream.
func requireFirstOrdered(t *testing.T, results []*stream.Result) {
	t.Helper()
	seen, last := map[string]bool{}, map[string]int64{}
	for _, result := range results {
		if seen[result.ID] {
			continue
		}
		seen[result.ID] = true
		id, ok := stream.ParseSegmentID(result.Y.Segment)
		require.True(t, ok)
		if before, known := last[id.Stream]; known {
			require.Greater(t, id.Sequence, before, id.Stream)
		}
		last[id.Stream] = id.Sequence
	}
}
