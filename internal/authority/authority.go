package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Authority signs certificates for as long as a test runs.
type Authority struct {
	tb   testing.TB
	dir  string
	name string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Pair are the PEM files of a certificate and its private key, and of both in one, as Java wants them.
type Pair struct{ Certificate, Key, Both string }

// New makes an authority that nobody trusts yet.
func New(tb testing.TB, name string) *Authority {
	tb.Helper()
	a := &Authority{tb: tb, dir: tb.TempDir(), name: name}
	a.key = a.newKey()
	template := a.template(name, time.Now().Add(time.Hour))
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	require.NoError(tb, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(tb, err)
	a.write("ca.pem", certificate(der))
	return a
}

// CA is the path of the authority's own certificate: who reads it trusts what it signs.
func (a *Authority) CA() string { return filepath.Join(a.dir, "ca.pem") }

// Pool trusts the authority and nobody else.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Issue makes a certificate for the first of the names, which serves at all of them: host names and addresses.
func (a *Authority) Issue(names ...string) Pair {
	a.tb.Helper()
	return a.IssueUntil(time.Now().Add(time.Hour), names...)
}

// IssueUntil is Issue for a certificate that ends, or has ended, at that time.
func (a *Authority) IssueUntil(end time.Time, names ...string) Pair {
	a.tb.Helper()
	key := a.newKey()
	template := a.template(names[0], end)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(a.tb, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.tb, err)
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	chain := append(certificate(der), certificate(a.cert.Raw)...)
	file := template.SerialNumber.Text(16)
	return Pair{
		Certificate: a.write(file+".pem", chain), Key: a.write(file+".key", secret),
		Both: a.write(file+"-both.pem", bytes.Join([][]byte{secret, chain}, nil)),
	}
}

// Server is how a server shows the pair. Clients must show a certificate of the authority clients, where there is one.
func (p Pair) Server(tb testing.TB, clients *Authority) *tls.Config {
	tb.Helper()
	pair, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
	require.NoError(tb, err)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clients != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, clients.Pool()
	}
	return config
}

func (a *Authority) template(name string, end time.Time) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(a.tb, err)
	begin := time.Now().Add(-time.Hour)
	if end.Before(begin) {
		begin = end.Add(-time.Hour)
	}
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: begin, NotAfter: end}
}

func (a *Authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.tb, err)
	return key
}

func (a *Authority) write(name string, text []byte) string {
	path := filepath.Join(a.dir, name)
	require.NoError(a.tb, os.WriteFile(path, text, 0o600))
	return path
}

func certificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
