package sink

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

var silentLog = slog.New(slog.DiscardHandler)

func unreachable() *stream.Failure { return failTransient(CodeBrokerUnreachable, "connection refused") }

func TestRetryPausesGrowAndAreSpread(t *testing.T) {
	p := defaultPatience()
	for n, most := range []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		most *= time.Millisecond
		seen := map[time.Duration]bool{}
		for range 50 {
			pause := p.pause(n)
			require.LessOrEqual(t, pause, most)
			require.GreaterOrEqual(t, pause, most/2)
			seen[pause] = true
		}
		require.Greater(t, len(seen), 10, "a random part keeps writers apart")
	}
	require.LessOrEqual(t, p.pause(1000), p.most)
}

func TestRetrySucceedsOnceTheBrokerIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := defaultPatience().retry(t.Context(), silentLog, func(context.Context) *stream.Failure {
			if tries++; tries < 6 {
				return unreachable()
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 6, tries)
	})
}

func TestRetryStopsAtTheDeliveryTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errDelivery)
		defer cancel()
		start := time.Now()
		err := defaultPatience().retry(ctx, silentLog, func(context.Context) *stream.Failure { return unreachable() })
		require.Equal(t, time.Minute, time.Since(start))
		require.ErrorIs(t, err, errDelivery)
		require.Equal(t, CodeBrokerUnreachable, failureOf(t, err).Code)
		require.Contains(t, err.Error(), "connection refused")
	})
}

func TestRetryStopsWhenTheCallerDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err := defaultPatience().retry(ctx, silentLog, func(context.Context) *stream.Failure { return unreachable() })
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, CodeBrokerUnreachable, failureOf(t, err).Code, "what it was waiting for is told")
	})
}

func TestRetryTellsTheBrokerNotTheTryThatWasCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errDelivery)
		defer cancel()
		tries := 0
		err := defaultPatience().retry(ctx, silentLog, func(ctx context.Context) *stream.Failure {
			if tries++; tries == 1 {
				return failTransient(CodeNotEnoughReplicas, "1 of 2")
			}
			<-ctx.Done()
			return classify(ctx.Err())
		})
		require.Equal(t, CodeNotEnoughReplicas, failureOf(t, err).Code)
	})
}

func TestRetryDoesNotRepeatWhatCannotPass(t *testing.T) {
	for _, failure := range []*stream.Failure{
		fail(CodeTooLarge, "large"), failTransient(CodeNotAuthorized, "no"), failTransient(CodeBadConfig, "no"),
	} {
		tries := 0
		err := defaultPatience().retry(t.Context(), silentLog, func(context.Context) *stream.Failure {
			tries++
			return failure
		})
		require.ErrorIs(t, err, failure)
		require.Equal(t, 1, tries)
	}
}

func TestRetryWaitsOnlyAMomentForAMissingTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := defaultPatience().retry(t.Context(), silentLog, func(context.Context) *stream.Failure {
			return failTransient(CodeTopicMissing, "missing")
		})
		require.Equal(t, CodeTopicMissing, failureOf(t, err).Code)
		require.GreaterOrEqual(t, time.Since(start), 5*time.Second)
		require.Less(t, time.Since(start), 10*time.Second)
	})
}

func TestRetryCountsAMissingTopicFromWhenABrokerSaidSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := defaultPatience().retry(t.Context(), silentLog, func(context.Context) *stream.Failure {
			switch since := time.Since(start); {
			case since < 30*time.Second:
				return unreachable()
			case since < 34*time.Second:
				// A broker that just started does not know its topics yet.
				return failTransient(CodeTopicMissing, "missing")
			}
			return nil
		})
		require.NoError(t, err)
	})
}
