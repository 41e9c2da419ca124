package sink

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

func goodConfig() Config {
	kafka, dead := DefaultKafka(), DefaultDeadLetterKafka()
	kafka.Topic, dead.Topic = "video.energy", "video.dead"
	kafka.Brokers = []string{"localhost:9092", "[::1]:9092"}
	return Config{Kafka: &kafka, JSONL: &JSONLConfig{Path: "-"}, DeadLetter: DeadLetterConfig{Kafka: &dead}}
}

func TestDefaultsAreValid(t *testing.T) {
	c := goodConfig()
	require.NoError(t, c.Validate())
	require.Equal(t, KafkaConfig{
		Brokers: c.Kafka.Brokers, Topic: "video.energy", Delivery: "at_least_once", Encoding: "json", DeliveryTimeout: 2 * time.Minute,
		Transaction: DefaultTransaction(),
	}, *c.Kafka)
}

func TestValidateNamesKeyAndValue(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		says   []string
	}{
		"nothing configured": {func(c *Config) { c.Kafka, c.JSONL = nil, nil }, []string{"sink.kafka.topic", "sink.jsonl.path"}},
		"transactions of nothing": {
			func(c *Config) { c.Kafka.Delivery, c.Kafka.Transaction.Segments = "exactly_once", 0 },
			[]string{"sink.kafka.transaction.segments", "0"},
		},
		"transactions that end before they are written": {
			func(c *Config) { c.Kafka.Delivery, c.Kafka.Transaction.Timeout = "exactly_once", time.Millisecond },
			[]string{"sink.kafka.transaction.timeout", "1ms", "interval"},
		},
		"a login without a password": {
			func(c *Config) {
				c.Kafka.Security = &connect.Security{SASL: &connect.SASL{Mechanism: connect.MechanismPlain, User: "ensue"}}
			},
			[]string{"sink.kafka.security.sasl.password", "missing"},
		},
		"unknown delivery": {func(c *Config) { c.Kafka.Delivery = "often" }, []string{"sink.kafka.delivery", `"often"`, `"at_least_once"`}},
		"no delivery":      {func(c *Config) { c.Kafka.Delivery = "" }, []string{"sink.kafka.delivery", `""`}},
		"unknown encoding": {func(c *Config) { c.Kafka.Encoding = "avro" }, []string{"sink.kafka.encoding", `"avro"`, `"protobuf"`}},
		"no topic":         {func(c *Config) { c.Kafka.Topic = "" }, []string{"sink.kafka.topic", "empty"}},
		"topic with space": {func(c *Config) { c.Kafka.Topic = "video energy" }, []string{"sink.kafka.topic", `"video energy"`}},
		"broker as a URL":  {func(c *Config) { c.Kafka.Brokers = []string{"kafka://a:1"} }, []string{"sink.kafka.brokers", `"kafka://a:1"`}},
		"no port":          {func(c *Config) { c.DeadLetter.Kafka.Brokers = []string{"a"} }, []string{"sink.dead_letter.kafka.brokers", `"a"`}},
		"no time":          {func(c *Config) { c.Kafka.DeliveryTimeout = 0 }, []string{"sink.kafka.delivery_timeout", "0s"}},
		"no path":          {func(c *Config) { c.JSONL.Path = "" }, []string{"sink.jsonl.path"}},
		"both dead letters": {
			func(c *Config) { c.DeadLetter.JSONL = &JSONLConfig{Path: "dead.jsonl"} }, []string{"sink.dead_letter", "both"},
		},
		"one topic for both": {
			func(c *Config) { c.DeadLetter.Kafka.Topic = "video.energy" }, []string{"sink.dead_letter.kafka.topic", `"video.energy"`},
		},
		"one file for both": {
			func(c *Config) {
				c.JSONL.Path = "out/r.jsonl"
				c.DeadLetter = DeadLetterConfig{JSONL: &JSONLConfig{Path: "./out/r.jsonl"}}
			},
			[]string{"sink.dead_letter.jsonl.path", `"out/r.jsonl"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := goodConfig()
			test.change(&c)
			err := c.Validate()
			require.Equal(t, CodeBadConfig, failureOf(t, err).Code)
			for _, word := range test.says {
				require.ErrorContains(t, err, word)
			}
			if c.Kafka != nil || c.JSONL != nil || c.DeadLetter.Kafka == nil {
				_, err = New(c, nil, nil)
				require.Error(t, err)
			}
		})
	}
}

func TestValidateTellsAllAtOnce(t *testing.T) {
	c := goodConfig()
	c.Kafka.Topic, c.Kafka.Delivery, c.JSONL.Path, c.DeadLetter.Kafka.Topic = "", "often", "", ""
	err := c.Validate()
	for _, key := range []string{"sink.kafka.topic", "sink.kafka.delivery", "sink.jsonl.path", "sink.dead_letter.kafka.topic"} {
		require.ErrorContains(t, err, key)
	}
}

func TestWithoutDeadLetterSinkTheFirstLetterSaysWhatToSet(t *testing.T) {
	out, err := NewDeadLetters(Config{}, nil, nil)
	require.NoError(t, err)
	require.NoError(t, out.Write(t.Context(), nil))
	err = out.Write(t.Context(), []*stream.DeadLetter{letter(42, []byte("payload"))})
	require.Equal(t, CodeNoDeadLetter, failureOf(t, err).Code)
	for _, word := range []string{"lobby/42", "video.segments[0]@42", "no video stream", "decode.no_video", "sink.dead_letter"} {
		require.ErrorContains(t, err, word)
	}
	require.NoError(t, out.Close())
}

func TestBadDeadLetterConfigIsRefused(t *testing.T) {
	_, err := NewDeadLetters(Config{DeadLetter: DeadLetterConfig{JSONL: &JSONLConfig{}}}, nil, nil)
	require.ErrorContains(t, err, "sink.dead_letter.jsonl.path")
}

// recorder is a sink that remembers, and fails when told to.
type recorder struct {
	name   string
	log    *[]string
	fail   error
	closed error
}

func (r *recorder) Write(_ context.Context, results []*stream.Result) error {
	for _, result := range results {
		*r.log = append(*r.log, r.name+" "+result.Y.Segment)
	}
	return r.fail
}

func (r *recorder) Close() error {
	*r.log = append(*r.log, r.name+" closed")
	return r.closed
}

func TestFanoutWritesToAllInOrder(t *testing.T) {
	var log []string
	out := Fanout(&recorder{name: "a", log: &log}, &recorder{name: "b", log: &log})
	require.NoError(t, out.Write(t.Context(), []*stream.Result{result("lobby", 1), result("lobby", 2)}))
	require.NoError(t, out.Close())
	require.Equal(t, []string{"a lobby/1", "a lobby/2", "b lobby/1", "b lobby/2", "a closed", "b closed"}, log)
}

func TestFanoutStopsAtTheFirstThatFailsAndClosesAll(t *testing.T) {
	var log []string
	first, second := errors.New("first"), errors.New("second")
	out := Fanout(&recorder{name: "a", log: &log, fail: first, closed: first}, &recorder{name: "b", log: &log, closed: second})
	require.ErrorIs(t, out.Write(t.Context(), []*stream.Result{result("lobby", 1)}), first)
	err := out.Close()
	require.ErrorIs(t, err, first)
	require.ErrorIs(t, err, second)
	require.Equal(t, []string{"a lobby/1", "a closed", "b closed"}, log)
}

func TestSeveralSinksOfADefinition(t *testing.T) {
	broker := cluster(t)
	path := t.TempDir() + "/r.jsonl"
	c := kafkaConfig(broker)
	c.JSONL = &JSONLConfig{Path: path}
	out := open(t, c)
	require.NoError(t, out.Write(t.Context(), []*stream.Result{result("lobby", 1), result("lobby", 2)}))
	require.Equal(t, lines(t, 2), read(t, path))
	require.Equal(t, int64(2), written(broker, "energy"))
}

func TestSinkThatCannotBeOpenedClosesTheOthers(t *testing.T) {
	broker := cluster(t)
	c := kafkaConfig(broker)
	c.JSONL = &JSONLConfig{Path: t.TempDir()}
	_, err := New(c, nil, nil)
	require.Equal(t, CodeFile, failureOf(t, err).Code)
	// goleak (TestMain) sees to it that the kafka sink is gone.
}
