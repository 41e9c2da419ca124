package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: pipeline DEFINITION")
	}
	def, err := pipelines.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	engine, err := pipelines.New(def, pipelines.WithSink(sink.Func(show)))
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := engine.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// show gets the results of every stream in its order. They count as written once it returns nil; after an error they come again.
func show(_ context.Context, results []*stream.Result) error {
	for _, r := range results {
		if r.Energy != nil {
			fmt.Printf("%s %s energy %.4f\n", r.Y.Segment, r.Verdict, *r.Energy)
		}
	}
	return nil
}
