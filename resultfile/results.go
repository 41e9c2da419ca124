package resultfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ensue-video/ensue/stream"
)

// Results are results one after another. They may be asked for again, and are the same then. An error ends them.
type Results = iter.Seq2[*stream.Result, error]

// The endings of files of results.
const (
	EndingJSONL   = ".jsonl"
	EndingParquet = ".parquet"
	EndingMCAP    = ".mcap"
)

// ReadableEndings are those that Open knows, WritableEndings those that Write knows.
func ReadableEndings() []string { return []string{EndingJSONL, EndingParquet} }

// WritableEndings are those that Write knows.
func WritableEndings() []string { return []string{EndingJSONL, EndingMCAP, EndingParquet} }

// Writable says whether Write knows the ending of the path.
func Writable(path string) bool { return slices.Contains(WritableEndings(), ending(path)) }

func ending(path string) string { return strings.ToLower(filepath.Ext(path)) }

// Options say what of the results is written.
type Options struct {
	// Maps has the energy of every token written.
	Maps bool
	// Once leaves out what has the id of a later result: of a repeated result the last one counts.
	Once bool
	// About is what is said about the file as a whole.
	About map[string]string
}

// Open reads the file of results at path by its ending: Parquet, else JSON lines. What cannot be read is told when the results are asked
// for; only a file that is not there is told at once.
func Open(path string) (Results, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("opening results: %w", err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("opening results: %s is a folder", path)
	}
	if ending(path) == EndingParquet {
		return readParquet(path, true), nil
	}
	return ReadJSONL(path), nil
}

// WithoutMaps is Open for whoever does not look at maps: it does not read them where the format allows.
func WithoutMaps(path string) (Results, error) {
	results, err := Open(path)
	if err == nil && ending(path) == EndingParquet {
		return readParquet(path, false), nil
	}
	return results, err
}

// maxLine bounds a line: 1,000 embeddings of 4,096 numbers.
const maxLine = 32 << 20

// ReadJSONL reads lines of JSON, as sink.jsonl writes them. A line that a crash cut off at the end is left out.
func ReadJSONL(path string) Results {
	return func(yield func(*stream.Result, error) bool) {
		file, err := os.Open(path)
		if err != nil {
			yield(nil, fmt.Errorf("opening results: %w", err))
			return
		}
		defer file.Close() //nolint:errcheck // only read
		eachLine(path, file, yield)
	}
}

func eachLine(path string, in io.Reader, yield func(*stream.Result, error) bool) {
	lines := bufio.NewReaderSize(in, 1<<20)
	for number := 1; ; number++ {
		line, err := readLine(lines)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			yield(nil, fmt.Errorf("reading line %d of %s: %w", number, path, err))
			return
		}
		if text := strings.TrimSpace(string(line)); text != "" {
			result, err := stream.UnmarshalResult([]byte(text), stream.EncodingJSON)
			if err != nil && last {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("reading line %d of %s: %w", number, path, err))
				return
			}
			if !yield(result, nil) {
				return
			}
		}
		if last {
			return
		}
	}
}

// readLine reads a line without holding more than maxLine.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > maxLine {
			return nil, fmt.Errorf("the line is longer than %d bytes", maxLine)
		}
	}
}

// Write writes the results to path by its ending.
func Write(path string, results Results, options Options) (int, error) {
	switch ending(path) {
	case EndingParquet:
		return CreateParquet(path, results, options)
	case EndingMCAP:
		return CreateMCAP(path, results, options)
	case EndingJSONL:
		return CreateJSONL(path, results, options)
	}
	return 0, fmt.Errorf("writing %s: the ending says what kind of file is written: %s", path, strings.Join(WritableEndings(), ", "))
}

// CreateJSONL writes the results as lines of JSON.
func CreateJSONL(path string, results Results, options Options) (int, error) {
	return create(path, func(out io.Writer) (int, error) { return writeLines(out, results, options) })
}

func writeLines(out io.Writer, results Results, options Options) (count int, err error) {
	buffered := bufio.NewWriterSize(out, 1<<20)
	for result, err := range chosen(results, options) {
		if err != nil {
			return count, err
		}
		if !options.Maps {
			without := *result
			without.Map, result = nil, &without
		}
		line, err := stream.MarshalResult(result, stream.EncodingJSON)
		if err != nil {
			return count, err
		}
		if _, err := buffered.Write(append(line, '\n')); err != nil {
			return count, err
		}
		count++
	}
	return count, buffered.Flush()
}

// chosen are the results without those whose id comes again, where they are not wanted.
func chosen(results Results, options Options) Results {
	if !options.Once {
		return results
	}
	return func(yield func(*stream.Result, error) bool) {
		last := map[string]int{}
		n := 0
		for result, err := range results {
			if err != nil {
				yield(nil, err)
				return
			}
			last[result.ID] = n
			n++
		}
		n = 0
		for result, err := range results {
			if err == nil && last[result.ID] != n {
				n++
				continue
			}
			n++
			if !yield(result, err) || err != nil {
				return
			}
		}
	}
}

// create makes the file at path whole and durable, or not at all: it is written beside its place, synchronised and moved there.
func create(path string, write func(io.Writer) (int, error)) (count int, err error) {
	folder := filepath.Dir(path)
	file, err := os.CreateTemp(folder, "."+filepath.Base(path)+"-*.part")
	if err != nil {
		return 0, fmt.Errorf("making %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // what is thrown away may as well stay
		}
	}()
	count, err = write(file)
	if err := errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return count, fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return count, fmt.Errorf("moving the file to %s: %w", path, err)
	}
	return count, SyncFolder(folder)
}

// SyncFolder makes the names in a folder durable. A file system that cannot do it needs no help.
func SyncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the folder %s: %w", path, err)
	}
	_ = folder.Sync()
	return folder.Close()
}
