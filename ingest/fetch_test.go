package ingest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/stretchr/testify/require"
)

func TestPaceAdaptsToASlowLink(t *testing.T) {
	p := newPace(8<<20, 10*time.Second)
	for _, want := range []int64{2 << 20, 512 << 10, 128 << 10, 64 << 10} {
		p.tooSlow()
		require.Equal(t, want, p.bytes)
		require.Equal(t, 10*time.Second, p.timeout)
	}
	p.tooSlow() // a single record that is too large for the link: wait for it
	require.Equal(t, 20*time.Second, p.timeout)
	for range 20 {
		p.tooSlow()
	}
	require.Equal(t, maxTimeout, p.timeout, "bounded")
	p.took(p.timeout / 2)
	require.EqualValues(t, 64<<10, p.bytes, "still slow")
	for range 20 {
		p.took(time.Millisecond)
	}
	require.Equal(t, newPace(8<<20, 10*time.Second), p, "fast again")
}

// batch makes a batch as a fetch brings it.
func batch(offsets ...int64) protocol.RecordReader {
	records := make([]protocol.Record, len(offsets))
	for i, offset := range offsets {
		records[i] = protocol.Record{Offset: offset, Value: protocol.NewBytes([]byte("video"))}
	}
	return &protocol.RecordBatch{Records: protocol.NewRecordReader(records...)}
}

func marker(offset int64) protocol.RecordReader {
	record := protocol.Record{Offset: offset, Key: protocol.NewBytes([]byte{0, 0, 0, 1})}
	return &protocol.ControlBatch{Records: protocol.NewRecordReader(record)}
}

func TestFetcherDelivers(t *testing.T) {
	stream := func(batches ...protocol.RecordReader) kafka.RecordReader {
		return &protocol.RecordStream{Records: batches}
	}
	tests := map[string]struct {
		records kafka.RecordReader
		want    []int64 // offsets of the records told
		next    int64
	}{
		"nothing new":                            {records: kafka.NewRecordReader(), next: 10},
		"records":                                {records: stream(batch(10, 11), batch(12)), want: []int64{10, 11, 12}, next: 13},
		"a batch that begins earlier":            {records: stream(batch(8, 9, 10)), want: []int64{10}, next: 11},
		"holes that compaction left":             {records: stream(batch(10, 14)), want: []int64{10, 14}, next: 15},
		"the marker of a transaction":            {records: stream(batch(10), marker(11)), want: []int64{10}, next: 12},
		"nothing but a marker":                   {records: stream(marker(10)), next: 11},
		"an empty batch":                         {records: stream(batch()), next: 11},
		"a batch that ends before what is asked": {records: stream(batch(7, 8)), next: 11},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := fetcher{topic: "t", log: slog.New(slog.DiscardHandler)}
			out := make(chan fetched, 10)
			next, err := f.deliver(context.Background(), 10, &kafka.FetchResponse{Records: test.records, HighWatermark: 20}, out)
			require.NoError(t, err)
			require.Equal(t, test.next, next)
			close(out)
			var got []int64
			last := int64(10)
			for news := range out {
				require.EqualValues(t, 20, news.high)
				last = news.next
				if news.record != nil {
					got = append(got, news.record.Offset)
					require.Equal(t, "video", string(news.record.Value))
				}
			}
			require.Equal(t, test.want, got)
			require.Equal(t, test.next, last, "the worker knows where the reading stands")
		})
	}
}
