package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/pipelines"
)

// securityFlags are the `security` block of a definition for commands that have no definition; the same for all of them.
type securityFlags struct {
	encrypt      bool
	tls          connect.TLS
	sasl         connect.SASL
	passwordFile string
}

// clusterFlags say which brokers are meant and how to get in, for commands that run no pipeline: by flags, or as a definition has it.
type clusterFlags struct {
	brokers    []string
	definition string
	access     securityFlags
}

func (c *clusterFlags) add(f *pflag.FlagSet) {
	f.StringSliceVar(&c.brokers, "brokers", []string{"localhost:9092"}, "brokers to ask first")
	f.StringVar(&c.definition, "definition", "", "take brokers, topic, TLS and login from this definition, as far as no flag says otherwise")
	c.access.add(f)
}

// place is the topic that is meant: that of the definition, where there is one (of says which), changed by what flags say.
// key names the definition's key in messages. topic is what --topic says.
func (a *app) place(
	c *clusterFlags, set *pflag.FlagSet, topic, key string, of func(*pipelines.Definition) (pipelines.Place, bool),
) (pipelines.Place, error) {
	security, err := c.access.security(a.env)
	place := pipelines.Place{Brokers: c.brokers, Topic: topic, Security: security}
	if err != nil || c.definition == "" {
		return place, err
	}
	def, err := a.load(c.definition)
	if err != nil {
		return place, err
	}
	told, there := of(def)
	if !there {
		return place, inputError("flags.value", fmt.Errorf("the definition %s has no %s", c.definition, key),
			"name another definition, or use --brokers and --topic")
	}
	if set.Changed("brokers") {
		told.Brokers = place.Brokers
	}
	if set.Changed("topic") {
		told.Topic = place.Topic
	}
	if security != nil {
		told.Security, told.Key = security, ""
	}
	return told, nil
}

func (s *securityFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&s.encrypt, "tls", false, "encrypt the connections to the brokers")
	f.StringVar(&s.tls.CA, "tls-ca", "", "PEM file with the authorities to trust, instead of the machine's; implies --tls")
	f.StringVar(&s.tls.Certificate, "tls-cert", "", "PEM file with this client's certificate; implies --tls")
	f.StringVar(&s.tls.Key, "tls-key", "", "PEM file with its private key")
	f.StringVar(&s.tls.ServerName, "tls-server-name", "", "name that the brokers' certificates must have; implies --tls")
	f.BoolVar(&s.tls.Insecure, "tls-insecure", false, "take any certificate without a look at it; implies --tls")
	f.StringVar(&s.sasl.Mechanism, "sasl", "", "log in: "+strings.Join(connect.Mechanisms(), ", "))
	f.StringVar(&s.sasl.User, "sasl-user", "", "user to log in as; its password is in "+connect.PasswordVariable+" or --sasl-password-file")
	f.StringVar(&s.passwordFile, "sasl-password-file", "", "file with the password")
	f.StringVar(&s.sasl.TokenFile, "sasl-token-file", "", "file with the token of oauthbearer")
}

// security is what the flags say; nil where they say nothing.
func (s *securityFlags) security(env func(string) (string, bool)) (*connect.Security, error) {
	if err := s.password(env); err != nil {
		return nil, err
	}
	security := &connect.Security{}
	if s.encrypt || s.tls != (connect.TLS{}) {
		security.TLS = &s.tls
	}
	s.sasl.Mechanism = strings.ToLower(s.sasl.Mechanism)
	if login := s.sasl; login.Mechanism != "" || login.User != "" || login.TokenFile != "" {
		security.SASL = &s.sasl
	}
	if problems := security.Problems(); len(problems) > 0 {
		first := problems[0]
		return nil, inputError("flags.value", fmt.Errorf("%s %s", connect.Flag(first.Key), first.Message), first.Hint)
	}
	if *security == (connect.Security{}) {
		return nil, nil
	}
	return security, nil
}

// password finds the password of the user, if there is one to log in.
func (s *securityFlags) password(env func(string) (string, bool)) error {
	if s.passwordFile != "" {
		text, err := os.ReadFile(s.passwordFile)
		if err == nil && strings.TrimSpace(string(text)) == "" {
			err = errors.New("it is empty")
		}
		if err != nil {
			err = fmt.Errorf("reading --sasl-password-file %s: %w", s.passwordFile, err)
			return inputError("flags.value", err, "name a file with the password alone")
		}
		s.sasl.Password = connect.Secret(strings.TrimRight(string(text), "\r\n"))
		return nil
	}
	if value, ok := env(connect.PasswordVariable); ok && s.sasl.User != "" {
		s.sasl.Password = connect.Secret(value)
	}
	return nil
}
