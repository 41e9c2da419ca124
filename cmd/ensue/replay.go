package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/resultfile"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/tail"
)

type replayFlags struct {
	definition string
	results    string
	dead       string
	model      string
	predictor  string
	report     string
	plot       string
}

func (a *app) replayCommand() *cobra.Command {
	var flags replayFlags
	command := &cobra.Command{
		Use:   "replay FILE...",
		Short: "score recorded video, offline, with the results a live pipeline would give",
		Long: "Replay runs a pipeline over files, globs and folders; every file is a stream named after it. What could not be read is told\n" +
			"with its code, and the other files go on. The table counts segments by verdict. Exit code 2 when nothing could be scored.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, files []string) error { return a.replay(command, files, flags) },
	}
	f := command.Flags()
	f.StringVarP(&flags.definition, "definition", "d", "replay",
		"definition to take decode, encoder and predictor from; a file or a stock one")
	f.StringVar(&flags.results, "results", "",
		"write the results to this file: a line of JSON each, a table (.parquet) or a recording (.mcap); - is the standard output")
	f.StringVar(&flags.dead, "dead-letters", "", "write what could not be read to this file, a line of JSON each")
	f.StringVar(&flags.model, "model", "",
		"use the model of this directory (or builtin, pixels), with its own predictor and energy where it has them, instead of the definition's")
	f.StringVar(&flags.predictor, "predictor", "",
		"use this predictor instead of the definition's: learned (the model's own), persistence, linear, flow")
	f.StringVar(&flags.report, "report", "",
		"write a report to this HTML file: timelines, pictures of what broke or stalled, what looks alike; it needs no network")
	completeDefinition(command, "definition")
	completeFlag(command, "predictor", "learned", "persistence", "linear", "flow")
	f.StringVar(&flags.plot, "plot", "", "draw the energies over time to this file: .svg or .png")
	return command
}

func (a *app) replay(command *cobra.Command, files []string, flags replayFlags) error {
	if err := flags.checkReport(); err != nil {
		return err
	}
	def, err := a.load(flags.definition)
	if err != nil {
		return err
	}
	if err := flags.apply(def, files); err != nil {
		return err
	}
	summary := newReplaySummary()
	options := []pipelines.Option{pipelines.WithLogger(a.logger())}
	to, err := flags.sink()
	if err != nil {
		return err
	}
	if to != nil {
		options = append(options, pipelines.WithSink(to))
	}
	if flags.dead == "" {
		options = append(options, pipelines.WithDeadLetters(deadNowhere{}))
	}
	bar := a.replayBar(def.Ingest.Files)
	options = append(options, pipelines.WithOnDone(func(segment *stream.Segment, result *stream.Result, failure *stream.Failure) {
		bar.step(segment)
		summary.add(segment, result, failure)
	}))
	recorder := a.recorder(flags, def)
	if recorder != nil {
		options = append(options, pipelines.WithObserver(recorder))
	}
	engine, err := pipelines.New(def, options...)
	if err != nil {
		return err
	}
	err = engine.Run(command.Context())
	bar.end()
	if err != nil {
		return fmt.Errorf("replaying: %w", err)
	}
	if err := flags.writeReport(recorder); err != nil {
		return err
	}
	return a.reportReplay(command, flags, summary, engine)
}

// apply puts what was said on the command line into the definition.
func (f replayFlags) apply(def *pipelines.Definition, files []string) error {
	def.Offline(files)
	if f.lines() {
		def.Sink.JSONL = &sink.JSONLConfig{Path: f.results}
	}
	if f.dead != "" {
		def.Sink.DeadLetter.JSONL = &sink.JSONLConfig{Path: f.dead}
	}
	switch {
	case f.model == "":
	case slices.Contains(encoder.Names(), f.model):
		def.Encoder.Model, def.Predictor.Model, def.Predictor.Energy = f.model, predictor.Auto, predictor.EnergyAuto
	default:
		// A path on the command line is relative to where the program runs, not to the definition.
		path, err := filepath.Abs(f.model)
		if err != nil {
			return inputError("flags.value", fmt.Errorf("--model %q: %w", f.model, err), "name the directory of a model")
		}
		def.Encoder.Model, def.Predictor.Model, def.Predictor.Energy = path, predictor.Auto, predictor.EnergyAuto
	}
	if f.predictor != "" {
		def.Predictor.Model = f.predictor
	}
	return nil
}

// lines says whether the results are written as lines of JSON, as they come.
func (f replayFlags) lines() bool {
	return f.results != "" && (!resultfile.Writable(f.results) || strings.HasSuffix(f.results, resultfile.EndingJSONL))
}

// sink is the program's own where results go nowhere, or to a file that is written at the end; nil where it is the definition's.
func (f replayFlags) sink() (sink.Sink, error) {
	switch {
	case f.results == "":
		return nowhere{}, nil
	case f.lines():
		return nil, nil
	}
	to, err := sink.NewFile(f.results, resultfile.Options{Maps: true, About: map[string]string{"ensue": version}})
	if err != nil {
		return nil, inputError("flags.value", fmt.Errorf("--results: %w", err), "make the folder first")
	}
	return to, nil
}

