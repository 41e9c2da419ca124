package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/stream"
)

const testResults = "video.energy"

// transactor is a source for tests: fast, and with little patience.
func (b *broker) transactor(edits ...func(*Franz)) *Franz {
	k := b.source()
	f := NewFranz(k.cfg, k.order, Transaction{Timeout: 5 * time.Second, Delivery: 10 * time.Second, Topics: []string{testResults}},
		slog.New(slog.NewTextHandler(b.t.Output(), nil)))
	f.timing = k.timing
	for _, edit := range edits {
		edit(f)
	}
	return f
}

func newTransactionalBroker(t *testing.T, partitions int32, opts ...kfake.Opt) *broker {
	t.Helper()
	return newBroker(t, partitions, append(opts, kfake.SeedTopics(2, testResults))...)
}

// scribe is a pipeline that writes a result for every segment, in transactions of its source, and acknowledges after them; the
// context of the next segment is the one before it.
type scribe struct {
	t      *testing.T
	source *Franz
	stop   func() error
	// fails, if there is one, is called before a transaction writes.
	fails func([]Done) error

	mu   sync.Mutex
	read []*stream.Segment
}

func write(t *testing.T, source *Franz, fails func([]Done) error) *scribe {
	t.Helper()
	s := &scribe{t: t, source: source, fails: fails}
	ctx, cancel := context.WithCancelCause(context.Background())
	out := make(chan *stream.Segment)
	ended, written := make(chan error, 1), make(chan error, 1)
	go func() {
		ended <- source.Run(ctx, out)
		close(out)
	}()
	go func() { written <- s.work(out, cancel) }()
	s.stop = sync.OnceValue(func() error {
		cancel(nil)
		return errors.Join(<-ended, <-written)
	})
	t.Cleanup(func() { _ = s.stop() })
	return s
}

func (s *scribe) work(out <-chan *stream.Segment, cancel context.CancelCauseFunc) error {
	for first := range out {
		batch := s.gather(first, out)
		if err := s.transact(batch); err != nil {
			cancel(ErrAbandoned)
			for range out { // the source ends by itself
			}
			return err
		}
	}
	return nil
}

func (s *scribe) gather(first *stream.Segment, out <-chan *stream.Segment) []Done {
	batch := []Done{{Segment: first, Needed: first.ID()}}
	timer := time.NewTimer(10 * time.Millisecond)
	defer timer.Stop()
	for len(batch) < 20 {
		select {
		case segment, ok := <-out:
			if !ok {
				return batch
			}
			batch = append(batch, Done{Segment: segment, Needed: segment.ID()})
		case <-timer.C:
			return batch
		}
	}
	return batch
}

func (s *scribe) transact(batch []Done) error {
	for {
		outcome, err := s.source.Transact(context.Background(), batch, func(ctx context.Context, owned []bool) error {
			if s.fails != nil {
				if err := s.fails(batch); err != nil {
					return err
				}
			}
			var records []*kgo.Record
			for i, d := range batch {
				if owned[i] && !d.Segment.ContextOnly && d.Segment.Mark != stream.MarkForget {
					records = append(records, &kgo.Record{
						Topic: testResults, Key: []byte(d.Segment.Stream), Value: []byte(d.Segment.ID().String()), Partition: -1,
					})
				}
			}
			if err := s.source.Produce(ctx, records...).FirstErr(); err != nil {
				return fmt.Errorf("%w: %w", errTryAgain, err)
			}
			return nil
		})
		switch {
		case errors.Is(err, errTryAgain):
			time.Sleep(20 * time.Millisecond)
		case err != nil:
			return err
		case outcome.Committed:
			for i, d := range batch {
				if outcome.Owned[i] {
					s.mu.Lock()
					s.read = append(s.read, d.Segment)
					s.mu.Unlock()
				}
				d.Segment.Receipt.Done(d.Needed)
			}
			return nil
		}
	}
}

var errTryAgain = errors.New("again")

func (s *scribe) segments() []*stream.Segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.read)
}

