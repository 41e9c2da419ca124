package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

// Transaction is how exactly-once delivery writes; the zero value of a field stands for a default.
type Transaction struct {
	// ID is the transactional id; another one for every process.
	ID string
	// Timeout is after how long the broker aborts a transaction whose writer is gone.
	Timeout time.Duration
	// Delivery is how long a record is tried again while the broker is away.
	Delivery time.Duration
	// Topics are what is written to: the brokers are asked how large their records may be.
	Topics []string
}

// MetadataBytes is how long the metadata of a committed offset may be: what brokers take unless told otherwise.
const MetadataBytes = 4096

// Done is a segment whose results and dead letters are ready to be written, and what its stream needs after it.
type Done struct {
	Segment *stream.Segment
	Needed  stream.SegmentID
}

// Outcome is what became of a transaction.
type Outcome struct {
	// Committed says that what was written for the owned segments is there for good, and so is the progress. Otherwise nothing is.
	Committed bool
	// Owned says for every segment whether its partition still belonged to this process. Of the others nothing was written: whoever
	// has the partition now reads and writes them again.
	Owned []bool
}

// Transactor is a Source whose progress is committed in one transaction with everything that is written because of it.
type Transactor interface {
	Source
	// Transact calls write between the beginning and the end of a transaction; it writes what there is to write of the owned segments,
	// by Produce. The progress that the segments' being done means is committed with it. Receipts are to be acknowledged by the
	// caller, after it. One transaction runs at a time. An error of write aborts and is returned.
	Transact(ctx context.Context, done []Done, write func(ctx context.Context, owned []bool) error) (Outcome, error)
	// Produce writes into the open transaction and waits for the brokers.
	Produce(ctx context.Context, records ...*kgo.Record) kgo.ProduceResults
}

// Franz reads segments as Kafka does, and writes in transactions: results, dead letters, state and the offsets of the group become
// visible together or not at all. It is built on franz-go's GroupTransactSession, because kafka-go cannot make transactions.
//
// A transaction is begun when there is something to write, never before: no segment is processed within one. When the group takes
// partitions away the open transaction is aborted, and what of it belongs to the partitions that stay is written again in the next;
// nothing needs to be processed twice for it. Everything else that cannot be mended within the membership (a fenced producer, an
// offset that is gone, a fetch that never arrives) ends the membership, and the next one begins at what is committed.
//
// Against zombies: the broker takes offsets only from a member of the group's present generation, and offsets that are part of an
// open transaction are not given to the next owner before that is decided (KIP-447).
type Franz struct {
	*Kafka
	tx Transaction

	// transacting is held during a transaction, and while the membership changes.
	transacting sync.Mutex
	membership  *franzMembership // nil between two memberships
	fences      []time.Time
	// takes is how large a record each topic takes, where the brokers told; it is replaced before a membership begins.
	takes map[string]int32
	// overhead is how long an answer may take beyond what was asked, in nanoseconds; it grows when fetches do not arrive in time.
	overhead atomic.Int64
}

// NewFranz makes the source; nothing is connected before Run.
func NewFranz(cfg KafkaConfig, order OrderConfig, tx Transaction, log *slog.Logger) *Franz {
	if tx.Timeout <= 0 {
		tx.Timeout = 30 * time.Second
	}
	if tx.Delivery <= 0 {
		tx.Delivery = 2 * time.Minute
	}
	f := &Franz{Kafka: NewKafka(cfg, order, log), tx: tx}
	f.overhead.Store(int64(cfg.ReadBatchTimeout))
	return f
}

// NewTransactor is New for a pipeline that delivers exactly once.
func NewTransactor(cfg Config, tx Transaction, log *slog.Logger, chosen ...Option) (*Franz, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Kafka == nil {
		return nil, stream.Fail("ingest", CodeConfig, "sink.kafka.delivery: exactly_once needs segments from Kafka: give ingest.kafka")
	}
	var o options
	for _, option := range chosen {
		option(&o)
	}
	f := NewFranz(*cfg.Kafka, cfg.Order, tx, log.With("source", "kafka"))
	f.configure(o)
	return f, nil
}

// Codes of exactly-once delivery.
const (
	// CodeFenced: another process uses the same transactional id.
	CodeFenced stream.Code = "ingest.fenced"
	// CodeMetadata: the broker does not take the metadata of a commit.
	CodeMetadata stream.Code = "ingest.metadata_refused"
)

// errMembership is the cause of a context that ended with the membership: nothing is waited for.
var errMembership = fmt.Errorf("the membership is over: %w", ErrAbandoned)

