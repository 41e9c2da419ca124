package tokenfile

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/stream"
)

// newClip is a clip of noise with steps steps, context of them context.
func newClip(file string, steps, context int) *Clip {
	random := rand.New(rand.NewPCG(uint64(steps), uint64(len(file))))
	noise := func(n int) []float32 {
		values := make([]float32, n)
		for i := range values {
			values[i] = random.Float32()
		}
		return values
	}
	c := &Clip{File: file, Shape: stream.Shape{T: steps, H: 2, W: 3, D: 5}, Context: context}
	c.Tokens = noise(c.Shape.Len())
	if context > 0 {
		later := stream.Shape{T: steps - context, H: 2, W: 3, D: 5}
		c.Expected, c.Target, c.Energy = noise(later.Len()), noise(later.Len()), noise(later.T*later.Places())
	}
	if file != "" {
		for i := range steps {
			c.Spans = append(c.Spans, stream.Span{Start: time.Duration(i) * time.Second / 4, End: time.Duration(i+1) * time.Second / 4})
		}
	}
	return c
}

// write writes clips to a file of the name and returns the files there are.
func write(tb testing.TB, name string, about map[string]string, clips ...*Clip) []string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	w, err := Create(path, about)
	require.NoError(tb, err)
	for _, clip := range clips {
		require.NoError(tb, w.Add(clip))
	}
	done, err := w.Close()
	require.NoError(tb, err)
	require.Contains(tb, done.Files, path)
	requireNothingLeft(tb, filepath.Dir(path), len(done.Files))
	return done.Files
}

// requireNothingLeft says that the folder holds so many files, none of them half done.
func requireNothingLeft(tb testing.TB, folder string, files int) {
	tb.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(tb, err)
	require.Len(tb, entries, files)
	for _, entry := range entries {
		require.NotEqual(tb, ".part", filepath.Ext(entry.Name()))
	}
}

func TestSafetensorsHoldEveryArrayOfEveryClip(t *testing.T) {
	a, b := newClip("a.mp4", 4, 1), newClip("b.mp4", 4, 1)
	file, err := nn.OpenSafetensors(write(t, "x.safetensors", map[string]string{"model": "m"}, a, b, a)[0])
	require.NoError(t, err)
	defer file.Close()
	require.Equal(t, []string{"energy", "expected", "file", "span", "target", "tokens"}, file.Names())
	require.Equal(t, map[string]string{"model": "m", "files": `["a.mp4","b.mp4"]`}, file.Metadata)
	equal := func(want []float32, name string, shape ...int) {
		got, err := file.Float32(name, shape...)
		require.NoError(t, err)
		require.Equal(t, want, got.Float32s())
	}
	equal(append(append(append([]float32{}, a.Tokens...), b.Tokens...), a.Tokens...), "tokens", 3, 4, 2, 3, 5)
	equal(append(append(append([]float32{}, a.Expected...), b.Expected...), a.Expected...), "expected", 3, 3, 2, 3, 5)
	equal(append(append(append([]float32{}, a.Target...), b.Target...), a.Target...), "target", 3, 3, 2, 3, 5)
	equal(append(append(append([]float32{}, a.Energy...), b.Energy...), a.Energy...), "energy", 3, 3, 2, 3)
	equal([]float32{0, 1, 0}, "file", 3)
	spans, err := file.Float64("span", 3, 4, 2)
	require.NoError(t, err)
	require.Equal(t, []float64{0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1}, spans.Float64s()[8:16])
	info, _ := file.Info("file")
	require.Equal(t, "I32", info.Dtype)
}

func TestWhatNobodyKnowsIsLeftOut(t *testing.T) {
	file, err := nn.OpenSafetensors(write(t, "x.safetensors", nil, newClip("", 2, 0))[0])
	require.NoError(t, err)
	defer file.Close()
	require.Equal(t, []string{"tokens"}, file.Names())
	require.Empty(t, file.Metadata)
}

func TestArraysLieBesideAnNPY(t *testing.T) {
	files := write(t, "x.npy", nil, newClip("a.mp4", 4, 2))
	var names []string
	for _, file := range files {
		names = append(names, filepath.Base(file))
	}
	require.Equal(t, []string{"x.span.npy", "x.npy", "x.expected.npy", "x.target.npy", "x.energy.npy", "x.file.npy"}, names)
	data, err := os.ReadFile(files[1])
	require.NoError(t, err)
	require.Equal(t, "\x93NUMPY\x01\x00", string(data[:8]))
	require.Zero(t, (10+int(data[8])+int(data[9])<<8)%64)
	require.Contains(t, string(data), "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4, 2, 3, 5,), }")
}

