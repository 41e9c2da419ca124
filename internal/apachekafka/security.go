package apachekafka

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Security is what guards the listeners that Options.Security adds. The open listener stays: whoever comes through it, and the brokers
// themselves, may do everything; those who come through a guarded one may do what ACLs allow.
type Security struct {
	// Keystore is a PEM file with the brokers' private key (PKCS#8) and certificate; Truststore one with the authorities of clients.
	Keystore, Truststore string
	// Users are the passwords of those whom PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 let in. OAUTHBEARER takes unsigned tokens.
	Users map[string]string
	// Super are principals that may do everything, such as "User:ensue".
	Super []string
}

// GuardedAddrs are the addresses of the listeners with TLS and a login (SASL_SSL), "localhost:port"; none without Options.Security.
func (b *Brokers) GuardedAddrs() []string {
	return b.secureAddrs(func(n *node) int { return n.guarded })
}

// MutualAddrs are the addresses of the listeners where clients show a certificate (SSL), "localhost:port"; none without
// Options.Security. A client's principal there is the subject of its certificate.
func (b *Brokers) MutualAddrs() []string {
	return b.secureAddrs(func(n *node) int { return n.mutual })
}

func (b *Brokers) secureAddrs(port func(*node) int) []string {
	if b.options.Security == nil {
		return nil
	}
	addrs := make([]string, len(b.nodes))
	for i, node := range b.nodes {
		addrs[i] = secureAddr(port(node))
	}
	return addrs
}

func secureAddr(port int) string { return net.JoinHostPort("localhost", strconv.Itoa(port)) }

// listeners are those for clients, as server.properties wants them.
func (n *node) listeners() string {
	open := fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", n.port)
	if n.guarded == 0 {
		return open
	}
	return fmt.Sprintf("%s,GUARDED://%s,MUTUAL://%s", open, secureAddr(n.guarded), secureAddr(n.mutual))
}

// properties are the lines of server.properties that guard the listeners.
func (s *Security) properties() []string {
	if s == nil {
		return nil
	}
	const login = "org.apache.kafka.common.security."
	guarded := "listener.name.guarded."
	var plain strings.Builder
	for _, user := range slices.Sorted(maps.Keys(s.Users)) {
		fmt.Fprintf(&plain, " user_%s=%q", user, s.Users[user])
	}
	return []string{
		"ssl.keystore.type=PEM", "ssl.keystore.location=" + s.Keystore,
		"ssl.truststore.type=PEM", "ssl.truststore.location=" + s.Truststore,
		"listener.name.mutual.ssl.client.auth=required",
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		guarded + "plain.sasl.jaas.config=" + login + "plain.PlainLoginModule required" + plain.String() + ";",
		guarded + "scram-sha-256.sasl.jaas.config=" + login + "scram.ScramLoginModule required;",
		guarded + "scram-sha-512.sasl.jaas.config=" + login + "scram.ScramLoginModule required;",
		guarded + "oauthbearer.sasl.jaas.config=" + login +
			"oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";",
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users=" + strings.Join(append([]string{"User:ANONYMOUS"}, s.Super...), ";"),
	}
}

// scram are the options of kafka-storage that make the users of SCRAM known.
func (s *Security) scram() []string {
	if s == nil {
		return nil
	}
	var options []string
	for _, user := range slices.Sorted(maps.Keys(s.Users)) {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			options = append(options, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, user, s.Users[user]))
		}
	}
	return options
}
