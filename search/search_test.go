package search

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/postgres"
	"github.com/ensue-video/ensue/resultfile"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

var began = time.Date(2026, 11, 23, 17, 55, 0, 0, time.UTC)

// at is the result of a stream on the two seconds from second on, with the embeddings at two horizons.
func at(name string, second int, model string, vectors ...[]float32) *stream.Result {
	start := began.Add(time.Duration(second) * time.Second)
	segment := stream.SegmentID{Stream: name, Sequence: int64(second)}.String()
	energy := 1.0
	r := &stream.Result{
		ID: stream.ResultID(name, "x", segment, model), Stream: name,
		Y:       stream.Extent{Segment: segment, Start: start, End: start.Add(2 * time.Second)},
		Verdict: stream.Continues, Energy: &energy, Model: model,
	}
	for h, vector := range vectors {
		var data []byte
		for _, value := range vector {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(value))
		}
		r.Next = append(r.Next, stream.Next{Seconds: float64(h + 1), Dim: int32(len(vector)), Encoding: "float32-base64", Data: data})
	}
	return r
}

func stored() []*stream.Result {
	none := at("lobby", 0, "m")
	none.Verdict, none.Reason, none.Energy = stream.Unscored, stream.ReasonFirst, nil
	return []*stream.Result{
		none,
		at("lobby", 2, "m", []float32{1, 0, 0}, []float32{0, 0, 1}),
		at("lobby", 4, "m", []float32{0.9, 0.1, 0}, []float32{1, 0, 0}),
		at("lobby", 60, "m", []float32{-1, 0, 0}, []float32{0, 1, 0}),
		at("yard", 2, "m", []float32{5, 1, 0}, []float32{0, 0, 2}),
		at("yard", 4, "m", []float32{0, 1, 0}, []float32{0, 1, 0}),
		at("gate", 2, "another", []float32{1, 0, 0}, []float32{0, 0, 1}),
		at("gate", 4, "m", []float32{1, 0}, []float32{0, 1}),
	}
}

func files(t *testing.T, ending string, results []*stream.Result) Files {
	t.Helper()
	path := filepath.Join(t.TempDir(), "results"+ending)
	_, err := resultfile.Write(path, func(yield func(*stream.Result, error) bool) {
		for _, result := range results {
			if !yield(result, nil) {
				return
			}
		}
	}, resultfile.Options{})
	require.NoError(t, err)
	return Files{[]string{path}}
}

// stores are all kinds of stores with the results.
func stores(t *testing.T) map[string]func(*testing.T, []*stream.Result) Store {
	t.Helper()
	return map[string]func(*testing.T, []*stream.Result) Store{
		"lines":   func(t *testing.T, results []*stream.Result) Store { return files(t, ".jsonl", results) },
		"parquet": func(t *testing.T, results []*stream.Result) Store { return files(t, ".parquet", results) },
		"postgres": func(t *testing.T, results []*stream.Result) Store {
			server := postgres.Start(t)
			config := sink.DefaultPostgres()
			config.URL = server.URL()
			out, err := sink.New(sink.Config{Postgres: &config}, nil, nil)
			require.NoError(t, err)
			require.NoError(t, out.Write(t.Context(), results))
			require.NoError(t, out.Close())
			store, err := OpenPostgres(t.Context(), config.URL, config.Table)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, store.Close(context.Background())) })
			return store
		},
	}
}

func point(t *testing.T, text string) Point {
	t.Helper()
	p, err := ParsePoint(text)
	require.NoError(t, err)
	return p
}

