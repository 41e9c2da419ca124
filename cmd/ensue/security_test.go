package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/internal/apachekafka"
	"github.com/ensue-video/ensue/internal/authority"
)

// marker is the password of the tests; nothing may ever print it.
const marker = "hunter2-guarded"

// guarded is an Apache Kafka behind TLS and logins, with the topics of the tests.
type guarded struct {
	*apachekafka.Cluster
	ours, theirs *authority.Authority
	secret       string // the path of a file with the password
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{ours: authority.New(t, "ours"), theirs: authority.New(t, "theirs"), secret: write(t, "secret", marker+"\n")}
	g.Cluster = apachekafka.Start(t, apachekafka.WithSecurity(apachekafka.Security{
		Keystore: g.ours.Issue("localhost").Both, Truststore: g.ours.CA(),
		Users: map[string]string{"ensue": marker, "guest": marker}, Super: []string{"User:ensue", "User:CN=ensue", "User:token"},
	}))
	topics(t, g.Addr())
	require.NoError(t, broker.CreateTopics(t.Context(), []string{g.Addr()}, []broker.Topic{
		{Name: "video.exact", Partitions: 2}, {Name: "video.guest", Partitions: 1},
	}))
	return g
}

// block is a `security` block that logs in by the mechanism, trusting the authority.
func (g *guarded) block(ca, mechanism, user, password string) string {
	return fmt.Sprintf(`{tls: {ca: %q}, sasl: {mechanism: %s, user: %s, password: %q}}`, ca, mechanism, user, password)
}

// definition is that of the tests, on addr with a security block.
func (g *guarded) definition(t *testing.T, addr, block string) string {
	t.Helper()
	text := textOf(t, definition(t, addr))
	return write(t, "guarded.yaml", strings.Replace(text, "drain_timeout: 5s}", "drain_timeout: 5s, security: "+block+"}", 1))
}

// flags are those that say the same as block, for the password in the environment.
func (g *guarded) flags(mechanism, user string) []string {
	return []string{"--brokers", g.GuardedAddr(), "--tls-ca", g.ours.CA(), "--sasl", mechanism, "--sasl-user", user}
}

// One broker for all of it: it takes longer to start than everything else.
func TestSecurityOnApacheKafka(t *testing.T) {
	g := newGuarded(t)
	t.Setenv(connect.PasswordVariable, marker)
	t.Run("everything works through TLS and a login", g.everythingWorks)
	t.Run("by every mechanism", g.everyMechanism)
	t.Run("with a certificate", g.withCertificate)
	t.Run("who does not get in is told what to change", g.refusals)
	t.Run("every right that is missing is told", g.rights)
}

func (g *guarded) everythingWorks(t *testing.T) {
	replayed := replay(t, samples()[:1])
	got := ensue(t, slices.Concat([]string{"publish"}, g.flags("scram-sha-256", "ensue"), samples()[:1])...)
	require.Zero(t, got.code, got.err)
	path := g.definition(t, g.GuardedAddr(), g.block(g.ours.CA(), "scram-sha-512", "ensue", "${file:"+g.secret+"}"))
	checked := ensue(t, "check", path)
	require.Zero(t, checked.code, checked.out)
	require.Contains(t, checked.out, "TLS, scram-sha-512 as ensue")

	pipeline := start(t, "run", "--log", "debug", path)
	published := tailedBy(t, []string{"--definition", path}, len(replayed), pipeline)
	require.NoError(t, pipeline.Process.Signal(syscall.SIGTERM))
	require.Zero(t, pipeline.end(t), pipeline.err.String())
	requireSame(t, replayed, published)
	require.NotContains(t, pipeline.err.String()+pipeline.out.String(), marker)

	t.Run("in transactions", func(t *testing.T) {
		text := strings.NewReplacer("group: test,", "group: exactly,", "kafka: {topic: video.energy}",
			"kafka: {topic: video.exact, delivery: exactly_once}").Replace(textOf(t, path))
		exact := write(t, "exactly.yaml", text)
		exactly := start(t, "run", "--log", "debug", exact)
		again := tailedBy(t, []string{"--definition", exact}, len(replayed), exactly)
		require.NoError(t, exactly.Process.Signal(syscall.SIGTERM))
		require.Zero(t, exactly.end(t), exactly.err.String())
		requireSame(t, replayed, again)
		require.NotContains(t, exactly.err.String(), marker)
	})
}

