package pipelines

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// lanes works on items: those of one stream one at a time and in their order, those of different streams side by side.
// Invariant 2: an item is sent on before the next one of its stream is begun, so the order of a stream never changes.
type lanes struct {
	// workers is how many items are worked on at once.
	workers int
	// waiting bounds the items taken in and not begun (invariant 6). The gate before the pipeline keeps one stream from taking it all.
	waiting int
	// gauge counts what is done; nil: nobody asks.
	gauge *gauge

	mu    sync.Mutex
	room  *sync.Cond
	work  *sync.Cond
	queue map[string][]*item       // of every stream with something to do or being done
	ready []string                 // streams with something to do and nobody doing it, first come first served
	count int                      // items in queue
	later map[*time.Timer]struct{} // for items that are to be tried again
	ended bool                     // nothing more comes in
	quit  bool                     // what is here is given up too
}

func newLanes(workers, waiting int) *lanes {
	l := &lanes{workers: workers, waiting: waiting, queue: map[string][]*item{}, later: map[*time.Timer]struct{}{}}
	l.room = sync.NewCond(&l.mu)
	l.work = sync.NewCond(&l.mu)
	return l
}

// run passes every item of in through a step made by newStep (one for each worker) to out, until in is closed or ctx is done.
func (l *lanes) run(ctx context.Context, in <-chan *item, out chan<- *item, newStep func() step) error {
	stop := context.AfterFunc(ctx, l.abandon)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer l.end()
		return l.take(ctx, in)
	})
	for range l.workers {
		group.Go(func() error { return l.serve(ctx, newStep(), out) })
	}
	return group.Wait()
}

// take puts items into their stream's lane.
func (l *lanes) take(ctx context.Context, in <-chan *item) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case it, ok := <-in:
			if !ok {
				return nil
			}
			l.put(it)
		}
	}
}

func (l *lanes) put(it *item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.count >= l.waiting && !l.ended {
		l.room.Wait()
	}
	name := it.segment.Stream
	pending, busy := l.queue[name]
	l.queue[name] = append(pending, it)
	l.count++
	if !busy {
		l.ready = append(l.ready, name)
		l.work.Signal()
	}
}

// serve is one worker.
func (l *lanes) serve(ctx context.Context, do step, out chan<- *item) error {
	defer do.close()
	for {
		it := l.next()
		if it == nil {
			return ctx.Err()
		}
		begin := time.Now()
		if !do.work(ctx, it) {
			l.gauge.again(begin)
			l.again(it)
			continue
		}
		l.gauge.pass(1, begin)
		select {
		case out <- it:
		case <-ctx.Done():
			return ctx.Err()
		}
		l.done(it.segment.Stream)
	}
}

// next is the oldest item of a stream nobody is working on; nil when there will be none.
func (l *lanes) next() *item {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.ready) == 0 {
		if l.quit || l.ended && l.count == 0 {
			return nil
		}
		l.work.Wait()
	}
	name := l.ready[0]
	l.ready = l.ready[1:]
	pending := l.queue[name]
	it := pending[0]
	pending[0] = nil
	l.queue[name] = pending[1:]
	l.count--
	l.room.Signal()
	return it
}

// length is how many items are taken in and not begun.
func (l *lanes) length() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// done frees the lane of the stream for its next item.
func (l *lanes) done(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue[name]) == 0 {
		delete(l.queue, name)
		if l.ended && l.count == 0 {
			l.work.Broadcast()
		}
		return
	}
	l.ready = append(l.ready, name)
	l.work.Signal()
}

// again puts an item back before the others of its stream, to be worked on after its pause. Invariant 4: nobody waits for it but its
// stream; the worker goes on with others.
func (l *lanes) again(it *item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := it.segment.Stream
	l.queue[name] = append([]*item{it}, l.queue[name]...)
	l.count++
	if l.quit {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(it.pause, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.later, timer)
		l.ready = append(l.ready, name)
		l.work.Signal()
	})
	l.later[timer] = struct{}{}
}

// end says that nothing more is taken in.
func (l *lanes) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.work.Broadcast()
	l.room.Broadcast()
}

// abandon gives up what has not been begun.
func (l *lanes) abandon() {
	l.mu.Lock()
	l.quit = true
	for timer := range l.later {
		timer.Stop()
	}
	l.mu.Unlock()
	l.end()
}
