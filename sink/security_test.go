package sink

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/internal/authority"
	"github.com/ensue-video/ensue/stream"
)

// moody hangs up on the first so many connections, as a broker does that stops.
type moody struct {
	net.Listener
	left atomic.Int32
}

func (m *moody) Accept() (net.Conn, error) {
	for {
		conn, err := m.Listener.Accept()
		if err != nil || m.left.Add(-1) < 0 {
			return conn, err
		}
		_ = conn.Close()
	}
}

// A handshake that breaks off says nothing about certificates: it is tried again, and one that fails because of them is not.
func TestABrokerThatHangsUpWhileEncryptingIsTriedAgain(t *testing.T) {
	ours, theirs := authority.New(t, "ours"), authority.New(t, "theirs")
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "energy"), kfake.TLS(ours.Issue("127.0.0.1").Server(t, nil)),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			listener, err := (&net.ListenConfig{}).Listen(context.Background(), network, address)
			m := &moody{Listener: listener}
			m.left.Store(3)
			return m, err
		}))
	require.NoError(t, err)
	defer cluster.Close()
	secured := func(ca string) Config {
		return kafkaConfig(cluster, func(c *KafkaConfig) { c.Security = &connect.Security{TLS: &connect.TLS{CA: ca}} })
	}
	require.NoError(t, open(t, secured(ours.CA())).Write(t.Context(), []*stream.Result{result("lobby", 1)}))
	begun := time.Now()
	err = open(t, secured(theirs.CA())).Write(t.Context(), []*stream.Result{result("lobby", 2)})
	require.Equal(t, CodeTLS, failureOf(t, err).Code)
	require.ErrorContains(t, err, "sink.kafka.security.tls.ca")
	require.Less(t, time.Since(begun), 5*time.Second)
}
