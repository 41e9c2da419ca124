package ingest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
)

// lease knows whether the partitions of a generation still belong to this member. The coordinator gives them to nobody else before the
// session has ended, counted from the last request of this member that it answered; so for a part of the session that need not be asked
// again. A process that was stopped for longer (SIGSTOP, a pause of the machine) asks before it writes anything: whoever has the
// partitions by then goes on with their streams, and what it would write comes too late (invariant 2).
type lease struct {
	session time.Duration
	// ask asks the coordinator whether this process is still a member of the generation.
	ask func(context.Context) error

	// confirmed is when the last answered request was sent.
	confirmed atomic.Pointer[time.Time]

	mu   sync.Mutex // one asks at a time
	lost bool
}

func newLease(session time.Duration, ask func(context.Context) error) *lease {
	l := &lease{session: session, ask: ask}
	l.confirm(time.Now())
	return l
}

// confirm says that the coordinator answered a request that was sent then.
func (l *lease) confirm(sent time.Time) { l.confirmed.Store(&sent) }

// held says whether the partitions are still this member's, and asks the coordinator where it is not sure; while that does not answer it
// waits. It is false when ctx ended.
func (l *lease) held(ctx context.Context) bool {
	for attempt := 1; ; attempt++ {
		held, known := l.check(ctx, l.session/2)
		if known || !sleep(ctx, backoff(attempt)) {
			return held
		}
	}
}

// renew asks before anybody has to wait for the answer.
func (l *lease) renew(ctx context.Context) { l.check(ctx, l.session/4) }

// check asks, once, where the last answer is older than age. It is not known while the coordinator does not answer.
func (l *lease) check(ctx context.Context, age time.Duration) (held, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost || elapsed(*l.confirmed.Load()) < age {
		return !l.lost, true
	}
	sent := time.Now()
	err := l.ask(ctx)
	switch {
	case err == nil, errors.Is(err, kafka.RebalanceInProgress): // a member until the others have joined anew
		l.confirm(sent)
		return true, true
	case isFenced(err):
		l.lost = true
		return false, true
	}
	return false, false
}

// elapsed is how long ago that was, by the clock that goes on: one of them stands while a virtual machine is suspended.
func elapsed(at time.Time) time.Duration {
	return max(time.Since(at), time.Now().Round(0).Sub(at.Round(0)))
}
