package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

// errNoMembership says that there is no transaction to write into.
var errNoMembership = errors.New("there is no open transaction")

// Produce implements Transactor. It is called by write, within Transact.
func (f *Franz) Produce(ctx context.Context, records ...*kgo.Record) kgo.ProduceResults {
	m := f.membership // Transact, which calls the caller, holds the lock
	if m == nil {
		results := make(kgo.ProduceResults, len(records))
		for i, record := range records {
			results[i] = kgo.ProduceResult{Record: record, Err: errNoMembership}
		}
		return results
	}
	return m.group.ProduceSync(ctx, records...)
}

// Transact implements Transactor.
func (f *Franz) Transact(ctx context.Context, done []Done, write func(context.Context, []bool) error) (Outcome, error) {
	f.transacting.Lock()
	defer f.transacting.Unlock()
	m := f.membership
	outcome := Outcome{Owned: make([]bool, len(done))}
	var ready []finished
	works := m.works()
	for i, d := range done {
		// Invariant 1, for every segment: its partition is ours now, or nothing is written because of it.
		r, ours := receiptOf(d.Segment)
		outcome.Owned[i] = works && (!ours || r.to.owned())
		if ours && outcome.Owned[i] {
			ready = append(ready, finished{receipt: r, needed: d.Needed})
		}
	}
	if !slices.Contains(outcome.Owned, true) {
		outcome.Committed = true // there is nothing to commit, and nothing to try again
		return outcome, nil
	}
	var err error
	outcome.Committed, err = m.transact(ctx, ready, func(ctx context.Context) error { return write(ctx, outcome.Owned) })
	return outcome, err
}

// receiptOf is the receipt by which the segment reports to its partition.
func receiptOf(segment *stream.Segment) (*receipt, bool) {
	for wrapped := segment.Receipt; ; {
		switch r := wrapped.(type) {
		case *receipt:
			return r, true
		case interface{ Inner() stream.Receipt }:
			wrapped = r.Inner()
		default:
			return nil, false
		}
	}
}

// transact is one transaction: begin, write, commit the progress, end.
func (m *franzMembership) transact(ctx context.Context, ready []finished, write func(context.Context) error) (bool, error) {
	if !m.preempt(ctx) {
		return false, ctx.Err()
	}
	err := m.group.Begin()
	m.yield()
	if err != nil {
		return false, m.giveUp(ctx, fmt.Errorf("beginning a transaction: %w", err))
	}
	failed := write(ctx)
	// What was begun is ended, whatever becomes of ctx: otherwise readers wait for the transaction to time out.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.tx.Timeout)
	defer cancel()
	if !m.preempt(ending) {
		return false, m.giveUp(ctx, ending.Err())
	}
	defer m.yield()
	var sent map[int32]fetchedOffset
	var crowded error
	// Invariant 3: the offsets that are committed are those of the progress, held back for context, and not those that were polled.
	ending = kgo.PreTxnCommitFnContext(ending, func(request *kmsg.TxnOffsetCommitRequest) error {
		sent, crowded = m.fill(request, ready)
		return crowded
	})
	committed, err := m.group.End(ending, kgo.TransactionEndTry(failed == nil))
	switch {
	case failed != nil && err == nil:
		return false, failed
	case failed != nil:
		return false, errors.Join(failed, m.giveUp(ctx, fmt.Errorf("aborting a transaction: %w", err)))
	case err != nil:
		return false, m.giveUp(ctx, fmt.Errorf("committing a transaction: %w", errors.Join(err, crowded)))
	case !committed:
		m.log.Info("a transaction was aborted because partitions were taken away or the group changed; what stays is written again")
		sleep(ctx, backoff(1))
		return false, nil
	}
	m.committing.over()
	m.remember(sent)
	return true, nil
}

