package main

import (
	"bytes"
	"context"
	"crypto/sha256"
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
	var watch bool
	command := &cobra.Command{
		Use:   "run DEFINITION",
		Short: "run a pipeline until it is told to stop (SIGINT or SIGTERM drains, a second one kills)",
		Long: "Run runs the pipeline of a definition: a file, - for the standard input, or the name of a stock definition.\n" +
			"The first SIGINT or SIGTERM drains: what was taken in is finished, written and acknowledged. The second one kills.\n" +
			"SIGHUP reads the definition again and takes over what can change while it runs: calibration, limits, sinks, retries, log level.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDefinitions,
		RunE:              func(command *cobra.Command, names []string) error { return a.run(command, names[0], watch) },
	}
	command.Flags().BoolVar(&watch, "watch", false, "take a changed definition over as soon as its file changes, without SIGHUP")
	return command
}

func (a *app) run(command *cobra.Command, name string, watch bool) error {
	def, err := a.load(name)
	if err != nil {
		return err
	}
	log := a.logger()
	a.levelOf(def)
	engine, err := pipelines.New(def, pipelines.WithLogger(log), pipelines.WithVersion(version))
	if err != nil {
		return err
	}
	stop := a.reloads(command.Context(), &reloader{app: a, name: name, engine: engine, log: log, watch: watch || def.Reload})
	err = engine.Run(command.Context())
	stop()
	if err != nil {
		return fmt.Errorf("running the pipeline %s: %w", def.Name, err)
	}
	data := ran(engine)
	return a.say(command, data, func(out io.Writer) error { return a.printRan(out, data) })
}

// reloads runs the reloader until stop is called.
func (a *app) reloads(ctx context.Context, r *reloader) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	if data, err := a.read(r.name); err == nil && r.name != "-" {
		r.known = sha256.Sum256(bytes.TrimSpace(data))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx)
	}()
	return func() {
		cancel()
		<-done
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
