package connect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// DialFunc makes a connection; both client libraries take one.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// DefaultTimeout is how long a broker may take to accept a connection and to agree on its encryption.
const DefaultTimeout = 5 * time.Second

// Dialer is what connects to brokers. Timeout bounds connecting and encrypting together.
func (s *Security) Dialer(timeout time.Duration) DialFunc {
	plain := net.Dialer{Timeout: timeout}
	if !s.Encrypted() {
		return plain.DialContext
	}
	settings := s.TLS
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		config, err := settings.config(address)
		if err != nil {
			return nil, &failure{reason: ReasonTLS, err: err}
		}
		conn, err := plain.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		encrypted := tls.Client(conn, config)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(&unfinished{fmt.Errorf("agreeing on TLS with %s: %w", address, err)}, conn.Close())
		}
		return encrypted, nil
	}
}

// Check reads the files that the security names, as every connection will, so that a wrong path is told before anything connects.
func (s *Security) Check() error {
	if s.Encrypted() {
		if _, err := s.TLS.config("localhost:0"); err != nil {
			return &failure{reason: ReasonTLS, err: err}
		}
	}
	if s.LogsIn() && s.SASL.Mechanism == MechanismOAuthBearer {
		if _, err := s.SASL.token(); err != nil {
			return err
		}
	}
	return nil
}

// config reads the files (invariant 2).
func (t *TLS) config(address string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("reading the broker's address: %w", err)
		}
		config.ServerName = host
	}
	config.InsecureSkipVerify = t.Insecure // invariant 3: only where it is written
	if t.CA != "" {
		roots, err := roots(t.CA)
		if err != nil {
			return nil, fmt.Errorf("reading tls.ca: %w", err)
		}
		config.RootCAs = roots
	}
	if t.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		if err != nil {
			return nil, fmt.Errorf("reading tls.certificate %s and tls.key %s: %w", t.Certificate, t.Key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func roots(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", path)
	}
	return pool, nil
}
