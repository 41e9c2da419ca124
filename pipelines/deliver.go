package pipelines

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

// deliverBatch is how many items one write takes at most: enough to fill a request to a broker, small enough that what is
// repeated after a crash stays small.
const deliverBatch = 128

// deliver is the last stage: it writes results and dead letters, and acknowledges.
type deliver struct {
	results sink.Sink
	dead    sink.DeadLetters
	intake  *intake
	counts  *Counts
	onDone  func(*stream.Segment, *stream.Result, *stream.Failure)
	// observers are told what is done, gauge counts it.
	observers observers
	gauge     *gauge
	// keeper saves what is known of streams, breaker stops where nearly everything fails; nil: nobody does.
	keeper  *keeper
	breaker *breaker
	// within is how transactions are made; nil: there are none.
	within *exchange
	// meter is told what is written; nil: nobody is.
	meter *meter
	// swaps are sinks to change to, swap does it; its error ends the pipeline.
	swaps <-chan swap
	swap  func(swap) error
	// settled is when the breaker trips, as of now; nil: as it was made.
	settled func() BreakerConfig
}

// run writes what comes in, in its order, until in is closed. An error of a sink ends the pipeline: what is not acknowledged
// then is read again.
func (d *deliver) run(ctx context.Context, in <-chan *item) error {
	if d.within != nil {
		return d.exchange(ctx, in)
	}
	for {
		select {
		case first, ok := <-in:
			if !ok {
				return nil
			}
			if err := d.batch(ctx, d.held(ctx, collect(first, in))); err != nil {
				return err
			}
		case asked := <-d.swaps:
			if err := d.swap(asked); err != nil {
				return err
			}
		}
	}
}

// batch writes and acknowledges.
func (d *deliver) batch(ctx context.Context, batch []*item) error {
	begin := time.Now()
	if err := d.write(ctx, batch); err != nil {
		return err
	}
	d.gauge.pass(len(batch), begin)
	traceSink(batch, begin)
	for _, it := range batch {
		d.acknowledge(it) //nolint:contextcheck // what is written is acknowledged even where the pipeline stops
	}
	return d.trip()
}

// trip is the breaker's error, by its settings of now; nil while it does not trip.
func (d *deliver) trip() error {
	if d.settled != nil {
		d.breaker.configure(d.settled())
	}
	return d.breaker.tripped()
}

// traceSink tells the traces of a batch how long its writing took.
func traceSink(batch []*item, begin time.Time) {
	end := time.Now()
	for _, it := range batch {
		it.trail.Stage(stageSink, begin, end, nil)
	}
}

// collect adds to first what is there already, so that a batch never waits for more.
func collect(first *item, in <-chan *item) []*item {
	batch := []*item{first}
	for len(batch) < deliverBatch {
		select {
		case it, ok := <-in:
			if !ok {
				return batch
			}
			batch = append(batch, it)
		default:
			return batch
		}
	}
	return batch
}

// held is what of the batch this process may still write about. What belongs to somebody else is let go: it is dealt with there.
func (d *deliver) held(ctx context.Context, batch []*item) []*item {
	kept := batch[:0]
	for _, it := range batch {
		if holding, ok := it.segment.Receipt.(stream.Holding); !ok || holding.Held(ctx) {
			kept = append(kept, it)
			continue
		}
		d.intake.release(it)
		d.counts.Lost.Add(1)
		it.segment.Receipt.Done(it.needed)
	}
	return kept
}

// write makes the results and dead letters of the batch durable, and after them what is then known of their streams: whoever takes a
// stream over knows of no result that is not there.
func (d *deliver) write(ctx context.Context, batch []*item) error {
	if err := d.writeResults(ctx, batch); err != nil {
		return err
	}
	if err := d.writeLetters(ctx, batch); err != nil {
		return err
	}
	if d.keeper == nil || !d.keeper.durable {
		return nil
	}
	return d.meter.written(toState, func() error { return d.keeper.save(ctx, batch) })
}

// writeLetters writes the dead letters of the batch.
func (d *deliver) writeLetters(ctx context.Context, batch []*item) error {
	var letters []*stream.DeadLetter
	for _, it := range batch {
		if it.failure != nil && !it.segment.ContextOnly {
			letters = append(letters, letter(it))
		}
	}
	if len(letters) == 0 {
		return nil
	}
	if err := d.meter.written(toDead, func() error { return d.dead.Write(ctx, letters) }); err != nil {
		return fmt.Errorf("writing %d dead letters (the first: segment %s: %v): %w",
			len(letters), letters[0].Segment, letters[0].Failure, err) //nolint:errorlint // the code is that of the writing
	}
	return nil
}

// writeResults writes the results of the batch. A result that no sink will ever take (it is too large, say) is written alone to
// find it, and becomes a dead letter; the others are written (invariant 4).
func (d *deliver) writeResults(ctx context.Context, batch []*item) error {
	scored := make([]*item, 0, len(batch))
	results := make([]*stream.Result, 0, len(batch))
	for _, it := range batch {
		if it.result != nil {
			it.result.Latency, it.result.Traceparent = it.latency, it.traceparent()
			scored, results = append(scored, it), append(results, it.result)
		}
	}
	if len(results) == 0 {
		return nil
	}
	err := d.meter.written(toResults, func() error { return d.results.Write(ctx, results) })
	if err != nil && d.within != nil {
		return fmt.Errorf("writing %d results: %w", len(results), err) // the transaction is given up: what it holds would be written twice
	}
	if failure := permanent(err); failure != nil && len(scored) > 1 {
		for _, it := range scored {
			if err := d.writeResults(ctx, []*item{it}); err != nil {
				return err
			}
		}
		return nil
	} else if failure != nil {
		scored[0].fail(failure)
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing %d results: %w", len(results), err)
	}
	return nil
}

// permanent is the failure in err if it is about what was written and not about the sink.
func permanent(err error) *stream.Failure {
	var failure *stream.Failure
	if errors.As(err, &failure) && failure.Permanent {
		return failure
	}
	return nil
}

func letter(it *item) *stream.DeadLetter {
	return &stream.DeadLetter{
		Segment: it.segment.ID(), Origin: it.segment.Origin, Failure: it.failure, Attempts: max(it.failure.Attempts, 1),
		Record: it.segment.Record, Traceparent: it.traceparent(),
	}
}

// acknowledge is called once everything of the item is durably written. Invariant 1.
func (d *deliver) acknowledge(it *item) {
	d.intake.release(it)
	d.counts.book(it)
	d.meter.delivered(it)
	it.trail.End(it.result, it.failure)
	d.breaker.note(it)
	if d.keeper != nil && !d.keeper.durable {
		_ = d.keeper.save(context.Background(), []*item{it}) // memory takes everything
	}
	if d.onDone != nil {
		d.onDone(it.segment, it.result, it.failure)
	}
	d.observers.done(it)
	it.segment.Receipt.Done(it.needed)
}
