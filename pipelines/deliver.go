package pipelines

import (
	"context"
	"errors"
	"fmt"

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
}

// run writes what comes in, in its order, until in is closed. An error of a sink ends the pipeline: what is not acknowledged
// then is read again.
func (d *deliver) run(ctx context.Context, in <-chan *item) error {
	for first := range in {
		batch := collect(first, in)
		if err := d.write(ctx, batch); err != nil {
			return err
		}
		for _, it := range batch {
			d.acknowledge(it)
		}
	}
	return nil
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

// write makes the results and dead letters of the batch durable.
func (d *deliver) write(ctx context.Context, batch []*item) error {
	if err := d.writeResults(ctx, batch); err != nil {
		return err
	}
	var letters []*stream.DeadLetter
	for _, it := range batch {
		if it.failure != nil && !it.segment.ContextOnly {
			letters = append(letters, letter(it))
		}
	}
	if len(letters) == 0 {
		return nil
	}
	if err := d.dead.Write(ctx, letters); err != nil {
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
			it.result.Latency = it.latency
			scored, results = append(scored, it), append(results, it.result)
		}
	}
	if len(results) == 0 {
		return nil
	}
	err := d.results.Write(ctx, results)
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
		Segment: it.segment.ID(), Origin: it.segment.Origin, Failure: it.failure, Attempts: 1,
		Record: it.segment.Record, Traceparent: it.segment.Traceparent,
	}
}

// acknowledge is called once everything of the item is durably written. Invariant 1.
func (d *deliver) acknowledge(it *item) {
	d.intake.release(it)
	d.counts.book(it)
	if d.onDone != nil {
		d.onDone(it.segment, it.result, it.failure)
	}
	it.segment.Receipt.Done(it.needed)
}
