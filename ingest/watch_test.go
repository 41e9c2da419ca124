package ingest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// memory is folders that exist only in a test.
type memory struct {
	mu    sync.Mutex
	files map[string]observed
	err   error
}

func (m *memory) write(path string, size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path] = observed{path: path, size: size, modified: time.Now()}
}

func (m *memory) remove(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, path)
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) list(folder string) ([]observed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []observed
	for _, path := range sortedKeys(m.files) {
		if filepath.Dir(path) == folder {
			out = append(out, m.files[path])
		}
	}
	return out, m.err
}

// watched runs Files.watch over a memory without events, inside a synctest bubble.
func watched(t *testing.T, test func(m *memory, jobs <-chan job)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{files: map[string]observed{}}
		f := NewFiles(FilesConfig{Settle: 2 * time.Second}, slog.New(slog.DiscardHandler))
		f.watching.list = m.list
		f.watching.events = func(ctx context.Context, _ []string, _ chan<- struct{}, _ *slog.Logger) { <-ctx.Done() }
		m.write("/in/old.mp4", 5)
		m.write("/in/named.mp4", 5)
		time.Sleep(time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		jobs, ended := make(chan job), make(chan error, 1)
		go func() {
			found := expanded{folders: []string{"/in"}, files: []string{"/in/named.mp4"}}
			ended <- f.watch(ctx, found, newNaming([]string{"named"}), jobs)
		}()
		test(m, jobs)
		cancel()
		require.NoError(t, <-ended)
	})
}

func TestWatchTakesFinishedFilesOnce(t *testing.T) {
	watched(t, func(m *memory, jobs <-chan job) {
		begin := time.Now()
		require.Equal(t, job{"/in/old.mp4", "old"}, <-jobs)
		require.Zero(t, time.Since(begin), "it was finished long ago; named.mp4 is read already")

		m.write("/in/new.mp4", 1)
		m.write("/in/empty.mp4", 0)
		for i := range 5 { // it is being written
			time.Sleep(time.Second)
			m.write("/in/new.mp4", int64(2+i))
		}
		written := time.Now()
		require.Equal(t, job{"/in/new.mp4", "new"}, <-jobs)
		require.GreaterOrEqual(t, time.Since(written), 2*time.Second, "only once nothing changed for settle")
		require.LessOrEqual(t, time.Since(written), 4*time.Second+watchAtMost, "and soon after")

		m.write("/in/new.mp4", 99) // each file once
		m.write("/in/empty.mp4", 3)
		require.Equal(t, job{"/in/empty.mp4", "empty"}, <-jobs)
	})
}

func TestWatchNames(t *testing.T) {
	watched(t, func(m *memory, jobs <-chan job) {
		<-jobs
		m.write("/in/old.webm", 1)
		require.Equal(t, job{"/in/old.webm", "old-2"}, <-jobs)
		m.remove("/in/old.mp4")
		time.Sleep(time.Minute)
		m.write("/in/old.mp4", 7)
		require.Equal(t, job{"/in/old.mp4", "old"}, <-jobs, "a file of the same name is a new one after the old one was gone")
	})
}

func TestWatchOutlastsAFolderThatIsAway(t *testing.T) {
	watched(t, func(m *memory, jobs <-chan job) {
		<-jobs
		m.write("/in/new.mp4", 1)
		m.fail(errors.New("stale file handle"))
		time.Sleep(time.Minute)
		m.fail(nil)
		m.remove("/in/old.mp4")
		m.write("/in/last.mp4", 1)
		got := map[string]bool{(<-jobs).path: true, (<-jobs).path: true}
		require.Equal(t, map[string]bool{"/in/new.mp4": true, "/in/last.mp4": true}, got)
	})
}

func TestFolderEvents(t *testing.T) {
	root := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	wake, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		folderEvents(ctx, []string{root, filepath.Join(root, "missing")}, wake, slog.New(slog.DiscardHandler))
	}()
	require.Eventually(t, func() bool {
		require.NoError(t, os.WriteFile(filepath.Join(root, "new.mp4"), []byte("x"), 0o600))
		select {
		case <-wake:
			return true
		default:
			return false
		}
	}, 10*time.Second, 10*time.Millisecond)
	cancel()
	<-ended
}
