package ingest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// remembered is what is known of streams, by partition; it fails so many times first.
type remembered struct {
	streams  map[int]map[string]*stream.Saved
	failures atomic.Int64
}

func (r *remembered) Recover(_ context.Context, _, _ string, partition int) (map[string]*stream.Saved, error) {
	if r.failures.Add(-1) >= 0 {
		return nil, errors.New("not now")
	}
	return r.streams[partition], nil
}

// knowing is what is known of stream a in partition 0: done up to the offset, of these sequences the last and the oldest needed.
func knowing(offset, sequence, needed int64) *remembered {
	saved := stream.NewSaved("a", "model")
	saved.Topic, saved.Offset, saved.Sequence, saved.Needed, saved.Numbered = testTopic, offset, sequence, needed, true
	saved.Time = time.Now().Add(time.Hour)
	return &remembered{streams: map[int]map[string]*stream.Saved{0: {"a": saved}}}
}

func recovering(r Recovery) func(*Kafka) {
	return func(k *Kafka) { k.options.recovery = r }
}

// The process died after it had saved the state and before it committed: what is done comes back as context only.
func TestWhatIsDoneIsReadAgainAsContextAndNothingElse(t *testing.T) {
	b := newBroker(t, 1)
	for i := range 5 {
		b.publish(counted(0, "a", i))
	}
	b.commit(0, 1, "") // of what lies behind it nobody wrote what is done
	memory := knowing(3, 3, 2)
	p := start(t, b.source(recovering(memory)), true)
	got := p.wait(3)
	require.Equal(t, []string{"a/2c", "a/3c", "a/4"}, words(got), "a/1 is done and needed by nobody")
	require.Equal(t, []bool{true, true, false}, []bool{got[0].Counted, got[1].Counted, got[2].Counted})
	require.NotNil(t, got[0].Saved, "the first one takes along what is known")
	require.Nil(t, got[1].Saved)
	require.Nil(t, got[2].Saved)
	require.Equal(t, testGroup, got[2].Group)
	require.Positive(t, got[2].Generation)
	eventuallyCommitted(t, b, 0, 4)
}

// Records of a stream may lie in another order than the stream: then the first of them need not be where the context begins.
func TestContextIsReadAgainInTheOrderOfTheStream(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0), counted(0, "a", 3), counted(0, "a", 2), counted(0, "a", 1), counted(0, "a", 4))
	b.commit(0, 1, "")
	p := start(t, b.source(recovering(knowing(3, 3, 1))), true)
	require.Equal(t, []string{"a/1c", "a/2c", "a/3c", "a/4"}, words(p.wait(4)))
}

func TestOffsetsOfATopicThatIsGoneSayNothing(t *testing.T) {
	for name, committed := range map[string]int64{"nothing was committed": -1, "the end lies before what was done": 0} {
		t.Run(name, func(t *testing.T) {
			b := newBroker(t, 1)
			b.publish(counted(0, "a", 0), counted(0, "a", 1))
			if committed >= 0 {
				b.commit(0, committed, "")
			}
			offset := int64(1) // within the topic that is there now
			if committed >= 0 {
				offset = 900
			}
			p := start(t, b.source(recovering(knowing(offset, 900, 899))), true)
			got := p.wait(2)
			require.Equal(t, []string{"a/0", "a/1"}, words(got))
			require.NotNil(t, got[0].Saved, "the calibration still counts")
		})
	}
}

func TestAStreamWaitsForItsStateAsLongAsItTakes(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0))
	memory := &remembered{}
	memory.failures.Store(3)
	p := start(t, b.source(recovering(memory)), true)
	require.Equal(t, []string{"a/0"}, words(p.wait(1)))
	require.EqualValues(t, -1, memory.failures.Load())
}

// The sampling grid is anchored where the stream began (invariant 7), which the sender may tell with no segment but the first.
func TestTheEpochOfAStreamOutlivesItsProcess(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 7, "ensue-start", "2026-11-23T10:00:14Z"))
	b.commit(0, 0, "")
	memory := knowing(-1, 6, 6)
	epoch := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	memory.streams[0]["a"].Epoch = epoch
	p := start(t, b.source(recovering(memory)), true)
	require.Equal(t, epoch, p.wait(1)[0].Epoch)
}

