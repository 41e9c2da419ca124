package resultfile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/foxglove/mcap/go/mcap"
	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
)

// scored is the nth result of a stream with everything in it; its embeddings point along their nth number.
func scored(name string, n, dim int) *stream.Result {
	energy, p := float64(n)/8, 1/float64(n+2)
	at := time.Date(2026, 11, 23, 17, 55, 2*n, 1000*n, time.UTC)
	y := stream.SegmentID{Stream: name, Sequence: int64(n)}.String()
	x := stream.SegmentID{Stream: name, Sequence: int64(n - 1)}.String()
	r := &stream.Result{
		ID: stream.ResultID(name, x, y, "m"), Stream: name,
		X:       &stream.Extent{Segment: x, Start: at.Add(-2 * time.Second), End: at},
		Y:       stream.Extent{Segment: y, Start: at, End: at.Add(2 * time.Second)},
		Verdict: stream.Continues, Energy: &energy, PValue: &p, Expected: &stream.Expected{Median: 1, Low: 0.5, High: 2},
		Windows:  []stream.Window{{Start: float64(2 * n), Energy: 1, PValue: &p}, {Start: float64(2*n + 1), Energy: 2}},
		Horizons: []stream.Horizon{{Seconds: 1, Energy: 1}, {Seconds: 2, Energy: 1.5}},
		Map:      &stream.Array{Shape: []int32{1, 2, 2}, Encoding: float16Encoding, Data: []byte{0, 0x3c, 1, 0, 0xff, 0x7b, 0, 0x80}},
		Model:    "m", Decode: stream.Decode{Frames: 16, Dropped: 1, FPS: 8}, Latency: stream.Latency{Queue: 1, Decode: 2, Encode: 3, Predict: 4},
	}
	for h := range 2 {
		vector := make([]float32, dim)
		vector[n%dim] = float32(h + 1)
		r.Next = append(r.Next, nextOf(float64(h+1), vector))
	}
	return r
}

// first is a result without an energy, an embedding or a past.
func first(name string) *stream.Result {
	at := time.Date(2026, 11, 23, 17, 54, 58, 0, time.UTC)
	y := stream.SegmentID{Stream: name, Sequence: -1}.String()
	return &stream.Result{
		ID: stream.ResultID(name, "", y, "m"), Stream: name, Y: stream.Extent{Segment: y, Start: at, End: at.Add(time.Second)},
		Verdict: stream.Unscored, Reason: stream.ReasonFirst, Model: "m",
	}
}

func some(dim int) []*stream.Result {
	out := []*stream.Result{first("lobby")}
	for n := range 5 {
		out = append(out, scored("lobby", n, dim), scored("yard", n, dim))
	}
	out[3].Verdict, out[4].Verdict = stream.Breaks, stream.Stalls
	return out
}

func these(results ...*stream.Result) Results {
	return func(yield func(*stream.Result, error) bool) {
		for _, result := range results {
			if !yield(result, nil) {
				return
			}
		}
	}
}

func all(t *testing.T, results Results) []*stream.Result {
	t.Helper()
	var out []*stream.Result
	for result, err := range results {
		require.NoError(t, err)
		out = append(out, result)
	}
	return out
}

func write(t *testing.T, name string, options Options, results ...*stream.Result) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	n, err := Write(path, these(results...), options)
	require.NoError(t, err)
	require.Equal(t, len(results), n)
	return path
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	for _, ending := range ReadableEndings() {
		t.Run(ending, func(t *testing.T) {
			want := some(6)
			opened, err := Open(write(t, "x"+ending, Options{Maps: true}, want...))
			require.NoError(t, err)
			require.Equal(t, want, all(t, opened))
			require.Equal(t, want, all(t, opened), "they may be asked for again")
		})
	}
}

func TestMapsAreLeftOutWhereTheyAreNotWanted(t *testing.T) {
	want := some(6)
	full := write(t, "x.parquet", Options{Maps: true}, want...)
	for _, result := range want {
		result.Map = nil
	}
	opened, err := Open(write(t, "y.parquet", Options{}, want...))
	require.NoError(t, err)
	require.Equal(t, want, all(t, opened))
	opened, err = WithoutMaps(full)
	require.NoError(t, err)
	require.Equal(t, want, all(t, opened))
	opened, err = Open(write(t, "y.jsonl", Options{}, some(6)...))
	require.NoError(t, err)
	require.Equal(t, want, all(t, opened))
}

