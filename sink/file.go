package sink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ensue-video/ensue/resultfile"
	"github.com/ensue-video/ensue/stream"
)

// fileSink gathers results and writes one file of them when it is closed.
//
// It is for runs that end, such as a replay: until then what it has is in a file without a name that others look for, and a crash loses it.
// Invariant 1 is kept by whoever reads files: nothing of them is acknowledged to anybody.
type fileSink struct {
	path    string
	options resultfile.Options
	spool   *os.File
}

// NewFile is a sink that writes the results to path when it is closed, as resultfile.Write does by its ending.
func NewFile(path string, options resultfile.Options) (Sink, error) {
	if !resultfile.Writable(path) {
		return nil, fail(CodeBadConfig, "writing %s: the ending says what kind of file is written: %v", path, resultfile.WritableEndings())
	}
	spool, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*.jsonl")
	if err != nil {
		return nil, failTransient(CodeFile, "making %s: %w", path, err)
	}
	return &fileSink{path, options, spool}, nil
}

// Write keeps the results until the file is written.
func (s *fileSink) Write(_ context.Context, results []*stream.Result) error {
	lines, err := resultLines(results)
	if err != nil {
		return err
	}
	if s.spool == nil {
		return failTransient(CodeClosed, "writing %s: it is closed", s.path)
	}
	if _, err := s.spool.Write(lines); err != nil {
		return failTransient(CodeFile, "writing %s: %w", s.path, err)
	}
	return nil
}

// Close writes the file.
func (s *fileSink) Close() error {
	if s.spool == nil {
		return nil
	}
	spool := s.spool
	s.spool = nil
	_, err := resultfile.Write(s.path, resultfile.ReadJSONL(spool.Name()), s.options)
	if err := errors.Join(err, spool.Close(), os.Remove(spool.Name())); err != nil {
		return failTransient(CodeFile, "%w", fmt.Errorf("writing %s: %w", s.path, err))
	}
	return nil
}

var _ Sink = (*fileSink)(nil)

// Func is a sink that calls a function: results go into the caller's own program.
type Func func(ctx context.Context, results []*stream.Result) error

// Write calls the function.
func (f Func) Write(ctx context.Context, results []*stream.Result) error { return f(ctx, results) }

// Close does nothing.
func (Func) Close() error { return nil }
