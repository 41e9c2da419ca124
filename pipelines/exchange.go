package pipelines

import (
	"context"
	"fmt"
	"time"

	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

// session is where sinks write with delivery: exactly_once: into the transactions of the source, which is made after them.
type session struct{ ingest.Transactor }

// exactlyOnce says whether the definition asks for transactions and its own source and sinks are used.
func (e *Engine) exactlyOnce() bool {
	out := e.def.Sink.Kafka
	return out != nil && out.Delivery == sink.DeliverExactlyOnce && e.def.Ingest.Kafka != nil
}

// writing is how the sinks write: for good, or into transactions.
func (e *Engine) writing() []sink.Option {
	if e.session == nil {
		return nil
	}
	return []sink.Option{sink.Within(e.session)}
}

// openSource makes the source: the one that takes part in transactions where they are asked for.
func (e *Engine) openSource(options ...ingest.Option) (ingest.Source, error) {
	if e.session == nil {
		return ingest.New(e.def.Ingest, e.log, options...)
	}
	out := e.def.Sink.Kafka
	source, err := ingest.NewTransactor(e.def.Ingest, ingest.Transaction{
		ID: out.Transaction.ID, Timeout: out.Transaction.Timeout, Delivery: out.DeliveryTimeout, Topics: e.def.writtenTopics(),
	}, e.log, options...)
	if err != nil {
		return nil, err
	}
	e.session.Transactor = source
	return source, nil
}

// writtenTopics are the topics that one transaction writes to.
func (d *Definition) writtenTopics() []string {
	var topics []string
	if out := d.Sink.Kafka; out != nil {
		topics = append(topics, out.Topic)
	}
	if dead := d.Sink.DeadLetter.Kafka; dead != nil {
		topics = append(topics, dead.Topic)
	}
	if d.State.Topic != "" {
		topics = append(topics, d.State.Topic)
	}
	return topics
}

// letterBytes is how many bytes of dead letters one transaction takes at most, beside its first segment: they carry whole records, and
// a transaction must not take longer than its timeout.
const letterBytes = 16 << 20

// exchange is run with delivery: exactly_once: what is written because of a batch and that the batch is done become true together.
type exchange struct {
	tx     ingest.Transactor
	config sink.TransactionConfig
}

// exchange writes what comes in, batch by batch, each in one transaction, until in is closed.
func (d *deliver) exchange(ctx context.Context, in <-chan *item) error {
	for first := range in {
		batch := d.gather(ctx, first, in)
		begin := time.Now()
		if err := d.transact(ctx, batch); err != nil {
			return err
		}
		d.gauge.pass(len(batch), begin)
		if err := d.trip(); err != nil {
			return err
		}
	}
	return nil
}

// gather adds to first what comes within the interval, as far as it fits into a transaction.
func (d *deliver) gather(ctx context.Context, first *item, in <-chan *item) []*item {
	batch, bytes := []*item{first}, 0
	timer := time.NewTimer(d.within.config.Interval)
	defer timer.Stop()
	for len(batch) < d.within.config.Segments && bytes < letterBytes {
		select {
		case it, ok := <-in:
			if !ok {
				return batch
			}
			if it.failure != nil {
				bytes += len(it.segment.Record.Value)
			}
			batch = append(batch, it)
		case <-timer.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// transact writes the batch in a transaction, and in another one where that is aborted, until it is committed. What the broker will
// never take is written alone, in transactions of their own, to find it; it becomes a dead letter (invariant 4).
func (d *deliver) transact(ctx context.Context, batch []*item) error {
	begin, done := time.Now(), make([]ingest.Done, len(batch))
	for i, it := range batch {
		done[i] = ingest.Done{Segment: it.segment, Needed: it.needed}
	}
	for {
		outcome, err := d.within.tx.Transact(ctx, done, func(ctx context.Context, owned []bool) error {
			return d.write(ctx, ownedOf(batch, owned))
		})
		failure := permanent(err)
		switch {
		case err == nil && outcome.Committed:
			traceSink(ownedOf(batch, outcome.Owned), begin)
			d.settle(batch, outcome.Owned) //nolint:contextcheck // what is committed is acknowledged even where the pipeline stops
			return nil
		case err == nil, sink.ErrAgain(err):
			if ctx.Err() != nil {
				return ctx.Err()
			}
		case failure == nil:
			return fmt.Errorf("writing %d segments in a transaction: %w", len(batch), err)
		case len(batch) > 1:
			return d.transactEach(ctx, batch)
		case batch[0].failure == nil:
			batch[0].fail(failure)
		default:
			return fmt.Errorf("writing segment %s in a transaction: %w", batch[0].segment.ID(), err)
		}
	}
}

func (d *deliver) transactEach(ctx context.Context, batch []*item) error {
	for i := range batch {
		if err := d.transact(ctx, batch[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func ownedOf(batch []*item, owned []bool) []*item {
	ours := make([]*item, 0, len(batch))
	for i, it := range batch {
		if owned[i] {
			ours = append(ours, it)
		}
	}
	return ours
}

// settle acknowledges what was committed, and lets go of what belongs to somebody else: it is read and written again there.
func (d *deliver) settle(batch []*item, owned []bool) {
	for i, it := range batch {
		if owned[i] {
			d.acknowledge(it)
		} else {
			d.letGo(it)
		}
	}
}

// letGo frees what an item holds of which nothing was written.
func (d *deliver) letGo(it *item) {
	d.intake.release(it)
	d.counts.Lost.Add(1)
	it.segment.Receipt.Done(stream.SegmentID{})
}
