package ingest

import (
	"log/slog"

	"github.com/ensue-video/ensue/stream"
)

// driver makes one kind of source; ok says whether the configuration asks for it.
type driver struct {
	key string
	ok  func(Config) bool
	new func(Config, *slog.Logger, options) Source
}

// drivers are all there are, by their key in the definition.
var drivers = []driver{
	{
		key: "kafka",
		ok:  func(c Config) bool { return c.Kafka != nil },
		new: newKafka,
	},
	{
		key: "files",
		ok:  func(c Config) bool { return c.Files != nil },
		new: newFiles,
	},
}

// New makes the source that the configuration asks for. It connects to nothing and opens nothing. What is wrong with the
// configuration is told at once, in a Failure with CodeConfig.
func New(cfg Config, log *slog.Logger, chosen ...Option) (Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var o options
	for _, option := range chosen {
		option(&o)
	}
	for _, d := range drivers {
		if d.ok(cfg) {
			return d.new(cfg, log.With("source", d.key), o), nil
		}
	}
	return nil, stream.Fail("ingest", CodeConfig, "ingest has no source: give ingest.kafka or ingest.files")
}

func newKafka(c Config, log *slog.Logger, o options) Source {
	k := NewKafka(*c.Kafka, c.Order, log)
	k.configure(o)
	return k
}

// configure takes what the pipeline around the source wants of it.
func (k *Kafka) configure(o options) {
	k.options = o
	if o.memory > 0 {
		k.bounds.Bytes = o.memory / 2
	}
}

func newFiles(c Config, log *slog.Logger, o options) Source {
	f := NewFiles(*c.Files, log)
	f.gate = o.gate
	return f
}