// fill puts the progress of the owned partitions into the request instead of what the client would commit.
func (m *franzMembership) fill(request *kmsg.TxnOffsetCommitRequest, ready []finished) (map[int32]fetchedOffset, error) {
	byPartition := map[*offsets][]finished{}
	for _, f := range ready {
		byPartition[f.receipt.to] = append(byPartition[f.receipt.to], f)
	}
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic = m.cfg.Topic
	for _, known := range request.Topics {
		if known.Topic == m.cfg.Topic {
			topic.TopicID = known.TopicID
		}
	}
	sent := map[int32]fetchedOffset{}
	var unchanged []kmsg.TxnOffsetCommitRequestTopicPartition
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, w := range m.workers {
		done, written := byPartition[w.offsets]
		at, text, fits := w.offsets.after(done).exact(maxMetadata)
		if !fits {
			return nil, fmt.Errorf("partition %d: what is under way does not fit into the metadata of a commit", id)
		}
		m.positions.commit(w.id, at.Base)
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = id, at.Base, -1, &text
		if !written && at.Base == w.committed.offset && text == w.committed.metadata {
			unchanged = append(unchanged, p)
			continue
		}
		topic.Partitions = append(topic.Partitions, p)
		sent[id] = fetchedOffset{offset: at.Base, metadata: text}
	}
	if len(topic.Partitions) == 0 && len(unchanged) > 0 {
		// The client takes a commit without offsets for one by an old broker, and waits half a second after it.
		topic.Partitions = unchanged[:1]
	}
	request.Topics = nil
	if len(topic.Partitions) > 0 {
		request.Topics = append(request.Topics, topic)
	}
	return sent, nil
}

// remember notes what the group knows now.
func (m *franzMembership) remember(sent map[int32]fetchedOffset) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, at := range sent {
		if w := m.workers[id]; w != nil {
			w.committed.offset, w.committed.metadata = at.offset, at.metadata
		}
	}
}

// claim has the broker end what an earlier process with the same transactional id left open: now, and not when there is a first result,
// for readers wait for it. A failure is told when there is something to write.
func (m *franzMembership) claim(ctx context.Context) {
	if m.tx.ID == "" {
		return // nobody had it before
	}
	ctx, cancel := context.WithTimeout(ctx, m.timing.request)
	defer cancel()
	if _, _, err := m.group.Client().ProducerID(ctx); err != nil {
		m.log.Debug("taking the transactional id over", "id", m.tx.ID, "error", err)
	}
}

// giveUp ends the membership because the client cannot make transactions any more: all partitions are given up at once, so that
// nothing is written because of them. What it returns, if anything, ends the pipeline.
func (m *franzMembership) giveUp(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	m.abandon()
	var failure *stream.Failure
	switch {
	case errors.Is(err, kerr.OffsetMetadataTooLarge):
		failure = stream.Fail("ingest", CodeMetadata, "the broker does not take the metadata of committed offsets, without which "+
			"exactly_once would write results twice: raise offset.metadata.max.bytes of the brokers to %d: %w", maxMetadata, err)
	case connect.Why(err) == connect.ReasonRights:
		failure = stream.FailTransient("ingest", "ingest.not_authorized", "writing in transactions: %w: %s write and describe the "+
			"transactional id (TransactionalId resource, %q as a prefix), and to read the group %q",
			err, m.cfg.Security.Hint(connect.ReasonRights, err, connect.Below(keySecurity)), m.cfg.Group, m.cfg.Group)
	case isFencedProducer(err) && m.fencedTooOften():
		failure = stream.FailTransient("ingest", CodeFenced, "another process uses sink.kafka.transaction.id %q: give every process "+
			"another one, or leave the key out: %w", m.tx.ID, err)
	}
	if failure != nil {
		m.fatal(failure)
		return failure
	}
	m.committing.failed(err)
	m.end(err)
	return nil
}

func isFencedProducer(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}

// commitRegularly commits progress that nothing is written for: duplicates, streams that were forgotten, records that hold nothing.
func (m *franzMembership) commitRegularly(ctx context.Context, drained <-chan struct{}) {
	ticker := time.NewTicker(4 * m.timing.commit)
	defer ticker.Stop()
	for {
		select {
		case <-drained:
			return
		case <-ticker.C:
			m.commit(ctx)
		}
	}
}

// commit commits the progress alone, where it changed.
func (m *franzMembership) commit(ctx context.Context) {
	m.transacting.Lock()
	defer m.transacting.Unlock()
	if m.membership != m || m.failure() != nil || !m.moved() {
		return
	}
	// A failure that ends the pipeline is kept; everything else is tried again.
	_, _ = m.transact(ctx, nil, func(context.Context) error { return nil })
}

// moved says whether the progress of a partition changed since it was committed.
func (m *franzMembership) moved() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.workers {
		at, text, fits := w.offsets.after(nil).exact(maxMetadata)
		if fits && (at.Base != w.committed.offset || text != w.committed.metadata) {
			return true
		}
	}
	return false
}
