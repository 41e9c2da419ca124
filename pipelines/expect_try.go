package pipelines

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

// Trial is what came of trying a definition on the clips of a test.
type Trial struct {
	Test       string       `json:"test"`
	Definition string       `json:"definition"`
	Model      string       `json:"model"`
	Seconds    float64      `json:"seconds"`
	Passed     int          `json:"passed"`
	Failed     int          `json:"failed"`
	Clips      []*ClipTrial `json:"clips"`
}

// ClipTrial is one file of a test.
type ClipTrial struct {
	File        string       `json:"file"`
	Seconds     float64      `json:"seconds"`
	Passed      int          `json:"passed"`
	Differences []Difference `json:"differences"`

	// item is the number of the clip in the test.
	item int
	seen *observed
}

// Difference is one expectation that was not met.
type Difference struct {
	// Path, Line and Column are where the test says it.
	Path   string `json:"path"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	// Expected and Measured are in words.
	Expected string `json:"expected"`
	Measured string `json:"measured"`

	// set is the value to write to have it met; empty: there is none.
	set patch
}

// patch is a value to write into a test.
type patch struct{ path, text string }

// Offline turns the definition into one that reads recorded files and ends with them, as replay does: what it scores with stays, where
// video comes from and where results go is left to the program.
func (d *Definition) Offline(paths []string) {
	config := ingest.DefaultFiles()
	if d.Ingest.Files != nil {
		config = *d.Ingest.Files
	}
	config.Paths, config.Watch = paths, false
	d.Ingest.Kafka, d.Ingest.Files = nil, &config
	d.Sink, d.Serve = sink.Config{}, nil
}

// Try runs the clips through the definition, as replay does, and holds what comes out against what is expected. It changes def. An error
// means that it could not be tried at all; findings, that the test names no clips.
func (e *Expectations) Try(ctx context.Context, def *Definition, options ...Option) (*Trial, []Finding, error) {
	begin := time.Now()
	clips, findings := e.resolve()
	if len(findings) > 0 {
		return nil, findings, nil
	}
	byFile := map[string]*observed{}
	var paths []string
	for _, clip := range clips {
		if byFile[clip.File] == nil {
			byFile[clip.File] = &observed{}
			paths = append(paths, clip.File)
		}
		clip.seen = byFile[clip.File]
	}
	e.apply(def, paths)
	//nolint:contextcheck // what the engine makes belongs to the engine, which Run gives the context
	engine, err := New(def, append([]Option{
		WithSink(unheard{}), WithDeadLetters(unheardDead{}),
		WithOnDone(func(segment *stream.Segment, result *stream.Result, failure *stream.Failure) {
			byFile[segment.Origin.File].add(segment, result, failure)
		}),
	}, options...)...)
	if err != nil {
		return nil, nil, err
	}
	trial := &Trial{Test: e.file, Definition: def.Name, Model: engine.Model(), Clips: clips}
	if err := engine.Run(ctx); err != nil {
		return nil, nil, fmt.Errorf("trying %s: %w", e.file, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	for _, clip := range clips {
		e.judge(clip, window(def))
		trial.Passed += clip.Passed
		trial.Failed += len(clip.Differences)
	}
	trial.Seconds = time.Since(begin).Seconds()
	return trial, nil, nil
}

// apply puts what the test says into the definition.
func (e *Expectations) apply(def *Definition, paths []string) {
	def.Offline(paths)
	def.Breaker.Failed = 0 // clips that cannot be read may be just what is tried
	if e.Segment > 0 {
		def.Ingest.Files.Segment = e.Segment
	}
	if e.Calibrate.Warmup != nil {
		def.Predictor.Calibrate.Warmup = *e.Calibrate.Warmup
	}
	if e.Calibrate.FalseAlarmsPerDay != nil {
		def.Predictor.Calibrate.FalseAlarmsPerDay = *e.Calibrate.FalseAlarmsPerDay
	}
}

// resolve is the files of the clips, an item a file.
func (e *Expectations) resolve() ([]*ClipTrial, []Finding) {
	var clips []*ClipTrial
	var findings []Finding
	folder := filepath.Dir(e.file)
	for i, clip := range e.Clips {
		paths := make([]string, len(clip.Files))
		for j, path := range clip.Files {
			if paths[j] = path; !filepath.IsAbs(path) {
				paths[j] = filepath.Join(folder, path)
			}
		}
		files, err := ingest.ExpandPaths(paths)
		if err != nil {
			path := indexed("clips", i) + ".files"
			line, column := e.source.at(path)
			findings = append(findings, Finding{
				File: e.file, Code: codeBadValue, Severity: SeverityError, Path: path, Line: line, Column: column, Key: "files",
				Message: err.Error(), Hint: "files are relative to the test",
			})
		}
		for _, file := range files {
			clips = append(clips, &ClipTrial{File: file, item: i, Differences: []Difference{}})
		}
	}
	return clips, findings
}

// observed is what came out of one file.
type observed struct {
	results []seenResult
	dead    []stream.Code
}

// seenResult is a result with the number of its segment.
type seenResult struct {
	*stream.Result
	sequence int64
}

func (o *observed) add(segment *stream.Segment, result *stream.Result, failure *stream.Failure) {
	if result != nil {
		o.results = append(o.results, seenResult{result, segment.Sequence})
	}
	if failure != nil {
		o.dead = append(o.dead, failure.Code)
	}
}

// unheard is the sink of a trial, which has seen the results already.
type unheard struct{}

func (unheard) Write(context.Context, []*stream.Result) error { return nil }
func (unheard) Close() error                                  { return nil }

// unheardDead is its twin for dead letters.
type unheardDead struct{}

func (unheardDead) Write(context.Context, []*stream.DeadLetter) error { return nil }
func (unheardDead) Close() error                                      { return nil }
