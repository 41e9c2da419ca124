package publish

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// restartable is a broker that can be away: what was written lies on the disk.
type restartable struct {
	t    *testing.T
	dir  string
	port int
	*kfake.Cluster
}

func newRestartable(t *testing.T) *restartable {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &restartable{t: t, dir: t.TempDir(), port: listener.Addr().(*net.TCPAddr).Port}
	require.NoError(t, listener.Close())
	b.start()
	t.Cleanup(func() { b.Close() })
	return b
}

func (b *restartable) start() {
	b.t.Helper()
	var err error
	b.Cluster, err = kfake.NewCluster(
		kfake.NumBrokers(1), kfake.Ports(b.port), kfake.DataDir(b.dir), kfake.SyncWrites(), kfake.SeedTopics(1, "in"))
	require.NoError(b.t, err)
}

// A sender that does what the answers say loses nothing while the broker is away: 503 and Retry-After until it is back, 201 only for
// what is there.
func TestWhatWasAcknowledgedOutlastsARestartOfTheBroker(t *testing.T) {
	const count = 24
	b := newRestartable(t)
	publisher, err := New(Config{Brokers: b.ListenAddrs(), Topic: "in", Segment: time.Second, Loops: 1, Patience: 1500 * time.Millisecond})
	require.NoError(t, err)
	defer publisher.Close()
	config := DefaultListen()
	config.Patience = 2 * time.Second
	l := listen(t, config, publisher)
	away := time.NewTimer(time.Hour)
	defer away.Stop()
	refused := 0
	for sequence := range count {
		if sequence == count/3 {
			b.Close()
			away.Reset(3 * time.Second)
		}
		for {
			got := l.put(t, fmt.Sprintf("/streams/a/segments/%d", sequence), strings.NewReader(fmt.Sprint("video ", sequence)))
			if got.status == http.StatusCreated || got.status == http.StatusOK {
				break
			}
			refused++
			require.Equal(t, http.StatusServiceUnavailable, got.status, got.Error)
			require.True(t, got.Error.Retry)
			require.NotEmpty(t, got.headers.Get("Retry-After"))
			select {
			case <-away.C:
				b.start()
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	require.Positive(t, refused, "nothing was sent while the broker was away")
	seen := map[int64]string{}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.ListenAddrs()...), kgo.ConsumeTopics("in"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	for len(seen) < count {
		fetches := client.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			segment := arrived(record)
			seen[segment.Sequence] = string(segment.Payload)
		})
	}
	for sequence := range count {
		require.Equal(t, fmt.Sprint("video ", sequence), seen[int64(sequence)])
	}
}
