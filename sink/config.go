package sink

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

const (
	// DeliverAtLeastOnce is the guarantee of the kafka driver.
	DeliverAtLeastOnce = "at_least_once"
	// DeliverExactlyOnce writes results, dead letters, state and progress in transactions; see Session.
	DeliverExactlyOnce = "exactly_once"
	// DefaultDeliveryTimeout is that of Kafka's own producer (delivery.timeout.ms): a broker restarts well within it.
	DefaultDeliveryTimeout = 2 * time.Minute
	// stdoutPath is the path that means the standard output.
	stdoutPath = "-"
)

// Sink takes results out of a pipeline. One goroutine uses it.
type Sink interface {
	// Write returns nil once every result is durably written, in the order given (invariants 1 and 2). After an error any part
	// of them may have been written; the same results are written again.
	Write(ctx context.Context, results []*stream.Result) error
	// Close flushes and frees; it ends every goroutine the sink started.
	Close() error
}

// DeadLetters takes what could not be processed. One goroutine uses it.
type DeadLetters interface {
	// Write returns nil once every letter is durably written.
	Write(ctx context.Context, letters []*stream.DeadLetter) error
	Close() error
}

// Config is the definition's `sink`: any number of sinks, and where dead letters go.
type Config struct {
	Kafka      *KafkaConfig     `def:"kafka"`
	JSONL      *JSONLConfig     `def:"jsonl"`
	Parquet    *ParquetConfig   `def:"parquet"`
	Postgres   *PostgresConfig  `def:"postgres"`
	Webhook    *WebhookConfig   `def:"webhook"`
	DeadLetter DeadLetterConfig `def:"dead_letter"`
}

// Some says whether results go anywhere.
func (c *Config) Some() bool {
	return c.Kafka != nil || c.JSONL != nil || c.Parquet != nil || c.Postgres != nil || c.Webhook != nil
}

// KafkaConfig writes results to a topic, acknowledged by all in-sync replicas, keyed by stream.
type KafkaConfig struct {
	// Brokers is where to write; empty means the brokers of ingest.kafka.
	Brokers []string `def:"brokers"`
	// Security is how to get into the brokers; nil is neither TLS nor login.
	Security *connect.Security `def:"security"`
	Topic    string            `def:"topic"`
	// Delivery is "at_least_once" or "exactly_once".
	Delivery string `def:"delivery"`
	// Transaction is how exactly_once cuts what it writes.
	Transaction TransactionConfig `def:"transaction"`
	// Encoding is "json" or "protobuf".
	Encoding string `def:"encoding"`
	// DeliveryTimeout is how long a write is tried again while the broker is away, before the pipeline stops.
	DeliveryTimeout time.Duration `def:"delivery_timeout"`
}

// TransactionConfig is how exactly-once delivery cuts what it writes into transactions.
type TransactionConfig struct {
	// Segments is how many segments' results one transaction takes at most.
	Segments int `def:"segments"`
	// Interval is how long results are gathered before their transaction is ended.
	Interval time.Duration `def:"interval"`
	// Timeout is after how long the broker aborts a transaction whose writer is gone.
	Timeout time.Duration `def:"timeout"`
	// ID is the transactional id, another one for every process; empty makes one of the group and a random part.
	ID string `def:"id"`
}

// DefaultTransaction is what a definition does not say about transactions.
func DefaultTransaction() TransactionConfig {
	return TransactionConfig{Segments: 128, Interval: 100 * time.Millisecond, Timeout: 30 * time.Second}
}

// JSONLConfig writes results as lines of JSON.
type JSONLConfig struct {
	// Path is the file; "-" is the standard output.
	Path string `def:"path"`
}

// ParquetConfig writes results into a folder of tables.
type ParquetConfig struct {
	// Path is the folder.
	Path string `def:"path"`
	// Every is after how long a table is finished, Size at how many bytes of results.
	Every time.Duration `def:"every"`
	Size  int64         `def:"size"`
	// Map has the energy of every token written.
	Map bool `def:"map"`
}

