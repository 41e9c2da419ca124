package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/ensue-video/ensue/stream"
)

// fetched is what a fetcher tells its worker: a record, or only that something about the reading changed.
type fetched struct {
	record *stream.Record
	// next is the offset to read after this, high the end of the partition.
	next, high int64
	// failing says that nothing can be read for now; the next one told without it says that it works again.
	failing bool
	// lost says that reading goes on at next because what was wanted is no longer there.
	lost bool
}

// fetcher reads one partition. It asks for the next fetch only when the records of the last one are taken (invariant 6).
//
// It uses Client.Fetch and not a Reader: a Reader takes max_wait for a read deadline, downloads a record that needs longer than
// read_batch_timeout for ever, and steps over lost offsets without telling.
type fetcher struct {
	client    *kafka.Client
	topic     string
	partition int
	wait      time.Duration
	pace      pace
	outage    outage
	log       *slog.Logger
	// judge and proved tell the source's access what came of a fetch.
	judge  func(error) error
	proved func()
}

// pace is how much to ask for at once and how long that may take. A fetch that is too slow asks for less the next time, and,
// when less is not possible, waits longer: what is too large for the link arrives late instead of never.
type pace struct {
	bytes, maxBytes     int64
	timeout, minTimeout time.Duration
}

const (
	minFetch   = 64 << 10
	maxTimeout = 10 * time.Minute
)

func newPace(maxBytes int64, timeout time.Duration) pace {
	return pace{bytes: maxBytes, maxBytes: maxBytes, timeout: timeout, minTimeout: timeout}
}

func (p *pace) tooSlow() {
	if p.bytes > minFetch {
		p.bytes = max(p.bytes/4, minFetch)
		return
	}
	p.timeout = min(p.timeout*2, maxTimeout)
}

func (p *pace) took(d time.Duration) {
	if d < p.timeout/4 {
		p.bytes = min(p.bytes*2, p.maxBytes)
		p.timeout = max(p.timeout/2, p.minTimeout)
	}
}

// run reads from next on and sends what it reads, until ctx is done.
func (f *fetcher) run(ctx context.Context, next int64, out chan<- fetched) {
	for ctx.Err() == nil {
		response, err := f.fetch(ctx, next)
		switch {
		case errors.Is(err, kafka.OffsetOutOfRange):
			next, err = f.recover(ctx, next, out)
		case err == nil:
			next, err = f.deliver(ctx, next, response, out)
		}
		if err == nil {
			f.outage.over()
			f.proved()
			continue
		}
		if ctx.Err() != nil || !f.tell(ctx, fetched{next: next, failing: true}, out) {
			return
		}
		sleep(ctx, f.outage.failed(f.judge(err)))
	}
}

func (f *fetcher) fetch(ctx context.Context, next int64) (*kafka.FetchResponse, error) {
	// Half of what remains until the deadline is the longest that the client lets the broker wait.
	start, limit := time.Now(), 2*f.wait+f.pace.timeout
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	response, err := f.client.Fetch(limited, &kafka.FetchRequest{
		Topic: f.topic, Partition: f.partition, Offset: next,
		MinBytes: 1, MaxBytes: f.pace.bytes, MaxWait: f.wait,
	})
	switch {
	case err != nil && ctx.Err() == nil && time.Since(start) >= limit: // the error may be the connection's or the context's
		f.pace.tooSlow()
		return nil, fmt.Errorf("fetching %s[%d]@%d took longer than %s, asking for %d bytes and waiting %s from now on: %w",
			f.topic, f.partition, next, time.Since(start).Round(time.Millisecond), f.pace.bytes, f.pace.timeout, err)
	case err == nil:
		err = response.Error
	}
	if err != nil {
		return nil, fmt.Errorf("fetching %s[%d]@%d: %w", f.topic, f.partition, next, err)
	}
	f.pace.took(time.Since(start))
	return response, nil
}

