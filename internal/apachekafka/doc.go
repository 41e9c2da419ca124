// Package apachekafka starts a real Apache Kafka: brokers in KRaft mode, a process each, on free loopback ports, with their data in
// a folder of the caller's. It is for tests and benchmarks.
//
//   - Launch starts Brokers for a program: one, or three on one machine.
//   - Start starts a Cluster of one broker for a test, and skips the test, with a message, where it cannot: unless ENSUE_KAFKA=1
//     (`make test-kafka` sets it), and where there is no Java, or no Maven to fetch Kafka with. The name of the test has
//     "ApacheKafka" in it.
//   - WithSecurity (Options.Security) adds listeners with TLS and a login, and with client certificates, beside the open one; ACLs
//     hold there.
//   - Cluster.Restart and Cluster.Kill do to the broker what operators and power cuts do.
//
// pom.xml pins the version. The jars are fetched from Maven Central once, into .cache/kafka of the repository or the folder that
// ENSUE_KAFKA_JARS names.
//
// What the package promises: when Launch, Start or Restart returns, the brokers answer and the group coordinator stands, so that
// the first member that joins a group is let in; when the test or the program ends, the processes have ended too, even where it
// was killed.
package apachekafka
