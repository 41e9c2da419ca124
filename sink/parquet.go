package sink

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ensue-video/ensue/resultfile"
	"github.com/ensue-video/ensue/stream"
)

const (
	// DefaultParquetEvery is how long a table grows where the definition does not say.
	DefaultParquetEvery = 5 * time.Minute
	// DefaultParquetSize is how many bytes a table grows to where the definition does not say.
	DefaultParquetSize = 64 << 20
	// A table NAME.parquet grows as a journal .NAME.journal beside its place; names begin with the time they were begun at.
	journalEnding   = ".journal"
	tableTimeLayout = "20060102T150405.000Z"
	tablePrefix     = "results-"
	// rollAgain is after how long a table that could not be written is tried again while nothing comes in.
	rollAgain = 10 * time.Second
)

// DefaultParquet is what a definition's sink.parquet is before its keys are read.
func DefaultParquet() ParquetConfig {
	return ParquetConfig{Every: DefaultParquetEvery, Size: DefaultParquetSize, Map: true}
}

// CheckTableFolder says what is wrong with the folder of tables; nil where nothing is.
func CheckTableFolder(path string) error {
	if path == "" || strings.HasSuffix(strings.ToLower(path), resultfile.EndingParquet) {
		return errors.New("is no folder: results are written to tables in it, one after the other")
	}
	return nil
}

func (v *validation) parquet(c *ParquetConfig) {
	if err := CheckTableFolder(c.Path); err != nil {
		v.fail("sink.parquet.path: %q %w", c.Path, err)
	}
	if c.Every <= 0 {
		v.fail("sink.parquet.every: %v is not a time: write one such as %v", c.Every, DefaultParquetEvery)
	}
	if c.Size <= 0 {
		v.fail("sink.parquet.size: %d is too small: write 1MiB or more", c.Size)
	}
}

// parquetSink writes results into a folder of tables.
//
// Invariant 1: a table cannot be read before it is finished, and a finished one cannot grow, so that acknowledgements would have to
// wait for the end of a table. Instead results are appended to a journal, JSON lines that are synchronised to the disk at every Write,
// and are durable there; the table is made from the journal when it is old or large enough. A journal that a crash left behind is taken
// up again by the next process: what was acknowledged is in a table in the end.
//
// Invariant 2: results that are written again after a crash come into the same journal as those they repeat, unless that became a table
// just before; of an id that is in a journal twice, the table has the last.
type parquetSink struct {
	config ParquetConfig
	log    *slog.Logger

	mutex   sync.Mutex
	journal *journal
	closed  bool
	// timer finishes the table in time when nothing more comes.
	timer *time.Timer
}

// journal is a table that still grows.
type journal struct {
	lines *lineFile
	table string
	begun time.Time
	bytes int64
}

func openParquet(c *Config, _ []string, log *slog.Logger, _ []Option) (Sink, error) {
	if c.Parquet == nil {
		return nil, nil
	}
	s := &parquetSink{config: *c.Parquet, log: orSilent(log)}
	if err := os.MkdirAll(s.config.Path, 0o755); err != nil {
		return nil, failTransient(CodeFile, "sink.parquet.path: making the folder %q: %w", s.config.Path, err)
	}
	s.timer = time.AfterFunc(time.Hour, s.due)
	s.timer.Stop()
	if err := s.takeUp(); err != nil {
		return nil, err
	}
	return s, nil
}

// takeUp goes on with the journals that no other process writes: the newest one goes on growing, the others become tables.
func (s *parquetSink) takeUp() error {
	paths, err := filepath.Glob(filepath.Join(escapeGlob(s.config.Path), "."+tablePrefix+"*"+journalEnding))
	if err != nil {
		return failTransient(CodeFile, "sink.parquet.path: looking for journals in %q: %w", s.config.Path, err)
	}
	for _, path := range paths {
		found, err := s.adopt(path)
		if err != nil {
			return errors.Join(err, s.journal.close())
		}
		if found == nil {
			continue
		}
		s.log.Info("going on with a journal that was left behind", "journal", path, "bytes", found.bytes)
		older := s.journal
		s.journal = found
		if err := s.finish(older); err != nil {
			return errors.Join(err, older.close(), found.close())
		}
	}
	s.schedule()
	return nil
}

