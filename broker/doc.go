// Package broker brings up what a pipeline needs of Kafka and is not part of a stage: an embedded broker for the demo and for
// tests, and topics on any broker.
//
//   - StartEmbedded starts a broker inside the process (franz-go's kfake) on a loopback port: everything that talks the Kafka
//     protocol can use it, and nothing is left when it is closed.
//   - CreateTopics creates topics, on the embedded broker and on a real one alike.
//
// The embedded broker is for a demo and for tests, not for production: one node, and records live in memory. It is bounded all the
// same when Options.Retain says by how much (invariant 6).
//
// Where kfake forgets the sessions of group members, sessions looks after them, so that a group of processes that are killed at any moment
// finds itself again, as on Apache Kafka.
//
// Only the command line, the demo and tests import this package; a pipeline talks to brokers by their addresses.
package broker
