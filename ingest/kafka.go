package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

// Kafka reads segments from a topic as a member of a consumer group.
//
// The group's generations are used directly (kafka.ConsumerGroup), never a Reader with a group: that one takes back another
// member's commit after a rebalance. A generation ends only when every partition is drained and its offsets are committed, and
// the group waits for that before it gives the partitions to somebody else.
type Kafka struct {
	cfg       KafkaConfig
	order     OrderConfig
	bounds    Bounds
	log       *slog.Logger
	counters  Counters
	positions positions
	timing    timing
	options   options
	access    access
}

// timing is what no user needs to set.
type timing struct {
	reach     time.Duration // how long to look for a broker at the start
	topic     time.Duration // how long to look for the topic, once a broker answers
	request   time.Duration // how long one small request may take
	commit    time.Duration // how often to commit
	rejoin    time.Duration // how long to wait before joining again after an error
	leave     time.Duration // how long leaving the group may take before its connections are cut
	heartbeat time.Duration
	watch     time.Duration // how often to look for new partitions
}

// NewKafka makes the source; nothing is connected before Run.
func NewKafka(cfg KafkaConfig, order OrderConfig, log *slog.Logger) *Kafka {
	return &Kafka{
		cfg: cfg, order: order, bounds: DefaultBounds(),
		log: log.With("topic", cfg.Topic, "group", cfg.Group),
		timing: timing{
			reach: 15 * time.Second, topic: 2 * time.Second, request: 5 * time.Second,
			commit: 250 * time.Millisecond, rejoin: time.Second, leave: 10 * time.Second,
			heartbeat: min(3*time.Second, cfg.SessionTimeout/10), watch: 5 * time.Second,
		},
	}
}

// Stats implements Reporter.
func (k *Kafka) Stats() Stats {
	stats := k.counters.snapshot()
	stats.Partitions = k.positions.stats()
	return stats
}

// Run implements Source. It fails only at the start: when no broker answers (CodeBroker), the topic does not exist (CodeTopic), or the
// brokers do not let this client read (see access). Later outages are waited out.
func (k *Kafka) Run(ctx context.Context, out chan<- *stream.Segment) error {
	if err := k.reach(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	k.access.begin(refuse)
	if err := k.read(ctx, out); err != nil {
		return err
	}
	if failure, ok := errors.AsType[*stream.Failure](context.Cause(ctx)); ok {
		return failure
	}
	return nil
}

// read takes part in the group until ctx is done.
func (k *Kafka) read(ctx context.Context, out chan<- *stream.Segment) error {
	m := k.connect()
	defer m.close()
	group, err := m.join()
	if err != nil {
		return err
	}
	defer m.leave(group)

	joining := outage{log: k.log, what: "joining the consumer group"}
	for {
		generation, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			// A generation that came at this very moment ends with the group.
			return nil
		case errors.Is(err, kafka.RebalanceInProgress):
			continue // the group is still finding itself; the broker paces this
		case err != nil:
			// A fresh cluster answers "coordinator not available" until its offsets topic stands.
			sleep(ctx, joining.failed(joinError(k.cfg.Group, k.judge(err))))
			continue
		}
		joining.over()
		if !deliver(ctx, m.serve(ctx, generation, out), out) {
			return nil
		}
	}
}