func TestAnUnnumberedStreamThatWasTornStaysTorn(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(record(0, "a", "video"), record(0, "a", "video"), record(0, "a", "video"))
	b.commit(0, 0, "")
	memory := knowing(0, 0, 0)
	memory.streams[0]["a"].Numbered, memory.streams[0]["a"].Torn = false, true
	p := start(t, b.source(recovering(memory)), true)
	require.Equal(t, []string{"a/0c", "a/1g", "a/2"}, words(p.wait(3)))
}

func TestAStreamThatStaysAwayAfterATakeOverIsForgottenAsWell(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(record(0, "b", "video"))
	memory := knowing(900, 900, 900)
	source := b.source(recovering(memory), func(k *Kafka) { k.order.Evict = 200 * time.Millisecond })
	p := start(t, source, true)
	require.Eventually(t, func() bool {
		for _, s := range p.segments() {
			if s.Stream == "a" {
				return s.Mark == stream.MarkForget && !s.Moved && s.Saved != nil
			}
		}
		return false
	}, soon, 10*time.Millisecond)
}

func TestStreamsThatMoveAreNotForgotten(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0))
	p := start(t, b.source(), true)
	p.wait(1)
	another := start(t, b.source(), true) // takes part: the partitions are given back and dealt out again
	require.Eventually(t, func() bool {
		for _, s := range append(p.segments(), another.segments()...) {
			if s.Mark == stream.MarkForget {
				return s.Moved
			}
		}
		return false
	}, soon, 10*time.Millisecond)
}

// What was a dead letter and is sent again has no place in the stream any more: it neither is a duplicate nor comes too late.
func TestADeadLetterThatIsSentAgainGoesOnByItself(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "a", 0), counted(0, "a", 1), counted(0, "a", 2))
	p := start(t, b.source(), true)
	p.wait(3)
	b.publish(counted(0, "a", 1, "ensue-retry-of", "c1b1"), counted(0, "a", 3), counted(0, "b", 9, "ensue-retry-of", "c1b2"))
	require.Equal(t, []string{"a/1a", "a/3", "b/9a"}, words(p.wait(6)[3:]))
	require.Zero(t, p.source.Stats().Duplicates)
}

// barred lets everything in but what is of one stream.
type barred struct {
	stream string
	open   chan struct{}
	mu     sync.Mutex
	inside int
}

func (g *barred) Enter(ctx context.Context, segment *stream.Segment) error {
	if segment.Stream == g.stream {
		select {
		case <-g.open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside++
	return nil
}

func (g *barred) Leave(*stream.Segment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
}

// Invariants 4 and 6: what has to wait stands still with its partition, and its records stay with the broker.
func TestAPartitionThatHasToWaitHoldsUpNoOther(t *testing.T) {
	b := newBroker(t, 2)
	for i := range 20 {
		b.publish(counted(0, "slow", i), counted(1, "quick", i))
	}
	gate := &barred{stream: "slow", open: make(chan struct{})}
	p := start(t, b.source(func(k *Kafka) { k.options.gate = gate }), true)
	for i, s := range p.wait(20) {
		require.Equal(t, "quick", s.Stream)
		require.EqualValues(t, i, s.Sequence)
	}
	require.Eventually(t, func() bool {
		lag := map[int]int64{}
		for _, at := range p.source.Stats().Partitions {
			lag[at.Partition] = at.Lag
		}
		return lag[1] == 0 && lag[0] >= 18
	}, soon, 10*time.Millisecond, "what waits is not read")
	close(gate.open)
	p.wait(40)
}

func TestAMemberThatWaitsGivesItsPartitionBack(t *testing.T) {
	b := newBroker(t, 1)
	b.publish(counted(0, "slow", 0))
	gate := &barred{stream: "slow", open: make(chan struct{})}
	p := start(t, b.source(func(k *Kafka) { k.options.gate = gate }), true)
	require.Eventually(t, func() bool { return p.source.Stats().Received == 1 }, soon, 10*time.Millisecond)
	begin := time.Now()
	require.NoError(t, p.stop())
	require.Less(t, time.Since(begin), 5*time.Second)
	require.Zero(t, gate.inside)
	again := start(t, b.source(), true)
	require.Equal(t, []string{"slow/0"}, words(again.wait(1)))
}
