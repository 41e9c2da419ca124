package state

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/ensue-video/ensue/stream"
)

// CodeFolder: the folder of the state, or a file in it, cannot be used.
const CodeFolder stream.Code = "state.folder"

// rewriteFrom is how large a file grows before it is written anew, rewriteTimes how many times as large as what counts of it.
const (
	rewriteFrom  = 4 << 20
	rewriteTimes = 4
)

// Folder is a Store of files, one for each partition that a group reads: lines of JSON, of which the last of a stream counts. Processes
// of one machine may share it: a file is read when its partition is taken over, and written by whoever has the partition.
type Folder struct {
	path string
	log  *slog.Logger

	mu    sync.Mutex
	files map[Partition]*partitionFile
}

// partitionFile is the open file of a partition.
type partitionFile struct {
	*os.File
	of   Partition
	size int64
	live map[string][]byte // the newest line of every stream
	sum  int64             // of their lengths
}

// NewFolder makes the folder where it is missing.
func NewFolder(path string, log *slog.Logger) (*Folder, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, stream.FailTransient("ingest", CodeFolder, "state.folder: making %s: %w", path, err)
	}
	return &Folder{path: path, log: log.With("folder", path), files: map[Partition]*partitionFile{}}, nil
}

// name is the file of a partition.
func (f *Folder) name(p Partition) string {
	return filepath.Join(f.path, url.PathEscape(p.Group)+"."+url.PathEscape(p.Topic)+"."+strconv.Itoa(p.Number)+".jsonl")
}

// Load implements Store. Whoever had the partition before may have written the file anew, so it is opened anew too.
func (f *Folder) Load(_ context.Context, partition Partition) (map[string]*stream.Saved, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if open := f.files[partition]; open != nil {
		delete(f.files, partition)
		_ = open.Close() // what was written to it is synchronised
	}
	found := &newest{partition: partition, streams: map[string]*stream.Saved{}}
	if err := f.read(partition, found); err != nil {
		return nil, f.failed("reading", err)
	}
	return found.streams, nil
}

// read reads the lines of a partition. A line that a crash cut off was not acknowledged: it is the last one, and left out.
func (f *Folder) read(partition Partition, found *newest) error {
	file, err := os.Open(f.name(partition))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if key, gone := goneLine(line); gone {
			found.drop(key)
			continue
		}
		saved, err := stream.UnmarshalSaved(line)
		if err != nil {
			f.log.Warn("leaving out the state of a stream that cannot be read; the stream warms up anew", "file", file.Name(), "error", err)
			continue
		}
		found.add(saved)
	}
}

// goneJSON is a line that says that nothing is kept of a stream.
type goneJSON struct {
	Gone string `json:"gone"`
}

func goneLine(line []byte) (key string, gone bool) {
	if !bytes.HasPrefix(line, []byte(`{"gone":`)) {
		return "", false
	}
	var told goneJSON
	return told.Gone, json.Unmarshal(line, &told) == nil && told.Gone != ""
}

// Save implements Store: one write and one synchronisation for every partition.
func (f *Folder) Save(_ context.Context, entries []Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	touched := map[*partitionFile][]byte{}
	for _, entry := range entries {
		file, err := f.open(entry.partition())
		if err != nil {
			return f.failed("opening a file", err)
		}
		line, err := lineOf(entry)
		if err != nil {
			return fmt.Errorf("writing the state of stream %s: %w", entry.Stream, err)
		}
		file.note(entry, line)
		touched[file] = append(touched[file], line...)
	}
	for file, lines := range touched {
		if err := f.append(file, lines); err != nil {
			return f.failed("writing "+file.Name(), err)
		}
	}
	return nil
}

func lineOf(entry Entry) ([]byte, error) {
	if entry.Gone {
		line, err := json.Marshal(goneJSON{Gone: entry.Key()})
		return append(line, '\n'), err
	}
	line, err := stream.MarshalSaved(entry.Saved)
	return append(line, '\n'), err
}

func (p *partitionFile) note(entry Entry, line []byte) {
	key := entry.Key()
	p.sum -= int64(len(p.live[key]))
	delete(p.live, key)
	if !entry.Gone {
		p.live[key] = line
		p.sum += int64(len(line))
	}
}

// open is the file of a partition, opened by the first Save after a Load.
func (f *Folder) open(partition Partition) (*partitionFile, error) {
	if open := f.files[partition]; open != nil {
		return open, nil
	}
	found := &newest{partition: partition, streams: map[string]*stream.Saved{}}
	if err := f.read(partition, found); err != nil {
		return nil, err
	}
	opened := &partitionFile{of: partition, live: map[string][]byte{}}
	for _, saved := range found.streams {
		line, err := lineOf(Entry{Saved: saved})
		if err != nil {
			return nil, err
		}
		opened.note(Entry{Saved: saved}, line)
	}
	// Written anew: that cuts off an unfinished line, and gives this owner a file of its own. One that was put out of the group and
	// does not know it yet goes on writing to the file there was.
	if err := f.rewrite(opened); err != nil {
		return nil, err
	}
	f.files[partition] = opened
	return opened, nil
}

// rewrite writes what counts to a new file and puts it in the place of the old one.
func (f *Folder) rewrite(p *partitionFile) error {
	file, err := os.CreateTemp(f.path, ".state-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) //nolint:errcheck // where it was renamed there is nothing to remove
	size := int64(0)
	for _, line := range p.live {
		n, err := file.Write(line)
		if err != nil {
			return errors.Join(err, file.Close())
		}
		size += int64(n)
	}
	if err := errors.Join(file.Sync(), os.Rename(file.Name(), f.name(p.of)), syncFolder(f.path)); err != nil {
		return errors.Join(err, file.Close())
	}
	if p.File != nil {
		_ = p.Close() // what was written to it is in the new file
	}
	p.File, p.size = file, size
	return nil
}

// syncFolder makes the name of a new file durable. A file system that cannot do it needs no help.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	_ = dir.Sync()
	return dir.Close()
}

// append adds lines; invariant 1: it returns once the disk has them.
func (f *Folder) append(p *partitionFile, lines []byte) error {
	if p.size+int64(len(lines)) > max(rewriteFrom, rewriteTimes*p.sum) {
		return f.rewrite(p) // the lines are among what counts already
	}
	n, err := p.Write(lines)
	p.size += int64(n)
	if err != nil {
		return err
	}
	return p.Sync()
}

func (f *Folder) failed(doing string, err error) error {
	return stream.FailTransient("ingest", CodeFolder, "state.folder %s: %s: %w", f.path, doing, err)
}

// Close implements Store.
func (f *Folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, open := range f.files {
		errs = append(errs, open.Close())
	}
	f.files = map[Partition]*partitionFile{}
	return errors.Join(errs...)
}

var (
	_ Store = (*Memory)(nil)
	_ Store = (*Topic)(nil)
	_ Store = (*Folder)(nil)
)
