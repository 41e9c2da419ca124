package publish

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// Hook is what a recorder tells the program it starts when a segment file is complete.
type Hook struct {
	// Path is the file, Stream whose it is, Start when its first frame was taken.
	Path, Stream string
	Start        time.Time
}

// MediaMTXHook reads what MediaMTX passes to runOnRecordSegmentComplete: MTX_PATH, MTX_SEGMENT_PATH, MTX_SEGMENT_DURATION.
// The start is that in the file's name where the name is MediaMTX's default, else the file's time less the duration.
func MediaMTXHook(env func(string) (string, bool)) (Hook, error) {
	path, ok := env("MTX_SEGMENT_PATH")
	if !ok || path == "" {
		return Hook{}, stream.Fail("publish", "publish.no_hook",
			"MTX_SEGMENT_PATH is not set: --hook is for MediaMTX's runOnRecordSegmentComplete")
	}
	name, _ := env("MTX_PATH")
	if name == "" {
		name = stream.DefaultStream
	}
	info, err := os.Stat(path)
	if err != nil {
		return Hook{}, stream.Fail("publish", "publish.no_such_file", "reading MTX_SEGMENT_PATH: %w", err)
	}
	start, ok := startInName(filepath.Base(path))
	if !ok {
		seconds, _ := env("MTX_SEGMENT_DURATION")
		length, err := time.ParseDuration(seconds + "s")
		if err != nil && seconds != "" {
			return Hook{}, fmt.Errorf("reading MTX_SEGMENT_DURATION %q: %w", seconds, err)
		}
		start = info.ModTime().Add(-length)
	}
	return Hook{Path: path, Stream: name, Start: start.UTC()}, nil
}

// startInName reads MediaMTX's default file names, %Y-%m-%d_%H-%M-%S-%f in local time.
func startInName(base string) (time.Time, bool) {
	const layout = "2006-01-02_15-04-05"
	stem := base[:len(base)-len(filepath.Ext(base))]
	if len(stem) < len(layout) {
		return time.Time{}, false
	}
	start, err := time.ParseInLocation(layout, stem[:len(layout)], time.Local)
	if err != nil {
		return time.Time{}, false
	}
	var micros int64
	if rest := stem[len(layout):]; rest != "" {
		if _, err := fmt.Sscanf(rest, "-%06d", &micros); err != nil {
			return time.Time{}, false
		}
	}
	return start.Add(time.Duration(micros) * time.Microsecond), true
}
