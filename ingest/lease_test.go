package ingest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/stream"
)

// asked is a lease of a session of 10 s whose coordinator answers so, in turn; the last answer stays.
func asked(answers ...error) (*lease, *int) {
	count := 0
	return newLease(10*time.Second, func(context.Context) error {
		count++
		return answers[min(count, len(answers))-1]
	}), &count
}

func TestALeaseAsksOnlyWhenItIsNotSure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, count := asked(nil)
		require.True(t, l.held(t.Context()))
		time.Sleep(4 * time.Second)
		require.True(t, l.held(t.Context()))
		require.Zero(t, *count)
		time.Sleep(time.Second) // half of the session
		require.True(t, l.held(t.Context()))
		require.Equal(t, 1, *count)
		require.True(t, l.held(t.Context()))
		require.Equal(t, 1, *count, "the answer counts for a while")
	})
}

func TestALeaseThatIsRenewedInTimeIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, count := asked(nil)
		for range 100 {
			time.Sleep(time.Second)
			l.renew(t.Context())
			before := *count
			require.True(t, l.held(t.Context()))
			require.Equal(t, before, *count)
		}
		require.Less(t, *count, 40)
	})
}

func TestWhoSleptLongerThanTheSessionAsksBeforeItGoesOn(t *testing.T) {
	for name, test := range map[string]struct {
		answers []error
		held    bool
	}{
		"still a member":        {[]error{nil}, true},
		"the others join anew":  {[]error{kafka.RebalanceInProgress}, true},
		"put out":               {[]error{kafka.UnknownMemberId}, false},
		"another generation":    {[]error{kafka.IllegalGeneration}, false},
		"no answer, then one":   {[]error{errors.New("no broker"), errors.New("no broker"), nil}, true},
		"no answer, then a bad": {[]error{errors.New("no broker"), kafka.UnknownMemberId}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, count := asked(test.answers...)
				time.Sleep(time.Minute)
				require.Equal(t, test.held, l.held(t.Context()))
				require.Equal(t, len(test.answers), *count)
				if !test.held {
					require.False(t, l.held(t.Context()), "what is lost stays lost")
					require.Equal(t, len(test.answers), *count)
				}
			})
		})
	}
}

func TestALeaseIsNotWaitedForLongerThanTheCallerWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := asked(errors.New("no broker"))
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.False(t, l.held(ctx))
		require.False(t, l.lost, "nobody said so")
	})
}

// A member that was put out of the group without knowing it writes nothing more, and acknowledges nothing.
func TestKafkaSegmentsOfAPartitionThatWasLostAreLetGo(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0), counted(0, "a", 1))
	p := start(t, b.source(func(k *Kafka) { k.timing.heartbeat, k.cfg.DrainTimeout = time.Hour, time.Second }), false)
	got := p.wait(2)
	holding := got[0].Receipt.(stream.Holding)
	require.True(t, holding.Held(t.Context()))
	var commits atomic.Int64
	b.ControlKey(int16(kmsg.OffsetCommit), func(request kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		commits.Add(1)
		commit := request.(*kmsg.OffsetCommitRequest)
		response := commit.ResponseKind().(*kmsg.OffsetCommitResponse)
		topic, partition := kmsg.NewOffsetCommitResponseTopic(), kmsg.NewOffsetCommitResponseTopicPartition()
		topic.Topic, partition.ErrorCode = testTopic, kerr.UnknownMemberID.Code
		topic.Partitions = append(topic.Partitions, partition)
		response.Topics = append(response.Topics, topic)
		return response, nil, true
	})
	require.True(t, holding.Held(t.Context()), "it was answered just now")
	got[0].Receipt.(*receipt).to.lease.confirm(time.Now().Add(-time.Hour)) // it slept
	require.False(t, holding.Held(t.Context()))
	finish(got[0], 1)
	finish(got[1], 1)
	p.quiet()
	require.NoError(t, p.stop())
	require.EqualValues(t, 1, commits.Load(), "who was refused once does not commit again")
	committed, _ := b.committed(0)
	require.Zero(t, committed, "nothing of it counts")
}
