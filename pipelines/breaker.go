package pipelines

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/ensue-video/ensue/stream"
)

// CodeBreaker: too many of the last segments became dead letters.
const CodeBreaker stream.Code = "breaker.open"

// BreakerConfig is when a pipeline stops because nearly everything fails: then something is wrong with the pipeline, not with the video.
type BreakerConfig struct {
	// Failed of the last Of segments stop it; 0 means never.
	Failed int `def:"failed"`
	Of     int `def:"of"`
}

// breaker counts how many of the last segments failed. One goroutine uses it.
type breaker struct {
	config BreakerConfig
	last   []stream.Code // of the last segments, "" where nothing failed; a ring once it is full
	next   int
	failed int
	// told is where failed is read by others; nil: nobody asks.
	told   *atomic.Int64
	latest *stream.Failure
}

func newBreaker(config BreakerConfig) *breaker {
	return &breaker{config: config, last: make([]stream.Code, 0, max(config.Of, 0))}
}

// note counts an item whose result or dead letter is written. What is read again, and what never was tried, says nothing.
func (b *breaker) note(it *item) {
	if b == nil || b.config.Failed <= 0 || it.segment.ContextOnly || it.dropped || it.segment.Mark == stream.MarkForget {
		return
	}
	if b.told != nil {
		defer func() { b.told.Store(int64(b.failed)) }()
	}
	code := stream.Code("")
	if it.failure != nil {
		code, b.latest = it.failure.Code, it.failure
		b.failed++
	}
	if len(b.last) < b.config.Of {
		b.last = append(b.last, code)
		return
	}
	if b.last[b.next] != "" {
		b.failed--
	}
	b.last[b.next] = code
	b.next = (b.next + 1) % len(b.last)
}

// configure has it trip otherwise; what it knows of the last segments it forgets where it looks at another number of them.
func (b *breaker) configure(config BreakerConfig) {
	if b == nil || b.config == config {
		return
	}
	if b.config.Of != config.Of {
		told := b.told
		*b = *newBreaker(config)
		b.told = told
	}
	b.config = config
}

// tripped is the error to stop with; nil while there are not too many.
func (b *breaker) tripped() error {
	if b == nil || b.config.Failed <= 0 || b.failed < b.config.Failed {
		return nil
	}
	return stream.FailTransient("sink", CodeBreaker,
		"%d of the last %d segments became dead letters (breaker: {failed: %d, of: %d}): %s; the last one: %w; the pipeline stops, for then "+
			"something else is wrong than the video: mend that, let `ensue dead retry` send the dead letters again, or raise breaker.failed",
		b.failed, len(b.last), b.config.Failed, b.config.Of, b.codes(), b.latest)
}

// codes are what went wrong, the most frequent first.
func (b *breaker) codes() string {
	counts := map[stream.Code]int{}
	for _, code := range b.last {
		if code != "" {
			counts[code]++
		}
	}
	codes := slices.SortedFunc(maps.Keys(counts), func(x, y stream.Code) int {
		return cmp.Or(cmp.Compare(counts[y], counts[x]), cmp.Compare(x, y))
	})
	parts := make([]string, len(codes))
	for i, code := range codes {
		parts[i] = fmt.Sprintf("%d × %s", counts[code], code)
	}
	return strings.Join(parts, ", ")
}
