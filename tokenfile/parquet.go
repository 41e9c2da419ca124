package tokenfile

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/ensue-video/ensue/internal/arrow"
)

// row is one token in a table.
type row struct {
	File string `parquet:"file,dict"`
	// Clip counts the clips of a file, Tubelet the steps of a clip, Row and Column the places of a step, all from 0.
	Clip    int32 `parquet:"clip"`
	Tubelet int32 `parquet:"tubelet"`
	// Start and End are in seconds since the first frame of the file; null where nobody knows.
	Start  *float64 `parquet:"start,optional"`
	End    *float64 `parquet:"end,optional"`
	Row    int32    `parquet:"row"`
	Column int32    `parquet:"column"`
	// Embedding is the token. The others are null in the context and where nothing was expected.
	Embedding []float32 `parquet:"embedding,list"`
	Expected  []float32 `parquet:"expected,optional,list"`
	Target    []float32 `parquet:"target,optional,list"`
	Energy    *float32  `parquet:"energy,optional"`
}

// columns are the table's columns as Arrow sees them, of tokens with dim numbers.
func columns(dim int) []arrow.Field {
	element := []arrow.Field{{Name: "element", Kind: arrow.FloatingPoint, Detail: arrow.Single}}
	return []arrow.Field{
		{Name: "file", Kind: arrow.Utf8},
		{Name: "clip", Kind: arrow.Int, Detail: 32},
		{Name: "tubelet", Kind: arrow.Int, Detail: 32},
		{Name: "start", Kind: arrow.FloatingPoint, Detail: arrow.Double, Nullable: true},
		{Name: "end", Kind: arrow.FloatingPoint, Detail: arrow.Double, Nullable: true},
		{Name: "row", Kind: arrow.Int, Detail: 32},
		{Name: "column", Kind: arrow.Int, Detail: 32},
		{Name: "embedding", Kind: arrow.FixedSizeList, Detail: dim, Children: element},
		{Name: "expected", Kind: arrow.FixedSizeList, Detail: dim, Children: element, Nullable: true},
		{Name: "target", Kind: arrow.FixedSizeList, Detail: dim, Children: element, Nullable: true},
		{Name: "energy", Kind: arrow.FloatingPoint, Detail: arrow.Single, Nullable: true},
	}
}

// rowsAtOnce is how many rows are handed over together, rowsInGroup how many make a group.
const (
	rowsAtOnce  = 256
	rowsInGroup = 1 << 15
)

// table is a Writer of a Parquet file.
type table struct {
	path  string
	about map[string]string
	file  *os.File
	out   *parquet.GenericWriter[row]
	dim   int
	rows  []row
	count int // of rows that are written
	clips map[string]int32
	err   error
}

func newTable(path string, about map[string]string) *table {
	return &table{path: path, about: about, clips: map[string]int32{}}
}

// Add implements Writer. Clips may differ in all but the length of a token.
func (t *table) Add(clip *Clip) error {
	if t.err != nil {
		return t.err
	}
	if err := clip.check(); err != nil {
		return fmt.Errorf("writing %s: %w", t.path, err)
	}
	if t.out == nil {
		t.err = t.begin(clip.Shape.D)
	}
	if t.err == nil && clip.Shape.D != t.dim {
		return &ShapeError{File: clip.File, Array: nameTokens, Expected: []int{t.dim}, Found: []int{clip.Shape.D}}
	}
	if t.err == nil {
		t.err = t.add(clip)
	}
	if t.err != nil {
		t.err = fmt.Errorf("writing %s: %w", t.path, t.err)
	}
	return t.err
}

func (t *table) begin(dim int) error {
	var err error
	t.file, err = os.CreateTemp(filepath.Dir(t.path), ".ensue-*.part")
	if err != nil {
		return err
	}
	// Embeddings are noise to a compressor: it costs time and saves nothing.
	schema := parquet.KeyValueMetadata(arrow.Key, arrow.Schema(columns(dim), t.about))
	options := []parquet.WriterOption{parquet.MaxRowsPerRowGroup(rowsInGroup), schema}
	for _, key := range slices.Sorted(maps.Keys(t.about)) {
		options = append(options, parquet.KeyValueMetadata(key, t.about[key]))
	}
	t.dim, t.out = dim, parquet.NewGenericWriter[row](t.file, options...)
	return nil
}

// add writes the rows of a clip.
func (t *table) add(clip *Clip) error {
	number := t.clips[clip.File]
	t.clips[clip.File]++
	s := clip.Shape
	for step := range s.T {
		for place := range s.Places() {
			r := row{File: clip.File, Clip: number, Tubelet: int32(step), Row: int32(place / s.W), Column: int32(place % s.W)}
			if clip.Spans != nil {
				start, end := clip.Spans[step].Start.Seconds(), clip.Spans[step].End.Seconds()
				r.Start, r.End = &start, &end
			}
			token := step*s.Places() + place
			r.Embedding = clip.Tokens[token*s.D:][:s.D]
			if later := token - clip.Context*s.Places(); clip.Context > 0 && later >= 0 {
				r.Expected, r.Target = clip.Expected[later*s.D:][:s.D], clip.Target[later*s.D:][:s.D]
				r.Energy = &clip.Energy[later]
			}
			if err := t.put(r); err != nil {
				return err
			}
		}
	}
	return t.flush() // rows refer to the clip's memory
}

func (t *table) put(r row) error {
	t.rows = append(t.rows, r)
	if len(t.rows) < rowsAtOnce {
		return nil
	}
	return t.flush()
}

func (t *table) flush() error {
	_, err := t.out.Write(t.rows)
	t.count += len(t.rows)
	clear(t.rows)
	t.rows = t.rows[:0]
	return err
}

// Close implements Writer.
func (t *table) Close() (Written, error) {
	defer t.Abort()
	if t.err != nil || t.out == nil {
		return Written{}, t.err
	}
	err := t.out.Close()
	if err == nil {
		err = publish(t.file, t.path)
	}
	if err != nil {
		return Written{}, fmt.Errorf("writing %s: %w", t.path, err)
	}
	t.file = nil
	return Written{Files: []string{t.path}, Rows: t.count}, nil
}

// Abort implements Writer.
func (t *table) Abort() {
	if t.file != nil {
		_ = t.file.Close() // it is thrown away
		_ = os.Remove(t.file.Name())
		t.file = nil
	}
	if t.err == nil {
		t.err = errors.New("the file is closed")
	}
}