func (a *app) reportReplay(command *cobra.Command, flags replayFlags, summary *replaySummary, engine *pipelines.Engine) error {
	data := replayData{
		ranData: ran(engine), Streams: summary.streams(), Refused: summary.refused, ResultsFile: flags.results,
		ReportFile: flags.report, PlotFile: flags.plot,
	}
	if data.Results == 0 && len(data.Refused) > 0 {
		if !a.json {
			summary.printRefused(a.err)
		}
		return &exitError{
			exit: exitInput, code: "replay.nothing_scored", data: data, hint: "ensue doctor shows what this machine can decode",
			err: fmt.Errorf("none of %d files could be scored", len(data.Refused)),
		}
	}
	if flags.results == "-" {
		summary.printRefused(a.err)
		return nil
	}
	return a.say(command, data, func(out io.Writer) error {
		summary.printRefused(a.err)
		if a.quiet {
			return nil
		}
		return summary.print(out, flags)
	})
}

// nowhere is the sink of a replay whose results nobody asked for; the summary has seen them.
type nowhere struct{}

func (nowhere) Write(context.Context, []*stream.Result) error { return nil }
func (nowhere) Close() error                                  { return nil }

// deadNowhere is its twin for what could not be read; the summary tells it.
type deadNowhere struct{}

func (deadNowhere) Write(context.Context, []*stream.DeadLetter) error { return nil }
func (deadNowhere) Close() error                                      { return nil }

// replayBar is the progress bar of a replay; it counts bytes, as lengths are not known before the files are read.
type replayBar struct {
	progress *mpb.Progress
	bar      *mpb.Bar
	left     map[string]int64
}

// replayBar draws nothing where no progress is wanted.
func (a *app) replayBar(config *ingest.FilesConfig) *replayBar {
	if !a.progress() {
		return &replayBar{}
	}
	b := &replayBar{left: map[string]int64{}, progress: mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(64))}
	var total int64
	paths, _ := ingest.ExpandPaths(config.Paths) // the source tells what is wrong with the paths
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			b.left[path] = info.Size()
			total += info.Size()
		}
	}
	b.bar = b.progress.AddBar(total,
		mpb.PrependDecorators(decor.Name("replay "), decor.CountersKibiByte("% .1f / % .1f")),
		mpb.AppendDecorators(decor.Percentage(), decor.Name(" left "), decor.AverageETA(decor.ET_STYLE_GO)))
	return b
}

// step books a segment: its payload, and at the end of its file the rest (sound and container, which are not read).
func (b *replayBar) step(segment *stream.Segment) {
	if b.bar == nil {
		return
	}
	path := segment.Origin.File
	size := min(int64(len(segment.Payload)), b.left[path])
	if segment.Mark == stream.MarkEnd || segment.Problem != nil {
		size = b.left[path]
	}
	b.left[path] -= size
	b.bar.IncrInt64(size)
}

func (b *replayBar) end() {
	if b.bar == nil {
		return
	}
	b.bar.SetTotal(-1, true)
	b.progress.Wait()
}

// replayData is what replay says at the end.
type replayData struct {
	ranData
	Streams     []*replayStream `json:"streams"`
	Refused     []refusedFile   `json:"refused,omitempty"`
	ResultsFile string          `json:"results_file,omitempty"`
	ReportFile  string          `json:"report_file,omitempty"`
	PlotFile    string          `json:"plot_file,omitempty"`
}

// replayStream is what is said about one file.
type replayStream struct {
	Stream   string                 `json:"stream"`
	Segments int                    `json:"segments"`
	Windows  int                    `json:"windows"`
	Seconds  float64                `json:"seconds"`
	Median   float64                `json:"median_energy"`
	Verdicts map[stream.Verdict]int `json:"verdicts"`
	// Worst is the most surprising window; nil when none was judged.
	Worst *stream.Window `json:"most_surprising,omitempty"`

	energies []float64
}

// refusedFile is a piece of a file that could not be read.
type refusedFile struct {
	File    string      `json:"file"`
	Segment string      `json:"segment"`
	Code    stream.Code `json:"code"`
	Message string      `json:"message"`
}

func (s *replaySummary) printRefused(out io.Writer) {
	for _, refused := range s.refused {
		fmt.Fprintf(out, "refused %s: %s [%s]\n", refused.File, refused.Message, refused.Code)
	}
}

// print writes the table of streams.
func (s *replaySummary) print(out io.Writer, flags replayFlags) error {
	fmt.Fprintf(out, "%-28s %8s %8s %10s %10s %8s %8s  %s\n",
		"STREAM", "SECONDS", "WINDOWS", "ENERGY", "CONTINUES", "BREAKS", "STALLS", "MOST SURPRISING")
	var errs error
	for _, known := range s.streams() {
		worst := "-"
		if known.Worst != nil {
			worst = fmt.Sprintf("at %s, p = %.2g", tail.Clock(known.Worst.Start), *known.Worst.PValue)
		}
		_, err := fmt.Fprintf(out, "%-28s %8.1f %8d %10.4f %10d %8d %8d  %s\n", known.Stream, known.Seconds, known.Windows, known.Median,
			known.Verdicts[stream.Continues], known.Verdicts[stream.Breaks], known.Verdicts[stream.Stalls], worst)
		errs = errors.Join(errs, err)
	}
	for _, written := range [][2]string{{"results", flags.results}, {"report", flags.report}, {"plot", flags.plot}} {
		if written[1] != "" {
			_, err := fmt.Fprintf(out, "%s: %s\n", written[0], written[1])
			errs = errors.Join(errs, err)
		}
	}
	return errs
}
