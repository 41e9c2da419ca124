package ingest

import (
	"log/slog"

	"github.com/ensue-video/ensue/stream"
)

// driver makes one kind of source; ok says whether the configuration asks for it.
type driver struct {
	key string
	ok  func(Config) bool
	new func(Config, *slog.Logger) Source
}

// drivers are all there are, by their key in the definition.
var drivers = []driver{
	{
		key: "kafka",
		ok:  func(c Config) bool { return c.Kafka != nil },
		new: func(c Config, log *slog.Logger) Source { return NewKafka(*c.Kafka, c.Order, log) },
	},
	{
		key: "files",
		ok:  func(c Config) bool { return c.Files != nil },
		new: func(c Config, log *slog.Logger) Source { return NewFiles(*c.Files, log) },
	},
}

// New makes the source that the configuration asks for. It connects to nothing and opens nothing. What is wrong with the
// configuration is told at once, in a Failure with CodeConfig.
func New(cfg Config, log *slog.Logger) (Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	for _, d := range drivers {
		if d.ok(cfg) {
			return d.new(cfg, log.With("source", d.key)), nil
		}
	}
	return nil, stream.Fail("ingest", CodeConfig, "ingest has no source: give ingest.kafka or ingest.files")
}
