package pipelines

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// Counts is what an engine has done so far; every field is safe to read at any time.
type Counts struct {
	// Received segments were taken in, Dropped ones given up because a queue was full.
	Received, Dropped atomic.Int64
	// Reloads were taken over, ReloadsUnchanged changed nothing, ReloadsRefused were not taken over: what changed needs a restart, or the new
	// file is broken.
	Reloads, ReloadsUnchanged, ReloadsRefused atomic.Int64
	// settled is when the definition that runs was last read, in nanoseconds; differs says that the one read last is another.
	settled atomic.Int64
	differs atomic.Bool
	// Lost segments went to another process before their results were written.
	Lost atomic.Int64
	// Bytes of payloads were taken in with their records.
	Bytes atomic.Int64
	// Decoded segments became frames, Encoded ones tokens, Scored ones were judged.
	Decoded, Encoded, Scored atomic.Int64
	// Results were written, Dead segments became dead letters. Of the segments with a result Frames were sampled, FramesDropped could not be
	// made out.
	Results, Dead, Frames, FramesDropped atomic.Int64
	// Failing is how many of the last segments, so many as the breaker looks at, became dead letters.
	Failing atomic.Int64

	mu       sync.Mutex
	verdicts map[stream.Verdict]int64
	codes    map[stream.Code]int64
}

func newCounts() *Counts {
	c := &Counts{verdicts: map[stream.Verdict]int64{}, codes: map[stream.Code]int64{}}
	c.settled.Store(time.Now().UnixNano())
	return c
}

// Refuse books a changed definition that is not taken over: by Reload, or by whoever could not even read it.
func (c *Counts) Refuse() {
	c.ReloadsRefused.Add(1)
	c.differs.Store(true)
}

// reloaded books a definition that is, or already was, what runs.
func (c *Counts) reloaded(changes int) {
	if changes == 0 {
		c.ReloadsUnchanged.Add(1)
	} else {
		c.Reloads.Add(1)
	}
	c.differs.Store(false)
	c.settled.Store(time.Now().UnixNano())
}

// Verdicts is how many results had each verdict.
func (c *Counts) Verdicts() map[stream.Verdict]int64 { return snapshot(&c.mu, c.verdicts) }

// Codes is how many failures had each code.
func (c *Counts) Codes() map[stream.Code]int64 { return snapshot(&c.mu, c.codes) }

func (c *Counts) book(it *item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if it.failure != nil {
		c.Dead.Add(1)
		c.codes[it.failure.Code]++
	}
	if it.result != nil {
		c.Results.Add(1)
		c.Frames.Add(int64(it.result.Decode.Frames))
		c.FramesDropped.Add(int64(it.result.Decode.Dropped))
		c.verdicts[it.result.Verdict]++
	}
}

func snapshot[K comparable](mu *sync.Mutex, from map[K]int64) map[K]int64 {
	mu.Lock()
	defer mu.Unlock()
	to := make(map[K]int64, len(from))
	maps.Copy(to, from)
	return to
}
