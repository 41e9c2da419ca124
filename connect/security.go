package connect

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// Security is how a connection to a broker is encrypted and who this client is; nil, or empty, is neither.
type Security struct {
	TLS  *TLS  `def:"tls"`
	SASL *SASL `def:"sasl"`
}

// TLS encrypts; empty, it trusts what the machine trusts.
type TLS struct {
	// CA is a PEM file with the certificates to trust instead of the machine's.
	CA string `def:"ca"`
	// Certificate and Key are PEM files that show the broker who this client is; both or neither.
	Certificate string `def:"certificate"`
	Key         string `def:"key"`
	// ServerName is the name that the broker's certificate must have; empty means the host of its address.
	ServerName string `def:"server_name"`
	// Insecure takes any certificate.
	Insecure bool `def:"insecure"`
}

// The values of SASL.Mechanism.
const (
	MechanismPlain       = "plain"
	MechanismScram256    = "scram-sha-256"
	MechanismScram512    = "scram-sha-512"
	MechanismOAuthBearer = "oauthbearer"
)

// Mechanisms are all there are.
func Mechanisms() []string {
	return []string{MechanismPlain, MechanismScram256, MechanismScram512, MechanismOAuthBearer}
}

// SASL logs in.
type SASL struct {
	Mechanism string `def:"mechanism"`
	// User and Password are for all mechanisms but oauthbearer.
	User     string `def:"user"`
	Password Secret `def:"password"`
	// TokenFile holds the token of oauthbearer; it is read at every login.
	TokenFile string `def:"token_file"`
}

// Encrypted says whether connections are encrypted.
func (s *Security) Encrypted() bool { return s != nil && s.TLS != nil }

// LogsIn says whether connections log in.
func (s *Security) LogsIn() bool { return s != nil && s.SASL != nil }

// Secrets are the texts that must never be printed.
func (s *Security) Secrets() []string {
	if !s.LogsIn() || s.SASL.Password == "" {
		return nil
	}
	return []string{string(s.SASL.Password)}
}

// String says what is used, without any secret: "TLS, scram-sha-512 as ensue".
func (s *Security) String() string {
	var parts []string
	if s.Encrypted() {
		parts = append(parts, "TLS")
		if s.TLS.Insecure {
			parts[0] += " without checking the broker's certificate"
		}
	}
	if s.LogsIn() {
		login := s.SASL.Mechanism
		if s.SASL.User != "" {
			login += " as " + s.SASL.User
		}
		parts = append(parts, login)
	}
	if len(parts) == 0 {
		return "neither TLS nor login"
	}
	return strings.Join(parts, ", ")
}

// Format implements fmt.Formatter: String for every verb, even a wrong one, which would print every field (invariant 1).
func (s *Security) Format(to fmt.State, _ rune) { _, _ = io.WriteString(to, s.String()) }

// Format implements fmt.Formatter, as that of Security.
func (s SASL) Format(to fmt.State, _ rune) {
	_, _ = io.WriteString(to, (&Security{SASL: &s}).String())
}

// Problem is one thing wrong with a Security, at a key below the block.
type Problem struct{ Key, Message, Hint string }

// Problems says everything that is wrong with the block.
func (s *Security) Problems() []Problem {
	if s == nil {
		return nil
	}
	return slices.Concat(s.TLS.problems(), s.SASL.problems())
}

// Validate is Problems as an error that names the keys below key; nil when nothing is wrong.
func (s *Security) Validate(key string) error {
	var errs []error
	for _, p := range s.Problems() {
		errs = append(errs, fmt.Errorf("%s.%s %s: %s", key, p.Key, p.Message, p.Hint))
	}
	return errors.Join(errs...)
}

func (t *TLS) problems() []Problem {
	if t == nil {
		return nil
	}
	var found []Problem
	switch {
	case t.Certificate != "" && t.Key == "":
		found = append(found, Problem{"tls.key", "is missing beside tls.certificate", "name the file with the certificate's private key"})
	case t.Certificate == "" && t.Key != "":
		found = append(found, Problem{"tls.certificate", "is missing beside tls.key", "name the file with the key's certificate"})
	}
	if t.Insecure && t.CA != "" {
		found = append(found, Problem{
			"tls.insecure", "contradicts tls.ca: with it no certificate is checked", "remove one of the two",
		})
	}
	return found
}

func (s *SASL) problems() []Problem {
	if s == nil {
		return nil
	}
	var found []Problem
	need := func(missing bool, key, hint string) {
		if missing {
			found = append(found, Problem{key, "is missing, and " + s.Mechanism + " needs it", hint})
		}
	}
	forbid := func(there bool, key string) {
		if there {
			found = append(found, Problem{key, "is not for the mechanism " + s.Mechanism, "remove it, or choose another sasl.mechanism"})
		}
	}
	switch s.Mechanism {
	case MechanismPlain, MechanismScram256, MechanismScram512:
		need(s.User == "", "sasl.user", "name the user that the broker knows")
		need(s.Password == "", "sasl.password", "write ${file:/run/secrets/…} or ${NAME}")
		forbid(s.TokenFile != "", "sasl.token_file")
	case MechanismOAuthBearer:
		need(s.TokenFile == "", "sasl.token_file", "name the file that holds the token")
		forbid(s.User != "", "sasl.user")
		forbid(s.Password != "", "sasl.password")
	default:
		found = append(found, Problem{
			"sasl.mechanism", fmt.Sprintf("%q is not known", s.Mechanism), "use " + strings.Join(Mechanisms(), ", "),
		})
	}
	return found
}

// Secret is a text that prints as "(secret)" (invariant 1).
type Secret string

const secretText = "(secret)"

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return secretText
}

// Format implements fmt.Formatter, for every verb: without it a wrong one, such as %d, would print the text.
func (s Secret) Format(to fmt.State, _ rune) { _, _ = io.WriteString(to, s.String()) }

// MarshalText implements encoding.TextMarshaler, which JSON and YAML use.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
