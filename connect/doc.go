// Package connect is how every client in this program gets to a broker: address, TLS and login, from one place for both client
// libraries and for every part that talks to Kafka (source, sinks, publish, tail, check).
//
//   - Security is the definition's `security` block: TLS and SASL, each there or not.
//   - Dialer makes connections, encrypted where the security says so; KafkaGo and Options hand it and the login to the libraries.
//   - Why says in one word what a failed connection means (ReasonTLS, ReasonLogin, ReasonRights), and Hint what to do about it, in
//     the user's own keys. Scrub takes credentials out of what is printed.
//
// # Invariants
//
//  1. A secret is a Secret: every way of printing it gives "(secret)", and no error of this package holds one.
//  2. Certificates, keys and tokens are read again for every connection, so that what is rotated on the disk is taken up without a
//     restart; what cannot be read fails that connection and no other.
//  3. A broker's certificate is always checked unless `insecure: true` is written.
package connect
