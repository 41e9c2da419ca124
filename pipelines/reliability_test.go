package pipelines

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// mixedStreams are segments of several streams side by side, made by one call each.
func mixedStreams(streams, each int, made func(name string, i int) *stream.Segment) []*stream.Segment {
	var all []*stream.Segment
	for i := range each {
		for name := range streams {
			all = append(all, made(fmt.Sprint("cam", name), i))
		}
	}
	return all
}

func TestAPipelineWhereNearlyEverythingFailsStopsAndSaysWhy(t *testing.T) {
	var done atomic.Int64
	rubbish := mixedStreams(4, 50, func(name string, i int) *stream.Segment {
		return &stream.Segment{
			Stream: name, Sequence: int64(i), Sequenced: true, Payload: []byte("rubbish"), Receipt: counting{&done},
		}
	})
	def := stockReplay(t, "unused")
	def.Breaker, def.Encoder.Model = BreakerConfig{Failed: 20, Of: 40}, "pixels"
	got := &gathered{}
	engine, err := New(def, WithSource(listed(rubbish)), WithSink(got), WithDeadLetters(deadGathered{got}))
	require.NoError(t, err)
	err = engine.Run(t.Context())
	require.Equal(t, CodeBreaker, stream.AsFailure(err, "sink").Code)
	require.ErrorContains(t, err, "decode.not_video")
	require.GreaterOrEqual(t, len(got.letters), 20)
	require.Less(t, len(got.letters), len(rubbish), "the rest stays where it is")
	require.EqualValues(t, len(got.letters), done.Load(), "what was written is acknowledged, and nothing else is")
}

// slowSink takes its time for every write.
type slowSink struct {
	*gathered
	pause time.Duration
}

func (s *slowSink) Write(ctx context.Context, results []*stream.Result) error {
	time.Sleep(s.pause)
	return s.gathered.Write(ctx, results)
}

func TestEverySegmentHasAResultAlsoTheOnesThatAreGivenUp(t *testing.T) {
	segments := segmentsFrom(t, sample("yard"))
	var done atomic.Int64
	for _, segment := range segments {
		segment.Receipt = counting{&done}
	}
	def := stockReplay(t, "unused")
	def.Queues.Size, def.Queues.Full, def.Encoder.Model = 1, FullDropOldest, "pixels"
	got := &gathered{}
	engine, err := New(def, WithSource(listed(segments)), WithSink(&slowSink{got, 200 * time.Millisecond}), WithDeadLetters(deadGathered{got}))
	require.NoError(t, err)
	require.NoError(t, engine.Run(t.Context()))
	requireOrdered(t, got.results)
	require.Len(t, got.results, len(segments))
	require.EqualValues(t, len(segments), done.Load())
	dropped, after := 0, false
	for _, result := range got.results {
		if result.Reason == stream.ReasonDropped {
			require.Equal(t, stream.Unscored, result.Verdict)
			require.Nil(t, result.Energy)
			require.Equal(t, segments[sequenceOf(t, result)].Start, result.Y.Start, "it says what was not looked at")
			dropped++
			after = true
			continue
		}
		if after {
			require.Equal(t, result.Y.Segment, result.X.Segment, "it is not compared with what came before the gap")
		}
		after = false
	}
	require.Positive(t, dropped)
	require.EqualValues(t, dropped, engine.Counts().Dropped.Load())
}

func sequenceOf(t *testing.T, result *stream.Result) int64 {
	t.Helper()
	id, ok := stream.ParseSegmentID(result.Y.Segment)
	require.True(t, ok)
	return id.Sequence
}

// memoryWatch samples what is under way whenever a segment is scored.
type memoryWatch struct {
	engine *Engine
	mu     sync.Mutex
	clips  int64
}

func (w *memoryWatch) Scored(*stream.Segment, *stream.Clip, *stream.Result) {
	_, clips := w.engine.pool.Outstanding()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clips = max(w.clips, clips)
}

func (w *memoryWatch) Done(*stream.Segment, *stream.Result, *stream.Failure) {}

// Invariant 6: payloads and frames under way stay within queues.memory, whoever holds them, and the bound is what keeps them there.
func TestPayloadsAndFramesStayWithinTheMemory(t *testing.T) {
	peaks := map[int64]int64{}
	for _, limit := range []int64{16 << 20, 1 << 30} {
		var segments []*stream.Segment
		for name := range 12 {
			for _, segment := range segmentsFrom(t, sample("yard"))[:6] {
				segment.Stream, segment.Mark = fmt.Sprint("cam", name), stream.MarkNone
				segments = append(segments, segment)
			}
		}
		def := stockReplay(t, "unused")
		def.Queues.Memory, def.Encoder.Model = limit, "pixels"
		got, watch := &gathered{}, &memoryWatch{}
		engine, err := New(def, WithSource(listed(segments)), WithSink(&slowSink{got, 50 * time.Millisecond}),
			WithDeadLetters(deadGathered{got}), WithObserver(watch))
		require.NoError(t, err)
		watch.engine = engine
		require.NoError(t, engine.Run(t.Context()))
		require.Len(t, got.results, len(segments))
		used, peak := engine.intake.gate.memory()
		require.Zero(t, used, "everything is given back")
		clips, bytes := engine.pool.Outstanding()
		require.Zero(t, clips)
		require.Zero(t, bytes)
		require.LessOrEqual(t, peak, limit)
		require.LessOrEqual(t, watch.clips, limit)
		t.Logf("limit %d MiB: at most %.1f MiB under way, %.1f MiB of it frames", limit>>20, float64(peak)/(1<<20), float64(watch.clips)/(1<<20))
		peaks[limit] = peak
	}
	require.Greater(t, peaks[1<<30], peaks[16<<20], "the bound is what keeps it small")
}

// lent is a receipt of a segment that may have gone to somebody else.
type lent struct {
	counting
	held bool
}

func (l lent) Held(context.Context) bool { return l.held }

// Invariant 2: who slept while others took over writes nothing about what is theirs.
func TestNothingIsWrittenAboutWhatBelongsToSomebodyElse(t *testing.T) {
	var done atomic.Int64
	segments := segmentsFrom(t, sample("yard"))
	for i, segment := range segments {
		segment.Receipt = lent{counting{&done}, i < 4}
	}
	def := stockReplay(t, "unused")
	def.Encoder.Model = "pixels"
	got := runs(t, def, WithSource(listed(segments)))
	require.Len(t, got.results, 4)
	require.EqualValues(t, len(segments), done.Load(), "the source hears of every segment")
}
