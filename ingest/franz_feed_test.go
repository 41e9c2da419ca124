package ingest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestAFullMailboxPausesItsPartitionUntilItIsEmpty(t *testing.T) {
	var asked []string
	box := newMailbox(3, 2*news(0, 0).size())
	box.pause = func(partition int32) { asked = append(asked, fmt.Sprint("pause ", partition)) }
	box.resume = func(partition int32) { asked = append(asked, fmt.Sprint("resume ", partition)) }
	take := func(want int64) {
		t.Helper()
		got, there := box.take()
		require.True(t, there)
		require.Equal(t, want, got.record.Offset)
	}
	box.put(news(0, 0))
	require.Empty(t, asked, "there is room")
	box.put(news(1, 1))
	require.Equal(t, []string{"pause 3"}, asked)
	box.put(news(2, 2), news(3, 3)) // polled before the client heard of it
	take(0)
	take(1)
	take(2)
	require.Equal(t, []string{"pause 3"}, asked, "what is here is worked off first")
	take(3)
	require.Equal(t, []string{"pause 3", "resume 3"}, asked)
	_, there := box.take()
	require.False(t, there)
	require.Zero(t, box.bytes)
}

// held is how many bytes of a partition wait in the process.
func (f *Franz) held(partition int32) int64 {
	f.transacting.Lock()
	defer f.transacting.Unlock()
	f.membership.mu.Lock()
	defer f.membership.mu.Unlock()
	box := f.membership.workers[partition].mailbox
	box.mu.Lock()
	defer box.mu.Unlock()
	return box.bytes
}

// Invariants 4 and 6, as TestAPartitionThatHasToWaitHoldsUpNoOther: here one client fetches for all partitions.
func TestAPartitionThatHasToWaitStaysWithTheBroker(t *testing.T) {
	const records, memory = 64, 4 * minFetch // 2 MiB come, of which the source may hold 256 KiB
	b := newTransactionalBroker(t, 2)
	for i := range records {
		b.publish(record(0, "slow", strings.Repeat("x", 32<<10), "ensue-sequence", strconv.Itoa(i)))
	}
	gate := &barred{stream: "slow", open: make(chan struct{})}
	s := write(t, b.transactor(func(f *Franz) {
		f.cfg.MaxBytes = 8 * minFetch
		f.options.gate, f.options.memory = gate, memory
	}), nil)
	for i := range 20 {
		b.publish(counted(1, "quick", i))
	}
	s.waitFor(20)
	for begin := time.Now(); time.Since(begin) < 500*time.Millisecond; time.Sleep(10 * time.Millisecond) {
		require.LessOrEqual(t, s.source.held(0), int64(memory))
	}
	require.Positive(t, s.source.held(0))
	close(gate.open)
	s.waitFor(20 + records)
	require.NoError(t, s.stop())
	require.Equal(t, map[string][]string{"slow": each("slow", records), "quick": each("quick", 20)}, b.results(kgo.ReadCommitted()))
}
