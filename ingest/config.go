package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

// Source brings segments into a pipeline.
//
// Run sends segments to out, those of one stream in the order of the stream, until the source is exhausted (then it returns
// nil) or ctx is done. When ctx is done it takes nothing new in, waits until every segment it sent is acknowledged
// (Receipt.Done) or its drain timeout has passed, and returns nil. Run does not close out. Every goroutine it started has
// ended when it returns. When context.Cause(ctx) is ErrAbandoned it does not wait: nobody will acknowledge anything any more.
type Source interface {
	Run(ctx context.Context, out chan<- *stream.Segment) error
}

// ErrAbandoned is the cause of a context that is cancelled because the stages after the source have failed.
var ErrAbandoned = errors.New("the stages after the source have failed")

// patience is how long a drain may take after ctx is done: none where nobody is left to acknowledge anything.
func patience(ctx context.Context, drain time.Duration) time.Duration {
	if errors.Is(context.Cause(ctx), ErrAbandoned) {
		return 0
	}
	return drain
}

// Config is the definition's `ingest`: exactly one source, and how its streams are ordered.
type Config struct {
	Kafka *KafkaConfig `def:"kafka"`
	Files *FilesConfig `def:"files"`
	// Claims says where payloads may lie that are not in their records; nil: nowhere.
	Claims *ClaimsConfig `def:"claims"`
	Order  OrderConfig   `def:"order"`
}

// KafkaConfig reads records from a topic as a member of a consumer group.
type KafkaConfig struct {
	Brokers []string `def:"brokers"`
	Topic   string   `def:"topic"`
	Group   string   `def:"group"`
	// Security is how to get into the brokers; nil is neither TLS nor login.
	Security *connect.Security `def:"security"`
	// StartAt is where a group without committed offsets begins: "oldest" or "newest".
	StartAt string `def:"start_at"`
	// MaxBytes is how much one fetch may bring (a larger single record is still delivered).
	MaxBytes int64 `def:"max_bytes"`
	// MaxWait is how long the broker may hold a fetch open. kafka-go also uses it as the read deadline, so it is never small.
	MaxWait time.Duration `def:"max_wait"`
	// ReadBatchTimeout is how long one record may take to arrive.
	ReadBatchTimeout time.Duration `def:"read_batch_timeout"`
	// SessionTimeout is after how long without a heartbeat the group gives this member up.
	SessionTimeout time.Duration `def:"session_timeout"`
	// RebalanceTimeout is how long the group waits for this member to give its partitions back.
	RebalanceTimeout time.Duration `def:"rebalance_timeout"`
	// HoldBack is how many records of a partition the committed offset may lag behind for the sake of context; 0 is without a bound.
	HoldBack int `def:"hold_back"`
	// DrainTimeout is how long segments in flight may take to finish when partitions are given back or the pipeline stops.
	DrainTimeout time.Duration `def:"drain_timeout"`
}

// FilesConfig reads recorded files; each is one stream, cut on key frames.
type FilesConfig struct {
	// Paths are files, globs and folders.
	Paths []string `def:"paths"`
	// Segment is the length to cut at; a cut falls on the first key frame at or after it.
	Segment time.Duration `def:"segment"`
	// Watch keeps looking for new finished files in the folders.
	Watch bool `def:"watch"`
	// Settle is how long a watched file must stay unchanged before it counts as finished.
	Settle time.Duration `def:"settle"`
}

// Late says what happens to a segment whose place in the stream has passed.
type Late string

// The values of Late.
const (
	LateDrop       Late = "drop"
	LateDeadLetter Late = "dead_letter"
	LateScoreAlone Late = "score_alone"
)

// OrderConfig is how segments of a stream are brought into order.
type OrderConfig struct {
	// Grace is how long a missing segment is waited for.
	Grace time.Duration `def:"grace"`
	Late  Late          `def:"late"`
	// Evict is after how long without a segment a stream is forgotten.
	Evict time.Duration `def:"evict"`
}

// DefaultKafka is what a definition does not say about reading from Kafka; a test of package pipelines holds the field spec against it.
func DefaultKafka() KafkaConfig {
	return KafkaConfig{
		StartAt:          "oldest",
		MaxBytes:         64 << 20,
		MaxWait:          2 * time.Second,
		ReadBatchTimeout: 30 * time.Second,
		SessionTimeout:   45 * time.Second,
		RebalanceTimeout: 60 * time.Second,
		DrainTimeout:     40 * time.Second,
		HoldBack:         10_000,
	}
}

