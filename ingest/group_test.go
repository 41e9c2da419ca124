package ingest

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(data []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(data)
}

func (j *journal) has(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Contains(j.text.Bytes(), []byte(text))
}

// Members that read for another delivery keep a source out; it says so, waits, and reads once they are gone.
func TestMembersWithAnotherDeliveryAreToldAndWaitedFor(t *testing.T) {
	const told = "stop all of them first"
	t.Run("at least once waits", func(t *testing.T) {
		b := newTransactionalBroker(t, 1)
		b.publish(counted(0, "lobby", 0))
		before := write(t, b.transactor(), nil)
		before.waitFor(1)
		said := &journal{}
		after := start(t, b.source(func(k *Kafka) { k.log = slog.New(slog.NewTextHandler(said, nil)) }), true)
		require.Eventually(t, func() bool { return said.has(told) }, soon, 10*time.Millisecond)
		require.NoError(t, before.stop())
		b.publish(counted(0, "lobby", 1))
		require.Eventually(t, func() bool { return len(after.segments()) > 0 }, soon, 10*time.Millisecond)
	})
	t.Run("exactly once waits", func(t *testing.T) {
		b := newTransactionalBroker(t, 1)
		b.publish(counted(0, "lobby", 0))
		before := start(t, b.source(), true)
		before.wait(1)
		said := &journal{}
		after := write(t, b.transactor(func(f *Franz) { f.log = slog.New(slog.NewTextHandler(said, nil)) }), nil)
		require.Eventually(t, func() bool { return said.has(told) }, soon, 10*time.Millisecond)
		require.NoError(t, before.stop())
		b.publish(counted(0, "lobby", 1))
		after.waitFor(1)
	})
}

func TestWhoSharesAGroup(t *testing.T) {
	require.True(t, SharesGroup("range", false))
	require.True(t, SharesGroup("roundrobin", false))
	require.False(t, SharesGroup("cooperative-sticky", false))
	require.True(t, SharesGroup("cooperative-sticky", true))
	require.False(t, SharesGroup("range", true))
}
