package resultfile

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/ensue-video/ensue/internal/arrow"
	"github.com/ensue-video/ensue/stream"
)

const (
	// groupBytes is about how much of embeddings and maps one group of rows holds: it lies in memory until it is written.
	groupBytes = 16 << 20
	// groupRows is how many rows it has at most.
	groupRows = 1 << 16
)

// CreateParquet writes the results as a table. It asks for them once or twice more than it writes them: how long the embeddings are must be
// known first.
func CreateParquet(path string, results Results, options Options) (int, error) {
	return create(path, func(out io.Writer) (int, error) { return writeParquet(out, results, options) })
}

// dimsOf are the lengths of the results' embeddings by horizon, 0 where they differ.
func dimsOf(results Results) (dims []int, err error) {
	for result, err := range results {
		if err != nil {
			return nil, err
		}
		for n, next := range result.Next {
			switch {
			case n == len(dims):
				dims = append(dims, int(next.Dim))
			case dims[n] != int(next.Dim):
				dims[n] = 0
			}
		}
	}
	return dims, nil
}

// parquetWriter writes rows of one type.
type parquetWriter struct {
	out     *parquet.GenericWriter[any]
	schema  *parquet.Schema
	typ     reflect.Type
	options Options
	static  int // of the fields that row has
	row     parquet.Row
	held    int // bytes of embeddings and maps since the last group
	inGroup int
}

func writeParquet(out io.Writer, results Results, options Options) (count int, err error) {
	dims, err := dimsOf(results)
	if err != nil {
		return 0, err
	}
	typ := rowType(len(dims), options.Maps)
	schema := parquet.SchemaOf(reflect.New(typ).Interface())
	settings := []parquet.WriterOption{
		schema, parquet.Compression(&parquet.Zstd),
		parquet.KeyValueMetadata(arrow.Key, arrow.Schema(arrowFields(schema, dims), options.About)),
	}
	for _, key := range slices.Sorted(maps.Keys(options.About)) {
		settings = append(settings, parquet.KeyValueMetadata(key, options.About[key]))
	}
	w := &parquetWriter{
		out: parquet.NewGenericWriter[any](out, settings...), schema: schema, typ: typ, options: options, static: typ.NumField() - len(dims),
	}
	for result, err := range chosen(results, options) {
		if err == nil {
			err = w.write(result)
		}
		if err != nil {
			return count, err
		}
		count++
	}
	return count, w.out.Close()
}

func (w *parquetWriter) write(result *stream.Result) error {
	if err := result.Check(); err != nil {
		return unreadable("result %q: %w", result.ID, err)
	}
	static, err := rowOf(result, w.options.Maps)
	if err != nil {
		return err
	}
	value := reflect.New(w.typ).Elem()
	from := reflect.ValueOf(static).Elem()
	for i := range w.static {
		value.Field(i).Set(from.FieldByName(w.typ.Field(i).Name))
	}
	for n, next := range result.Next {
		vector, err := Embedding(next)
		if err != nil {
			return err
		}
		value.Field(w.static + n).Set(reflect.ValueOf(vector))
		w.held += 4 * len(vector)
	}
	w.held += 4 * len(static.Map)
	w.row = w.schema.Deconstruct(w.row[:0], value.Addr().Interface())
	if _, err := w.out.WriteRows([]parquet.Row{w.row}); err != nil {
		return err
	}
	if w.inGroup++; w.held < groupBytes && w.inGroup < groupRows {
		return nil
	}
	w.held, w.inGroup = 0, 0
	return w.out.Flush()
}

// readParquet reads a table that writeParquet has written.
func readParquet(path string, maps bool) Results {
	return func(yield func(*stream.Result, error) bool) {
		stopped, err := eachRow(path, maps, func(result *stream.Result) bool { return yield(result, nil) })
		if err != nil && !stopped {
			yield(nil, fmt.Errorf("reading %s: %w", path, err))
		}
	}
}

func eachRow(path string, maps bool, yield func(*stream.Result) bool) (stopped bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close() //nolint:errcheck // only read
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	table, err := parquet.OpenFile(file, info.Size())
	if err != nil {
		return false, unreadable("it is no Parquet file: %w", err)
	}
	typ, embeddings, err := readableType(table.Schema(), maps)
	if err != nil {
		return false, err
	}
	reader := parquet.NewReader(table, parquet.SchemaOf(reflect.New(typ).Interface()))
	defer reader.Close() //nolint:errcheck // only read
	for {
		value := reflect.New(typ)
		if err := reader.Read(value.Interface()); errors.Is(err, io.EOF) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		result, err := resultOf(value.Elem(), embeddings)
		if err != nil {
			return false, err
		}
		if !yield(result) {
			return true, nil
		}
	}
}

// readableType is the type of the rows of a table with that schema.
func readableType(schema *parquet.Schema, maps bool) (reflect.Type, int, error) {
	names := map[string]bool{}
	for _, field := range schema.Fields() {
		names[field.Name()] = true
	}
	for _, name := range []string{"id", "stream", "y_segment", "y_start", "y_end", "verdict", "model"} {
		if !names[name] {
			return nil, 0, unreadable("it is no table of results: there is no column %q", name)
		}
	}
	embeddings := 0
	for names[nextColumn(embeddings)] {
		embeddings++
	}
	return rowType(embeddings, maps && names["map"]), embeddings, nil
}

// resultOf is the result in a row whose last fields are its embeddings.
func resultOf(value reflect.Value, embeddings int) (*stream.Result, error) {
	static := &row{}
	to := reflect.ValueOf(static).Elem()
	fixed := value.NumField() - embeddings
	for i := range fixed {
		to.FieldByName(value.Type().Field(i).Name).Set(value.Field(i))
	}
	result := static.result()
	for n, seconds := range static.NextSeconds {
		if n >= embeddings {
			break
		}
		if vector := value.Field(fixed + n).Interface().([]float32); len(vector) > 0 {
			result.Next = append(result.Next, nextOf(seconds, vector))
		}
	}
	if err := result.Check(); err != nil {
		return nil, unreadable("result %q: %w", result.ID, err)
	}
	return result, nil
}
