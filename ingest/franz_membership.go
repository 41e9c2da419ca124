package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

const (
	// pollRecords is how many records one poll takes at most, so that no transaction waits long for its turn.
	pollRecords = 256
	// maxRequestBytes is what brokers read at once (socket.request.max.bytes), less what a request has beside its record.
	maxRequestBytes = 100<<20 - 64<<10
	// maxAnswerBytes bounds an answer of a broker; a fetch brings one record at least, however large it is.
	maxAnswerBytes = 1 << 30
	// defaultBatchBytes is what a topic takes where nobody changed it, and its broker did not tell.
	defaultBatchBytes = 1000 << 10
	// crowdedBytes is how long the list of what is under way may be in the metadata of a commit before no more is taken in.
	crowdedBytes = maxMetadata * 3 / 4
)

// franzMembership is one membership of the group, with a client of its own.
type franzMembership struct {
	*Franz
	group   *kgo.GroupTransactSession
	made    chan struct{} // closed once group is there
	out     chan<- *stream.Segment
	sending context.Context //nolint:containedctx // ends with Run; what workers still have to send waits for it
	reading context.Context //nolint:containedctx // ends with the membership; workers are made in callbacks of the client
	stop    context.CancelCauseFunc
	working sync.WaitGroup

	// turn is held while polling and while a transaction begins or ends: the client allows only one of these at a time.
	turn      chan struct{}
	waiting   atomic.Int32
	interrupt atomic.Pointer[context.CancelFunc]

	mu      sync.Mutex
	workers map[int32]*franzWorker
	fetched map[int32]fetchedOffset
	ended   map[int32]chan struct{} // closed when the last worker of the partition has ended
	over    bool                    // no worker is made any more
	broken  bool                    // no transaction is made any more
	failed  error                   // a failure that ends Run

	committing outage
	fetching   outage
	failing    atomic.Bool
}

// fetchedOffset is what the group had committed for a partition.
type fetchedOffset struct {
	offset   int64
	metadata string
}

// franzWorker is a worker and what it is fed from.
type franzWorker struct {
	*worker
	mailbox *mailbox
	stop    context.CancelCauseFunc
}

func (m *franzMembership) options(life context.Context) []kgo.Opt {
	start := kgo.NewOffset().AtStart()
	if m.cfg.StartAt == "newest" {
		start = kgo.NewOffset().AtEnd()
	}
	maxBytes := int32(m.cfg.MaxBytes) //nolint:gosec // at most MaxInt32, see validate
	return append(connect.Options(m.cfg.Brokers, m.cfg.Security),
		kgo.ClientID(clientID), kgo.WithContext(life), kgo.WithHooks(&franzHooks{m}),
		kgo.ConsumerGroup(m.cfg.Group), kgo.ConsumeTopics(m.cfg.Topic), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(m.cfg.SessionTimeout), kgo.RebalanceTimeout(m.cfg.RebalanceTimeout),
		kgo.HeartbeatInterval(m.timing.heartbeat),
		kgo.BlockRebalanceOnPoll(), kgo.OnPartitionsRevoked(m.revoked), kgo.OnPartitionsLost(m.revoked),
		kgo.OnOffsetsFetched(m.offsetsFetched), kgo.AdjustFetchOffsetsFn(m.assigned),
		kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(maxBytes), kgo.FetchMaxPartitionBytes(max(maxBytes/8, minFetch)), kgo.FetchMaxWait(m.cfg.MaxWait),
		kgo.BrokerMaxReadBytes(maxAnswerBytes), kgo.RequestTimeoutOverhead(time.Duration(m.overhead.Load())),
		kgo.MetadataMinAge(250*time.Millisecond), kgo.MetadataMaxAge(30*time.Second),

		kgo.TransactionalID(m.transactionalID()), kgo.TransactionTimeout(m.tx.Timeout),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordDeliveryTimeout(m.tx.Delivery), kgo.UnknownTopicRetries(20),
		kgo.ProducerBatchMaxBytesFn(m.batchBytes), kgo.BrokerMaxWriteBytes(100<<20), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordPartitioner(named{kgo.StickyKeyPartitioner(nil)}),
	)
}

// named is a partitioner that writes a record to the partition it names, and where it names none (a negative one) to that of its
// key, as Java's producer does.
type named struct{ byKey kgo.Partitioner }

// ForTopic implements kgo.Partitioner.
func (n named) ForTopic(topic string) kgo.TopicPartitioner {
	return namedTopic{n.byKey.ForTopic(topic)}
}

type namedTopic struct{ byKey kgo.TopicPartitioner }

