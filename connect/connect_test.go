package connect

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/internal/authority"
)

const (
	user     = "ensue"
	password = "hunter2-connect"
)

// libraries ask the brokers something with each of the two clients.
func libraries() map[string]func(context.Context, []string, *Security) error {
	return map[string]func(context.Context, []string, *Security) error{
		"kafka-go": func(ctx context.Context, brokers []string, security *Security) error {
			client, transport := KafkaGo(brokers, security, 3*time.Second)
			defer transport.CloseIdleConnections()
			_, err := client.Metadata(ctx, &kafka.MetadataRequest{})
			return err
		},
		"franz-go": func(ctx context.Context, brokers []string, security *Security) error {
			client, err := kgo.NewClient(Options(brokers, security)...)
			if err != nil {
				return err
			}
			defer client.Close()
			return client.Ping(ctx)
		},
	}
}

// withBoth runs a test with each library; ask may take 5 seconds.
func withBoth(t *testing.T, test func(t *testing.T, ask func(addrs []string, security *Security) error)) {
	t.Helper()
	for name, library := range libraries() {
		t.Run(name, func(t *testing.T) {
			test(t, func(addrs []string, security *Security) error {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				return library(ctx, addrs, security)
			})
		})
	}
}

func brokers(t *testing.T, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(append(options, kfake.NumBrokers(1))...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster
}

func login(mechanism string) *SASL {
	return &SASL{Mechanism: mechanism, User: user, Password: password}
}

func TestEveryMechanismLogsInThroughTLS(t *testing.T) {
	ours := authority.New(t, "ours")
	for _, mechanism := range []string{MechanismPlain, MechanismScram256, MechanismScram512} {
		t.Run(mechanism, func(t *testing.T) {
			cluster := brokers(t, kfake.TLS(ours.Issue("127.0.0.1").Server(t, nil)), kfake.EnableSASL(),
				kfake.Superuser(strings.ToUpper(mechanism), user, password))
			security := &Security{TLS: &TLS{CA: ours.CA()}, SASL: login(mechanism)}
			require.NoError(t, security.Validate("security"))
			require.NoError(t, security.Check())
			withBoth(t, func(t *testing.T, ask func([]string, *Security) error) {
				require.NoError(t, ask(cluster.ListenAddrs(), security))
			})
		})
	}
}

// bearer has a broker take tokens; kfake knows none. It says what it was shown last.
func bearer(t *testing.T, cluster *kfake.Cluster, valid func() string) *atomic.Pointer[string] {
	t.Helper()
	var shown atomic.Pointer[string]
	cluster.ControlKey(int16(kmsg.SASLHandshake), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		answer := request.ResponseKind().(*kmsg.SASLHandshakeResponse)
		answer.SupportedMechanisms = []string{"OAUTHBEARER"}
		if request.(*kmsg.SASLHandshakeRequest).Mechanism != "OAUTHBEARER" {
			answer.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		}
		return answer, nil, true
	})
	cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		told := string(request.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes)
		shown.Store(&told)
		answer := request.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		if !strings.Contains(told, "auth=Bearer "+valid()+"\x01") {
			answer.ErrorCode = kerr.SaslAuthenticationFailed.Code
			answer.ErrorMessage = new("{\"status\":\"invalid_token\"}")
		}
		return answer, nil, true
	})
	return &shown
}

func TestATokenIsReadAgainForEveryConnection(t *testing.T) {
	withBoth(t, func(t *testing.T, ask func([]string, *Security) error) {
		var valid atomic.Value
		valid.Store("first")
		cluster := brokers(t)
		shown := bearer(t, cluster, func() string { return valid.Load().(string) })
		file := filepath.Join(t.TempDir(), "token")
		security := &Security{SASL: &SASL{Mechanism: MechanismOAuthBearer, TokenFile: file}}
		require.NoError(t, security.Validate("security"))
		require.Equal(t, ReasonLogin, Why(security.Check()), "there is no such file")

		require.NoError(t, os.WriteFile(file, []byte("first\n"), 0o600))
		require.NoError(t, security.Check())
		require.NoError(t, ask(cluster.ListenAddrs(), security))
		require.Contains(t, *shown.Load(), "first")

		valid.Store("second") // the first one has expired
		err := ask(cluster.ListenAddrs(), security)
		require.Equal(t, ReasonLogin, Why(err), "%v", err)
		require.Contains(t, security.Advice(err, Below("kafka.security")), "kafka.security.sasl.token_file")
		require.NoError(t, os.WriteFile(file, []byte("second\n"), 0o600))
		require.NoError(t, ask(cluster.ListenAddrs(), security), "what lies there now is taken without a restart")
	})
}

