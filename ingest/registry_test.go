package ingest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// validKafka is the least a definition says about Kafka.
func validKafka() *KafkaConfig {
	cfg := DefaultKafka()
	cfg.Brokers, cfg.Topic, cfg.Group = []string{"localhost:9092"}, "t", "g"
	return &cfg
}

func validFiles() *FilesConfig {
	cfg := DefaultFiles()
	cfg.Paths = []string{"a.mp4"}
	return &cfg
}

func TestNewChoosesTheDriver(t *testing.T) {
	source, err := New(Config{Kafka: validKafka(), Order: DefaultOrder()}, quietLog())
	require.NoError(t, err)
	require.IsType(t, &Kafka{}, source)
	source, err = New(Config{Files: validFiles(), Order: DefaultOrder()}, quietLog())
	require.NoError(t, err)
	require.IsType(t, &Files{}, source)
	require.Implements(t, (*Reporter)(nil), source)
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	kafka := func(edit func(*KafkaConfig)) Config {
		cfg := validKafka()
		edit(cfg)
		return Config{Kafka: cfg, Order: DefaultOrder()}
	}
	order := func(edit func(*OrderConfig)) Config {
		cfg := Config{Files: validFiles(), Order: DefaultOrder()}
		edit(&cfg.Order)
		return cfg
	}
	unset := func(files FilesConfig) Config {
		files.Paths = []string{"a"}
		return Config{Files: &files, Order: DefaultOrder()}
	}
	tests := map[string]struct {
		cfg  Config
		want string
	}{
		"no source":           {Config{Order: DefaultOrder()}, "ingest has no source"},
		"two sources":         {Config{Kafka: validKafka(), Files: validFiles(), Order: DefaultOrder()}, "ingest has two sources"},
		"no topic":            {kafka(func(c *KafkaConfig) { c.Topic = "" }), "ingest.kafka.topic is empty"},
		"start_at":            {kafka(func(c *KafkaConfig) { c.StartAt = "now" }), `ingest.kafka.start_at is "now": use oldest or newest`},
		"max_bytes":           {kafka(func(c *KafkaConfig) { c.MaxBytes = 4 << 30 }), "ingest.kafka.max_bytes is 4294967296"},
		"drain too long":      {kafka(func(c *KafkaConfig) { c.DrainTimeout = time.Minute }), "drain_timeout is 1m0s: use less than session"},
		"late":                {order(func(c *OrderConfig) { c.Late = "keep" }), `late is "keep": use drop, dead_letter or score_alone`},
		"evict within grace":  {order(func(c *OrderConfig) { c.Evict = time.Second }), "ingest.order.evict is 1s: use more than grace (2s)"},
		"no paths":            {Config{Files: &FilesConfig{Segment: time.Second}, Order: DefaultOrder()}, "ingest.files.paths is empty"},
		"no length":           {unset(FilesConfig{}), "ingest.files.segment is 0s"},
		"watching at no pace": {unset(FilesConfig{Segment: 1, Watch: true}), "ingest.files.settle is 0s"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := New(test.cfg, quietLog())
			require.ErrorContains(t, err, test.want)
			require.Equal(t, CodeConfig, stream.AsFailure(err, "").Code)
		})
	}
	_, err := New(Config{Kafka: &KafkaConfig{}}, quietLog())
	for _, part := range []string{"brokers", "topic", "group", "start_at", "order.late"} {
		require.ErrorContains(t, err, part, "all at once")
	}
}
