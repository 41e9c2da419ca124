package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: pipeline DEFINITION")
	}
	def, err := pipelines.Open(args[0])
	if err != nil {
		return err
	}
	engine, err := pipelines.New(def, pipelines.WithSink(sink.Func(show)))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return engine.Run(ctx)
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