func TestOfARepeatedResultTheLastOneCounts(t *testing.T) {
	old, repeated := scored("lobby", 1, 4), scored("lobby", 1, 4)
	repeated.Verdict = stream.Breaks
	path := filepath.Join(t.TempDir(), "x.parquet")
	n, err := Write(path, these(old, scored("lobby", 2, 4), repeated), Options{Once: true})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	opened, err := Open(path)
	require.NoError(t, err)
	got := all(t, opened)
	require.Equal(t, stream.Breaks, got[1].Verdict)
	require.Equal(t, repeated.ID, got[1].ID)
}

func TestTheSameResultsGiveTheSameBytes(t *testing.T) {
	for _, ending := range WritableEndings() {
		options := Options{Maps: true, About: map[string]string{"model": "m", "ensue": "1"}}
		a, err := os.ReadFile(write(t, "x"+ending, options, some(6)...))
		require.NoError(t, err)
		b, err := os.ReadFile(write(t, "x"+ending, options, some(6)...))
		require.NoError(t, err)
		require.Equal(t, a, b, ending)
	}
}

func TestAFileIsThereWholeOrNotAtAll(t *testing.T) {
	broken := errors.New("the source broke")
	results := func(yield func(*stream.Result, error) bool) {
		if yield(scored("lobby", 1, 4), nil) {
			yield(nil, broken)
		}
	}
	for _, ending := range WritableEndings() {
		folder := t.TempDir()
		_, err := Write(filepath.Join(folder, "x"+ending), results, Options{})
		require.ErrorIs(t, err, broken)
		left, err := os.ReadDir(folder)
		require.NoError(t, err)
		require.Empty(t, left, ending)
	}
	_, err := Write("x.csv", these(), Options{})
	require.ErrorContains(t, err, "the ending says what kind of file is written: .jsonl, .mcap, .parquet")
}

func TestALineThatACrashCutOffIsLeftOut(t *testing.T) {
	path := write(t, "x.jsonl", Options{}, some(4)...)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data[:len(data)-20], 0o600))
	require.Len(t, all(t, ReadJSONL(path)), len(some(4))-1)

	require.NoError(t, os.WriteFile(path, append([]byte("{\"id\":\"x\n"), data...), 0o600))
	for _, err := range ReadJSONL(path) {
		require.ErrorContains(t, err, "line 1 of ")
		break
	}
}

func TestAnotherTableIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.parquet")
	require.NoError(t, parquet.WriteFile(path, []struct{ A int }{{1}}))
	opened, err := Open(path)
	require.NoError(t, err)
	for _, err := range opened {
		require.ErrorContains(t, err, `it is no table of results: there is no column "id"`)
	}
	require.NoError(t, os.WriteFile(path, []byte("PAR1"), 0o600))
	for _, err := range opened {
		require.ErrorContains(t, err, "it is no Parquet file")
	}
}

func TestEveryHalfIsReadAndWrittenExactly(t *testing.T) {
	for half := range math.MaxUint16 + 1 {
		value := fromHalf(uint16(half))
		if math.IsNaN(float64(value)) {
			continue
		}
		require.Equal(t, uint16(half), toHalf(value), "%x", half)
	}
	require.Equal(t, float32(1), fromHalf(0x3c00))
	require.Equal(t, float32(65504), fromHalf(0x7bff))
	require.Equal(t, float32(math.Pow(2, -24)), fromHalf(1))
	require.Equal(t, float32(-0.333251953125), fromHalf(0xb555))
}

func TestRowGroupsAreBoundedByBytes(t *testing.T) {
	var results []*stream.Result
	for n := range 18 {
		results = append(results, scored("lobby", n, 1<<17)) // 1 MiB of embeddings each
	}
	path := write(t, "x.parquet", Options{}, results...)
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	info, err := file.Stat()
	require.NoError(t, err)
	table, err := parquet.OpenFile(file, info.Size())
	require.NoError(t, err)
	require.Len(t, table.RowGroups(), 2)
}

// lookAtTable opens a table by the programs it is for.
const lookAtTable = `
import json, sys, numpy as np, pandas as pd, pyarrow as pa, pyarrow.parquet as pq, duckdb
path = sys.argv[1]
t = pq.read_table(path)
df = pd.read_parquet(path)
has = df.next_1.notna()
vectors = np.stack(df.next_1[has])
assert vectors.shape == (10, 6) and vectors.dtype == np.float32, (vectors.shape, vectors.dtype)
assert str(df.y_start.dtype).startswith("datetime64[us"), df.y_start.dtype
like = duckdb.sql(f"""
  SELECT stream, y_start, array_cosine_similarity(next_1::FLOAT[6],
    (SELECT next_1 FROM '{path}' WHERE stream = 'lobby' AND y_segment = 'lobby/2')::FLOAT[6]) AS s
  FROM '{path}' WHERE next_1 IS NOT NULL ORDER BY s DESC, stream LIMIT 2""").fetchall()
windows = duckdb.sql(f"SELECT count(*), sum(w.energy) FROM (SELECT unnest(windows) AS w FROM '{path}')").fetchall()[0]
print(json.dumps({
    "types": {name: str(t.schema.field(name).type) for name in ["next_1", "next_2", "y_start", "windows", "map"]},
    "rows": t.num_rows, "nulls": t["next_1"].null_count, "verdicts": sorted(df.verdict.unique()), "like": [row[0] for row in like],
    "best": like[0][2], "windows": windows[0], "energy": windows[1], "about": t.schema.metadata.get(b"model", b"").decode(),
    "start": str(df.y_start[1]), "map": list(map(float, df["map"][1])),
}))
`