func TestTheNearestMomentsAreFound(t *testing.T) {
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			store := open(t, stored())
			find := func(like string, options Options) (found []string) {
				t.Helper()
				answer, err := Find(t.Context(), store, point(t, like), options)
				require.NoError(t, err)
				for _, m := range answer.Matches {
					found = append(found, fmt.Sprintf("%s@%g %.2f", m.Stream, m.Offset, m.Similarity))
				}
				return found
			}
			require.Equal(t, []string{"lobby@4 0.99", "yard@0 0.98", "yard@2 0.00", "lobby@60 -1.00"}, find("lobby@2.5s", Options{K: 10}))
			require.Equal(t, []string{"lobby@4 0.99", "yard@0 0.98"}, find("lobby@2026-11-23T17:55:03.9Z", Options{K: 2}))
			require.Equal(t, []string{"yard@0 0.98"}, find("lobby@2s", Options{K: 1, Apart: 10 * time.Second}))
			require.Equal(t, []string{"yard@0 1.00"}, find("lobby@2s", Options{K: 1, Horizon: 2 * time.Second}))
			answer, err := Find(t.Context(), store, point(t, "lobby@2s"), Options{K: 1, Horizon: 2100 * time.Millisecond})
			require.NoError(t, err)
			require.Equal(t, 2.0, answer.Horizon)
			require.Equal(t, "lobby/2", answer.Like.Segment)
			require.Equal(t, 2.0, answer.Like.Offset)

			_, err = Find(t.Context(), store, point(t, "loby@2s"), Options{K: 1})
			var unknown *UnknownStream
			require.ErrorAs(t, err, &unknown)
			require.Equal(t, []string{"gate", "lobby", "yard"}, unknown.Known)
			for _, outside := range []string{"lobby@30s", "lobby@1h", "lobby@0s", "lobby@2026-11-23T17:54:00Z"} {
				_, err = Find(t.Context(), store, point(t, outside), Options{K: 1})
				var told *Outside
				require.ErrorAs(t, err, &told)
				require.ErrorContains(t, err, "of lobby is stored 2026-11-23T17:55:00Z to 2026-11-23T17:56:02Z (0s to 1m2s)")
			}
			_, err = Find(t.Context(), store, point(t, "lobby@2s"), Options{K: 1, Horizon: 5 * time.Second})
			require.EqualError(t, err, "the results have no horizon of 5s: theirs are [1 2] seconds")
		})
	}
}

func TestWithoutEmbeddingsNothingIsFound(t *testing.T) {
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			_, err := Find(t.Context(), open(t, stored()[:1]), point(t, "lobby@0s"), Options{K: 1})
			var none *NoEmbedding
			require.ErrorAs(t, err, &none)
			require.Equal(t, 1, none.Results)
		})
	}
}

func TestWhatIsLeftOutIsCounted(t *testing.T) {
	answer, err := Find(t.Context(), files(t, ".jsonl", stored()), point(t, "lobby@2s"), Options{K: 1})
	require.NoError(t, err)
	require.Equal(t, []int{4, 2}, []int{answer.Compared, answer.Left})
}

func TestARepeatedResultIsFoundOnce(t *testing.T) {
	twice := append(stored(), stored()...)
	answer, err := Find(t.Context(), files(t, ".jsonl", twice), point(t, "lobby@2s"), Options{K: 10})
	require.NoError(t, err)
	require.Len(t, answer.Matches, 4)
}

// TestMemoryDoesNotGrowWithTheFile reads files whose embeddings are ten and a hundred times what is allowed to be held.
func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	var results []*stream.Result
	for n := range 3000 {
		vector := make([]float32, 2048)
		vector[n%2048] = 1
		results = append(results, at("lobby", 2*n, "m", vector))
	}
	for _, ending := range []string{".jsonl", ".parquet"} {
		store := files(t, ending, results)
		peak := uint64(0)
		var base runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&base)
		seen := 0
		require.NoError(t, store.each(t.Context(), func(*stream.Result) error {
			if seen++; seen%500 == 0 {
				runtime.GC()
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapAlloc)
			}
			return nil
		}))
		require.Equal(t, len(results), seen)
		require.Less(t, int64(peak)-int64(base.HeapAlloc), int64(12<<20), "of 24 MB of embeddings (%s)", ending)
	}
}

func TestPointsAreRead(t *testing.T) {
	for text, want := range map[string]Point{
		"lobby@12.5s":                  {Stream: "lobby", Offset: 12500 * time.Millisecond},
		"lobby@12.5":                   {Stream: "lobby", Offset: 12500 * time.Millisecond},
		"a@b@1m3s":                     {Stream: "a@b", Offset: 63 * time.Second},
		"lobby@2026-11-23T17:55:02.5Z": {Stream: "lobby", At: began.Add(2500 * time.Millisecond)},
	} {
		got, err := ParsePoint(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "lobby", "@1s", "lobby@", "lobby@yesterday", "lobby@-1s", "lobby@NaN", "lobby@1e300"} {
		_, err := ParsePoint(text)
		require.Error(t, err, text)
	}
}
