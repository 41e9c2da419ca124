package pipelines

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ensue-video/ensue/state"
	"github.com/ensue-video/ensue/stream"
)

// StateConfig is the definition's `state`: where what is known of streams is kept for whoever takes them over. With neither it is kept in
// the process, which outlives a rebalance and no restart.
type StateConfig struct {
	// Topic is a compacted topic on the brokers of ingest.kafka.
	Topic string `def:"topic"`
	// Folder is for the processes of one machine.
	Folder string `def:"folder"`
}

// Durable says that what is known of streams outlives the process.
func (c StateConfig) Durable() bool { return c.Topic != "" || c.Folder != "" }

// keepsMemory says that what the predictor remembers of streams is kept where the next owner finds it.
func (d *Definition) keepsMemory() bool { return d.Ingest.Kafka != nil && d.State.Durable() }

// endedFor is how long it is known of a stream that ended how far it was done: far longer than it takes to commit that.
const endedFor = time.Minute

// keeper saves what is known of streams as their segments are done, and gives it to whoever takes them over.
type keeper struct {
	store state.Store
	model string
	// durable says that saving is part of what must be written before a segment is acknowledged (invariant 1).
	durable bool
	log     *slog.Logger

	mu    sync.Mutex
	ended map[string]ending // by key
}

// ending is a stream that nobody has gone on with since.
type ending struct {
	*stream.Saved
	since time.Time
}

func newKeeper(store state.Store, model string, durable bool, log *slog.Logger) *keeper {
	return &keeper{store: store, model: model, durable: durable, log: log, ended: map[string]ending{}}
}

// Recover implements ingest.Recovery. What was saved with another model says nothing about this one: neither its energies nor that its
// results were written.
func (k *keeper) Recover(ctx context.Context, group, topic string, partition int) (map[string]*stream.Saved, error) {
	found, err := k.store.Load(ctx, state.Partition{Group: group, Topic: topic, Number: partition})
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	others := 0
	for name, saved := range found {
		foreign := saved.Model != k.model
		if foreign || saved.Ended {
			k.ended[saved.Key()] = ending{saved, time.Now()}
		}
		if foreign {
			others++
			delete(found, name)
		}
	}
	if others > 0 {
		k.log.Info("streams warm up anew: their state is of another model", "partition", partition, "streams", others, "model", k.model)
	}
	return found, nil
}

// save saves what is known after a batch: of each stream what was known last. The results and dead letters of the batch are written.
func (k *keeper) save(ctx context.Context, batch []*item) error {
	newest := make(map[string]int, len(batch))
	for i, it := range batch {
		if it.saved != nil {
			newest[it.saved.Stream] = i
		}
	}
	var entries []state.Entry
	for i, it := range batch {
		if it.saved != nil && newest[it.saved.Stream] == i {
			entries = append(entries, state.Entry{Saved: it.saved})
		}
	}
	if len(entries) == 0 {
		return nil
	}
	entries = append(entries, k.book(entries)...)
	if err := k.store.Save(ctx, entries); err != nil {
		return fmt.Errorf("saving the state of %d streams (the first: %s): %w", len(entries), entries[0].Stream, err)
	}
	return nil
}

// book notes which streams ended, and returns those that did so long ago that nothing is to be kept of them (invariant 6).
func (k *keeper) book(entries []state.Entry) []state.Entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, entry := range entries {
		if entry.Ended {
			k.ended[entry.Key()] = ending{entry.Saved, time.Now()}
		} else {
			delete(k.ended, entry.Key())
		}
	}
	var gone []state.Entry
	for key, ended := range k.ended {
		if time.Since(ended.since) >= endedFor {
			delete(k.ended, key)
			gone = append(gone, state.Entry{Saved: ended.Saved, Gone: true})
		}
	}
	return gone
}

// prepare makes ready what can be asked only now that the pipeline runs.
func (k *keeper) prepare(ctx context.Context) error {
	if k == nil {
		return nil
	}
	topic, ok := k.store.(*state.Topic)
	if !ok {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	if err := topic.Prepare(limited); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// prepareTimeout is how long a broker is looked for at the start.
const prepareTimeout = 15 * time.Second

func (k *keeper) close() error { return k.store.Close() }

// course is what has to be known of a stream to go on with it elsewhere, as far as its segments tell.
type course struct {
	saved *stream.Saved
	// begins are where the segments that may still be context begin on the stream's clock, oldest first.
	begins []beginning
}

// beginning is where a segment begins, and what the predictor remembered there.
type beginning struct {
	sequence int64
	at       time.Duration
	memory   []byte
}

// restore goes on where saved ends.
func (c *course) restore(saved *stream.Saved) {
	copied := *saved
	if copied.Ended { // the stream begins anew: of what was, only that it is done is known
		copied = *stream.NewSaved(saved.Stream, saved.Model)
		copied.Sequence, copied.Offset, copied.Since, copied.Time = saved.Sequence, saved.Offset, saved.Offset, saved.Time
	}
	c.saved = &copied
}

// pass notes an item and returns what is then known of its stream; nil where that is not to be saved.
func (c *course) pass(it *item, torn bool, before []byte, calibration func() []byte) *stream.Saved {
	segment := it.segment
	if segment.Mark == stream.MarkForget {
		return c.forgotten(segment)
	}
	if segment.Origin.Topic == "" || segment.Alone {
		return nil
	}
	c.begins = append(c.begins, beginning{segment.Sequence, it.from, before})
	c.trim(it.needed)
	if segment.Counted {
		return nil
	}
	c.saved.Pass(segment)
	c.saved.Torn, c.saved.End, c.saved.Needed, c.saved.From = torn, it.to, it.needed.Sequence, c.begins[0].at
	if it.needed == (stream.SegmentID{}) {
		c.saved.Needed, c.saved.From = -1, it.to // nothing of the stream was scored yet
	}
	if it.result != nil {
		c.saved.Result = it.result.ID
	}
	now := *c.saved
	if now.Ended = segment.Mark == stream.MarkEnd; !now.Ended {
		now.Calibration = calibration()
		if now.Needed >= 0 {
			now.Memory = c.begins[0].memory
		}
	}
	return &now
}

// forgotten is what is left of a stream that stayed away; nil where it lives on elsewhere, or nothing of it was done.
func (c *course) forgotten(segment *stream.Segment) *stream.Saved {
	if segment.Moved || c.saved.Offset < 0 {
		return nil
	}
	now := *c.saved
	now.Ended, now.Calibration = true, nil
	return &now
}

// trim forgets what lies before the oldest segment that is still needed.
func (c *course) trim(needed stream.SegmentID) {
	for i, begin := range c.begins {
		if begin.sequence == needed.Sequence {
			c.begins = append(c.begins[:0], c.begins[i:]...)
			return
		}
	}
	c.begins = append(c.begins[:0], c.begins[len(c.begins)-1])
}
