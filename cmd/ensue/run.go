package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/stream"
)

// ranData is what run and replay say at the end.
type ranData struct {
	Model    string                   `json:"model"`
	Received int64                    `json:"received"`
	Results  int64                    `json:"results"`
	Dropped  int64                    `json:"dropped"`
	Dead     int64                    `json:"dead"`
	Verdicts map[stream.Verdict]int64 `json:"verdicts"`
	Codes    map[stream.Code]int64    `json:"codes"`
}

func ran(engine *pipelines.Engine) ranData {
	counts := engine.Counts()
	return ranData{
		Model: engine.Model(), Received: counts.Received.Load(), Results: counts.Results.Load(),
		Dropped: counts.Dropped.Load(), Dead: counts.Dead.Load(), Verdicts: counts.Verdicts(), Codes: counts.Codes(),
	}
}

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run DEFINITION",
		Short: "run a pipeline until it is told to stop (SIGINT or SIGTERM drains, a second one kills)",
		Long: "Run runs the pipeline of a definition: a file, - for the standard input, or the name of a stock definition.\n" +
			"The first SIGINT or SIGTERM drains: what was taken in is finished, written and acknowledged. The second one kills.",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, names []string) error {
			def, err := a.load(names[0])
			if err != nil {
				return err
			}
			engine, err := pipelines.New(def, pipelines.WithLogger(a.logger()), pipelines.WithVersion(version))
			if err != nil {
				return err
			}
			if err := engine.Run(command.Context()); err != nil {
				return fmt.Errorf("running the pipeline %s: %w", def.Name, err)
			}
			data := ran(engine)
			return a.say(command, data, func(out io.Writer) error { return a.printRan(out, data) })
		},
	}
}

func (a *app) printRan(out io.Writer, data ranData) error {
	if a.quiet {
		return nil
	}
	_, err := fmt.Fprintf(out, "%d segments in, %d results, %d dead letters, %d dropped\n",
		data.Received, data.Results, data.Dead, data.Dropped)
	return err
}
