package pipelines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
)

// gathered is a sink and a dead-letter sink that keeps what it gets.
type gathered struct {
	mu      sync.Mutex
	results []*stream.Result
	letters []*stream.DeadLetter
	err     error
}

func (g *gathered) Write(_ context.Context, results []*stream.Result) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.results = append(g.results, results...)
	return g.err
}

func (g *gathered) Close() error { return nil }

// deadGathered is the other half: both interfaces have a Write.
type deadGathered struct{ *gathered }

func (g deadGathered) Write(_ context.Context, letters []*stream.DeadLetter) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.letters = append(g.letters, letters...)
	return nil
}

// listed is a source of given segments.
type listed []*stream.Segment

func (l listed) Run(ctx context.Context, out chan<- *stream.Segment) error {
	for _, segment := range l {
		select {
		case out <- segment:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// stockReplay is the stock definition for recorded files, with these files and the encoder of a definition that names none.
func stockReplay(t *testing.T, files ...string) *Definition {
	t.Helper()
	text, ok := Stock("replay")
	require.True(t, ok)
	def, findings := Parse("replay", text, func(string) (string, bool) { return "", false })
	require.NotNil(t, def, "%v", findings)
	def.Ingest.Files.Paths, def.Encoder.Model = files, encoder.DefaultModel
	return def
}

func sample(name string) string { return fixture.Repository("examples", "video", name+".mp4") }

// runs runs a definition to its end and returns what came out.
func runs(t *testing.T, def *Definition, options ...Option) *gathered {
	t.Helper()
	got := &gathered{}
	engine, err := New(def, append([]Option{WithSink(got), WithDeadLetters(deadGathered{got})}, options...)...)
	require.NoError(t, err)
	require.NoError(t, engine.Run(t.Context()))
	for _, result := range got.results {
		result.Latency = stream.Latency{}
	}
	return got
}

// byID is the results by id; none may come twice (invariant 2).
func byID(t *testing.T, results []*stream.Result) map[string]stream.Result {
	t.Helper()
	all := map[string]stream.Result{}
	for _, result := range results {
		require.NotContains(t, all, result.ID)
		all[result.ID] = *result
	}
	return all
}

func TestResultsAreTheSameWhateverTheConcurrency(t *testing.T) {
	files := []string{sample("shelf"), sample("yard"), sample("garden")}
	alone := stockReplay(t, files...)
	alone.Decode.Workers, alone.Queues.Size = 1, 1
	want := byID(t, runs(t, alone).results)
	require.NotEmpty(t, want)
	for _, workers := range []int{2, 5} {
		many := stockReplay(t, files...)
		many.Decode.Workers = workers
		got := runs(t, many)
		require.Equal(t, want, byID(t, got.results))
		requireOrdered(t, got.results)
	}
}

// requireOrdered says that the results of every stream are in the order of the stream.
func requireOrdered(t *testing.T, results []*stream.Result) {
	t.Helper()
	next := map[string]int64{}
	for _, result := range results {
		id, ok := stream.ParseSegmentID(result.Y.Segment)
		require.True(t, ok)
		require.Equal(t, next[result.Stream], id.Sequence)
		next[result.Stream]++
	}
}

func TestTwoPipelinesInOneProcessKnowNothingOfEachOther(t *testing.T) {
	def := func(model string) *Definition {
		def := stockReplay(t, sample("yard"))
		def.Predictor.Model = model
		return def
	}
	models := []string{"persistence", "linear"}
	want := map[string]map[string]stream.Result{}
	for _, model := range models {
		want[model] = byID(t, runs(t, def(model)).results)
	}
	require.NotEqual(t, want[models[0]], want[models[1]])
	var both sync.WaitGroup
	got := make([]*gathered, len(models))
	for i, model := range models {
		both.Go(func() { got[i] = runs(t, def(model)) })
	}
	both.Wait()
	for i, model := range models {
		require.Equal(t, want[model], byID(t, got[i].results))
	}
}

func TestAfterASegmentThatCannotBeReadTheNextOneIsScoredAsAfterAGap(t *testing.T) {
	segments := segmentsFrom(t, sample("yard"))
	segments[2].Payload = []byte("this is no video")
	got := runs(t, stockReplay(t, "unused"), WithSource(listed(segments)))
	require.Len(t, got.letters, 1)
	require.Equal(t, segments[2].ID(), got.letters[0].Segment)
	require.Len(t, got.results, len(segments)-1)
	require.Equal(t, stream.ReasonGap, got.results[2].Reason)
	require.Equal(t, "yard/3", got.results[2].X.Segment, "it is compared with nothing from before the gap")
	require.Equal(t, "yard/3", got.results[3].X.Segment)
	require.Empty(t, got.results[3].Reason)
}

// segmentsFrom cuts a file.
func segmentsFrom(t *testing.T, path string) []*stream.Segment {
	t.Helper()
	var segments []*stream.Segment
	name := filepath.Base(path)
	err := ingest.SegmentsOf(t.Context(), path, name[:len(name)-len(filepath.Ext(name))], 2*time.Second, func(segment *stream.Segment) error {
		segments = append(segments, segment)
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(segments), 5)
	return segments
}

func TestOneStreamsPoisonChangesNothingForTheOthers(t *testing.T) {
	good := segmentsFrom(t, sample("yard"))
	want := byID(t, runs(t, stockReplay(t, "unused"), WithSource(listed(good))).results)
	var mixed []*stream.Segment
	for i, segment := range segmentsFrom(t, sample("yard")) {
		mixed = append(mixed, segment, &stream.Segment{
			Stream: "poison", Sequence: int64(i), Sequenced: true, Payload: []byte("rubbish"), Receipt: stream.NoReceipt{},
		})
	}
	got := runs(t, stockReplay(t, "unused"), WithSource(listed(mixed)))
	require.Equal(t, want, byID(t, got.results))
	require.Len(t, got.letters, len(good))
}

// acknowledged is a receipt that checks, when it is called, that the result is there already.
type acknowledged struct {
	t       *testing.T
	got     *gathered
	segment stream.SegmentID
	count   *int
}

func (a acknowledged) Done(stream.SegmentID) {
	a.got.mu.Lock()
	defer a.got.mu.Unlock()
	*a.count++
	for _, result := range a.got.results {
		if result.Y.Segment == a.segment.String() {
			return
		}
	}
	for _, letter := range a.got.letters {
		if letter.Segment == a.segment {
			return
		}
	}
	a.t.Errorf("%s was acknowledged before anything was written about it", a.segment)
}

func TestASegmentIsAcknowledgedOnceAndOnlyAfterItsResultIsWritten(t *testing.T) {
	got := &gathered{}
	segments := segmentsFrom(t, sample("shelf"))
	segments[1].Payload = []byte("this is no video")
	count := 0
	for _, segment := range segments {
		segment.Receipt = acknowledged{t: t, got: got, segment: segment.ID(), count: &count}
	}
	engine, err := New(stockReplay(t, "unused"), WithSource(listed(segments)), WithSink(got), WithDeadLetters(deadGathered{got}))
	require.NoError(t, err)
	require.NoError(t, engine.Run(t.Context()))
	require.Equal(t, len(segments), count)
}

func TestASinkThatFailsStopsThePipelineWithItsError(t *testing.T) {
	broken := errors.New("disk full")
	engine, err := New(stockReplay(t, sample("yard")), WithSink(&gathered{err: broken}), WithDeadLetters(deadGathered{&gathered{}}))
	require.NoError(t, err)
	begin := time.Now()
	require.ErrorIs(t, engine.Run(t.Context()), broken)
	require.Less(t, time.Since(begin), 10*time.Second, "nobody waits for a drain that cannot happen")
}

// unwritable is a dead-letter sink that fails.
type unwritable struct{ err error }

func (u unwritable) Write(context.Context, []*stream.DeadLetter) error { return u.err }
func (u unwritable) Close() error                                      { return nil }

// unacknowledged is a receipt of what must not be acknowledged.
type unacknowledged struct{ t *testing.T }

func (u unacknowledged) Done(stream.SegmentID) {
	u.t.Error("a segment was acknowledged of whose dead letter nothing was written")
}

// Invariant 1, for dead letters.
func TestADeadLetterThatCannotBeWrittenStopsThePipeline(t *testing.T) {
	broken := errors.New("disk full")
	poison := &stream.Segment{Stream: "poison", Sequenced: true, Payload: []byte("rubbish"), Receipt: unacknowledged{t}}
	engine, err := New(stockReplay(t, "unused"), WithSource(listed{poison}), WithSink(&gathered{}), WithDeadLetters(unwritable{broken}))
	require.NoError(t, err)
	require.ErrorIs(t, engine.Run(t.Context()), broken)
}

func TestAStreamThatIsForgottenLeavesNoState(t *testing.T) {
	segments := segmentsFrom(t, sample("yard"))[:4]
	again := segmentsFrom(t, sample("yard"))[4:6]
	segments = append(segments, &stream.Segment{Stream: "yard", Mark: stream.MarkForget, Receipt: stream.NoReceipt{}})
	got := runs(t, stockReplay(t, "unused"), WithSource(listed(append(segments, again...))))
	require.Len(t, got.results, 6)
	require.Equal(t, stream.ReasonFirst, got.results[4].Reason)
}

func TestAnEngineThatIsStoppedFinishesWhatItHasTakenIn(t *testing.T) {
	got := &gathered{}
	def := stockReplay(t, sample("shelf"), sample("yard"), sample("garden"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	engine, err := New(def, WithSink(got), WithDeadLetters(deadGathered{got}),
		WithOnDone(func(*stream.Segment, *stream.Result, *stream.Failure) { stop() }))
	require.NoError(t, err)
	require.NoError(t, engine.Run(ctx))
	require.Len(t, got.results, int(engine.Counts().Received.Load()))
	requireOrdered(t, got.results)
}

func TestEveryStockDefinitionBuildsAnEngine(t *testing.T) {
	for _, name := range StockNames() {
		text, _ := Stock(name)
		def, findings := Parse(name, text, os.LookupEnv)
		require.NotNil(t, def, "%v", findings)
		if def.Sink.JSONL != nil {
			def.Sink.JSONL.Path = filepath.Join(t.TempDir(), "r.jsonl")
		}
		if def.Sink.DeadLetter.JSONL != nil {
			def.Sink.DeadLetter.JSONL.Path = filepath.Join(t.TempDir(), "d.jsonl")
		}
		engine, err := New(def)
		require.NoError(t, err, name)
		require.NoError(t, engine.close())
	}
}

func TestAnUnknownModelIsTold(t *testing.T) {
	def := stockReplay(t, "unused")
	def.Encoder.Model = "pixel"
	_, err := New(def)
	require.ErrorContains(t, err, "pixel")
	require.ErrorContains(t, err, "pixels", fmt.Sprint(err))
}
