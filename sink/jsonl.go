package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ensue-video/ensue/stream"
)

const (
	// maxTornLine bounds how far back a line that a crash cut off is looked for.
	maxTornLine = 16 << 20
	// lineHead is how every line of results and of dead letters begins; a file that begins otherwise is not ours.
	lineHead = `{"id":"`
)

// lineFile appends lines to a file.
//
// Invariant 1: a write is over once the operating system says that the disk has it (fsync), so neither a crash of the process
// nor one of the machine loses a line that was acknowledged. That costs one fsync a Write, not one a line: the more the caller
// hands over at once, the cheaper it is. Pipes, terminals and devices cannot be synchronised; a write to them is over when it
// returns.
type lineFile struct {
	path string
	// key is the definition's key, for messages.
	key    string
	file   *os.File
	closes bool
	// regular says that the file can be locked, cut and synchronised.
	regular bool
}

// openLines opens path for appending and makes the folders it lies in. "-" is the standard output.
func openLines(path, key string, log *slog.Logger) (*lineFile, error) {
	if path == stdoutPath {
		// The output may be a redirected file: then it is synchronised too, but neither locked nor mended, for it is the
		// shell's.
		return &lineFile{path: "the standard output", key: key, file: os.Stdout, regular: isRegular(os.Stdout)}, nil
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, failTransient(CodeFile, "%s: making the folder of %q: %w", key, path, err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, failTransient(CodeFile, "%s: opening %q: %w", key, path, err)
	}
	lines := &lineFile{path: path, key: key, file: file, closes: true, regular: isRegular(file)}
	if err := lines.prepare(folder, log); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return lines, nil
}

func isRegular(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode().IsRegular()
}

// prepare makes sure that the file is ours alone, holds JSON lines, ends with a whole one, and survives a crash of the machine.
func (l *lineFile) prepare(folder string, log *slog.Logger) error {
	if !l.regular {
		return nil
	}
	err := syscall.Flock(int(l.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return failTransient(CodeFileInUse, "%s: %q is being written by another pipeline: name another file", l.key, l.path)
	}
	// Any other error is a file system without locks; then only the definition keeps two pipelines apart.
	if err := l.mend(log); err != nil {
		return err
	}
	dir, err := os.Open(folder)
	if err != nil {
		return failTransient(CodeFile, "%s: opening the folder of %q: %w", l.key, l.path, err)
	}
	// Without this the name of a new file could be lost with the machine. A file system that cannot do it needs no help.
	_ = dir.Sync()
	return dir.Close()
}

// mend repairs the end that a crash left: a line that was cut off was never acknowledged and is written again, so it goes; a whole
// one only lacks its line end. A file that does not begin like one of ours is somebody else's and stays as it is.
func (l *lineFile) mend(log *slog.Logger) error {
	size, err := l.file.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return l.failed("measuring", err)
	}
	head := make([]byte, min(size, int64(len(lineHead))))
	tail := make([]byte, min(size, maxTornLine))
	if _, err := l.file.ReadAt(head, 0); err != nil {
		return l.failed("reading", err)
	}
	if _, err := l.file.ReadAt(tail, size-int64(len(tail))); err != nil {
		return l.failed("reading", err)
	}
	end := bytes.LastIndexByte(tail, '\n') + 1
	torn := tail[end:]
	switch {
	case !strings.HasPrefix(lineHead, string(head)), end == 0 && size > maxTornLine:
		return failTransient(CodeNotJSONL, "%s: %q is there and was not written by ensue: name another file", l.key, l.path)
	case len(torn) == 0:
		return nil
	case json.Valid(torn):
		_, err := l.file.WriteString("\n")
		return l.failed("mending", err)
	}
	log.Warn("cutting off an unfinished line that a crash left", "file", l.path, "bytes", len(torn))
	return l.failed("mending", l.file.Truncate(size-int64(len(torn))))
}

// inPlace says whether the file is still the one under its name: it may have been removed before it was locked.
func (l *lineFile) inPlace() (bool, error) {
	ours, err := l.file.Stat()
	if err != nil {
		return false, l.failed("measuring", err)
	}
	there, err := os.Stat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(ours, there), l.failed("measuring", err)
}

func (l *lineFile) failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	return failTransient(CodeFile, "%s: %s %q: %w", l.key, doing, l.path, err)
}

