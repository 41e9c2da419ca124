package pipelines_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"github.com/ensue-video/ensue/examples/video"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

// Everything that is wrong with a definition is told at once.
func ExampleLint() {
	text := "version: 1\nname: lobby\ningest:\n  kafka: {topik: video.segments}\nsink:\n  jsonl: {path: results.jsonl}\n"
	for _, finding := range pipelines.Lint("lobby.yaml", []byte(text), os.LookupEnv) {
		if finding.Severity == pipelines.SeverityError {
			fmt.Println(finding.Line, finding.Code, finding.Hint)
		}
	}
	// Output: 4 definition.unknown_key did you mean "topic"?
}

// How badly a video continues another.
func ExampleScore() {
	def, err := pipelines.Open("replay")
	if err != nil {
		fmt.Println(err)
		return
	}
	garden, _ := fs.ReadFile(video.FS(), "garden.mp4")
	yard, _ := fs.ReadFile(video.FS(), "yard.mp4")
	result, err := pipelines.Score(context.Background(), def, garden, yard)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.X.Segment, result.Y.Segment, *result.Energy > 0)
	// Output: pair/0 pair/1 true
}

// A pipeline whose results come into a function.
func ExampleNew() {
	def, err := pipelines.Open("replay")
	if err != nil {
		fmt.Println(err)
		return
	}
	def.Sink = sink.Config{} // results come into the function, and there is nothing that could not be read
	def.Ingest.Files.Paths = []string{"../examples/video/garden.mp4"}
	count := 0
	engine, err := pipelines.New(def, pipelines.WithSink(sink.Func(func(_ context.Context, results []*stream.Result) error {
		count += len(results)
		return nil
	})))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := engine.Run(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(count > 10)
	// Output: true
}