func TestPandasAndDuckDBOpenTheTable(t *testing.T) {
	python := fixture.Python(t, "numpy", "pandas", "pyarrow", "duckdb")
	path := write(t, "x.parquet", Options{Maps: true, About: map[string]string{"model": "m"}}, some(6)...)
	var found struct {
		Types                map[string]string
		Rows, Nulls, Windows int
		Verdicts, Like       []string
		Best, Energy         float64
		About, Start         string
		Map                  []float32
	}
	require.NoError(t, json.Unmarshal(ask(t, python, lookAtTable, path), &found))
	require.Equal(t, map[string]string{
		"next_1": "fixed_size_list<element: float not null>[6]", "next_2": "fixed_size_list<element: float not null>[6]",
		"y_start": "timestamp[us, tz=UTC]", "map": "list<element: float not null>",
		"windows": "list<element: struct<start: double not null, energy: double not null, p_value: double> not null>",
	}, found.Types)
	require.Equal(t, []int{11, 1, 20}, []int{found.Rows, found.Nulls, found.Windows})
	require.Equal(t, []string{"breaks", "continues", "stalls", "unscored"}, found.Verdicts)
	require.Equal(t, []string{"lobby", "yard"}, found.Like)
	require.InDelta(t, 1, found.Best, 1e-6)
	require.Equal(t, 30.0, found.Energy)
	require.Equal(t, "m", found.About)
	require.Equal(t, "2026-11-23 17:55:00+00:00", found.Start)
	require.Equal(t, []float32{1, float32(math.Pow(2, -24)), 65504, float32(math.Copysign(0, -1))}, found.Map)
}

func TestEmbeddingsOfSeveralLengthsAreOrdinaryLists(t *testing.T) {
	path := write(t, "x.parquet", Options{}, scored("a", 1, 4), scored("a", 2, 6))
	opened, err := Open(path)
	require.NoError(t, err)
	got := all(t, opened)
	require.Equal(t, []int32{4, 6}, []int32{got[0].Next[0].Dim, got[1].Next[0].Dim})

	python := fixture.Python(t, "pyarrow")
	out := ask(t, python, `import sys, pyarrow.parquet as pq; print(pq.read_table(sys.argv[1]).schema.field("next_1").type)`, path)
	require.Equal(t, "list<element: float not null>\n", string(out))
}

func TestMCAPHoldsEveryResultAndTheAlarms(t *testing.T) {
	path := write(t, "x.mcap", Options{Maps: true, About: map[string]string{"model": "m"}}, some(6)...)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	reader, err := mcap.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	defer reader.Close()
	messages, err := reader.Messages()
	require.NoError(t, err)
	counts := map[string]int{}
	for {
		schema, channel, message, err := messages.NextInto(nil)
		if err != nil {
			break
		}
		counts[channel.Topic+" "+schema.Name]++
		if schema.Name == "ensue.Result" {
			result, err := stream.UnmarshalResult(message.Data, stream.EncodingJSON)
			require.NoError(t, err)
			require.Equal(t, uint64(result.Y.End.UnixNano()), message.LogTime)
		}
	}
	require.Equal(t, map[string]int{
		"/lobby/result ensue.Result": 6, "/yard/result ensue.Result": 5,
		"/lobby/alarm foxglove.Log": 1, "/yard/alarm foxglove.Log": 1,
	}, counts)
}

const lookAtRecording = `
import json, sys
from mcap.reader import make_reader
with open(sys.argv[1], "rb") as f:
    reader = make_reader(f, validate_crcs=True)
    s = reader.get_summary()
    seen = [(c.topic, json.loads(m.data), m.log_time) for _, c, m in reader.iter_messages()]
    about = {m.name: m.metadata for m in reader.iter_metadata()}
    library = reader.get_header().library
print(json.dumps({
    "library": library, "messages": s.statistics.message_count, "about": about,
    "channels": sorted(c.topic for c in s.channels.values()),
    "schemas": sorted([x.name + " " + x.encoding for x in s.schemas.values()]),
    "energies": [d["energy"] for t, d, _ in seen if t == "/yard/result"],
    "alarms": [(t, d["level"], d["message"], d["timestamp"]["sec"]) for t, d, _ in seen if t.endswith("alarm")],
    "sorted": all(a[2] <= b[2] for a, b in zip(seen, seen[1:])),
}))
`