// RequiresConsistency implements kgo.TopicPartitioner: a partition that is away for a moment is waited for.
func (n namedTopic) RequiresConsistency(*kgo.Record) bool { return true }

// Partition implements kgo.TopicPartitioner.
func (n namedTopic) Partition(record *kgo.Record, partitions int) int {
	if record.Partition >= 0 {
		return int(record.Partition)
	}
	return n.byKey.Partition(record, partitions)
}

// batchBytes is how large a batch for the topic may be: what it takes, and what a broker reads at once. A record that is larger is
// refused before it is sent, because a refusal by the broker would cost the transaction.
func (m *franzMembership) batchBytes(topic string) int32 {
	known, ok := m.takes[topic]
	if !ok {
		known = defaultBatchBytes
	}
	return min(known, maxRequestBytes)
}

// poll reads until ctx is done.
func (m *franzMembership) poll(ctx context.Context) {
	for ctx.Err() == nil {
		if !m.enter(ctx) {
			return
		}
		polling, cancel := context.WithCancel(ctx)
		m.interrupt.Store(&cancel)
		if m.waiting.Load() > 0 {
			cancel() // a transaction came in between
		}
		fetches := m.group.PollRecords(polling, pollRecords)
		m.interrupt.Store(nil)
		cancel()
		m.spread(fetches)
		// Only now may partitions be taken away: what was polled reached the worker of the assignment it was fetched under.
		m.group.AllowRebalance()
		m.yield()
	}
}

// enter waits for the turn.
func (m *franzMembership) enter(ctx context.Context) bool {
	select {
	case m.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (m *franzMembership) yield() { <-m.turn }

// preempt takes the turn from the poll, which may be waiting for records.
func (m *franzMembership) preempt(ctx context.Context) bool {
	m.waiting.Add(1)
	defer m.waiting.Add(-1)
	if cancel := m.interrupt.Load(); cancel != nil {
		(*cancel)()
	}
	return m.enter(ctx)
}

// spread gives what was polled to the workers.
func (m *franzMembership) spread(fetches kgo.Fetches) {
	fetches.EachError(func(_ string, partition int32, err error) { m.trouble(partition, err) })
	fetches.EachPartition(func(polled kgo.FetchTopicPartition) {
		m.mu.Lock()
		w := m.workers[polled.Partition]
		m.mu.Unlock()
		if w == nil || polled.Topic != m.cfg.Topic {
			return
		}
		news := make([]fetched, 0, len(polled.Records))
		for _, record := range polled.Records {
			news = append(news, fetched{record: recordOf(record), next: record.Offset + 1, high: polled.HighWatermark})
		}
		if polled.Err == nil {
			m.access.prove()
		}
		w.mailbox.put(news...)
	})
}

// trouble deals with an error of a fetch. Most pass; the membership ends over those that need another place to read from.
func (m *franzMembership) trouble(partition int32, err error) {
	var lost *kgo.ErrDataLoss
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrClientClosed):
	case errors.Is(err, kerr.OffsetOutOfRange), errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.InconsistentTopicID),
		errors.As(err, &lost):
		m.end(fmt.Errorf("fetching %s[%d]: %w", m.cfg.Topic, partition, err))
	default:
		m.fetching.failed(m.judge(fmt.Errorf("fetching %s[%d]: %w", m.cfg.Topic, partition, err)))
	}
}

// end ends the membership; the next one begins at what is committed.
func (m *franzMembership) end(err error) {
	m.stop(fmt.Errorf("%w (%w)", err, ErrAbandoned))
}

// fatal ends Run.
func (m *franzMembership) fatal(failure *stream.Failure) {
	m.mu.Lock()
	m.failed = failure
	m.mu.Unlock()
	m.stop(ErrAbandoned)
}

func (m *franzMembership) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed
}

// finish says that no worker is made from now on.
func (m *franzMembership) finish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = true
}

// abandon gives all partitions up at once.
func (m *franzMembership) abandon() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over, m.broken = true, true
	for partition := range m.workers {
		m.drop(partition)
	}
}

// works says whether transactions can be made.
func (m *franzMembership) works() bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.broken
}

// drop ends the worker of a partition without waiting for it. The caller holds the lock.
func (m *franzMembership) drop(partition int32) {
	w := m.workers[partition]
	if w == nil {
		return
	}
	w.offsets.close() // from here on nothing is written because of this partition
	w.stop(errMembership)
	delete(m.workers, partition)
	m.positions.drop(w.id)
}

// revoked is called when the group takes partitions away, or gave them away already. The session aborts the open transaction, or
// the next one where none is open.
func (m *franzMembership) revoked(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, partition := range taken[m.cfg.Topic] {
		m.drop(partition)
	}
	if len(taken[m.cfg.Topic]) > 0 {
		m.log.Info("gave partitions back", "partitions", taken[m.cfg.Topic])
	}
}

