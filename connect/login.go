package connect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	kafkasasl "github.com/segmentio/kafka-go/sasl"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// mechanism is the login as franz-go takes it; nil for none.
func (s *Security) mechanism() sasl.Mechanism {
	if !s.LogsIn() {
		return nil
	}
	login := *s.SASL
	user := scram.Auth{User: login.User, Pass: string(login.Password)}
	switch login.Mechanism {
	case MechanismPlain:
		return plain.Auth{User: login.User, Pass: string(login.Password)}.AsMechanism()
	case MechanismScram256:
		return user.AsSha256Mechanism()
	case MechanismScram512:
		return user.AsSha512Mechanism()
	default:
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := login.token()
			return oauth.Auth{Token: token}, err
		})
	}
}

// maxToken is far more than any token has.
const maxToken = 1 << 20

// token reads the token's file (invariant 2).
func (s *SASL) token() (string, error) {
	info, err := os.Stat(s.TokenFile)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxToken) {
		err = fmt.Errorf("%s is no file of up to 1 MiB", s.TokenFile)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(s.TokenFile)
	}
	if err == nil && strings.TrimSpace(string(text)) == "" {
		err = fmt.Errorf("%s is empty", s.TokenFile)
	}
	if err != nil {
		return "", &failure{reason: ReasonLogin, err: fmt.Errorf("reading sasl.token_file: %w", err)}
	}
	return strings.TrimSpace(string(text)), nil
}

// kafkaGoMechanism gives a login of franz-go to kafka-go: both speak of the same exchange.
type kafkaGoMechanism struct{ sasl.Mechanism }

// Start implements kafka-go's Mechanism.
func (m kafkaGoMechanism) Start(ctx context.Context) (kafkasasl.StateMachine, []byte, error) {
	var host string
	if broker := kafkasasl.MetadataFromContext(ctx); broker != nil {
		host = fmt.Sprintf("%s:%d", broker.Host, broker.Port)
	}
	session, first, err := m.Authenticate(ctx, host)
	if err != nil {
		return nil, nil, loginFailed(err)
	}
	return kafkaGoSession{session}, first, nil
}

type kafkaGoSession struct{ sasl.Session }

// Next implements kafka-go's StateMachine.
func (s kafkaGoSession) Next(_ context.Context, challenge []byte) (done bool, response []byte, err error) {
	done, response, err = s.Challenge(challenge)
	return done, response, loginFailed(err)
}

func loginFailed(err error) error {
	if err == nil || errors.As(err, new(*failure)) {
		return err
	}
	return &failure{reason: ReasonLogin, err: fmt.Errorf("logging in: %w", err)}
}
