package ingest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watching is how folders are watched. Events of the file system only make it look at once; looking regularly is what counts,
// as network file systems tell no events.
type watching struct {
	settle time.Duration
	every  time.Duration
	// list is the finished and unfinished video files of a folder.
	list func(folder string) ([]observed, error)
	// events sends to wake whenever something may have changed, until ctx is done.
	events func(ctx context.Context, folders []string, wake chan<- struct{}, log *slog.Logger)
}

// watchAtMost is how often folders are looked at when events come in quick succession.
const watchAtMost = 50 * time.Millisecond

func newWatching(settle time.Duration) watching {
	return watching{settle: settle, every: 2 * time.Second, list: listFolder, events: folderEvents}
}

// watch offers every finished file of the folders once, until ctx is done.
func (f *Files) watch(ctx context.Context, found expanded, names *naming, jobs chan<- job) error {
	w := f.watching
	wake := make(chan struct{}, 1)
	var listening sync.WaitGroup
	listening.Go(func() { w.events(ctx, found.folders, wake, f.log) })
	defer listening.Wait()

	files := newSettling(w.settle, found.files)
	streams := map[string]string{} // by path, to give names back
	looking := outage{log: f.log, what: "watching the folders"}
	for {
		seen, err := w.look(found.folders)
		if err != nil {
			looking.failed(err)
		} else {
			looking.over()
		}
		ready, gone, next := files.observe(time.Now(), seen, err == nil)
		for _, path := range gone {
			names.release(streams[path])
			delete(streams, path)
		}
		for _, path := range ready {
			streams[path] = names.take(path)
			select {
			case jobs <- job{path: path, stream: streams[path]}:
			case <-ctx.Done():
				return nil
			}
		}
		if !w.wait(ctx, next, wake) {
			return nil
		}
	}
}

// look lists all folders; what it could see it returns even where a folder failed.
func (w *watching) look(folders []string) ([]observed, error) {
	var seen []observed
	var errs []error
	for _, folder := range folders {
		files, err := w.list(folder)
		seen = append(seen, files...)
		errs = append(errs, err)
	}
	return seen, errors.Join(errs...)
}

// wait sleeps until it is time to look again.
func (w *watching) wait(ctx context.Context, next time.Time, wake <-chan struct{}) bool {
	pause := w.every
	if !next.IsZero() {
		pause = min(pause, max(time.Until(next), watchAtMost))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	case <-wake:
		return sleep(ctx, watchAtMost)
	}
}

// observed is a file as it looks now.
type observed struct {
	path     string
	size     int64
	modified time.Time
}

// settling tells finished files from those still being written: a file is finished when nothing about it changed for a while.
// An empty file is not finished: many writers make the file first.
type settling struct {
	settle time.Duration
	files  map[string]*settlingFile
}

type settlingFile struct {
	observed
	since time.Time // unchanged since
	taken bool
}

func newSettling(settle time.Duration, taken []string) *settling {
	s := &settling{settle: settle, files: map[string]*settlingFile{}}
	for _, path := range taken {
		s.files[absolute(path)] = &settlingFile{observed: observed{path: path}, taken: true}
	}
	return s
}

// observe takes in how the files look now, and returns those that are finished (each once), those that are gone, and when the
// next may be finished. Files are only gone where the look was complete.
func (s *settling) observe(now time.Time, seen []observed, complete bool) (ready, gone []string, next time.Time) {
	present := make(map[string]bool, len(seen))
	for _, file := range seen {
		key := absolute(file.path)
		present[key] = true
		known := s.files[key]
		switch {
		case known == nil:
			known = &settlingFile{observed: file, since: now}
			if now.Sub(file.modified) >= s.settle {
				known.since = file.modified // it was finished before we came
			}
			s.files[key] = known
		case known.taken:
			continue
		case file.size != known.size || !file.modified.Equal(known.modified):
			known.observed, known.since = file, now
		}
		if known.size == 0 {
			continue
		}
		due := known.since.Add(s.settle)
		if !due.After(now) {
			known.taken = true
			ready = append(ready, file.path)
		} else if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	if complete {
		for _, key := range sortedKeys(s.files) {
			if !present[key] {
				gone = append(gone, s.files[key].path)
				delete(s.files, key)
			}
		}
	}
	return ready, gone, next
}

func listFolder(folder string) ([]observed, error) {
	entries, err := os.ReadDir(folder) // sorted
	if err != nil {
		return nil, err
	}
	var files []observed
	for _, entry := range entries {
		if isUnfinished(entry.Name()) || isCompanion(entry.Name()) {
			continue
		}
		path := filepath.Join(folder, entry.Name())
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue // gone again, a folder, a pipe
		}
		files = append(files, observed{path: path, size: info.Size(), modified: info.ModTime()})
	}
	return files, nil
}

func folderEvents(ctx context.Context, folders []string, wake chan<- struct{}, log *slog.Logger) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("the system tells no file events, looking regularly instead", "error", err)
		return
	}
	defer watcher.Close() //nolint:errcheck // nothing to do about it
	for _, folder := range folders {
		if err := watcher.Add(folder); err != nil {
			log.Warn("the system tells no events of a folder, looking regularly instead", "folder", folder, "error", err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-watcher.Events:
		case err := <-watcher.Errors:
			log.Debug("an event of the file system was lost", "error", err)
		}
		select {
		case wake <- struct{}{}:
		default: // it will look anyway
		}
	}
}