// results is what a read_committed consumer sees until nothing comes any more, in the order of every stream.
func (b *broker) results(isolation kgo.IsolationLevel) map[string][]string {
	b.t.Helper()
	client := b.client(kgo.ConsumeTopics(testResults), kgo.FetchIsolationLevel(isolation), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	found := map[string][]string{}
	for idle := 0; idle < 5; {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		fetches := client.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			idle++
			continue
		}
		fetches.EachRecord(func(r *kgo.Record) { found[string(r.Key)] = append(found[string(r.Key)], string(r.Value)) })
	}
	return found
}

// each is the ids of the first so many segments of a stream.
func each(name string, count int) []string {
	ids := make([]string, count)
	for i := range ids {
		ids[i] = stream.SegmentID{Stream: name, Sequence: int64(i)}.String()
	}
	return ids
}

func (s *scribe) waitFor(count int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return len(s.segments()) >= count }, soon, 10*time.Millisecond)
}

func TestFranzWritesResultsAndProgressTogether(t *testing.T) {
	b := newTransactionalBroker(t, 2)
	for i := range 10 {
		b.publish(counted(0, "a", i), counted(1, "b", i))
	}
	s := write(t, b.transactor(), nil)
	s.waitFor(20)
	require.NoError(t, s.stop())
	require.Equal(t, map[string][]string{"a": each("a", 10), "b": each("b", 10)}, b.results(kgo.ReadCommitted()))
	for partition := range 2 {
		offset, metadata := b.committed(partition)
		require.Equal(t, int64(9), offset, "the last segment is the context of the next")
		p, err := parseProgress(offset, metadata)
		require.NoError(t, err)
		require.Equal(t, progress{Base: 9, Next: 10, Pending: []int64{}, Needed: []int64{9}}, p)
	}
}

func TestFranzReadsContextAgainAfterARestartAndWritesNothingForIt(t *testing.T) {
	b := newTransactionalBroker(t, 1)
	for i := range 5 {
		b.publish(counted(0, "a", i))
	}
	first := write(t, b.transactor(), nil)
	first.waitFor(5)
	require.NoError(t, first.stop())
	b.publish(counted(0, "a", 5))
	second := write(t, b.transactor(), nil)
	second.waitFor(2)
	require.NoError(t, second.stop())
	require.Equal(t, []string{"a/4c", "a/5"}, words(second.segments()))
	require.Equal(t, map[string][]string{"a": each("a", 6)}, b.results(kgo.ReadCommitted()))
}

func TestFranzAbortsWhatCouldNotBeWritten(t *testing.T) {
	b := newTransactionalBroker(t, 1)
	b.publish(counted(0, "a", 0))
	broken := errors.New("no room")
	s := write(t, b.transactor(), func([]Done) error { return broken })
	time.Sleep(time.Second)
	require.ErrorIs(t, s.stop(), broken)
	require.Empty(t, b.results(kgo.ReadCommitted()))
	offset, metadata := b.committed(0)
	p, err := parseProgress(offset, metadata)
	require.NoError(t, err)
	require.Equal(t, progress{Base: 0, Next: 1, Pending: []int64{0}, Needed: []int64{}}, p, "it is still to be done")
}