func TestATokenThatCannotBeReadFailsItsConnectionOnly(t *testing.T) {
	cluster := brokers(t)
	bearer(t, cluster, func() string { return "token" })
	folder := t.TempDir()
	empty := filepath.Join(folder, "empty")
	require.NoError(t, os.WriteFile(empty, []byte(" \n"), 0o600))
	withBoth(t, func(t *testing.T, ask func([]string, *Security) error) {
		for _, path := range []string{filepath.Join(folder, "nowhere"), empty, folder} {
			security := &Security{SASL: &SASL{Mechanism: MechanismOAuthBearer, TokenFile: path}}
			err := ask(cluster.ListenAddrs(), security)
			require.ErrorContains(t, err, "sasl.token_file")
			require.Equal(t, ReasonLogin, Why(err), "%v", err)
		}
	})
}

// refusing has a broker answer as Apache Kafka does to whom it does not know; kfake only hangs up.
func refusing(cluster *kfake.Cluster) {
	cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		answer := request.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		answer.ErrorCode = kerr.SaslAuthenticationFailed.Code
		answer.ErrorMessage = new("Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512")
		return answer, nil, true
	})
}

func TestAWrongPasswordIsTold(t *testing.T) {
	for _, mechanism := range []string{MechanismPlain, MechanismScram512} {
		t.Run(mechanism, func(t *testing.T) {
			cluster := brokers(t, kfake.EnableSASL(), kfake.Superuser(strings.ToUpper(mechanism), user, "another"))
			refusing(cluster)
			security := &Security{SASL: login(mechanism)}
			withBoth(t, func(t *testing.T, ask func([]string, *Security) error) {
				err := ask(cluster.ListenAddrs(), security)
				require.Equal(t, ReasonLogin, Why(err), "%v", err)
				failure := security.Unreached("tail", cluster.ListenAddrs(), Flag, err)
				require.EqualValues(t, "tail.login_failed", failure.Code)
				require.Contains(t, failure.Error(), PasswordVariable)
				require.Contains(t, failure.Error(), "--sasl-user (ensue)")
				require.NotContains(t, failure.Error(), password)
			})
		})
	}
}

func TestAMechanismThatTheBrokerDoesNotOfferIsTold(t *testing.T) {
	cluster := brokers(t)
	bearer(t, cluster, func() string { return "token" })
	security := &Security{SASL: login(MechanismScram512)}
	withBoth(t, func(t *testing.T, ask func([]string, *Security) error) {
		err := ask(cluster.ListenAddrs(), security)
		require.Equal(t, ReasonLogin, Why(err), "%v", err)
		require.Contains(t, security.Advice(err, Below("ingest.kafka.security")), "change ingest.kafka.security.sasl.mechanism")
	})
}

func TestABrokerThatWantsALoginIsToldFromOneThatIsAway(t *testing.T) {
	cluster := brokers(t, kfake.EnableSASL())
	withBoth(t, func(t *testing.T, ask func([]string, *Security) error) {
		err := ask(cluster.ListenAddrs(), nil)
		require.Error(t, err)
		var security *Security
		require.Regexp(t, "wants (TLS|a login)", security.Advice(err, Flag), "%v", err)
		err = ask([]string{"127.0.0.1:1"}, nil)
		require.Empty(t, Why(err), "%v", err)
		require.Contains(t, security.Advice(err, Flag), "is the broker running")
	})
}

