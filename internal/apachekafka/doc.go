// Package apachekafka starts a real Apache Kafka for tests: one broker in KRaft mode, its own process, on free loopback ports,
// with its data in the test's temporary folder.
//
//   - Start starts a Cluster and skips the test, with a message, where it cannot: unless ENSUE_KAFKA=1 (`make test-kafka` sets it),
//     and where there is no Java, or no Maven to fetch Kafka with. The name of the test has "ApacheKafka" in it.
//   - Cluster.Restart and Cluster.Kill do to the broker what operators and power cuts do.
//
// pom.xml pins the version. The jars are fetched from Maven Central once, into .cache/kafka of the repository or the folder that
// ENSUE_KAFKA_JARS names.
//
// What the package promises: when Start or Restart returns, the broker answers and the group coordinator stands, so that the first
// member that joins a group is let in; when the test ends, the process has ended too, even where the test binary was killed.
package apachekafka
