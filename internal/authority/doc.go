// Package authority makes certificates for tests: an Authority that signs, and Pairs of certificate and key for brokers and for clients.
// Everything lies in PEM files of the test's own folder, keys as PKCS#8, which Go, OpenSSL and Java read alike.
package authority