func (g *guarded) everyMechanism(t *testing.T) {
	t.Helper()
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		for _, command := range [][]string{{"tail", "--max", "1"}, {"dead", "list"}} {
			got := ensue(t, append(command, g.flags(mechanism, "ensue")...)...)
			require.Zero(t, got.code, "%s %v: %s", mechanism, command, got.err)
		}
		checked := ensue(t, "check", g.definition(t, g.GuardedAddr(), g.block(g.ours.CA(), mechanism, "ensue", "${file:"+g.secret+"}")))
		require.Zero(t, checked.code, checked.out)
	}
	// The header says that nothing signed it, which this broker was told to accept.
	token := write(t, "token", "eyJhbGciOiJub25lIn0."+unsigned(t, "token")+".")
	got := ensue(t, "tail", "--max", "1", "--brokers", g.GuardedAddr(), "--tls-ca", g.ours.CA(), "--sasl", "oauthbearer",
		"--sasl-token-file", token)
	require.Zero(t, got.code, got.err)
	block := fmt.Sprintf("{tls: {ca: %q}, sasl: {mechanism: oauthbearer, token_file: %q}}", g.ours.CA(), token)
	checked := ensue(t, "check", g.definition(t, g.GuardedAddr(), block))
	require.Zero(t, checked.code, checked.out)
	require.NoError(t, os.WriteFile(token, []byte("eyJhbGciOiJub25lIn0.e30."), 0o600)) // it says neither who nor until when
	refused := ensue(t, "tail", "--max", "1", "--brokers", g.GuardedAddr(), "--tls-ca", g.ours.CA(), "--sasl", "oauthbearer",
		"--sasl-token-file", token)
	require.Equal(t, exitEnvironment, refused.code)
	require.Contains(t, refused.err, "tail.login_failed")
	require.Contains(t, refused.err, "--sasl-token-file")
}

func (g *guarded) withCertificate(t *testing.T) {
	t.Helper()
	mine, foreign := g.ours.Issue("ensue"), g.theirs.Issue("ensue")
	certificate := func(pair authority.Pair) []string {
		return []string{"--brokers", g.MutualAddr(), "--tls-ca", g.ours.CA(), "--tls-cert", pair.Certificate, "--tls-key", pair.Key}
	}
	got := ensue(t, append([]string{"tail", "--max", "1"}, certificate(mine)...)...)
	require.Zero(t, got.code, got.err)
	block := fmt.Sprintf("{tls: {ca: %q, certificate: %q, key: %q}}", g.ours.CA(), mine.Certificate, mine.Key)
	checked := ensue(t, "check", g.definition(t, g.MutualAddr(), block))
	require.Zero(t, checked.code, checked.out)
	for _, flags := range [][]string{certificate(foreign), {"--brokers", g.MutualAddr(), "--tls-ca", g.ours.CA()}} {
		got := ensue(t, append([]string{"tail", "--max", "1"}, flags...)...)
		require.Equal(t, exitEnvironment, got.code, got.err)
		require.Contains(t, got.err, "tail.tls_failed")
		require.Contains(t, got.err, "--tls-cert")
	}
}

