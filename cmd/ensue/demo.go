package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/demo"
	"github.com/ensue-video/ensue/internal/look"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/report"
	"github.com/ensue-video/ensue/tail"
	"github.com/ensue-video/ensue/web"
)

func (a *app) demoCommand() *cobra.Command {
	var options demo.Options
	var reportFile string
	command := &cobra.Command{
		Use:   "demo",
		Short: "see it work: an embedded broker, sample cameras, the pipeline, and what it found",
		Long: "Demo starts a Kafka broker inside the program, publishes the sample video as live streams (one with a cut, one that freezes),\n" +
			"runs the stock pipeline from topic to topic, prints its results as they come, and says what it found. It leaves a report to\n" +
			"open in a browser. With --serve there is a live page as well; the cameras then run in real time, and the page stays until Ctrl-C.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if options.Serve != "" && !command.Flags().Changed("speed") {
				options.Speed = 1
			}
			if reportFile == "" {
				reportFile = filepath.Join(options.Folder, "report.html")
			}
			return a.demo(command, options, reportFile)
		},
	}
	f := command.Flags()
	f.StringVar(&options.Folder, "out", "out/demo", "folder for the results, the report and the definition")
	f.Float64Var(&options.Speed, "speed", 8, "how many times faster than real time the cameras are; 0 is as fast as it goes (with --serve: 1)")
	f.StringVar(&options.Serve, "serve", "", "show the live page, at this address ("+web.DefaultAddress+" where none is given), until Ctrl-C")
	f.Lookup("serve").NoOptDefVal = web.DefaultAddress
	f.StringVar(&reportFile, "report", "", "where to write the report (report.html in the folder of --out)")
	return command
}

func (a *app) demo(command *cobra.Command, options demo.Options, reportFile string) error {
	options.Log, options.Version = a.logger(), version
	if !a.json && !a.quiet {
		fmt.Fprintln(a.out, "An embedded broker, three cameras and one sender of rubbish; "+
			"the pipeline reads video.segments and writes video.energy.")
		options.OnPage = func(address string) {
			fmt.Fprintf(a.out, "The live page: %s (look at it now: the cameras run for less than a minute)\n\n", address)
		}
		table := tail.NewTable(a.out)
		table.Colour = a.colour()
		options.OnResult = table.Print
	}
	flags := replayFlags{report: reportFile}
	var recorder *report.Recorder
	options.Watch = func(def *pipelines.Definition) pipelines.Observer {
		recorder = a.recorder(flags, def)
		return recorder
	}
	// With a page the summary is said before the page is left standing, without one at the end.
	said := false
	say := func(summary *demo.Summary) error {
		said = true
		if err := flags.writeReport(recorder); err != nil {
			return err
		}
		summary.Report = reportFile
		return a.say(command, summary, func(out io.Writer) error { return printDemo(out, summary, options.Serve != "") })
	}
	options.OnFound = say
	summary, err := demo.Run(command.Context(), options)
	if err != nil {
		return fmt.Errorf("running the demo: %w", err)
	}
	if said || options.Serve != "" {
		return nil
	}
	return say(summary)
}

func printDemo(out io.Writer, summary *demo.Summary, page bool) error {
	lines := []string{"", "What was found:"}
	for _, found := range summary.Streams {
		lines = append(lines, fmt.Sprintf("  %s: %s. %d segments, %d windows scored.", found.Stream, found.Shows, found.Results, found.Windows))
		for _, event := range found.Events {
			lines = append(lines, "    "+eventLine(event))
		}
		lines = append(lines, "    "+othersLine(found))
	}
	for code, count := range summary.Dead {
		lines = append(lines, fmt.Sprintf("  dead letters: %d with the code %s", count, code))
	}
	lines = append(lines, "", "Look at it:  "+summary.Report+" (the report: open it in a browser)")
	if page {
		lines = append(lines, "             the live page stays until Ctrl-C")
	} else {
		lines = append(lines, "             ensue demo --serve (the same on a live page, in real time)")
	}
	lines = append(lines, "Files:       "+summary.Results+" (the results), "+summary.Definition+" (the pipeline)",
		"Next:        ensue replay your.mp4 --report out.html    ensue explain "+summary.Definition)
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// othersLine tells the alarms away from every known event, and where they are.
func othersLine(found *demo.Found) string {
	text := look.Plural(found.Alarms, "other alarm")
	if found.Alarms == 0 {
		return text
	}
	var at []string
	for _, seconds := range found.AlarmsAt {
		at = append(at, tail.Clock(seconds))
	}
	return text + ": " + strings.Join(at, ", ")
}

func eventLine(event demo.Event) string {
	seen := "missed"
	if event.Seen {
		seen = "seen: " + event.Verdict
	}
	const window = 1 // the first horizon of the stock definition, in seconds
	text := look.Told(event.Verdict, event.Energy, event.Low, event.Usual, event.High)
	return fmt.Sprintf("%s at %s: %s (window at %s: %s; by chance %s; p = %.2g, the next smallest of the stream %.2g)",
		event.Kind, tail.Clock(event.Start), seen, tail.Clock(event.At), text, look.Often(event.PValue, window), event.PValue, event.Next)
}