// deliver sends control segments on, outside of a generation, so that a full pipeline does not keep the group waiting.
func deliver(ctx context.Context, segments []*stream.Segment, out chan<- *stream.Segment) bool {
	for _, segment := range segments {
		select {
		case out <- segment:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// reach looks for a broker and the topic.
func (k *Kafka) reach(ctx context.Context) error {
	start := time.Now()
	for attempt := 1; ; attempt++ {
		err := k.probe(ctx)
		waited := time.Since(start)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case connect.Why(err) != "" && waited >= k.timing.topic:
			return k.refused(err)
		case isMissing(err) && waited >= k.timing.topic:
			return &stream.Failure{Code: CodeTopic, Stage: "ingest", Err: fmt.Errorf(
				"ingest.kafka.topic %q does not exist on %s: create it, or check its spelling: %w",
				k.cfg.Topic, strings.Join(k.cfg.Brokers, ", "), err)}
		case !isMissing(err) && waited >= k.timing.reach:
			return &stream.Failure{Code: CodeBroker, Stage: "ingest", Err: fmt.Errorf(
				"no broker of ingest.kafka.brokers (%s) answered within %s: %s: %w", strings.Join(k.cfg.Brokers, ", "), k.timing.reach,
				cmp.Or(k.cfg.Security.HintUnanswered(err, connect.Below(keySecurity)), "check the addresses, and that Kafka runs"), err)}
		}
		sleep(ctx, backoff(attempt))
	}
}

// keySecurity is where a definition says how to get into the brokers of the source.
const keySecurity = "ingest.kafka.security"

// refused is why the brokers, which are there, do not let this client read: no encryption, no login, no rights.
func (k *Kafka) refused(err error) error {
	why := connect.Why(err)
	hint := k.cfg.Security.Hint(why, err, connect.Below(keySecurity))
	if why == connect.ReasonRights {
		hint += fmt.Sprintf(" describe and read the topic %q and to read the group %q", k.cfg.Topic, k.cfg.Group)
	}
	return &stream.Failure{
		Code: stream.Code("ingest." + string(why)), Stage: "ingest",
		Err: fmt.Errorf("reading from %s with %s: %w: %s", strings.Join(k.cfg.Brokers, ", "), k.cfg.Security, err, hint),
	}
}

// isMissing says whether a broker answered that there is no such topic.
func isMissing(err error) bool {
	return errors.Is(err, kafka.UnknownTopicOrPartition) || errors.Is(err, kafka.InvalidTopic)
}

// probe asks once for the topic, over connections of its own: the transport of a Client remembers a failure for seconds.
func (k *Kafka) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.timing.request)
	defer cancel()
	m := k.connect()
	defer m.close()
	response, err := m.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{k.cfg.Topic}})
	if err != nil {
		return fmt.Errorf("asking for the topic: %w", err)
	}
	for _, topic := range response.Topics {
		if topic.Name == k.cfg.Topic {
			return topic.Error
		}
	}
	return kafka.UnknownTopicOrPartition
}

// membership is one Run: the connections and what belongs to them.
type membership struct {
	*Kafka
	client    *kafka.Client
	transport *kafka.Transport
	dialer    *dialer // of the client
	joiner    *dialer // of the group
}

func (k *Kafka) connect() *membership {
	dial := k.cfg.Security.Dialer(k.timing.request)
	m := &membership{Kafka: k, dialer: newDialer(dial), joiner: newDialer(dial)}
	m.transport = &kafka.Transport{
		Dial: m.dialer.dial, DialTimeout: k.timing.request, ClientID: clientID, SASL: k.cfg.Security.Login(),
		MetadataTopics: []string{k.cfg.Topic}, MetadataTTL: 3 * time.Second,
	}
	m.client = &kafka.Client{Addr: kafka.TCP(k.cfg.Brokers...), Transport: m.transport}
	return m
}

const clientID = "ensue"

// close ends what the client runs: without it the transport keeps goroutines and connections for ever.
func (m *membership) close() {
	m.transport.CloseIdleConnections()
	m.dialer.close()
	m.joiner.close()
}

func (m *membership) join() (*kafka.ConsumerGroup, error) {
	startAt := kafka.FirstOffset
	if m.cfg.StartAt == "newest" {
		startAt = kafka.LastOffset
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: m.cfg.Group, Brokers: m.cfg.Brokers, Topics: []string{m.cfg.Topic},
		Dialer: &kafka.Dialer{
			ClientID: clientID, Timeout: m.timing.request, DialFunc: m.joiner.dial, SASLMechanism: m.cfg.Security.Login(),
		},
		HeartbeatInterval: m.timing.heartbeat, SessionTimeout: m.cfg.SessionTimeout, RebalanceTimeout: m.cfg.RebalanceTimeout,
		JoinGroupBackoff: m.timing.rejoin, Timeout: m.timing.request, StartOffset: startAt,
		WatchPartitionChanges: true, PartitionWatchInterval: m.timing.watch,
		ErrorLogger: kafka.LoggerFunc(func(format string, args ...any) {
			m.log.Debug("consumer group: " + fmt.Sprintf(format, args...))
		}),
	})
	if err != nil {
		return nil, &stream.Failure{Code: CodeConfig, Stage: "ingest", Permanent: true, Err: fmt.Errorf("joining the group: %w", err)}
	}
	return group, nil
}