// DefaultFiles is what a definition does not say about reading files.
func DefaultFiles() FilesConfig {
	return FilesConfig{Segment: 2 * time.Second, Settle: 2 * time.Second}
}

// DefaultOrder is what a definition does not say about order.
func DefaultOrder() OrderConfig {
	return OrderConfig{Grace: 2 * time.Second, Late: LateDeadLetter, Evict: time.Minute}
}

// Validate says everything that is wrong with the configuration, by the keys of the definition.
func (c Config) Validate() error {
	var errs []error
	switch {
	case c.Kafka == nil && c.Files == nil:
		errs = append(errs, errors.New("ingest has no source: give ingest.kafka or ingest.files"))
	case c.Kafka != nil && c.Files != nil:
		errs = append(errs, errors.New("ingest has two sources: give ingest.kafka or ingest.files, not both"))
	}
	if c.Kafka != nil {
		errs = append(errs, c.Kafka.validate()...)
	}
	if c.Files != nil {
		errs = append(errs, c.Files.validate()...)
	}
	if c.Claims != nil {
		errs = append(errs, c.Claims.validate()...)
	}
	errs = append(errs, c.Order.validate()...)
	if err := errors.Join(errs...); err != nil {
		return &stream.Failure{Code: CodeConfig, Stage: "ingest", Permanent: true, Err: err}
	}
	return nil
}

// minWait is the smallest sensible time to hold a fetch open: brokers answer an empty fetch only after it.
const minWait = 10 * time.Millisecond

func (c *KafkaConfig) validate() []error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("ingest.kafka."+format, args...))
		}
	}
	refuse(len(c.Brokers) == 0, "brokers is empty: give at least one host:port")
	refuse(c.Topic == "", "topic is empty: name the topic to read")
	refuse(c.Group == "", "group is empty: name the consumer group")
	if err := c.Security.Validate(keySecurity); err != nil {
		errs = append(errs, err)
	}
	refuse(c.StartAt != "oldest" && c.StartAt != "newest", "start_at is %q: use oldest or newest", c.StartAt)
	refuse(c.MaxBytes < 1 || c.MaxBytes > math.MaxInt32, "max_bytes is %d: use 1 to %d", c.MaxBytes, math.MaxInt32)
	refuse(c.MaxWait < minWait, "max_wait is %s: use at least %s", c.MaxWait, minWait)
	refuse(c.ReadBatchTimeout < c.MaxWait, "read_batch_timeout is %s: use at least max_wait (%s)", c.ReadBatchTimeout, c.MaxWait)
	refuse(c.SessionTimeout < time.Second, "session_timeout is %s: use at least 1s", c.SessionTimeout)
	refuse(c.RebalanceTimeout < time.Second, "rebalance_timeout is %s: use at least 1s", c.RebalanceTimeout)
	refuse(c.DrainTimeout <= 0, "drain_timeout is %s: use more than 0", c.DrainTimeout)
	// Draining happens between two joins: a member that drains for longer is put out of the group, and its commit refused.
	refuse(c.DrainTimeout >= min(c.SessionTimeout, c.RebalanceTimeout),
		"drain_timeout is %s: use less than session_timeout (%s) and rebalance_timeout (%s)",
		c.DrainTimeout, c.SessionTimeout, c.RebalanceTimeout)
	return errs
}

func (c *FilesConfig) validate() []error {
	var errs []error
	if len(c.Paths) == 0 {
		errs = append(errs, errors.New("ingest.files.paths is empty: give files, globs or folders"))
	}
	if c.Segment <= 0 {
		errs = append(errs, fmt.Errorf("ingest.files.segment is %s: use more than 0", c.Segment))
	}
	if c.Watch && c.Settle <= 0 {
		errs = append(errs, fmt.Errorf("ingest.files.settle is %s: use more than 0", c.Settle))
	}
	return errs
}

func (c *OrderConfig) validate() []error {
	var errs []error
	if c.Grace < 0 {
		errs = append(errs, fmt.Errorf("ingest.order.grace is %s: use 0 or more", c.Grace))
	}
	if !slices.Contains([]Late{LateDrop, LateDeadLetter, LateScoreAlone}, c.Late) {
		errs = append(errs, fmt.Errorf("ingest.order.late is %q: use %s, %s or %s", c.Late, LateDrop, LateDeadLetter, LateScoreAlone))
	}
	if c.Evict <= c.Grace {
		errs = append(errs, fmt.Errorf("ingest.order.evict is %s: use more than grace (%s)", c.Evict, c.Grace))
	}
	return errs
}
