package sink

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// errDelivery is the cause of a context that ended because the delivery timeout passed.
var errDelivery = errors.New("the delivery timeout passed")

// patience says how a write is tried again.
type patience struct {
	// first and most bound the pause before another try; it doubles from one to the next.
	first, most time.Duration
	// missing is how long a topic may be missing, since a broker first said so: one that was just created, or whose broker just
	// started, takes a moment to be known; one that is spelled wrongly should not take long to be told.
	missing time.Duration
}

// defaultPatience has the pauses of Kafka's own producer, but grows to five seconds: an outage is not made worse by asking often.
func defaultPatience() patience {
	return patience{first: 100 * time.Millisecond, most: 5 * time.Second, missing: 5 * time.Second}
}

// pause is how long to wait after the nth failure (from 0): doubling, bounded, and a random half of it off, so that many writers
// that lost the same broker do not come back at once.
func (p patience) pause(n int) time.Duration {
	limit := p.most
	if n < 32 && p.first<<n < p.most {
		limit = p.first << n
	}
	return limit/2 + rand.N(limit/2+1)
}

// retry runs try until it succeeds, fails for good or ctx ends. What it returns is the failure of the last try; when ctx ended it
// also wraps ctx's cause, so that errors.Is finds context.Canceled in it.
func (p patience) retry(ctx context.Context, log *slog.Logger, try func(context.Context) *stream.Failure) error {
	var last *stream.Failure
	var missing time.Time
	for n := 0; ; n++ {
		failure := try(ctx)
		if failure == nil {
			return nil
		}
		if ctx.Err() != nil {
			return interrupted(ctx, failure, last)
		}
		if failure.Code == CodeTopicMissing && (last == nil || last.Code != CodeTopicMissing) {
			missing = time.Now()
		}
		last = failure
		if !worthAnother(failure) || failure.Code == CodeTopicMissing && time.Since(missing) >= p.missing {
			return failure
		}
		pause := p.pause(n)
		log.Warn("writing failed, trying again", "code", failure.Code, "error", failure.Err, "tries", n+1, "pause", pause)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return interrupted(ctx, failure, last)
		}
	}
}

// worthAnother says whether the same write may succeed in a moment, without anybody doing anything.
func worthAnother(failure *stream.Failure) bool {
	mended := []stream.Code{CodeNotAuthorized, CodeBadConfig, CodeTLS, CodeLogin, CodeDatabase} // by somebody
	return !failure.Permanent && !slices.Contains(mended, failure.Code)
}

// interrupted is the failure of a write whose context ended. A try that ctx cut short says nothing about the broker; the one
// before it does.
func interrupted(ctx context.Context, failure, last *stream.Failure) *stream.Failure {
	cause := context.Cause(ctx)
	switch {
	case last != nil:
		return failTransient(last.Code, "%w (%w)", last.Err, cause)
	case errors.Is(cause, errDelivery):
		return failTransient(failure.Code, "%w (%w)", failure.Err, cause)
	}
	return failTransient(CodeInterrupted, "%w (%w)", failure.Err, cause)
}