func TestWhatIsWrongWithTLSIsTold(t *testing.T) {
	ours, theirs := authority.New(t, "ours"), authority.New(t, "theirs")
	good := brokers(t, kfake.TLS(ours.Issue("127.0.0.1").Server(t, nil)))
	expired := brokers(t, kfake.TLS(ours.IssueUntil(time.Now().Add(-time.Minute), "127.0.0.1").Server(t, nil)))
	elsewhere := brokers(t, kfake.TLS(ours.Issue("kafka.test").Server(t, nil)))
	cases := map[string]struct {
		to       *kfake.Cluster
		security *Security
		hint     string
	}{
		"nobody trusts it":      {good, &Security{TLS: &TLS{}}, "tls.ca"},
		"another authority":     {good, &Security{TLS: &TLS{CA: theirs.CA()}}, "tls.ca"},
		"another name":          {elsewhere, &Security{TLS: &TLS{CA: ours.CA()}}, "tls.server_name"},
		"another name, written": {good, &Security{TLS: &TLS{CA: ours.CA(), ServerName: "kafka.test"}}, "tls.server_name"},
		"expired":               {expired, &Security{TLS: &TLS{CA: ours.CA()}}, "renewed"},
		"no such file":          {good, &Security{TLS: &TLS{CA: "/nowhere/ca.pem"}}, "tls.ca"},
		"no certificate in it":  {good, &Security{TLS: &TLS{CA: ours.Issue("x").Key}}, "tls.ca"},
		"a key that does not fit": {
			good,
			&Security{TLS: &TLS{CA: ours.CA(), Certificate: ours.Issue("x").Certificate, Key: ours.Issue("y").Key}},
			"tls.certificate",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			withBoth(t, func(t *testing.T, ask func([]string, *Security) error) {
				err := ask(c.to.ListenAddrs(), c.security)
				require.Equal(t, ReasonTLS, Why(err), "%v", err)
				require.Contains(t, c.security.Advice(err, Below("security")), c.hint, "%v", err)
			})
		})
	}
	withBoth(t, func(t *testing.T, ask func([]string, *Security) error) {
		trusting := &Security{TLS: &TLS{CA: ours.CA()}}
		hung := ask([]string{unencrypted(t)}, trusting)
		require.Empty(t, Why(hung), "it may be a broker that stops, which passes: %v", hung)
		require.Contains(t, trusting.Advice(hung, Below("security")), "does the listener at this port speak TLS", "%v", hung)
		require.NoError(t, ask(elsewhere.ListenAddrs(), &Security{TLS: &TLS{CA: ours.CA(), ServerName: "kafka.test"}}))
		require.NoError(t, ask(good.ListenAddrs(), &Security{TLS: &TLS{Insecure: true}}), "invariant 3: only where it is written")
		err := ask(good.ListenAddrs(), nil)
		var none *Security
		require.Contains(t, none.Advice(err, Flag), "--tls", "%v", err)
	})
}

// unencrypted is a listener without TLS that hangs up over what is no request, as Apache Kafka does; kfake waits for the rest of it.
func unencrypted(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4))
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		serving.Wait()
	})
	return listener.Addr().String()
}

func TestClientsShowTheirCertificate(t *testing.T) {
	ours, theirs := authority.New(t, "ours"), authority.New(t, "theirs")
	for version, name := range map[uint16]string{tls.VersionTLS12: "TLS 1.2", tls.VersionTLS13: "TLS 1.3"} {
		t.Run(name, func(t *testing.T) {
			config := ours.Issue("127.0.0.1").Server(t, ours)
			config.MaxVersion = version
			cluster := brokers(t, kfake.TLS(config))
			mine, foreign := ours.Issue("ensue"), theirs.Issue("ensue")
			withBoth(t, func(t *testing.T, ask func([]string, *Security) error) {
				shown := &Security{TLS: &TLS{CA: ours.CA(), Certificate: mine.Certificate, Key: mine.Key}}
				require.NoError(t, ask(cluster.ListenAddrs(), shown))
				for _, refused := range []*Security{
					{TLS: &TLS{CA: ours.CA()}},
					{TLS: &TLS{CA: ours.CA(), Certificate: foreign.Certificate, Key: foreign.Key}},
				} {
					err := ask(cluster.ListenAddrs(), refused)
					require.Equal(t, ReasonTLS, Why(err), "%v", err)
					require.Contains(t, refused.Advice(err, Flag), "--tls-cert", "%v", err)
				}
			})
		})
	}
}

func TestCertificatesAreReadAgainForEveryConnection(t *testing.T) {
	ours, theirs := authority.New(t, "ours"), authority.New(t, "theirs")
	cluster := brokers(t, kfake.TLS(ours.Issue("127.0.0.1").Server(t, nil)))
	file := filepath.Join(t.TempDir(), "ca.pem")
	security := &Security{TLS: &TLS{CA: file}}
	withBoth(t, func(t *testing.T, ask func([]string, *Security) error) {
		for _, now := range []*authority.Authority{theirs, ours, theirs} {
			text, err := os.ReadFile(now.CA())
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(file, text, 0o600))
			require.Equal(t, now == ours, ask(cluster.ListenAddrs(), security) == nil)
		}
	})
}