func TestNPZIsAnArchiveOfNPYs(t *testing.T) {
	clip := newClip("a.mp4", 4, 2)
	packed := write(t, "x.npz", nil, clip)
	apart := write(t, "x.npy", nil, clip)
	archive, err := zip.OpenReader(packed[0])
	require.NoError(t, err)
	defer archive.Close()
	require.Len(t, archive.File, len(apart))
	for i, entry := range archive.File {
		opened, err := entry.Open()
		require.NoError(t, err)
		got, err := io.ReadAll(opened)
		require.NoError(t, err)
		want, err := os.ReadFile(apart[i])
		require.NoError(t, err)
		require.Equal(t, want, got, entry.Name)
	}
}

func TestParquetHasARowForEveryToken(t *testing.T) {
	a, b := newClip("a.mp4", 4, 1), newClip("b.mp4", 3, 0)
	b.Spans = nil
	rows, err := parquet.ReadFile[row](write(t, "x.parquet", nil, a, b, a)[0])
	require.NoError(t, err)
	require.Len(t, rows, (4+3+4)*6)
	first := rows[0]
	require.Equal(t, "a.mp4", first.File)
	require.Equal(t, a.Tokens[:5], first.Embedding)
	require.Empty(t, first.Expected)
	require.Nil(t, first.Energy)
	r := rows[2*6+4] // clip 0, step 2, row 1, column 1
	require.Equal(t, []int32{0, 2, 1, 1}, []int32{r.Clip, r.Tubelet, r.Row, r.Column})
	require.Equal(t, []float64{0.5, 0.75}, []float64{*r.Start, *r.End})
	require.Equal(t, a.Tokens[16*5:17*5], r.Embedding)
	later, target := a.Expected[10*5:11*5], a.Target[10*5:11*5]
	require.Equal(t, [][]float32{later, target}, [][]float32{r.Expected, r.Target})
	require.Equal(t, a.Energy[10], *r.Energy)
	require.Equal(t, "b.mp4", rows[4*6].File)
	require.Nil(t, rows[4*6].Start)
	require.Equal(t, int32(1), rows[7*6].Clip, "the second clip of a.mp4")
}

// open opens the files by the programs they are for and says what is in them.
const open = `
import json, sys, numpy as np
safetensors, npz, npy, table = sys.argv[1:]
from safetensors.numpy import load_file
import pyarrow.parquet as pq
a = load_file(safetensors)
b = dict(np.load(npz))
assert sorted(a) == sorted(b), (sorted(a), sorted(b))
for name in a:
    assert a[name].dtype == b[name].dtype and np.array_equal(a[name], b[name]), name
    beside = np.load(npy if name == "tokens" else npy[:-4] + "." + name + ".npy")
    assert np.array_equal(a[name], beside), name
t = pq.read_table(table)
tokens = np.stack(t["embedding"].to_numpy()).reshape(a["tokens"].shape)
assert np.array_equal(tokens, a["tokens"])
energy = t["energy"].drop_null().to_numpy().reshape(a["energy"].shape)
assert np.array_equal(energy, a["energy"])
expected = np.stack(t["expected"].drop_null().to_numpy()).reshape(a["expected"].shape)
assert np.array_equal(expected, a["expected"])
print(json.dumps({"embedding": str(t.schema.field("embedding").type), "rows": t.num_rows,
                  "columns": t.schema.names, "model": t.schema.metadata.get(b"model", b"").decode()}))
`

func TestOthersReadTheSame(t *testing.T) {
	python := fixture.Python(t, "numpy", "safetensors", "pyarrow")
	clips := []*Clip{newClip("a.mp4", 4, 1), newClip("b.mp4", 4, 1)}
	args := []string{"-c", open}
	for _, name := range []string{"x.safetensors", "x.npz", "x.npy", "x.parquet"} {
		files := write(t, name, map[string]string{"model": "m"}, clips...)
		args = append(args, filepath.Join(filepath.Dir(files[0]), name))
	}
	var said bytes.Buffer
	command := exec.CommandContext(t.Context(), python, args...)
	command.Stderr = &said
	out, err := command.Output()
	require.NoError(t, err, said.String())
	var found struct {
		Embedding, Model string
		Rows             int
		Columns          []string
	}
	require.NoError(t, json.Unmarshal(out, &found))
	require.Equal(t, "fixed_size_list<element: float not null>[5]", found.Embedding)
	require.Equal(t, 2*4*6, found.Rows)
	require.Equal(t, "m", found.Model)
	require.Equal(t, []string{
		"file", "clip", "tubelet", "start", "end", "row", "column", "embedding", "expected", "target", "energy",
	}, found.Columns)
}