// write appends the lines, each ended with "\n" already, and makes them durable. It succeeds or leaves no unfinished line.
func (l *lineFile) write(ctx context.Context, lines []byte) error {
	if err := ctx.Err(); err != nil {
		return failTransient(CodeInterrupted, "%s: writing %q: %w", l.key, l.path, context.Cause(ctx))
	}
	if len(lines) == 0 {
		return nil
	}
	if l.file == nil {
		return failTransient(CodeClosed, "%s: writing %q: it is closed", l.key, l.path)
	}
	written, err := l.file.Write(lines)
	if err != nil {
		return errors.Join(l.failed("writing", err), l.takeBack(written))
	}
	if !l.regular {
		return nil
	}
	return l.failed("synchronising", l.file.Sync())
}

// takeBack removes the part of a failed write that made it into the file (a disk that is full takes some of it). The lock that
// prepare took keeps others from having written behind it.
func (l *lineFile) takeBack(written int) error {
	if written == 0 || !l.regular || !l.closes {
		return nil
	}
	size, err := l.file.Seek(0, io.SeekEnd)
	if err != nil {
		return l.failed("mending", err)
	}
	return l.failed("mending", l.file.Truncate(size-int64(written)))
}

func (l *lineFile) close() error {
	if l.file == nil || !l.closes {
		l.file = nil
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return l.failed("closing", err)
}

// jsonlSink writes results as lines of JSON.
type jsonlSink struct{ lines *lineFile }

func openJSONL(c *Config, _ []string, log *slog.Logger, _ []Option) (Sink, error) {
	if c.JSONL == nil {
		return nil, nil
	}
	lines, err := openLines(c.JSONL.Path, "sink.jsonl.path", orSilent(log))
	if err != nil {
		return nil, err
	}
	return &jsonlSink{lines: lines}, nil
}

func orSilent(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

// Write appends one line a result, in their order.
func (s *jsonlSink) Write(ctx context.Context, results []*stream.Result) error {
	lines, err := resultLines(results)
	if err != nil {
		return err
	}
	return s.lines.write(ctx, lines)
}

// resultLines are the results as lines of JSON.
func resultLines(results []*stream.Result) ([]byte, error) {
	var lines bytes.Buffer
	for _, result := range results {
		line, err := stream.MarshalResult(result, stream.EncodingJSON)
		if err != nil {
			return nil, err
		}
		lines.Write(line)
		lines.WriteByte('\n')
	}
	return lines.Bytes(), nil
}

func (s *jsonlSink) Close() error { return s.lines.close() }

// jsonlDeadLetters writes dead letters as lines of JSON: what went wrong and where the record is, not its payload.
type jsonlDeadLetters struct{ lines *lineFile }

func openJSONLDeadLetters(c *JSONLConfig, log *slog.Logger) (DeadLetters, error) {
	lines, err := openLines(c.Path, "sink.dead_letter.jsonl.path", orSilent(log))
	if err != nil {
		return nil, err
	}
	return &jsonlDeadLetters{lines: lines}, nil
}

func (d *jsonlDeadLetters) Write(ctx context.Context, letters []*stream.DeadLetter) error {
	var lines bytes.Buffer
	for _, letter := range letters {
		line, err := json.Marshal(letter)
		if err != nil {
			return fail(stream.CodeBadResult, "encoding the dead letter of %s: %w", letter.Segment, err)
		}
		lines.Write(line)
		lines.WriteByte('\n')
	}
	return d.lines.write(ctx, lines.Bytes())
}

func (d *jsonlDeadLetters) Close() error { return d.lines.close() }

var (
	_ Sink        = (*kafkaSink)(nil)
	_ Sink        = (*jsonlSink)(nil)
	_ DeadLetters = (*kafkaDeadLetters)(nil)
	_ DeadLetters = (*jsonlDeadLetters)(nil)
)