// escapeGlob has filepath.Glob take a path as it is.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// adopt opens a journal; nil where another process writes it, or has just finished it.
func (s *parquetSink) adopt(path string) (*journal, error) {
	lines, err := openLines(path, "sink.parquet.path", s.log)
	if stream.AsFailure(err, "sink").Code == CodeFileInUse {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	there, err := lines.inPlace()
	if err != nil || !there {
		return nil, errors.Join(err, lines.close())
	}
	ours, err := lines.file.Stat()
	if err == nil && ours.Size() == 0 {
		return nil, errors.Join(lines.failed("removing", os.Remove(path)), lines.close())
	}
	if err != nil {
		return nil, errors.Join(lines.failed("measuring", err), lines.close())
	}
	name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "."), journalEnding)
	when, _, _ := strings.Cut(strings.TrimPrefix(name, tablePrefix), "-")
	begun, err := time.Parse(tableTimeLayout, when)
	if err != nil {
		begun = ours.ModTime()
	}
	return &journal{lines: lines, table: filepath.Join(s.config.Path, name+resultfile.EndingParquet), begun: begun, bytes: ours.Size()}, nil
}

// begin makes a new journal. One that takeUp of another process has taken for an empty one that was left behind is made anew.
func (s *parquetSink) begin() error {
	for {
		var random [4]byte
		_, _ = rand.Read(random[:]) // never fails
		now := time.Now().UTC()
		name := tablePrefix + now.Format(tableTimeLayout) + "-" + hex.EncodeToString(random[:])
		lines, err := openLines(filepath.Join(s.config.Path, "."+name+journalEnding), "sink.parquet.path", s.log)
		if stream.AsFailure(err, "sink").Code == CodeFileInUse {
			continue
		}
		if err != nil {
			return err
		}
		there, err := lines.inPlace()
		if err != nil {
			return errors.Join(err, lines.close())
		}
		if !there {
			if err := lines.close(); err != nil {
				return err
			}
			continue
		}
		s.journal = &journal{lines: lines, table: filepath.Join(s.config.Path, name+resultfile.EndingParquet), begun: now}
		s.schedule()
		return nil
	}
}

// Write appends the results to the journal, and finishes the table where it is old or large enough.
func (s *parquetSink) Write(ctx context.Context, results []*stream.Result) error {
	lines, err := resultLines(results)
	if err != nil || len(lines) == 0 {
		return err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed {
		return failTransient(CodeClosed, "sink.parquet: writing to %q: it is closed", s.config.Path)
	}
	// Before, not after: where a table cannot be made, what has come is safe in the journal, and what comes now is not let in for ever.
	if s.journal != nil && (s.journal.bytes >= s.config.Size || time.Since(s.journal.begun) >= s.config.Every) {
		if err := s.roll(); err != nil {
			return err
		}
	}
	if s.journal == nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	if err := s.journal.lines.write(ctx, lines); err != nil {
		return err
	}
	s.journal.bytes += int64(len(lines))
	return nil
}

// schedule has the table finished in time, also when nothing more comes.
func (s *parquetSink) schedule() {
	if s.journal != nil {
		s.timer.Reset(max(time.Until(s.journal.begun.Add(s.config.Every)), 0))
	}
}

// due finishes the table whose time has come.
func (s *parquetSink) due() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed || s.journal == nil || time.Since(s.journal.begun) < s.config.Every {
		return
	}
	if err := s.roll(); err != nil {
		s.log.Warn("a table could not be written; its results are safe in the journal, and it is tried again", "error", err)
		s.timer.Reset(rollAgain)
	}
}

// roll makes the journal a table.
func (s *parquetSink) roll() error {
	if err := s.finish(s.journal); err != nil {
		return err
	}
	s.journal = nil
	return nil
}

// finish writes the table of a journal and removes it. Whatever fails, or wherever it is killed, the journal or the table is there; a
// journal whose table is there already makes the same table again.
func (s *parquetSink) finish(j *journal) error {
	if j == nil {
		return nil
	}
	path := j.lines.path
	count, err := resultfile.CreateParquet(j.table, resultfile.ReadJSONL(path), resultfile.Options{Maps: s.config.Map, Once: true})
	if err != nil {
		return failTransient(CodeFile, "sink.parquet.path: making a table of %q: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return failTransient(CodeFile, "sink.parquet.path: removing %q: %w", path, err)
	}
	s.log.Info("table written", "table", j.table, "results", count)
	return j.close()
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return j.lines.close()
}

// Close finishes the table.
func (s *parquetSink) Close() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.timer.Stop()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.finish(s.journal)
	if err != nil {
		err = errors.Join(err, s.journal.close())
	}
	s.journal = nil
	return err
}

var _ Sink = (*parquetSink)(nil)
