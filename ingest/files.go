package ingest

import (
	"context"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ensue-video/ensue/container"
	"github.com/ensue-video/ensue/stream"
)

// Files reads recorded files; each is a stream, named by StreamNames and cut by SegmentsOf. The files are taken in the order
// of ExpandPaths, two side by side; with Watch it goes on with files that appear in the folders, once they are finished.
type Files struct {
	cfg      FilesConfig
	log      *slog.Logger
	counters Counters
	drain    time.Duration
	watching watching
	gate     Gate // nil: none
}

// filesAtOnce is how many files are read side by side: one can be read while the segments of another are waited for.
const filesAtOnce = 2

// NewFiles makes the source; the paths are looked at in Run. Segments of a file are in order by nature, so there is no Order.
func NewFiles(cfg FilesConfig, log *slog.Logger) *Files {
	return &Files{cfg: cfg, log: log, drain: DefaultKafka().DrainTimeout, watching: newWatching(cfg.Settle)}
}

// Stats implements Reporter.
func (f *Files) Stats() Stats { return f.counters.snapshot() }

// Run implements Source. It fails only where a path matches nothing (CodeNoMatch); what is wrong with a single file becomes a
// segment with a Problem.
func (f *Files) Run(ctx context.Context, out chan<- *stream.Segment) error {
	found, err := expand(f.cfg.Paths, f.cfg.Watch)
	if err != nil {
		return err
	}
	for _, path := range found.skipped {
		f.log.Info("leaving a file out that is no video by its name; name it in paths to read it all the same", "file", path)
	}
	jobs := make(chan job)
	flight := &flight{}
	group, working := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(jobs)
		return f.offer(working, found, jobs)
	})
	for range filesAtOnce {
		group.Go(func() error { return f.work(working, jobs, flight, out) })
	}
	err = group.Wait()
	if ctx.Err() == nil {
		return err // nil unless watching failed: all files are read, and their segments are on their way
	}
	if left := flight.land(patience(ctx, f.drain)); left > 0 {
		f.log.Warn("stopping before all segments are done", "segments", left, "drain_timeout", f.drain)
	}
	return nil
}

// job is one file to read.
type job struct{ path, stream string }

func (f *Files) offer(ctx context.Context, found expanded, jobs chan<- job) error {
	names := StreamNames(found.files)
	for i, path := range found.files {
		select {
		case jobs <- job{path: path, stream: names[i]}:
		case <-ctx.Done():
			return nil
		}
	}
	if !f.cfg.Watch {
		return nil
	}
	return f.watch(ctx, found, newNaming(names), jobs)
}

// work reads files until there are no more; it fails only when ctx is done.
func (f *Files) work(ctx context.Context, jobs <-chan job, flight *flight, out chan<- *stream.Segment) error {
	for j := range jobs {
		err := SegmentsOf(ctx, j.path, j.stream, f.cfg.Segment, func(segment *stream.Segment) error {
			f.counters.Received.Add(1)
			if segment.Problem != nil {
				f.counters.Problems.Add(1)
			}
			if f.gate != nil {
				if err := f.gate.Enter(ctx, segment); err != nil {
					return err
				}
			}
			flight.add()
			segment.Receipt = flightReceipt{flight}
			select {
			case out <- segment:
				f.counters.Emitted.Add(1)
				return nil
			case <-ctx.Done():
				segment.Receipt.Done(segment.ID())
				if f.gate != nil {
					f.gate.Leave(segment)
				}
				return ctx.Err()
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// SegmentsOf cuts a file on key frames, about every so long, and emits its segments in order. The file is a stream of its own:
// sequences count from 0, times from 1970-01-01T00:00:00Z (also the Epoch), and the last segment is marked as its end. What
// cannot be opened or cut ends with a segment that has a Problem. It fails only with what emit returned, or when ctx is done.
//
// Invariant 7: replaying and publishing a file both cut here, so both give the same segments.
func SegmentsOf(ctx context.Context, path, name string, every time.Duration, emit func(*stream.Segment) error) error {
	c := &cutting{path: path, stream: name, emit: emit}
	err := c.run(ctx, every)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case c.refused != nil:
		return c.refused
	case err == nil && c.next == 0:
		err = stream.Fail("ingest", CodeNoVideo, "%s gave no segment", path)
	case err == nil && c.ended:
		return nil
	}
	// Invariant 4: what is wrong becomes a dead letter, and ends only this stream.
	last := c.segment()
	last.Mark, last.Problem = stream.MarkEnd, err
	return emit(last)
}

// cutting is one file being cut.
type cutting struct {
	path, stream string
	emit         func(*stream.Segment) error
	next         int64
	end          time.Duration // of the last piece
	ended        bool
	refused      error // what emit returned
}

func (c *cutting) run(ctx context.Context, every time.Duration) error {
	// Only regular files: opening a pipe would wait for ever, and a device has no end.
	info, err := os.Stat(c.path)
	if err != nil {
		return stream.Fail("ingest", CodeOpen, "opening %s: %w", c.path, err)
	}
	if !info.Mode().IsRegular() {
		return stream.Fail("ingest", CodeNoFile, "%s is no regular file (%s): give recorded files", c.path, info.Mode().Type())
	}
	file, err := os.Open(c.path)
	if err != nil {
		return stream.Fail("ingest", CodeOpen, "opening %s: %w", c.path, err)
	}
	defer file.Close() //nolint:errcheck // only read
	err = container.Cut(ctx, file, c.path, every, c.take)
	if err != nil {
		return stream.AsFailure(err, "ingest")
	}
	return nil
}

// take makes a segment of a piece.
func (c *cutting) take(piece container.Piece) error {
	segment := c.segment()
	segment.Start = fileEpoch().Add(piece.Start)
	segment.Duration = piece.Duration
	segment.ContentType = piece.ContentType
	segment.Payload = piece.Payload
	if piece.Last {
		segment.Mark = stream.MarkEnd
		c.ended = true
	}
	if len(piece.Payload) == 0 { // an end without payload would say that nothing is wrong
		segment.Problem = stream.Fail("ingest", CodeNoVideo, "%s is empty", c.path)
	}
	c.next++
	c.end = piece.Start + piece.Duration
	c.refused = c.emit(segment)
	return c.refused
}

// segment is the next one, still without video.
func (c *cutting) segment() *stream.Segment {
	return &stream.Segment{
		Stream: c.stream, Sequence: c.next, Sequenced: true,
		Start: fileEpoch().Add(c.end), Epoch: fileEpoch(),
		Origin:   stream.Origin{File: c.path},
		Received: time.Now(), Receipt: stream.NoReceipt{},
	}
}

// fileEpoch is when a recorded file starts, as nobody said: 1970-01-01T00:00:00Z.
func fileEpoch() time.Time { return time.Unix(0, 0).UTC() }