// leave leaves the group. A member that goes in the middle of a join is waited for by the others until its session times out,
// so the library gets time to finish the join first; but a join can take as long as the slowest member, and a broker may not
// answer at all: after a while the connections are cut.
func (m *membership) leave(group *kafka.ConsumerGroup) {
	left := make(chan struct{})
	go func() {
		defer close(left)
		_ = group.Close() // always nil
	}()
	patience := time.NewTicker(m.timing.leave)
	defer patience.Stop()
	for {
		select {
		case <-left:
			return
		case <-patience.C:
			m.joiner.cut()
		}
	}
}

// serve works through one generation and returns the control segments to send after it.
func (m *membership) serve(ctx context.Context, generation *kafka.Generation, out chan<- *stream.Segment) []*stream.Segment {
	result := make(chan []*stream.Segment, 1)
	// The library ends the generation when the function returns, and joins anew only then.
	generation.Start(func(alive context.Context) {
		both, cancel := context.WithCancelCause(alive)
		defer cancel(nil)
		defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
		g := &generationRun{membership: m, generation: generation, out: out}
		result <- g.run(both)
	})
	return <-result
}

// generationRun is what this member does during one generation.
type generationRun struct {
	*membership
	generation *kafka.Generation
	out        chan<- *stream.Segment
	workers    []*worker

	// owned guards commits: the broker knows members and generations, but not who owns a partition, so nothing may be
	// committed once the partitions are given back (invariant 3).
	mu         sync.Mutex
	owned      bool
	bare       bool // the broker takes no metadata of ours
	committing outage
	lease      *lease
}

// run owns the assigned partitions until ctx is done and everything is drained and committed.
func (g *generationRun) run(ctx context.Context) []*stream.Segment {
	g.committing = outage{log: g.log, what: "committing offsets"}
	if !g.begin(ctx) {
		return nil
	}
	g.counters.Rebalances.Add(1)
	g.log.Info("reading", "partitions", g.ids(), "generation", g.generation.ID)
	g.owned = true
	g.lease = newLease(g.cfg.SessionTimeout, g.affirm)
	for _, w := range g.workers {
		w.offsets.lease = g.lease
	}
	g.commit(ctx) // pins where reading starts: a member that dies before its first result must not start elsewhere

	var working, committing sync.WaitGroup
	drained := make(chan struct{})
	after := context.WithoutCancel(ctx) // commits go on while the workers drain
	committing.Go(func() { g.commitRegularly(after, drained) })
	for _, w := range g.workers {
		working.Go(func() { w.run(ctx) })
	}
	<-ctx.Done() // also where no partition is assigned: returning would end the generation
	working.Wait()
	close(drained)
	committing.Wait()
	g.finish(after)

	var forget []*stream.Segment
	for _, w := range g.workers {
		g.positions.drop(w.id)
		forget = append(forget, w.forget...)
	}
	g.log.Info("gave the partitions back", "partitions", g.ids(), "generation", g.generation.ID)
	return forget
}

func (g *generationRun) ids() []int {
	ids := make([]int, 0, len(g.generation.Assignments[g.cfg.Topic]))
	for _, assignment := range g.generation.Assignments[g.cfg.Topic] {
		ids = append(ids, assignment.ID)
	}
	return ids
}

// begin finds out where to start, for as long as it takes, and makes the workers.
func (g *generationRun) begin(ctx context.Context) bool {
	ids := g.ids()
	if len(ids) == 0 {
		return ctx.Err() == nil
	}
	trouble := outage{log: g.log, what: "looking up where to start"}
	for ctx.Err() == nil {
		err := g.lookUp(ctx, ids)
		if err == nil {
			trouble.over()
			return true
		}
		g.workers = nil
		if ctx.Err() == nil {
			sleep(ctx, trouble.failed(g.judge(err)))
		}
	}
	return false
}

func (g *generationRun) lookUp(ctx context.Context, ids []int) error {
	ctx, cancel := context.WithTimeout(ctx, g.timing.request)
	defer cancel()
	response, err := g.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{
		GroupID: g.cfg.Group, Topics: map[string][]int{g.cfg.Topic: ids},
	})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return fmt.Errorf("fetching the committed offsets: %w", err)
	}
	ends, err := partitionEnds(ctx, g.client, g.cfg.Topic, ids)
	if err != nil {
		return err
	}
	found := response.Topics[g.cfg.Topic]
	if len(found) != len(ids) {
		return fmt.Errorf("fetching the committed offsets: asked for %d partitions, the broker answered for %d", len(ids), len(found))
	}
	for _, p := range found {
		if p.Error != nil {
			return fmt.Errorf("fetching the committed offset of partition %d: %w", p.Partition, p.Error)
		}
		g.workers = append(g.workers, g.worker(p, ends[p.Partition]))
	}
	return nil
}