// PostgresConfig writes results into a table of PostgreSQL, their embeddings as vectors of pgvector.
type PostgresConfig struct {
	// URL is the database; it may hold a password.
	URL string `def:"url"`
	// Table is the table, with its schema where it is not in the search path.
	Table string `def:"table"`
	// Create makes the table and the extension where they are missing.
	Create bool `def:"create"`
	// DeliveryTimeout is how long a write is tried again while the database is away, before the pipeline stops.
	DeliveryTimeout time.Duration `def:"delivery_timeout"`
}

// WebhookConfig sends results to a URL.
type WebhookConfig struct {
	URL string `def:"url"`
	// Secret signs what is sent (https://www.standardwebhooks.com); empty: nothing is signed.
	Secret string `def:"secret"`
	// Verdicts are those whose results are sent.
	Verdicts []string `def:"verdicts"`
	// Batch is how many results one request takes at most; above 1 its data is a list.
	Batch int `def:"batch"`
	// Timeout is how long one request may take.
	Timeout time.Duration `def:"timeout"`
	// DeliveryTimeout is how long a request is tried again while the receiver is away, before the pipeline stops.
	DeliveryTimeout time.Duration `def:"delivery_timeout"`
}

// DeadLetterConfig is where dead letters go: exactly one of the two, or neither; then the pipeline stops at the first one.
type DeadLetterConfig struct {
	Kafka *DeadLetterKafkaConfig `def:"kafka"`
	JSONL *JSONLConfig           `def:"jsonl"`
}

// DeadLetterKafkaConfig writes dead letters to a topic: the original record intact, with what went wrong in headers.
type DeadLetterKafkaConfig struct {
	// Brokers is where to write; empty means the brokers of ingest.kafka.
	Brokers []string `def:"brokers"`
	// Security is how to get into the brokers; nil is neither TLS nor login.
	Security *connect.Security `def:"security"`
	Topic    string            `def:"topic"`
	// DeliveryTimeout is how long a write is tried again while the broker is away, before the pipeline stops.
	DeliveryTimeout time.Duration `def:"delivery_timeout"`
}

// DefaultKafka is what a definition's sink.kafka is before its keys are read.
func DefaultKafka() KafkaConfig {
	return KafkaConfig{
		Delivery: DeliverAtLeastOnce, Encoding: string(stream.EncodingJSON), DeliveryTimeout: DefaultDeliveryTimeout,
		Transaction: DefaultTransaction(),
	}
}

// DefaultDeadLetterKafka is what a definition's sink.dead_letter.kafka is before its keys are read.
func DefaultDeadLetterKafka() DeadLetterKafkaConfig {
	return DeadLetterKafkaConfig{DeliveryTimeout: DefaultDeliveryTimeout}
}

// Validate tells everything that is wrong with the configuration, key by key; nil when nothing is.
func (c *Config) Validate() error {
	v := &validation{}
	if !c.Some() {
		v.fail("sink: results have nowhere to go: set sink.kafka.topic or sink.jsonl.path")
	}
	if c.Kafka != nil {
		v.kafka(c.Kafka)
	}
	if c.JSONL != nil {
		v.path("sink.jsonl.path", c.JSONL.Path)
	}
	if c.Parquet != nil {
		v.parquet(c.Parquet)
	}
	if c.Postgres != nil {
		v.postgres(c.Postgres)
	}
	if c.Webhook != nil {
		v.webhook(c.Webhook)
	}
	v.deadLetter(c)
	return errors.Join(v.problems...)
}

// validation gathers what is wrong.
type validation struct{ problems []error }

func (v *validation) fail(format string, args ...any) {
	v.problems = append(v.problems, stream.Fail("sink", CodeBadConfig, format, args...))
}

