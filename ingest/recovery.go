package ingest

import (
	"context"
	"fmt"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// takeover is what there is to know about a partition that is taken over.
type takeover struct {
	group, topic string
	partition    int
	generation   int32
	// committed says that the group had committed an offset: without one, or beyond end, the offsets that were saved are of a topic
	// of this name that is gone.
	committed bool
	end       int64
}

// equip gives a worker what the pipeline around the source wants of it.
func (o options) equip(w *worker, t takeover) {
	w.gate, w.taken = o.gate, t
	if o.recovery != nil {
		w.recover = func(ctx context.Context) (map[string]*stream.Saved, error) {
			return o.recovery.Recover(ctx, t.group, t.topic, t.partition)
		}
	}
}

// recovered is a stream of which something is known.
type recovered struct {
	*stream.Saved
	// told says that a segment took it along; resumed, that the first segment after what is known came by.
	told, resumed bool
}

// takeOver finds out what is known of the partition's streams, for as long as it takes: a stream that went on without would be judged
// by another past (invariant 7). It is false when ctx ended before.
func (w *worker) takeOver(ctx context.Context) bool {
	if w.recover == nil {
		return true
	}
	trouble := outage{log: w.log, what: fmt.Sprintf("reading the state of the streams of partition %d", w.id)}
	for {
		found, err := w.recover(ctx)
		if err == nil {
			trouble.over()
			w.resume(found)
			return true
		}
		if ctx.Err() != nil || !sleep(ctx, trouble.failed(err)) {
			return false
		}
	}
}

func (w *worker) resume(found map[string]*stream.Saved) {
	w.known = make(map[string]*recovered, len(found))
	live := 0
	for _, name := range sortedKeys(found) {
		saved := *found[name]
		if !w.taken.committed || saved.Offset >= w.taken.end {
			saved.Offset, saved.Since, saved.Sequence, saved.Needed = -1, -1, -1, -1
		}
		w.known[name] = &recovered{Saved: &saved}
		if saved.Ended {
			continue
		}
		live++
		w.order.Expect(time.Now(), &saved)
	}
	if len(found) > 0 {
		w.log.Info("streams go on as they were left", "partition", w.id, "streams", live)
	}
}

// recall adds to a segment that was read what is known of its stream.
func (w *worker) recall(segment *stream.Segment) {
	segment.Group, segment.Generation = w.taken.group, w.taken.generation
	known := w.known[segment.Stream]
	if known == nil || segment.Retried {
		return
	}
	if known.Covers(segment) {
		segment.Counted, segment.ContextOnly = !known.Ended, true
		return
	}
	if !known.resumed && !segment.ContextOnly {
		known.resumed = true
		// Of a numbered stream the missing number tells it.
		segment.Gap = segment.Gap || known.Torn && !known.Ended && !segment.Sequenced
	}
}

// hand gives the first segment of a stream that is sent on what is known of the stream.
func (w *worker) hand(segment *stream.Segment) {
	known := w.known[segment.Stream]
	if known == nil {
		return
	}
	if !known.told {
		known.told, segment.Saved = true, known.Saved
	}
	if known.resumed && segment.Origin.Offset > known.Offset { // nothing that is read from now on is covered
		delete(w.known, segment.Stream)
	}
}