// worker makes the worker of a partition that continues at what was committed.
func (g *generationRun) worker(p kafka.OffsetFetchPartition, end partitionEnd) *worker {
	w := g.newWorker(p, end, share{partitions: len(g.ids()), generation: g.generation.ID}, g.out)
	w.fetcher = &fetcher{
		client: g.client, topic: g.cfg.Topic, partition: p.Partition, wait: g.cfg.MaxWait, log: g.log,
		pace: newPace(g.fetchBytes(len(g.ids())), g.cfg.ReadBatchTimeout), judge: g.judge, proved: g.access.prove,
		outage: outage{log: g.log, what: fmt.Sprintf("reading partition %d", p.Partition)},
	}
	return w
}

// share is what this member has of the topic: so many partitions in a generation of the group.
type share struct {
	partitions int
	generation int32
}

// newWorker makes a worker as both drivers need it; how it reads is theirs.
func (k *Kafka) newWorker(p kafka.OffsetFetchPartition, end partitionEnd, of share, out chan<- *stream.Segment) *worker {
	w := &worker{
		id: p.Partition, out: out, counters: &k.counters, drain: k.cfg.DrainTimeout, log: k.log,
		order:   NewOrder(k.order, k.bounds.share(of.partitions), &k.counters),
		offsets: k.start(p, end),
	}
	w.committed.offset, w.committed.metadata = p.CommittedOffset, p.Metadata
	w.offsets.limit = int64(k.cfg.HoldBack)
	k.options.equip(w, takeover{
		group: k.cfg.Group, topic: k.cfg.Topic, partition: p.Partition, generation: of.generation,
		committed: p.CommittedOffset >= 0 && p.CommittedOffset <= end.last, end: end.last,
	})
	w.moved = func(read, high int64) { k.positions.moved(p.Partition, read, high) }
	w.moved(w.offsets.position(), end.last)
	return w
}

// fetchBytes is how much one partition asks for at once: all fetches together take no more of the memory than half of what the source
// may use (invariant 6), as nearly as the size of a single record allows.
func (k *Kafka) fetchBytes(partitions int) int64 {
	if k.options.memory <= 0 {
		return k.cfg.MaxBytes
	}
	return min(k.cfg.MaxBytes, max(k.options.memory/2/int64(max(partitions, 1)), minFetch))
}

// start is what a partition's owner before left, or the end of the partition that start_at names.
func (k *Kafka) start(p kafka.OffsetFetchPartition, end partitionEnd) *offsets {
	if p.CommittedOffset < 0 {
		first := end.first
		if k.cfg.StartAt == "newest" {
			first = end.last
		}
		return newOffsets(first, progress{Base: first, Next: first})
	}
	prior, err := parseProgress(p.CommittedOffset, p.Metadata)
	if err != nil {
		k.log.Warn("ignoring the metadata of a committed offset; what it said is done will be processed again",
			"partition", p.Partition, "offset", p.CommittedOffset, "error", err)
	}
	from := newOffsets(p.CommittedOffset, prior)
	if p.CommittedOffset < end.first || p.CommittedOffset > end.last {
		k.log.Warn("the committed offset is no longer there, going on at the oldest one",
			"partition", p.Partition, "committed", p.CommittedOffset, "oldest", end.first, "newest", end.last)
		k.counters.OutOfRange.Add(1)
		if p.CommittedOffset > end.last { // a new topic of the same name
			return newOffsets(end.first, progress{Base: end.first, Next: end.first})
		}
		from.restart(end.first)
	}
	return from
}

func (g *generationRun) commitRegularly(ctx context.Context, drained <-chan struct{}) {
	ticker := time.NewTicker(g.timing.commit)
	defer ticker.Stop()
	for {
		select {
		case <-drained:
			return
		case <-ticker.C:
			g.commit(ctx)
			g.lease.renew(ctx)
		}
	}
}

// commitAttempts is how often the last commit of a generation is tried.
const commitAttempts = 3