func (v *validation) kafka(c *KafkaConfig) {
	v.brokers("sink.kafka", c.Brokers)
	v.security("sink.kafka.security", c.Security)
	v.topic("sink.kafka.topic", c.Topic)
	v.timeout("sink.kafka.delivery_timeout", c.DeliveryTimeout)
	switch c.Delivery {
	case DeliverAtLeastOnce:
	case DeliverExactlyOnce:
		v.transaction(c.Transaction)
	default:
		v.fail("sink.kafka.delivery: %q is not known: use %q or %q", c.Delivery, DeliverAtLeastOnce, DeliverExactlyOnce)
	}
	switch stream.Encoding(c.Encoding) {
	case stream.EncodingJSON, stream.EncodingProtobuf:
	default:
		v.fail("sink.kafka.encoding: %q is not known: use %q or %q", c.Encoding, stream.EncodingJSON, stream.EncodingProtobuf)
	}
}

func (v *validation) transaction(c TransactionConfig) {
	if c.Segments < 1 {
		v.fail("sink.kafka.transaction.segments: %d is too few: use 1 or more", c.Segments)
	}
	if c.Interval < 0 {
		v.fail("sink.kafka.transaction.interval: %s is negative: use 0 or more", c.Interval)
	}
	if c.Timeout <= c.Interval {
		v.fail("sink.kafka.transaction.timeout: %s is not longer than interval (%s)", c.Timeout, c.Interval)
	}
}

func (v *validation) deadLetter(c *Config) {
	letters := c.DeadLetter
	if letters.Kafka != nil && letters.JSONL != nil {
		v.fail("sink.dead_letter: kafka and jsonl are both set: keep one of them")
	}
	if letters.Kafka != nil {
		v.brokers("sink.dead_letter.kafka", letters.Kafka.Brokers)
		v.security("sink.dead_letter.kafka.security", letters.Kafka.Security)
		v.topic("sink.dead_letter.kafka.topic", letters.Kafka.Topic)
		v.timeout("sink.dead_letter.kafka.delivery_timeout", letters.Kafka.DeliveryTimeout)
		if c.Kafka != nil && letters.Kafka.Topic != "" && letters.Kafka.Topic == c.Kafka.Topic {
			v.fail("sink.dead_letter.kafka.topic: %q is also sink.kafka.topic: dead letters need a topic of their own", c.Kafka.Topic)
		}
	}
	if letters.JSONL != nil {
		v.path("sink.dead_letter.jsonl.path", letters.JSONL.Path)
		if c.JSONL != nil && letters.JSONL.Path != "" && samePath(letters.JSONL.Path, c.JSONL.Path) {
			v.fail("sink.dead_letter.jsonl.path: %q is also sink.jsonl.path: dead letters need a file of their own", c.JSONL.Path)
		}
	}
}

func (v *validation) brokers(key string, brokers []string) {
	for _, broker := range brokers {
		if host, port, err := net.SplitHostPort(broker); err != nil || host == "" || port == "" {
			v.fail(`%s.brokers: %q is no address: write "host:port", such as "localhost:9092"`, key, broker)
		}
	}
}

func (v *validation) security(key string, security *connect.Security) {
	if err := security.Validate(key); err != nil {
		v.fail("%w", err)
	}
}

// topic keeps Kafka's own rule for the names of topics, so that a typo is told before anything runs.
func (v *validation) topic(key, topic string) {
	switch {
	case topic == "":
		v.fail("%s: is empty: name the topic to write to", key)
	case len(topic) > 249 || topic == "." || topic == ".." || strings.ContainsFunc(topic, notInTopic):
		v.fail("%s: %q cannot be a topic: up to 249 letters, digits, '.', '_' and '-'", key, topic)
	}
}

func notInTopic(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
}

func (v *validation) timeout(key string, timeout time.Duration) {
	if timeout <= 0 {
		v.fail("%s: %v is not a time to wait: write one such as %v", key, timeout, DefaultDeliveryTimeout)
	}
}

func (v *validation) path(key, path string) {
	if path == "" {
		v.fail(`%s: is empty: name a file, or "-" for the standard output`, key)
	}
}

func samePath(a, b string) bool { return filepath.Clean(a) == filepath.Clean(b) }