func TestRightsThatAreMissingAreTold(t *testing.T) {
	security := &Security{SASL: login(MechanismPlain)}
	for _, err := range []error{
		kerr.TopicAuthorizationFailed, kafka.GroupAuthorizationFailed, fmt.Errorf("writing: %w", kafka.ClusterAuthorizationFailed),
		kerr.TransactionalIDAuthorizationFailed,
	} {
		require.Equal(t, ReasonRights, Why(err))
		require.Contains(t, security.Advice(err, Flag), "give the user ensue the right to")
	}
	require.Empty(t, Why(nil))
	require.Empty(t, Why(kafka.NotLeaderForPartition))
}

func TestEveryProblemOfABlockIsTold(t *testing.T) {
	for text, security := range map[string]*Security{
		"tls.key":          {TLS: &TLS{Certificate: "a.pem"}},
		"tls.certificate":  {TLS: &TLS{Key: "a.key"}},
		"tls.insecure":     {TLS: &TLS{Insecure: true, CA: "ca.pem"}},
		"sasl.user":        {SASL: &SASL{Mechanism: MechanismPlain, Password: "x"}},
		"sasl.password":    {SASL: &SASL{Mechanism: MechanismScram256, User: "x"}},
		"sasl.token_file":  {SASL: &SASL{Mechanism: MechanismOAuthBearer}},
		"remove it":        {SASL: &SASL{Mechanism: MechanismOAuthBearer, TokenFile: "x", User: "x"}},
		"scram-sha-512":    {SASL: &SASL{Mechanism: "kerberos", User: "x", Password: "x"}},
		"security.sasl":    {SASL: &SASL{Mechanism: MechanismPlain, User: "x", Password: "x", TokenFile: "y"}},
		"security.sasl.us": {SASL: &SASL{Mechanism: MechanismScram512, Password: "x"}},
	} {
		require.ErrorContains(t, security.Validate("security"), text)
	}
	var none *Security
	require.NoError(t, none.Validate("security"))
	require.NoError(t, none.Check())
	require.ErrorContains(t, (&Security{TLS: &TLS{CA: "/nowhere"}}).Check(), "tls.ca")
}

func TestCredentialsInAddressesAreTakenOut(t *testing.T) {
	for text, want := range map[string]string{
		"reading https://ensue:hunter2@store/x: refused": "reading https://***@store/x: refused",
		"dial tcp: lookup ensue:hunter2@kafka":           "dial tcp: lookup ***@kafka",
		"sasl://hunter2@kafka:9092, kafka:9093":          "sasl://***@kafka:9092, kafka:9093",
		"fetching video.segments[0]@12: [::1]:9092":      "fetching video.segments[0]@12: [::1]:9092",
		"at 12:30 the stream a@b ended":                  "at 12:30 the stream a@b ended",
	} {
		require.Equal(t, want, Scrub(text))
	}
}

// Invariant 1, whatever is done to print one.
func TestASecretIsNeverPrinted(t *testing.T) {
	security := &Security{TLS: &TLS{CA: "ca.pem"}, SASL: login(MechanismPlain)}
	var printed bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%t", "%U", "%T"} {
		fmt.Fprintf(&printed, verb+verb+verb+"\n", security.SASL.Password, *security.SASL, security)
	}
	asJSON, err := json.Marshal(security)
	require.NoError(t, err)
	printed.Write(asJSON)
	for _, handler := range []slog.Handler{slog.NewTextHandler(&printed, nil), slog.NewJSONHandler(&printed, nil)} {
		slog.New(handler).Info("connecting", "password", security.SASL.Password, "security", security, "sasl", *security.SASL)
	}
	require.NotContains(t, printed.String(), password)
	require.NotContains(t, printed.String(), fmt.Sprintf("%x", password))
	require.NotContains(t, printed.String(), fmt.Sprintf("%X", password))
	require.Contains(t, printed.String(), secretText)
	require.Equal(t, "TLS, plain as ensue", security.String())
	require.Equal(t, []string{password}, security.Secrets())
	require.Empty(t, fmt.Sprint(Secret("")))
}
