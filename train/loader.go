package train

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// LoaderConfig says what batches look like.
type LoaderConfig struct {
	// Batch is how many windows, Frames how many frames each, Side their width and height.
	Batch, Frames, Side int
	// Seed determines every window.
	Seed uint64
	// Workers is how many goroutines make windows, Ahead how many batches they may be ahead of the one in use.
	Workers, Ahead int
	// Grid, where it is not 0, is into how many places a side is divided to tell which of them move (Batch.Moving).
	Grid int
}

// Batch is what one step learns from.
type Batch struct {
	// Step is the step it belongs to.
	Step int
	// Pixels are `[Batch, Frames, Side, Side, 3]` RGB.
	Pixels []byte
	// Moving tells of every place `[Batch, Frames, Grid, Grid]` whether something other than the background is there; nil without a Grid.
	Moving []bool
	// Emerging tells of the same places whether something came up there out of nothing, now or a little before or after; nil without Moving.
	Emerging []bool

	left   atomic.Int64
	done   chan struct{}
	errors []error // of each window
}

// Loader makes batches ahead of time. Its goroutines end with Close.
type Loader struct {
	config LoaderConfig
	source Source
	ready  chan *Batch // in the order of steps, perhaps not complete yet
	free   chan *Batch
	jobs   chan job
	cancel context.CancelFunc
	group  sync.WaitGroup
}

type job struct {
	batch *Batch
	index int
}

// NewLoader starts making the batches of the steps from first on.
func NewLoader(ctx context.Context, source Source, config LoaderConfig, first int) *Loader {
	ctx, cancel := context.WithCancel(ctx)
	batches := config.Ahead + 1
	l := &Loader{
		config: config, source: source, cancel: cancel,
		ready: make(chan *Batch, batches), free: make(chan *Batch, batches), jobs: make(chan job),
	}
	for range batches {
		l.free <- newBatch(config)
	}
	l.group.Go(func() { l.offer(ctx, first) })
	for range max(1, config.Workers) {
		l.group.Go(l.work)
	}
	return l
}

func newBatch(c LoaderConfig) *Batch {
	b := &Batch{Pixels: make([]byte, c.Batch*c.Frames*c.Side*c.Side*3), errors: make([]error, c.Batch)}
	if c.Grid > 0 {
		b.Moving, b.Emerging = make([]bool, c.Batch*c.Frames*c.Grid*c.Grid), make([]bool, c.Batch*c.Frames*c.Grid*c.Grid)
	}
	return b
}

// offer hands out the windows of one batch after another. Invariant 6: there are only as many batches as were made at first.
func (l *Loader) offer(ctx context.Context, step int) {
	defer close(l.jobs)
	for ; ; step++ {
		var b *Batch
		select {
		case b = <-l.free:
		case <-ctx.Done():
			return
		}
		b.Step, b.done = step, make(chan struct{})
		b.left.Store(int64(l.config.Batch))
		l.ready <- b // it has room for all batches
		for i := range l.config.Batch {
			select {
			case l.jobs <- job{b, i}:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (l *Loader) work() {
	for j := range l.jobs {
		j.batch.errors[j.index] = l.fill(j.batch, j.index)
		if j.batch.left.Add(-1) == 0 {
			close(j.batch.done)
		}
	}
}

func (l *Loader) fill(b *Batch, index int) error {
	c := l.config
	n := c.Frames * c.Side * c.Side * 3
	pixels := b.Pixels[index*n : (index+1)*n]
	if err := l.source.Window(randomOf(c.Seed, b.Step, index), c.Frames, c.Side, pixels); err != nil {
		return err
	}
	if c.Grid > 0 {
		places := c.Frames * c.Grid * c.Grid
		moving := b.Moving[index*places : (index+1)*places]
		markMoving(moving, pixels, c.Frames, c.Side, c.Grid)
		markEmerging(b.Emerging[index*places:(index+1)*places], moving, c.Frames, c.Grid)
	}
	return nil
}

// Next is the batch of the next step. Give it back with Release.
func (l *Loader) Next(ctx context.Context) (*Batch, error) {
	select {
	case b := <-l.ready:
		select {
		case <-b.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if err := errors.Join(b.errors...); err != nil {
			return nil, fmt.Errorf("making the windows of step %d: %w", b.Step, err)
		}
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Release gives a batch back.
func (l *Loader) Release(b *Batch) { l.free <- b }

// Close ends the loader and waits for its goroutines.
func (l *Loader) Close() {
	l.cancel()
	l.group.Wait()
}
