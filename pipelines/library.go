package pipelines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

// InvalidError is the error of a definition that cannot be run.
type InvalidError struct {
	Name     string
	Findings []Finding
}

// Error is every finding, a line each.
func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Findings))
	for i, finding := range e.Findings {
		lines[i] = finding.String()
	}
	return fmt.Sprintf("the definition %s has errors:\n%s", e.Name, strings.Join(lines, "\n"))
}

// Open reads a definition for a program that has an error to return: a file as Load does, or a stock definition by its name. What keeps it
// from being run is an *InvalidError; Lint tells warnings, too.
func Open(name string) (*Definition, error) {
	var findings []Finding
	_, err := os.Stat(name)
	stock, known := Stock(name)
	var def *Definition
	switch {
	case err == nil:
		def, findings = Load(name, os.LookupEnv)
	case known:
		def, findings = Parse(name, stock, os.LookupEnv)
	default:
		return nil, fmt.Errorf("reading the definition: %w", err)
	}
	if def == nil {
		return nil, &InvalidError{name, findings}
	}
	return def, nil
}

// pair is the stream of Score.
const pair = "pair"

// Score says how badly the video y continues the video x, both whole files in any container: what a pipeline of the definition says of y
// after x as the first two segments of a stream. Its source and its sinks are not used. There is no p-value, for nothing else is known
// of the stream; a video that cannot be scored is a *stream.Failure, or a result with a reason and no energy.
func Score(ctx context.Context, def *Definition, x, y []byte) (*stream.Result, error) {
	var scored *stream.Result
	var refused error
	nowhere := sink.Func(func(context.Context, []*stream.Result) error { return nil })
	//nolint:contextcheck // what the engine makes belongs to the engine, which Run gives the context
	engine, err := New(def.forScore(), WithSource(videos{x, y}), WithSink(nowhere), WithDeadLetters(noLetters{}),
		WithOnDone(func(segment *stream.Segment, result *stream.Result, failure *stream.Failure) {
			if failure != nil {
				refused = errors.Join(refused, fmt.Errorf("reading the video %s: %w", []string{"x", "y"}[segment.Sequence], failure))
			}
			if segment.Sequence == 1 {
				scored = result
			}
		}))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(engine.Run(ctx), refused); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return scored, nil
}

// forScore is the definition without what belongs to a running pipeline.
func (d *Definition) forScore() *Definition {
	def := *d
	def.Serve, def.State, def.Breaker, def.Sink = nil, StateConfig{}, BreakerConfig{}, sink.Config{}
	def.Ingest.Kafka, def.Ingest.Files, def.Ingest.Claims = nil, nil, nil
	return &def
}

// videos is a source of whole videos, the segments of one stream.
type videos [][]byte

// Run implements ingest.Source.
func (v videos) Run(ctx context.Context, out chan<- *stream.Segment) error {
	for i, payload := range v {
		segment := &stream.Segment{
			Stream: pair, Sequence: int64(i), Sequenced: true, Payload: payload, Received: time.Now(), Receipt: stream.NoReceipt{},
		}
		select {
		case out <- segment:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// noLetters takes dead letters that are told otherwise.
type noLetters struct{}

func (noLetters) Write(context.Context, []*stream.DeadLetter) error { return nil }
func (noLetters) Close() error                                      { return nil }