func TestTheMCAPReaderOpensTheRecording(t *testing.T) {
	python := fixture.Python(t, "mcap")
	path := write(t, "x.mcap", Options{Maps: true, About: map[string]string{"model": "m"}}, some(6)...)
	out := ask(t, python, lookAtRecording, path)
	require.JSONEq(t, `{
		"library": "ensue", "messages": 13, "about": {"ensue": {"model": "m"}},
		"channels": ["/lobby/alarm", "/lobby/result", "/yard/alarm", "/yard/result"],
		"schemas": ["ensue.Result jsonschema", "foxglove.Log jsonschema"],
		"energies": [0, 0.125, 0.25, 0.375, 0.5],
		"alarms": [["/lobby/alarm", 4, "breaks: p = 0.33, energy 0.125", 1795456504],
			["/yard/alarm", 3, "stalls: p = 0.33, energy 0.125", 1795456504]],
		"sorted": true}`, string(out))
}

const openInRerun = `
import subprocess, sys
rerun = [sys.executable, "-m", "rerun"]
for words in (["mcap", "convert", sys.argv[1], "-o", sys.argv[2]], ["rrd", "verify", sys.argv[2]], ["rrd", "print", sys.argv[2]]):
    done = subprocess.run(rerun + words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
print(done.stdout)
`

// TestRerunOpensTheRecording: Rerun makes a recording of its own of it, with every message, and finds nothing wrong with that.
func TestRerunOpensTheRecording(t *testing.T) {
	python := fixture.Python(t, "rerun")
	path := write(t, "x.mcap", Options{Maps: true, About: map[string]string{"model": "m"}}, some(6)...)
	said := ask(t, python, openInRerun, path, filepath.Join(t.TempDir(), "x.rrd"))
	rows := map[string]int{}
	for _, match := range regexp.MustCompile(`with (\d+) rows .* - (/\S+) - data columns: \[McapMessage:data`).FindAllSubmatch(said, -1) {
		n, err := strconv.Atoi(string(match[1]))
		require.NoError(t, err)
		rows[string(match[2])] += n
	}
	require.Equal(t, map[string]int{"/lobby/result": 6, "/yard/result": 5, "/lobby/alarm": 1, "/yard/alarm": 1}, rows, string(said))
}

func ask(t *testing.T, python, program string, args ...string) []byte {
	t.Helper()
	var said bytes.Buffer
	command := exec.CommandContext(t.Context(), python, append([]string{"-c", program}, args...)...)
	command.Stderr = &said
	out, err := command.Output()
	require.NoError(t, err, said.String())
	return out
}

func TestAnEmbeddingThatIsNoneIsTold(t *testing.T) {
	good := nextOf(1, []float32{1, 2})
	vector, err := Embedding(good)
	require.NoError(t, err)
	require.Equal(t, []float32{1, 2}, vector)
	require.Equal(t, uint32(0x3f800000), binary.LittleEndian.Uint32(good.Data))
	for _, change := range []func(*stream.Next){
		func(n *stream.Next) { n.Dim = 3 },
		func(n *stream.Next) { n.Encoding = "float16-base64" },
		func(n *stream.Next) { n.Dim, n.Data = 0, nil },
	} {
		bad := good
		change(&bad)
		_, err := Embedding(bad)
		require.Error(t, err, fmt.Sprint(bad))
	}
}

func TestFoldersStandForWhatIsInThem(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"b.parquet", "a.jsonl", "c.mcap", ".hidden.parquet"} {
		_, err := Write(filepath.Join(folder, name), these(scored(name, 1, 4)), Options{})
		require.NoError(t, err)
	}
	paths, err := Expand([]string{folder, filepath.Join(folder, "*.parquet")})
	require.NoError(t, err)
	require.Equal(t, []string{
		filepath.Join(folder, "a.jsonl"), filepath.Join(folder, "b.parquet"), filepath.Join(folder, "b.parquet"),
	}, paths)
	results, err := OpenAll(paths)
	require.NoError(t, err)
	require.Len(t, all(t, results), 3)
	_, err = Expand([]string{filepath.Join(folder, "nothing*")})
	require.ErrorContains(t, err, "there is no "+filepath.Join(folder, "nothing*"))
	_, err = Expand([]string{t.TempDir()})
	require.ErrorContains(t, err, "there is no .jsonl or .parquet in ")
}