func TestFranzWritesEachOnceThroughRebalances(t *testing.T) {
	const partitions, count = 4, 60
	b := newTransactionalBroker(t, partitions)
	members := []*scribe{write(t, b.transactor(), nil)}
	var publishing sync.WaitGroup
	publishing.Go(func() {
		client := b.client()
		defer client.Close()
		for i := range count {
			for p := range partitions {
				if err := client.ProduceSync(context.Background(), counted(int32(p), fmt.Sprint("cam", p), i)).FirstErr(); err != nil {
					t.Errorf("publishing: %v", err)
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	for i := range 6 {
		time.Sleep(250 * time.Millisecond)
		members = append(members, write(t, b.transactor(), nil))
		if i%2 == 1 {
			require.NoError(t, members[i/2].stop())
		}
	}
	publishing.Wait()
	want := map[string][]string{}
	for p := range partitions {
		want[fmt.Sprint("cam", p)] = each(fmt.Sprint("cam", p), count)
	}
	var got map[string][]string
	for deadline := time.Now().Add(soon); time.Now().Before(deadline); {
		if got = b.results(kgo.ReadCommitted()); length(got) >= length(want) {
			break
		}
	}
	for _, m := range members {
		require.NoError(t, m.stop())
	}
	require.Equal(t, want, got)
}

func length(lists map[string][]string) (total int) {
	for list := range maps.Values(lists) {
		total += len(list)
	}
	return total
}

func TestFranzWritesEachOnceThroughFaultsOfTheCoordinator(t *testing.T) {
	faults := map[string]kfake.Fault{
		"the commit is refused for a while": {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.CoordinatorNotAvailable, Count: 3},
		"the group moved on":                {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration, Count: 2},
		"the member is unknown":             {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.UnknownMemberID, Count: 1},
		"the producer is fenced":            {Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.ProducerFenced, Count: 1},
		"the epoch is old":                  {Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidProducerEpoch, Count: 1},
		"the end is not known":              {Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError, Count: 1},
		"writing fails once":                {Keys: []kmsg.Key{kmsg.Produce}, Topic: testResults, Err: kerr.NotLeaderForPartition, Count: 2},
		"writing is invalid once":           {Keys: []kmsg.Key{kmsg.Produce}, Topic: testResults, Err: kerr.InvalidTxnState, Count: 1},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			b := newTransactionalBroker(t, 1)
			for i := range 5 {
				b.publish(counted(0, "a", i))
			}
			s := write(t, b.transactor(), nil)
			s.waitFor(5)
			b.Fault(fault)
			for i := 5; i < 15; i++ {
				b.publish(counted(0, "a", i))
				time.Sleep(15 * time.Millisecond)
			}
			require.Eventually(t, func() bool {
				_, metadata := b.committed(0)
				offset, _ := b.committed(0)
				p, err := parseProgress(offset, metadata)
				return err == nil && p.Next == 15 && len(p.Pending) == 0
			}, soon, 50*time.Millisecond)
			require.NoError(t, s.stop())
			require.Equal(t, map[string][]string{"a": each("a", 15)}, b.results(kgo.ReadCommitted()))
		})
	}
}

func TestFranzStopsWhereTheBrokerTakesNoMetadata(t *testing.T) {
	b := newTransactionalBroker(t, 1)
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.OffsetMetadataTooLarge, Count: -1})
	b.publish(counted(0, "a", 0))
	source := b.transactor()
	ctx, cancel := context.WithCancelCause(context.Background())
	out, ended := make(chan *stream.Segment), make(chan error, 1)
	go func() { ended <- source.Run(ctx, out) }()
	s := &scribe{t: t, source: source}
	var first *stream.Segment
	select {
	case first = <-out:
	case err := <-ended:
		require.NoError(t, err, "it ended before it read anything")
	}
	err := s.transact([]Done{{Segment: first}})
	require.Equal(t, CodeMetadata, stream.AsFailure(err, "ingest").Code)
	require.ErrorContains(t, err, "offset.metadata.max.bytes")
	cancel(ErrAbandoned)
	err = <-ended
	require.Equal(t, CodeMetadata, stream.AsFailure(err, "ingest").Code)
}

func TestFranzGivesWayToAnotherProcessWithItsTransactionalID(t *testing.T) {
	b := newTransactionalBroker(t, 2)
	named := func(f *Franz) { f.tx.ID = "the same" }
	publishing, stop := context.WithCancel(context.Background())
	var sender sync.WaitGroup
	sender.Go(func() {
		client := b.client()
		defer client.Close()
		for i := 0; publishing.Err() == nil; i++ {
			_ = client.ProduceSync(publishing, counted(0, "a", i), counted(1, "b", i)).FirstErr()
			time.Sleep(20 * time.Millisecond)
		}
	})
	defer sender.Wait()
	defer stop()
	var wait sync.WaitGroup
	failures := make(chan error, 2)
	ctx, cancel := context.WithCancel(context.Background())
	for range 2 {
		wait.Go(func() {
			source := b.transactor(named)
			out := make(chan *stream.Segment)
			s := &scribe{t: t, source: source}
			written := make(chan struct{})
			go func() { //nolint:contextcheck // it ends with out
				defer close(written)
				_ = s.work(out, func(error) {})
			}()
			failures <- source.Run(ctx, out)
			close(out)
			<-written
		})
	}
	select {
	case err := <-failures:
		require.Equal(t, CodeFenced, stream.AsFailure(err, "ingest").Code, "%v", err)
		require.ErrorContains(t, err, "sink.kafka.transaction.id")
	case <-time.After(2 * soon):
		t.Error("nobody gives way")
	}
	cancel()
	wait.Wait()
}

// A process that is killed leaves a transaction open, and readers wait for it until it times out; one that has its transactional id again
// ends it when it starts, without a result to write.
func TestFranzEndsWhatAnEarlierProcessWithItsTransactionalIDLeftOpen(t *testing.T) {
	b := newTransactionalBroker(t, 1)
	killed := b.client(kgo.TransactionalID("ensue-lobby-1"), kgo.TransactionTimeout(time.Minute))
	require.NoError(t, killed.BeginTransaction())
	require.NoError(t, killed.ProduceSync(t.Context(), &kgo.Record{Topic: testResults, Value: []byte("half")}).FirstErr())
	killed.Close() // it tells nobody

	b.publish(&kgo.Record{Topic: testResults, Key: []byte("other"), Value: []byte("whole")})
	require.Empty(t, b.results(kgo.ReadCommitted()), "a reader waits")
	write(t, b.transactor(func(f *Franz) { f.tx.ID = "ensue-lobby-1" }), nil)
	require.Eventually(t, func() bool {
		return len(b.results(kgo.ReadCommitted())["other"]) == 1
	}, soon, 10*time.Millisecond)
}

func TestFranzNeedsABrokerAndATopicAtTheStart(t *testing.T) {
	b := newTransactionalBroker(t, 1)
	nowhere := b.transactor(func(f *Franz) { f.cfg.Brokers = []string{"127.0.0.1:1"} })
	err := nowhere.Run(t.Context(), nil)
	require.Equal(t, CodeBroker, stream.AsFailure(err, "ingest").Code)
	elsewhere := b.transactor(func(f *Franz) { f.cfg.Topic = "nowhere" })
	require.Equal(t, CodeTopic, stream.AsFailure(elsewhere.Run(t.Context(), nil), "ingest").Code)
}

func TestExactProgressGivesUpContextAndNeverWhatIsDone(t *testing.T) {
	p := progress{Base: 1000, Next: 100000}
	for i := range int64(3000) {
		p.Needed = append(p.Needed, 1000+i*30)
	}
	p.Pending = []int64{99000, 99001, 99500}
	fitting, text, ok := p.exact(1024)
	require.True(t, ok)
	require.LessOrEqual(t, len(text), 1024)
	back, err := parseProgress(fitting.Base, text)
	require.NoError(t, err)
	require.Equal(t, p.Pending, back.Pending)
	require.Equal(t, p.Next, back.Next, "nothing that is done is forgotten")
	require.Greater(t, len(back.Needed), 100)
	require.True(t, slices.Equal(back.Needed, p.Needed[len(p.Needed)-len(back.Needed):]), "the newest context is kept")

	full, text, ok := p.exact(1 << 20)
	require.True(t, ok)
	require.Equal(t, p, full)
	require.True(t, strings.HasPrefix(text, progressPrefix))

	_, _, ok = progress{Base: 0, Next: 1 << 20, Pending: p.Needed}.exact(100)
	require.False(t, ok, "what is under way cannot be left out")
}

func TestProgressAfterReceiptsIsWhatTheyWillMakeIt(t *testing.T) {
	o := newOffsets(0, progress{})
	var receipts []finished
	for i := range 6 {
		o.take(int64(i))
		segment := &stream.Segment{Stream: "a", Sequence: int64(i), Payload: []byte("x"), Origin: stream.Origin{Offset: int64(i)}}
		r := o.receipt(segment)
		segment.Receipt = r
		o.sent(segment)
		receipts = append(receipts, finished{r, segment.ID()})
	}
	preview := o.after(receipts[:4])
	require.Equal(t, int64(0), o.progress().Base, "a preview changes nothing")
	for _, f := range receipts[:4] {
		f.receipt.Done(f.needed)
	}
	require.Equal(t, o.progress(), preview)
	require.Equal(t, progress{Base: 3, Next: 6, Pending: []int64{4, 5}, Needed: []int64{3}}, preview)
}
