package apachekafka

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// testName is part of the name of every test that starts Kafka; see test-kafka in the Makefile.
const testName = "ApacheKafka"

// Cluster is one Apache Kafka broker of a test. Its methods end the test where something goes wrong.
type Cluster struct {
	tb      testing.TB
	brokers *Brokers
}

// Option changes how the broker of a test is started.
type Option func(*Options)

// WithProperties adds lines to the broker's server.properties.
func WithProperties(lines ...string) Option {
	return func(o *Options) { o.Properties = append(o.Properties, lines...) }
}

// WithSecurity adds guarded listeners to the open one.
func WithSecurity(security Security) Option {
	return func(o *Options) { o.Security = &security }
}

// Start starts a broker and waits until it is ready. It ends with the test; where the test failed its log is told.
// The test is skipped where ENSUE_KAFKA is not 1, or Java or Maven are missing.
func Start(tb testing.TB, options ...Option) *Cluster {
	tb.Helper()
	if !strings.Contains(tb.Name(), testName) {
		tb.Fatalf("a test that starts Apache Kafka has %q in its name: `make test-kafka` finds it by that", testName)
	}
	if os.Getenv("ENSUE_KAFKA") != "1" {
		tb.Skip("needs a real Apache Kafka: run `make test-kafka`, or set ENSUE_KAFKA=1")
	}
	chosen := Options{Dir: tb.TempDir()}
	for _, option := range options {
		option(&chosen)
	}
	brokers, err := Launch(tb.Context(), chosen)
	if errors.Is(err, ErrUnavailable) {
		tb.Skip(err)
	}
	require.NoError(tb, err)
	tb.Cleanup(func() {
		require.NoError(tb, brokers.Close())
		if tb.Failed() {
			tb.Log(brokers.Log())
		}
	})
	return &Cluster{tb: tb, brokers: brokers}
}

// Addr is the address of the broker, "127.0.0.1:port"; it stays the same over restarts.
func (c *Cluster) Addr() string { return c.brokers.Addrs()[0] }

// GuardedAddr is the address of the listener with TLS and a login, MutualAddr of the one where clients show a certificate instead.
// There are none without WithSecurity.
func (c *Cluster) GuardedAddr() string { return c.brokers.GuardedAddrs()[0] }

// MutualAddr is where clients show a certificate; see GuardedAddr.
func (c *Cluster) MutualAddr() string { return c.brokers.MutualAddrs()[0] }

// Restart stops the broker in good order if it runs, starts it again on the same data and waits until it is ready.
func (c *Cluster) Restart() {
	c.tb.Helper()
	killed, err := c.brokers.Stop(0)
	require.NoError(c.tb, err)
	if killed {
		c.tb.Logf("Apache Kafka did not stop within %s and was killed", stopTimeout)
	}
	require.NoError(c.tb, c.brokers.Begin(0))
	require.NoError(c.tb, c.brokers.Wait(c.tb.Context()))
}

// Kill ends the broker at once, as a power cut does. Restart brings it back.
func (c *Cluster) Kill() {
	c.tb.Helper()
	require.NoError(c.tb, c.brokers.Kill(0))
}
