package pipelines

import (
	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/tracing"
	"github.com/ensue-video/ensue/web"
)

// Definition is a whole pipeline as a person writes it in YAML. The tag `def` of every field, here and in the configurations
// of the stages, is its key; the field spec (spec.go) says everything else about it.
type Definition struct {
	Version int    `def:"version"`
	Name    string `def:"name"`
	// Log is from which level on it logs, Reload whether its file is watched; see LogLevel and Engine.Reload.
	Log       string           `def:"log"`
	Reload    bool             `def:"reload"`
	Ingest    ingest.Config    `def:"ingest"`
	Decode    decode.Config    `def:"decode"`
	Encoder   encoder.Config   `def:"encoder"`
	Predictor predictor.Config `def:"predictor"`
	Sink      sink.Config      `def:"sink"`
	State     StateConfig      `def:"state"`
	Retry     Retry            `def:"retry"`
	Breaker   BreakerConfig    `def:"breaker"`
	Queues    Queues           `def:"queues"`
	// Serve is the live page; nil: there is none.
	Serve *web.Config `def:"serve"`
	// Traces says where traces go; nil: there are none.
	Traces *tracing.Config `def:"traces"`

	// source says where every value came from; nil for a definition that was not parsed.
	source *source
}

// Queues bounds what is under way (invariant 6).
type Queues struct {
	// Size is how many segments wait between two stages.
	Size int `def:"size"`
	// Full says what happens when the first queue is full: "block" or "drop_oldest".
	Full string `def:"full"`
	// Memory bounds the payloads and frames under way, in bytes; segments wait outside until there is room.
	Memory int64 `def:"memory"`
}