// offsetsFetched keeps what the group had committed, for the metadata that assigned does not get.
func (m *franzMembership) offsetsFetched(_ context.Context, _ *kgo.Client, answer *kmsg.OffsetFetchResponse) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	keep := func(partition int32, offset int64, metadata *string) {
		found := fetchedOffset{offset: offset}
		if metadata != nil {
			found.metadata = *metadata
		}
		m.fetched[partition] = found
	}
	for _, topic := range answer.Topics {
		for _, p := range topic.Partitions {
			keep(p.Partition, p.Offset, p.Metadata)
		}
	}
	for _, group := range answer.Groups {
		for _, topic := range group.Topics { // this member reads one topic
			for _, p := range topic.Partitions {
				keep(p.Partition, p.Offset, p.Metadata)
			}
		}
	}
	return nil
}

// assigned makes the workers of new partitions and says where each begins to read.
func (m *franzMembership) assigned(
	ctx context.Context, offsets map[string]map[int32]kgo.Offset,
) (map[string]map[int32]kgo.Offset, error) {
	added := offsets[m.cfg.Topic]
	if len(added) == 0 {
		return offsets, nil
	}
	select {
	case <-m.made: // the session joins the group while it is being made
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ends, err := m.ends(ctx, added)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return nil, errMembership
	}
	_, generation := m.group.Client().GroupMetadata()
	of := share{partitions: len(m.workers) + len(added), generation: generation}
	ids := make([]int32, 0, len(added))
	for partition := range added {
		w := m.start(partition, ends[partition], of) //nolint:contextcheck // it lives as long as the membership, not the callback
		position := w.offsets.position()
		if at := added[partition].EpochOffset(); at.Offset != position {
			added[partition] = kgo.NewOffset().At(position)
		}
		ids = append(ids, partition)
	}
	m.counters.Rebalances.Add(1)
	m.log.Info("reading", "partitions", ids, "generation", generation)
	return offsets, nil
}

// start makes and runs the worker of a partition. The caller holds the lock.
func (m *franzMembership) start(partition int32, end partitionEnd, of share) *franzWorker {
	m.drop(partition) // the client never assigns a partition twice without revoking it
	found, there := m.fetched[partition]
	if !there {
		found.offset = -1
	}
	plain := m.newWorker(kafka.OffsetFetchPartition{
		Partition: int(partition), CommittedOffset: found.offset, Metadata: found.metadata,
	}, end, of, m.out)
	box := newMailbox(partition, max(m.fetchBytes(of.partitions)/2, 1))
	box.offsets = plain.offsets
	box.pause = func(p int32) { m.group.Client().PauseFetchPartitions(map[string][]int32{m.cfg.Topic: {p}}) }
	box.resume = func(p int32) { m.group.Client().ResumeFetchPartitions(map[string][]int32{m.cfg.Topic: {p}}) }
	box.resume(partition)
	plain.fetcher = box
	running, stop := context.WithCancelCause(m.reading)
	w := &franzWorker{worker: plain, mailbox: box, stop: stop}
	m.workers[partition] = w
	before, ended := m.ended[partition], make(chan struct{})
	m.ended[partition] = ended
	m.working.Go(func() {
		defer close(ended)
		defer stop(nil)
		if before != nil {
			<-before // what the stages know of these streams from then is forgotten first
		}
		w.run(running)
		deliver(m.sending, w.forget, m.out) //nolint:contextcheck // what is sent belongs to the membership
	})
	return w
}

// ends are the oldest and the next offset of the partitions.
func (m *franzMembership) ends(ctx context.Context, of map[int32]kgo.Offset) (map[int32]partitionEnd, error) {
	ends := make(map[int32]partitionEnd, len(of))
	for _, at := range []int64{-2, -1} { // the oldest, the next
		request := kmsg.NewPtrListOffsetsRequest()
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic = m.cfg.Topic
		for partition := range of {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp = partition, at
			topic.Partitions = append(topic.Partitions, p)
		}
		request.Topics = append(request.Topics, topic)
		answer, err := request.RequestWith(ctx, m.group.Client())
		if err != nil {
			return nil, fmt.Errorf("listing the offsets of %s: %w", m.cfg.Topic, err)
		}
		for _, t := range answer.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, fmt.Errorf("listing the offsets of %s[%d]: %w", m.cfg.Topic, p.Partition, err)
				}
				end := ends[p.Partition]
				if at == -2 {
					end.first = p.Offset
				} else {
					end.last = p.Offset
				}
				ends[p.Partition] = end
			}
		}
	}
	return ends, nil
}
