package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/stream"
)

// mailbox holds what was polled for one partition until its worker takes it; it implements feed. When it is full the partition is
// not fetched from any more (invariant 6); other partitions go on.
type mailbox struct {
	partition int32
	most      int64
	pause     func(partition int32)
	resume    func(partition int32)
	offsets   *offsets

	mu     sync.Mutex
	queue  []fetched
	bytes  int64
	paused bool
	wake   chan struct{} // of one: something is there
}

func newMailbox(partition int32, most int64) *mailbox {
	return &mailbox{partition: partition, most: most, wake: make(chan struct{}, 1)}
}

// put adds what was polled; it never blocks.
func (b *mailbox) put(news ...fetched) {
	if len(news) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(b.queue, news...)
	for _, n := range news {
		b.bytes += n.size()
	}
	if !b.paused && b.bytes >= b.most {
		b.paused = true
		b.pause(b.partition)
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take removes the oldest.
func (b *mailbox) take() (fetched, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return fetched{}, false
	}
	first := b.queue[0]
	b.queue[0] = fetched{}
	b.queue = b.queue[1:]
	b.bytes -= first.size()
	if b.paused && len(b.queue) == 0 {
		b.paused = false
		b.resume(b.partition)
	}
	return first, true
}

// crowdedPause is how long to wait before looking again whether a partition is still crowded.
const crowdedPause = 20 * time.Millisecond

// run implements feed. After an aborted transaction records come again that were told before: they are passed over.
func (b *mailbox) run(ctx context.Context, next int64, out chan<- fetched) {
	for {
		news, there := b.take()
		if !there {
			select {
			case <-b.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if news.record != nil && news.record.Offset < next {
			continue
		}
		for b.offsets.crowded(crowdedBytes) {
			if !sleep(ctx, crowdedPause) {
				return
			}
		}
		if news.record == nil {
			news.next = next
		}
		select {
		case out <- news:
			next = news.next
		case <-ctx.Done():
			return
		}
	}
}

// size is how much memory the record takes, about.
func (f fetched) size() int64 {
	if f.record == nil {
		return 0
	}
	return int64(len(f.record.Value)+len(f.record.Key)) + 256
}

// recordOf is a record as the pipeline knows it.
func recordOf(record *kgo.Record) *stream.Record {
	headers := make([]stream.Header, len(record.Headers))
	for i, h := range record.Headers {
		headers[i] = stream.Header{Key: h.Key, Value: h.Value}
	}
	return &stream.Record{
		Topic: record.Topic, Partition: int(record.Partition), Offset: record.Offset, Time: record.Timestamp,
		Key: record.Key, Value: record.Value, Headers: headers,
	}
}
