package connect

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/stream"
)

// Reason is what a connection, or a request, failed for. It is the last part of a failure's code ("sink.tls_failed").
type Reason string

// The reasons; the empty one is anything else, such as a broker that is not there.
const (
	// ReasonTLS: no encrypted connection: certificates, names, files, or a listener without TLS.
	ReasonTLS Reason = "tls_failed"
	// ReasonLogin: the broker does not accept who this client says it is.
	ReasonLogin Reason = "login_failed"
	// ReasonRights: the broker knows this client and does not let it do that.
	ReasonRights Reason = "not_authorized"
)

// failure is an error whose reason is known where it happens.
type failure struct {
	reason Reason
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// unfinished is a connection whose encryption was not agreed on. Where certificates or files are wrong Why says so; where the other end was
// too slow, or hung up, that may be a broker that stops or starts, and passes.
type unfinished struct{ err error }

func (u *unfinished) Error() string { return u.err.Error() }
func (u *unfinished) Unwrap() error { return u.err }

// Why is the reason of an error of either library; empty where it is none of the reasons.
func Why(err error) Reason {
	if err == nil {
		return ""
	}
	if known, ok := errors.AsType[*failure](err); ok {
		return known.reason
	}
	if reason := ofBroker(err); reason != "" {
		return reason
	}
	if encryptionFailed(err) {
		return ReasonTLS
	}
	// franz-go has no type for what its own login mechanisms say.
	if text := err.Error(); strings.Contains(text, "invalid mechanism") || strings.Contains(text, "unable to initialize sasl") ||
		strings.Contains(text, "SASL_AUTHENTICATION_FAILED") || strings.Contains(text, "unexpected data in oauth response") {
		return ReasonLogin
	}
	return ""
}

// brokerReasons are the error codes of the protocol (https://kafka.apache.org/protocol#protocol_error_codes), which both libraries
// number alike.
func brokerReasons() map[int16]Reason {
	return map[int16]Reason{
		kerr.SaslAuthenticationFailed.Code:           ReasonLogin,
		kerr.UnsupportedSaslMechanism.Code:           ReasonLogin,
		kerr.IllegalSaslState.Code:                   ReasonLogin,
		kerr.TopicAuthorizationFailed.Code:           ReasonRights,
		kerr.GroupAuthorizationFailed.Code:           ReasonRights,
		kerr.ClusterAuthorizationFailed.Code:         ReasonRights,
		kerr.TransactionalIDAuthorizationFailed.Code: ReasonRights,
		kerr.DelegationTokenAuthorizationFailed.Code: ReasonRights,
	}
}

func ofBroker(err error) Reason {
	if told, ok := errors.AsType[*kerr.Error](err); ok {
		return brokerReasons()[told.Code]
	}
	if told, ok := errors.AsType[kafka.Error](err); ok {
		return brokerReasons()[int16(told)] //nolint:gosec // the protocol's codes are 16 bits wide
	}
	return ""
}

func encryptionFailed(err error) bool {
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	return refusedByPeer(err) || record || verification || authority || name
}

// refusedByPeer says whether the other end broke the encryption off, as a broker does that does not trust this client's certificate.
func refusedByPeer(err error) bool {
	told, ok := errors.AsType[*net.OpError](err)
	return ok && told.Op == "remote error"
}

// Naming is how the user writes a key of the block: below a path of the definition, or as a flag.
type Naming func(key string) string

// Below names keys below a path of the definition ("ingest.kafka.security").
func Below(path string) Naming { return func(key string) string { return path + "." + key } }

// Flag names the flag that stands for a key, for commands without a definition.
func Flag(key string) string {
	flags := map[string]string{
		"tls": "--tls", "tls.ca": "--tls-ca", "tls.certificate": "--tls-cert", "tls.key": "--tls-key", "tls.server_name": "--tls-server-name",
		"tls.insecure": "--tls-insecure", "sasl": "--sasl", "sasl.mechanism": "--sasl", "sasl.user": "--sasl-user",
		"sasl.password": PasswordVariable + " or --sasl-password-file", "sasl.token_file": "--sasl-token-file",
	}
	return flags[key]
}

// PasswordVariable holds the password for commands without a definition. There is no flag for it: everybody on a machine sees flags.
const PasswordVariable = "ENSUE_KAFKA_PASSWORD"

// Unreached is the failure of a stage that could not talk to its brokers: its code says which of the reasons it was.
func (s *Security) Unreached(stage string, brokers []string, name Naming, err error) *stream.Failure {
	code := stream.Code(stage + ".broker_unreachable")
	if why := Why(err); why != "" {
		code = stream.Code(stage + "." + string(why))
	}
	return stream.FailTransient(stage, code, "reaching the brokers %s with %s: %w; %s",
		strings.Join(brokers, ", "), s, err, s.Advice(err, name))
}

// Advice says what to do about any error of talking to brokers.
func (s *Security) Advice(err error, name Naming) string {
	if why := Why(err); why != "" {
		return s.Hint(why, err, name)
	}
	if hint := s.HintUnanswered(err, name); hint != "" {
		return hint
	}
	return "is the broker running, and is the address right?"
}

// Hint says what to do about a reason, in the user's own keys.
func (s *Security) Hint(reason Reason, err error, name Naming) string {
	switch reason {
	case ReasonTLS:
		return s.hintTLS(err, name)
	case ReasonLogin:
		switch {
		case !s.LogsIn():
			return "the broker wants a login: set " + name("sasl")
		case otherMechanism(err):
			return fmt.Sprintf("the broker does not offer %s: change %s", s.SASL.Mechanism, name("sasl.mechanism"))
		case s.SASL.Mechanism == MechanismOAuthBearer:
			return fmt.Sprintf("does %s hold a token that is still valid?", name("sasl.token_file"))
		}
		return fmt.Sprintf("check %s (%s) and %s, and that the broker knows the user for %s",
			name("sasl.user"), s.SASL.User, name("sasl.password"), s.SASL.Mechanism)
	case ReasonRights:
		if s.LogsIn() && s.SASL.User != "" {
			return fmt.Sprintf("give the user %s the right to", s.SASL.User)
		}
		return "give this client the right to"
	}
	return ""
}

// otherMechanism says whether the broker does not offer the mechanism. Its words about a wrong password name the mechanism, too.
func otherMechanism(err error) bool {
	text := err.Error()
	return errors.Is(err, kerr.UnsupportedSaslMechanism) || errors.Is(err, kafka.UnsupportedSASLMechanism) ||
		strings.Contains(text, "invalid mechanism") || strings.Contains(text, "UNSUPPORTED_SASL_MECHANISM")
}

// hungUp says whether a broker ended the connection without a word, as far as franz-go tells.
func hungUp(err error) bool {
	_, first := errors.AsType[*kgo.ErrFirstReadEOF](err)
	return first || strings.Contains(err.Error(), "broker connection has died")
}

// HintUnanswered says what a broker may want that ends a connection without a word, as one does that is spoken to in the clear and
// wants TLS; empty where the error is another.
func (s *Security) HintUnanswered(err error, name Naming) string {
	_, handshake := errors.AsType[*unfinished](err)
	first := hungUp(err)
	switch {
	case strings.Contains(err.Error(), "plaintext connection speaking to a tls endpoint"):
		return "the listener at this port speaks TLS: set " + name("tls")
	case handshake:
		return fmt.Sprintf("is the broker running, and does the listener at this port speak TLS? "+
			"If not, remove %s or use another port", name("tls"))
	case !first && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return ""
	case !s.Encrypted():
		return "a broker answered by closing the connection: if this listener wants TLS, set " + name("tls")
	case !s.LogsIn():
		return "a broker answered by closing the connection: if it wants a login, set " + name("sasl")
	}
	return ""
}

func (s *Security) hintTLS(err error, name Naming) string {
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case !s.Encrypted():
		return "if the listener wants TLS, set " + name("tls")
	case authority:
		return "name the file with the certificate of the broker's authority in " + name("tls.ca")
	case host:
		return "use a host name that the broker's certificate has, or name one of those in " + name("tls.server_name")
	case isInvalid && invalid.Reason == x509.Expired:
		return "the broker's certificate has to be renewed, or a clock is wrong"
	case record:
		return fmt.Sprintf("does the listener at this port speak TLS? If not, remove %s or use another port", name("tls"))
	case refusedByPeer(err):
		return fmt.Sprintf("the broker refuses this client's certificate: set %s and %s to a pair it trusts",
			name("tls.certificate"), name("tls.key"))
	}
	return fmt.Sprintf("check the files of %s and %s", name("tls.ca"), name("tls.certificate"))
}
