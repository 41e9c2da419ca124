package ingest

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// outage logs that something stopped working, and that it works again, once each. One goroutine uses it.
type outage struct {
	log      *slog.Logger
	what     string
	attempts int
	since    time.Time
}

// failed notes a failed attempt and says how long to wait before the next one.
func (o *outage) failed(err error) time.Duration {
	if o.attempts == 0 {
		o.since = time.Now()
		o.log.Warn(o.what+" fails; trying again until it works", "error", err)
	} else {
		o.log.Debug(o.what+" still fails", "error", err, "attempt", o.attempts+1)
	}
	o.attempts++
	return backoff(o.attempts)
}

// over notes an attempt that worked.
func (o *outage) over() {
	if o.attempts > 0 {
		o.log.Info(o.what+" works again", "after", time.Since(o.since).Round(time.Millisecond))
	}
	o.attempts = 0
}

// backoff is how long to wait after so many failures: from 50 ms on, doubled up to 5 s, half of it random, so that many members
// of a group do not come back at the same moment.
func backoff(failures int) time.Duration {
	const first, most = 50 * time.Millisecond, 5 * time.Second
	whole := min(first<<min(failures, 10), most)
	return whole/2 + rand.N(whole/2)
}

// sleep waits, and says whether ctx is still alive after it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
