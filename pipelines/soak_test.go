package pipelines

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/container"
	"github.com/ensue-video/ensue/stream"
)

// looping is a source that sends the segments of files again and again, as streams without an end, at full speed.
type looping struct {
	files map[string][]*stream.Segment
	until time.Time
}

func (l looping) Run(ctx context.Context, out chan<- *stream.Segment) error {
	for lap := int64(0); time.Now().Before(l.until) && ctx.Err() == nil; lap++ {
		for name, segments := range l.files {
			length := segments[len(segments)-1].Start.Sub(segments[0].Epoch) + segments[len(segments)-1].Duration
			for _, segment := range segments {
				again := *segment
				again.Stream, again.Mark = name, stream.MarkNone
				again.Sequence += lap * int64(len(segments))
				again.Start = again.Start.Add(time.Duration(lap) * length)
				select {
				case out <- &again:
				case <-ctx.Done():
					return nil
				}
			}
		}
	}
	return nil
}

// TestSoakKeepsMemoryFlat runs looped video at full speed for ENSUE_SOAK_MINUTES (make soak); without it, for a few seconds, which
// shows only that nothing is left over.
func TestSoakKeepsMemoryFlat(t *testing.T) {
	minutes, _ := strconv.ParseFloat(os.Getenv("ENSUE_SOAK_MINUTES"), 64)
	length := max(time.Duration(minutes*float64(time.Minute)), 3*time.Second)
	source := looping{files: map[string][]*stream.Segment{}, until: time.Now().Add(length)}
	for _, name := range []string{"shelf", "yard", "garden"} {
		source.files[name] = segmentsFrom(t, sample(name))
	}
	var readings []int64
	last := time.Now()
	every := max(length/60, 100*time.Millisecond)
	engine, err := New(stockReplay(t, "unused"), WithSource(source), WithSink(discard{}), WithDeadLetters(deadGathered{&gathered{}}),
		WithOnDone(func(*stream.Segment, *stream.Result, *stream.Failure) {
			if time.Since(last) >= every {
				last = time.Now()
				readings = append(readings, residentKiB(t))
			}
		}))
	require.NoError(t, err)
	require.NoError(t, engine.Run(t.Context()))
	clips, _ := engine.pool.Outstanding()
	require.Zero(t, clips, "clips not given back")
	require.Zero(t, container.Live(), "FFmpeg objects not freed")
	counts := engine.Counts()
	t.Logf("%s: %d segments, %d frames, %d results", length, counts.Received.Load(), counts.Frames.Load(), counts.Results.Load())
	t.Logf("resident KiB: %v", readings)
	if minutes == 0 {
		return
	}
	// The first fifth is for pools and caches to fill.
	settled := readings[len(readings)/5:]
	third := len(settled) / 3
	early, late := mean(settled[:third]), mean(settled[len(settled)-third:])
	t.Logf("mean resident memory: %.1f MiB in the first third after warming up, %.1f MiB in the last", early/1024, late/1024)
	require.Less(t, late, early*1.05, "memory grows")
}

// discard is a sink that keeps nothing.
type discard struct{}

func (discard) Write(context.Context, []*stream.Result) error { return nil }
func (discard) Close() error                                  { return nil }

// residentKiB is the memory the kernel counts for this process, that of C libraries included.
func residentKiB(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		var value int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &value); err == nil {
			return value
		}
	}
	return 0
}

func mean(values []int64) float64 {
	total := 0.0
	for _, value := range values {
		total += float64(value)
	}
	return total / float64(max(len(values), 1))
}