// Every way not to get in ends with the environment's exit code, a code, and what to change; in a definition's words or a flag's.
func (g *guarded) refusals(t *testing.T) {
	good, wrong := "${file:"+g.secret+"}", "${file:"+write(t, "wrong", "another-"+marker)+"}"
	byAddress := strings.Replace(g.GuardedAddr(), "localhost", "127.0.0.1", 1)
	for name, c := range map[string]struct{ addr, block, why, change string }{
		"a wrong password": {
			g.GuardedAddr(), g.block(g.ours.CA(), "scram-sha-512", "ensue", wrong), "login_failed", "ingest.kafka.security.sasl.password",
		},
		"a wrong password, plain": {
			g.GuardedAddr(), g.block(g.ours.CA(), "plain", "ensue", wrong), "login_failed", "ingest.kafka.security.sasl.password",
		},
		"nobody knows this user": {
			g.GuardedAddr(), g.block(g.ours.CA(), "scram-sha-256", "nobody", good), "login_failed", "ingest.kafka.security.sasl.user",
		},
		"no login": {
			g.GuardedAddr(), fmt.Sprintf("{tls: {ca: %q}}", g.ours.CA()), "", "ingest.kafka.security.sasl",
		},
		"another authority": {
			g.GuardedAddr(), g.block(g.theirs.CA(), "scram-sha-512", "ensue", good), "tls_failed", "ingest.kafka.security.tls.ca",
		},
		"another name": {
			byAddress, g.block(g.ours.CA(), "scram-sha-512", "ensue", good), "tls_failed", "ingest.kafka.security.tls.server_name",
		},
		"no TLS": {
			g.GuardedAddr(), `{sasl: {mechanism: scram-sha-512, user: ensue, password: "` + good + `"}}`, "", "ingest.kafka.security.tls",
		},
		"TLS where there is none": {
			g.Addr(), fmt.Sprintf("{tls: {ca: %q}}", g.ours.CA()), "broker_unreachable", "ingest.kafka.security.tls",
		},
		"no rights": {
			g.GuardedAddr(), g.block(g.ours.CA(), "scram-sha-512", "guest", good), "not_authorized", "give the user guest the right to",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := g.definition(t, c.addr, c.block)
			for command, args := range map[string][]string{
				"run": {"run", path}, "check": {"check", path}, "tail": {"tail", "--max", "1", "--definition", path},
				"dead": {"dead", "list", "--definition", path}, "publish": {"publish", "--definition", path, samples()[0]},
				"claims": {"claims", "sweep", "--store", "file://" + t.TempDir(), "--definition", path},
			} {
				got := ensue(t, args...)
				require.Equal(t, exitEnvironment, got.code, "%s: %s%s", command, got.out, got.err)
				require.Contains(t, got.out+got.err, c.change, command)
				if c.why != "" && command != "check" && command != "claims" {
					require.Contains(t, got.err, "."+c.why+"]", command)
				}
				require.NotContains(t, got.out+got.err, marker)
			}
		})
	}
}

// Rights are missing one by one: each is told with what to grant.
func (g *guarded) rights(t *testing.T) {
	text := textOf(t, g.definition(t, g.GuardedAddr(), g.block(g.ours.CA(), "scram-sha-512", "guest", "${file:"+g.secret+"}")))
	path := write(t, "guest.yaml", strings.NewReplacer("group: test,", "group: guests,", "video.energy", "video.guest").Replace(text))
	expect := func(code, words string) {
		t.Helper()
		got := ensue(t, "run", path)
		require.Equal(t, exitEnvironment, got.code, got.err)
		require.Contains(t, got.err, code)
		require.Contains(t, got.err, words)
	}
	expect("ingest.not_authorized", `read the topic "video.segments"`)
	g.grant(t, kmsg.ACLResourceTypeTopic, "video.segments", kmsg.ACLOperationDescribe)
	expect("ingest.not_authorized", `the group "guests"`)
	g.grant(t, kmsg.ACLResourceTypeGroup, "guests", kmsg.ACLOperationRead)
	expect("ingest.not_authorized", `read the topic "video.segments"`)
	g.grant(t, kmsg.ACLResourceTypeTopic, "video.segments", kmsg.ACLOperationRead)
	expect("sink.not_authorized", `"video.guest"`)
	g.grant(t, kmsg.ACLResourceTypeTopic, "video.guest", kmsg.ACLOperationWrite)
	pipeline := start(t, "run", path)
	tailedBy(t, []string{"--brokers", g.Addr(), "--topic", "video.guest"}, 3, pipeline)
}

// unsigned is the middle part of a token of nobody's: who, and until when.
func unsigned(t *testing.T, subject string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"sub": subject, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	require.NoError(t, err)
	return base64.RawURLEncoding.EncodeToString(text)
}

// grant lets the user guest do something.
func (g *guarded) grant(t *testing.T, kind kmsg.ACLResourceType, name string, operation kmsg.ACLOperation) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(g.Addr()))
	require.NoError(t, err)
	defer client.Close()
	request := kmsg.NewPtrCreateACLsRequest()
	creation := kmsg.NewCreateACLsRequestCreation()
	creation.ResourceType, creation.ResourceName, creation.ResourcePatternType = kind, name, kmsg.ACLResourcePatternTypeLiteral
	creation.Principal, creation.Host, creation.Operation = "User:guest", "*", operation
	creation.PermissionType = kmsg.ACLPermissionTypeAllow
	request.Creations = append(request.Creations, creation)
	response, err := request.RequestWith(t.Context(), client)
	require.NoError(t, err)
	require.Zero(t, response.Results[0].ErrorCode)
}