// finish commits for the last time.
func (g *generationRun) finish(ctx context.Context) {
	for attempt := range commitAttempts {
		if g.commit(ctx) {
			break
		}
		time.Sleep(backoff(attempt))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.owned = false
}

// commit tells the group how far every partition is done, where that changed. It is false when that failed and may be tried
// again.
func (g *generationRun) commit(ctx context.Context) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.owned {
		return true
	}
	commits := g.commits(false)
	return len(commits) == 0 || g.commitNow(ctx, commits) == nil || !g.owned
}

// affirm commits what is committed already: the coordinator takes it from a member of the generation and from nobody else. A heartbeat
// would not do: kafka-go reads the error in its answer from the wrong place and always finds none.
func (g *generationRun) affirm(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.owned {
		return kafka.UnknownMemberId
	}
	return g.commitNow(ctx, g.commits(true))
}

func (g *generationRun) commitNow(ctx context.Context, commits []kafka.OffsetCommit) error {
	sent := time.Now()
	err := g.send(ctx, commits)
	switch {
	case err == nil:
		g.lease.confirm(sent)
		g.committing.over()
		for _, w := range g.workers {
			for _, c := range commits {
				if c.Partition == w.id {
					w.committed.offset, w.committed.metadata = c.Offset, c.Metadata
				}
			}
		}
	case errors.Is(err, kafka.OffsetMetadataTooLarge) && !g.bare:
		g.log.Warn("the broker refuses the metadata of committed offsets; without it results are written again after a restart: "+
			"raise offset.metadata.max.bytes to 4096", "error", err)
		g.bare = true
	case isFenced(err):
		g.owned = false // the group gave the partitions to somebody else
		g.log.Warn("the group refuses the commit of a member it gave up; the segments since the last one are processed again",
			"error", err)
	default:
		g.committing.failed(g.judge(err))
	}
	return err
}

func isFenced(err error) bool {
	return errors.Is(err, kafka.IllegalGeneration) || errors.Is(err, kafka.UnknownMemberId) || errors.Is(err, kafka.FencedInstanceID)
}

// commits are how far every partition is done: those where that changed, or all.
func (g *generationRun) commits(all bool) []kafka.OffsetCommit {
	var commits []kafka.OffsetCommit
	for _, w := range g.workers {
		p := w.offsets.progress()
		limit := maxMetadata
		if g.bare {
			limit = 0
		}
		c := kafka.OffsetCommit{Partition: w.id, Offset: p.Base, Metadata: p.text(limit)}
		if all || c.Offset != w.committed.offset || c.Metadata != w.committed.metadata {
			commits = append(commits, c)
		}
		g.positions.commit(w.id, p.Base)
	}
	return commits
}

// send uses a request of its own: the library's Generation.CommitOffsets cannot carry metadata.
func (g *generationRun) send(ctx context.Context, commits []kafka.OffsetCommit) error {
	ctx, cancel := context.WithTimeout(ctx, g.timing.request)
	defer cancel()
	response, err := g.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: g.cfg.Group, GenerationID: int(g.generation.ID), MemberID: g.generation.MemberID,
		Topics: map[string][]kafka.OffsetCommit{g.cfg.Topic: commits},
	})
	if err != nil {
		return fmt.Errorf("committing offsets: %w", err)
	}
	for _, p := range response.Topics[g.cfg.Topic] {
		if p.Error != nil {
			return fmt.Errorf("committing the offset of partition %d: %w", p.Partition, p.Error)
		}
	}
	return nil
}

// dialer makes connections and remembers them, so that they can be cut.
type dialer struct {
	connect connect.DialFunc
	mu      sync.Mutex
	open    map[*tracked]struct{}
	closed  bool
}

// tracked is a connection that its dialer knows of.
type tracked struct {
	net.Conn
	by *dialer
}

func newDialer(dial connect.DialFunc) *dialer {
	return &dialer{connect: dial, open: map[*tracked]struct{}{}}
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	t := &tracked{Conn: conn, by: d}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	d.open[t] = struct{}{}
	return t, nil
}

// Close implements net.Conn.
func (t *tracked) Close() error {
	t.by.mu.Lock()
	delete(t.by.open, t)
	t.by.mu.Unlock()
	return t.Conn.Close()
}

// cut closes every connection; new ones can be made.
func (d *dialer) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t := range d.open {
		_ = t.Conn.Close() // whoever uses it gets the error
	}
	clear(d.open)
}

// close cuts, for good.
func (d *dialer) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cut()
}