// deliver sends the records of a response and returns the offset to read next.
func (f *fetcher) deliver(ctx context.Context, next int64, response *kafka.FetchResponse, out chan<- fetched) (int64, error) {
	asked, batches := next, 0
	err := eachRecord(response.Records, &batches, func(record *protocol.Record, control bool) error {
		if record.Offset < next {
			return nil // a batch may begin before the offset asked for
		}
		news := fetched{next: record.Offset + 1, high: response.HighWatermark}
		if !control {
			var err error
			if news.record, err = f.record(record); err != nil {
				return err
			}
		}
		if !f.tell(ctx, news, out) {
			return ctx.Err()
		}
		next = news.next
		return nil
	})
	if err != nil || next > asked && batches > 0 {
		return next, err
	}
	if batches > 0 {
		next++ // an empty batch that compaction left, of unknown length: step over it
	}
	if !f.tell(ctx, fetched{next: next, high: response.HighWatermark}, out) {
		return next, ctx.Err()
	}
	return next, nil
}

// eachRecord calls do for every record, those of control batches included, and frees its key and value after it.
func eachRecord(reader kafka.RecordReader, batches *int, do func(record *protocol.Record, control bool) error) error {
	parts := []protocol.RecordReader{reader}
	if all, ok := reader.(*protocol.RecordStream); ok {
		parts = all.Records
		*batches = len(parts)
	}
	for _, part := range parts {
		_, control := part.(*protocol.ControlBatch)
		for {
			record, err := part.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("reading a record: %w", err)
			}
			err = do(record, control)
			closeBytes(record.Key)
			closeBytes(record.Value)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func closeBytes(b protocol.Bytes) {
	if b != nil {
		_ = b.Close() // gives pages back; it cannot fail
	}
}

// record copies a record out of the fetch's buffers.
func (f *fetcher) record(record *protocol.Record) (*stream.Record, error) {
	key, err := protocol.ReadAll(record.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the key of %s[%d]@%d: %w", f.topic, f.partition, record.Offset, err)
	}
	value, err := protocol.ReadAll(record.Value)
	if err != nil {
		return nil, fmt.Errorf("reading the value of %s[%d]@%d: %w", f.topic, f.partition, record.Offset, err)
	}
	headers := make([]stream.Header, len(record.Headers))
	for i, h := range record.Headers {
		headers[i] = stream.Header{Key: h.Key, Value: h.Value}
	}
	return &stream.Record{
		Topic: f.topic, Partition: f.partition, Offset: record.Offset, Time: record.Time,
		Key: key, Value: value, Headers: headers,
	}, nil
}

// recover finds where reading can go on when the wanted offset is not there: retention passed it, or the topic was made anew.
func (f *fetcher) recover(ctx context.Context, wanted int64, out chan<- fetched) (int64, error) {
	ends, err := partitionEnds(ctx, f.client, f.topic, []int{f.partition})
	if err != nil {
		return wanted, err
	}
	end := ends[f.partition]
	if wanted >= end.first && wanted <= end.last {
		return wanted, nil // it came while we asked
	}
	f.log.Warn("the wanted offset is no longer there, going on at the oldest one",
		"partition", f.partition, "wanted", wanted, "oldest", end.first, "newest", end.last)
	if !f.tell(ctx, fetched{next: end.first, high: end.last, lost: true}, out) {
		return wanted, ctx.Err()
	}
	return end.first, nil
}

func (f *fetcher) tell(ctx context.Context, news fetched, out chan<- fetched) bool {
	select {
	case out <- news:
		return true
	case <-ctx.Done():
		return false
	}
}

// partitionEnd is the oldest offset of a partition and the one the next record gets.
type partitionEnd struct{ first, last int64 }

func partitionEnds(ctx context.Context, client *kafka.Client, topic string, ids []int) (map[int]partitionEnd, error) {
	requests := make([]kafka.OffsetRequest, 0, 2*len(ids))
	for _, id := range ids {
		requests = append(requests, kafka.FirstOffsetOf(id), kafka.LastOffsetOf(id))
	}
	response, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: requests}})
	if err != nil {
		return nil, fmt.Errorf("listing the offsets of %s: %w", topic, err)
	}
	ends := make(map[int]partitionEnd, len(ids))
	for _, p := range response.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("listing the offsets of %s[%d]: %w", topic, p.Partition, p.Error)
		}
		ends[p.Partition] = partitionEnd{first: p.FirstOffset, last: p.LastOffset}
	}
	for _, id := range ids {
		if _, ok := ends[id]; !ok {
			return nil, fmt.Errorf("listing the offsets of %s[%d]: the broker did not answer for it", topic, id)
		}
	}
	return ends, nil
}
