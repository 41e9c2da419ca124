package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// deskWorker is a worker without a fetcher: the test tells the news.
func deskWorker(out chan<- *stream.Segment) *worker {
	counters := &Counters{}
	return &worker{
		out: out, counters: counters, drain: time.Second, log: slog.New(slog.DiscardHandler),
		order:   NewOrder(OrderConfig{Grace: 2 * time.Second, Late: LateDeadLetter, Evict: time.Minute}, DefaultBounds(), counters),
		offsets: newOffsets(0, progress{}),
		moved:   func(int64, int64) {},
	}
}

// news is a record of stream "cam" as the fetcher tells it.
func news(offset int64, sequence int) fetched {
	return fetched{next: offset + 1, high: offset + 1, record: &stream.Record{
		Topic: "t", Offset: offset, Key: []byte("cam"), Value: []byte("video"),
		Headers: []stream.Header{{Key: stream.HeaderSequence, Value: fmt.Append(nil, sequence)}},
	}}
}

// desk runs a worker inside a synctest bubble.
func desk(t *testing.T, test func(tell chan<- fetched, out <-chan *stream.Segment)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tell, out := make(chan fetched), make(chan *stream.Segment)
		w := deskWorker(out)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.loop(ctx, tell)
		}()
		test(tell, out)
		cancel()
		<-ended
	})
}

// arrives says how long after since the next segment comes.
func arrives(t *testing.T, out <-chan *stream.Segment, since time.Time, want string) time.Duration {
	t.Helper()
	require.Equal(t, want, show([]*stream.Segment{<-out}))
	return time.Since(since)
}

func TestWorkerGivesUpAfterGrace(t *testing.T) {
	desk(t, func(tell chan<- fetched, out <-chan *stream.Segment) {
		begin := time.Now()
		tell <- news(0, 0)
		require.Zero(t, arrives(t, out, begin, "0"))
		tell <- news(1, 2)
		require.Equal(t, 2*time.Second, arrives(t, out, begin, "2g"))
		require.Equal(t, 62*time.Second, arrives(t, out, begin, "2~"), "and forgets the stream when it is idle")
	})
}

func TestWorkerDoesNotCountTheTimeItCannotRead(t *testing.T) {
	t.Run("because the pipeline is full", func(t *testing.T) {
		desk(t, func(tell chan<- fetched, out <-chan *stream.Segment) {
			begin := time.Now()
			tell <- news(0, 0)
			arrives(t, out, begin, "0")
			tell <- news(1, 2) // 1 is missing
			time.Sleep(time.Second)
			tell <- fetched{next: 3, record: &stream.Record{Offset: 2, Key: []byte("other"), Value: []byte("video")}}
			time.Sleep(time.Minute) // nobody takes other/2
			require.Equal(t, 61*time.Second, arrives(t, out, begin, "2"))
			tell <- news(3, 1) // it was there all along
			require.Equal(t, 61*time.Second, arrives(t, out, begin, "1"))
			arrives(t, out, begin, "2")
		})
	})
	t.Run("because the broker is away", func(t *testing.T) {
		desk(t, func(tell chan<- fetched, out <-chan *stream.Segment) {
			begin := time.Now()
			tell <- news(0, 0)
			arrives(t, out, begin, "0")
			tell <- news(1, 2)
			tell <- fetched{next: 2, failing: true}
			time.Sleep(time.Hour)
			tell <- fetched{next: 2, failing: true}
			tell <- fetched{next: 2} // works again
			tell <- news(2, 1)
			require.Equal(t, time.Hour, arrives(t, out, begin, "1"))
			arrives(t, out, begin, "2")
		})
	})
}

func TestWorkerDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := make(chan *stream.Segment, 10)
		w := deskWorker(out)
		w.send(t.Context(), w.take(news(0, 0)))
		w.send(t.Context(), w.take(news(1, 1)))
		w.send(t.Context(), w.take(news(2, 3))) // waits
		begin := time.Now()
		(<-out).Receipt.Done(stream.SegmentID{Stream: "cam"})
		require.Equal(t, 1, w.offsets.drain(w.drain))
		require.Equal(t, time.Second, time.Since(begin))
		require.Equal(t, []int64{1, 2}, w.offsets.progress().Pending, "what was in flight and what waited is read again")
		require.Len(t, w.order.Forget(time.Now()), 1)
	})
}
