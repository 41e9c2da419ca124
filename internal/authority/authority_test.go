package authority

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhoTrustsTheAuthorityTrustsWhatItIssuesAndNothingElse(t *testing.T) {
	ours, theirs := New(t, "ours"), New(t, "theirs")
	pair := ours.Issue("kafka.test", "127.0.0.1")
	require.NoError(t, handshake(t, pair.Server(t, nil), &tls.Config{RootCAs: ours.Pool(), ServerName: "kafka.test"}))
	require.NoError(t, handshake(t, pair.Server(t, nil), &tls.Config{RootCAs: ours.Pool(), ServerName: "127.0.0.1"}))
	require.ErrorAs(t, handshake(t, pair.Server(t, nil), &tls.Config{RootCAs: theirs.Pool(), ServerName: "kafka.test"}),
		new(x509.UnknownAuthorityError))
	require.ErrorAs(t, handshake(t, pair.Server(t, nil), &tls.Config{RootCAs: ours.Pool(), ServerName: "other.test"}),
		new(x509.HostnameError))
	old := ours.IssueUntil(time.Now().Add(-time.Minute), "kafka.test")
	require.ErrorAs(t, handshake(t, old.Server(t, nil), &tls.Config{RootCAs: ours.Pool(), ServerName: "kafka.test"}),
		new(x509.CertificateInvalidError))
}

// handshake is what the client makes of the server.
func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Server(there, server).HandshakeContext(t.Context())
	}()
	err := tls.Client(here, client).HandshakeContext(t.Context())
	_ = here.Close()
	<-done
	return err
}
