package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/demo"
	"github.com/ensue-video/ensue/tail"
)

func (a *app) demoCommand() *cobra.Command {
	var options demo.Options
	command := &cobra.Command{
		Use:   "demo",
		Short: "see it work: an embedded broker, sample cameras, the pipeline, and what it found",
		Long: "Demo starts a Kafka broker inside the program, publishes the sample video as live streams (one with a cut, one that freezes),\n" +
			"runs the stock pipeline from topic to topic, prints its results as they come, and says what it found.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return a.demo(command, options) },
	}
	f := command.Flags()
	f.StringVar(&options.Folder, "out", "out/demo", "folder for the results and the definition")
	f.Float64Var(&options.Speed, "speed", 8, "how many times faster than real time the cameras are; 0 is as fast as it goes")
	return command
}

func (a *app) demo(command *cobra.Command, options demo.Options) error {
	options.Log = a.logger()
	if !a.json && !a.quiet {
		fmt.Fprintln(a.out, "An embedded broker, three cameras and one sender of rubbish; "+
			"the pipeline reads video.segments and writes video.energy.")
		table := tail.NewTable(a.out)
		table.Colour = a.colour()
		options.OnResult = table.Print
	}
	summary, err := demo.Run(command.Context(), options)
	if err != nil {
		return fmt.Errorf("running the demo: %w", err)
	}
	return a.say(command, summary, func(out io.Writer) error { return printDemo(out, summary) })
}

func printDemo(out io.Writer, summary *demo.Summary) error {
	lines := []string{"", "What was found:"}
	for _, found := range summary.Streams {
		lines = append(lines, fmt.Sprintf("  %s: %s. %d segments, %d windows scored.", found.Stream, found.Shows, found.Results, found.Windows))
		for _, event := range found.Events {
			lines = append(lines, "    "+eventLine(event))
		}
		lines = append(lines, fmt.Sprintf("    %d other alarms", found.Alarms))
	}
	for code, count := range summary.Dead {
		lines = append(lines, fmt.Sprintf("  dead letters: %d with the code %s", count, code))
	}
	lines = append(lines, "", "Files: "+summary.Results+" (the results), "+summary.Definition+" (the pipeline)",
		"Next: ensue replay your.mp4    ensue explain "+summary.Definition)
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

func eventLine(event demo.Event) string {
	seen := "missed"
	if event.Seen {
		seen = "seen: " + event.Verdict
	}
	return fmt.Sprintf("%s at %s: %s (window at %s, p = %.2g, energy %.4f where %.4f is usual; next smallest p of the stream %.2g)",
		event.Kind, tail.Clock(event.Start), seen, tail.Clock(event.At), event.PValue, event.Energy, event.Usual, event.Next)
}