// Run implements Source. It fails at the start as Kafka does, and when another process keeps taking its transactional id (CodeFenced).
func (f *Franz) Run(ctx context.Context, out chan<- *stream.Segment) error {
	if err := f.reach(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	f.access.begin(refuse)
	joining := outage{log: f.log, what: "reading and writing in transactions"}
	for {
		begun := time.Now()
		err := f.member(ctx, out)
		if failure := (*stream.Failure)(nil); errors.As(err, &failure) && failure.Code != "" {
			return err
		}
		if failure, ok := errors.AsType[*stream.Failure](context.Cause(ctx)); ok {
			return failure
		}
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(begun) > time.Minute {
			joining.over()
		}
		sleep(ctx, joining.failed(err))
	}
}

// member is one membership of the group, until ctx is done or it cannot go on.
func (f *Franz) member(ctx context.Context, out chan<- *stream.Segment) error {
	f.learn(ctx)
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	m := &franzMembership{
		Franz: f, out: out, sending: ctx, reading: reading, stop: stop, turn: make(chan struct{}, 1), made: make(chan struct{}),
		workers: map[int32]*franzWorker{}, fetched: map[int32]fetchedOffset{}, ended: map[int32]chan struct{}{},
		committing: outage{log: f.log, what: "committing transactions"}, fetching: outage{log: f.log, what: "fetching"},
	}
	group, err := kgo.NewGroupTransactSession(m.options(life)...)
	if err != nil {
		return stream.Fail("ingest", CodeConfig, "taking part in the group %q with transactions: %w", f.cfg.Group, err)
	}
	m.group = group
	close(m.made)
	f.transacting.Lock()
	f.membership = m
	f.transacting.Unlock()

	m.claim(reading)
	var committing sync.WaitGroup
	drained := make(chan struct{})
	committing.Go(func() { m.commitRegularly(context.WithoutCancel(ctx), drained) })
	m.poll(reading)
	m.finish()
	m.working.Wait()
	close(drained)
	committing.Wait()
	m.commit(life)

	f.transacting.Lock()
	f.membership = nil
	f.transacting.Unlock()
	m.abandon()
	leaving := time.AfterFunc(f.timing.leave, end)
	defer leaving.Stop()
	m.group.CloseAllowingRebalance()
	if failure := m.failure(); failure != nil {
		return failure
	}
	return context.Cause(reading)
}

// learn asks the brokers how large a record the topics take. Without an answer it is taken to be what it is where nobody changed it.
func (f *Franz) learn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, f.timing.request)
	defer cancel()
	takes := map[string]int32{}
	client, err := kgo.NewClient(append(connect.Options(f.cfg.Brokers, f.cfg.Security), kgo.ClientID(clientID))...)
	if err != nil {
		return // what is wrong with the configuration is told when the membership begins
	}
	defer client.Close()
	for _, topic := range f.tx.Topics {
		if limit, err := maxMessageBytes(ctx, client, topic); err == nil {
			takes[topic] = limit
		} else if ctx.Err() == nil {
			f.log.Warn("the broker does not tell how large a record the topic takes; what is larger than 1 MiB is refused: "+
				"allow this client to describe the configuration of the topic", "written_topic", topic, "error", err)
		}
	}
	f.takes = takes
}

// maxMessageBytes is max.message.bytes of a topic.
func maxMessageBytes(ctx context.Context, client *kgo.Client, topic string) (int32, error) {
	request := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	resource.ConfigNames = []string{"max.message.bytes"}
	request.Resources = append(request.Resources, resource)
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	for _, told := range answer.Resources {
		if err := kerr.ErrorForCode(told.ErrorCode); err != nil {
			return 0, err
		}
		for _, config := range told.Configs {
			if config.Name == "max.message.bytes" && config.Value != nil {
				limit, err := strconv.ParseInt(*config.Value, 10, 32)
				return int32(limit), err
			}
		}
	}
	return 0, errors.New("it is not among the topic's settings")
}

// transactionalID is the one that was configured, or one that no other process has.
func (f *Franz) transactionalID() string {
	if f.tx.ID != "" {
		return f.tx.ID
	}
	return fmt.Sprintf("%s-%016x", f.cfg.Group, rand.Uint64())
}

// fencedTooOften notes that the broker fenced this process, and says whether another process must be using the same id: this one has
// to give way then, for it cannot be told which of the two is the zombie.
func (f *Franz) fencedTooOften() bool {
	const window, most = 2 * time.Minute, 3
	now := time.Now()
	f.fences = append(f.fences, now)
	recent := 0
	for _, at := range f.fences {
		if now.Sub(at) < window {
			recent++
		}
	}
	return f.tx.ID != "" && recent >= most
}