func TestClipsOfOneFileHaveOneShape(t *testing.T) {
	tests := []struct {
		name  string
		other *Clip
		want  string
	}{
		{
			"more steps", newClip("b.mp4", 6, 1),
			"array span of a clip of b.mp4: expected shape [4 2] as of the clips before it, found [6 2]",
		},
		{
			"another context", newClip("b.mp4", 4, 2),
			"array expected of a clip of b.mp4: expected shape [3 2 3 5] as of the clips before it, found [2 2 3 5]",
		},
		{
			"no context", newClip("b.mp4", 4, 0),
			"array expected of a clip of b.mp4: expected shape [3 2 3 5] as of the clips before it, found none",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.npz")
			w, err := Create(path, nil)
			require.NoError(t, err)
			require.NoError(t, w.Add(newClip("a.mp4", 4, 1)))
			err = w.Add(test.other)
			var shape *ShapeError
			require.ErrorAs(t, err, &shape)
			require.Equal(t, "b.mp4", shape.File)
			require.NoError(t, w.Add(newClip("c.mp4", 4, 1)), "the others go on")
			done, err := w.Close()
			require.NoError(t, err)
			require.Equal(t, []string{path}, done.Files)
			require.Equal(t, Array{Name: "tokens", Dtype: "float32", Shape: []int{2, 4, 2, 3, 5}}, done.Arrays[1])
		})
	}
}

func TestWhatIsGivenUpLeavesNothing(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x"+kind)
			w, err := Create(path, nil)
			require.NoError(t, err)
			require.NoError(t, w.Add(newClip("a.mp4", 4, 1)))
			w.Abort()
			w.Abort()
			require.Error(t, w.Add(newClip("a.mp4", 4, 1)))
			requireNothingLeft(t, filepath.Dir(path), 0)
		})
	}
}

func TestAFileWithoutClipsIsNotWritten(t *testing.T) {
	for _, kind := range Kinds() {
		path := filepath.Join(t.TempDir(), "x"+kind)
		w, err := Create(path, nil)
		require.NoError(t, err)
		done, err := w.Close()
		require.NoError(t, err)
		require.Empty(t, done.Files)
		requireNothingLeft(t, filepath.Dir(path), 0)
	}
}

func TestAFolderThatIsNotThereIsTold(t *testing.T) {
	for _, kind := range Kinds() {
		w, err := Create(filepath.Join(t.TempDir(), "nowhere", "x"+kind), nil)
		require.NoError(t, err)
		require.ErrorIs(t, w.Add(newClip("a.mp4", 4, 1)), os.ErrNotExist)
		w.Abort()
	}
}

func TestTheSameClipsGiveTheSameBytes(t *testing.T) {
	for _, kind := range Kinds() {
		about := map[string]string{"model": "m", "fps": "8"}
		a, err := os.ReadFile(write(t, "x"+kind, about, newClip("a.mp4", 4, 1))[0])
		require.NoError(t, err)
		b, err := os.ReadFile(write(t, "x"+kind, about, newClip("a.mp4", 4, 1))[0])
		require.NoError(t, err)
		require.Equal(t, a, b, kind)
	}
}

func TestOnlyKnownKindsAreWritten(t *testing.T) {
	_, err := Create("x.csv", nil)
	require.EqualError(t, err, "creating x.csv: the extension says what kind of file is written: .npy, .npz, .parquet, .safetensors")
}

func TestAClipMustBeWhole(t *testing.T) {
	for _, kind := range Kinds() {
		w, err := Create(filepath.Join(t.TempDir(), "x"+kind), nil)
		require.NoError(t, err)
		clip := newClip("a.mp4", 4, 1)
		clip.Energy = clip.Energy[1:]
		require.ErrorContains(t, w.Add(clip), "array energy: expected shape [3 2 3], found 17 numbers")
		w.Abort()
	}
}
