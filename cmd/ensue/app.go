package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/stream"
)

// The exit codes. A command killed by a second signal ends with exitKilled plus the signal's number.
const (
	exitOK          = 0
	exitRuntime     = 1
	exitInput       = 2
	exitEnvironment = 3
	exitKilled      = 128
)

// app is what every command shares: where to read and write, and how.
type app struct {
	in          io.Reader
	out, err    io.Writer
	env         func(string) (string, bool)
	json        bool
	quiet       bool
	level       string
	interactive bool
	// levels is the level of now: that of --log, else that of the definition that runs.
	levels slog.LevelVar
}

func newApp(in io.Reader, out, err io.Writer, env func(string) (string, bool)) *app {
	a := &app{in: in, out: out, err: err, env: env}
	if file, ok := err.(*os.File); ok {
		a.interactive = term.IsTerminal(int(file.Fd()))
	}
	return a
}

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, a *app) int {
	// A command line that cannot be parsed must still be answered in the form that was asked for.
	a.json = slices.Contains(args, "--json")
	root := newRoot(a) //nolint:contextcheck // commands get the context from cobra, when they run
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	return a.fail(nameOf(command), err)
}

// nameOf is the command as it is written after the program's name: "lint", "model info".
func nameOf(command *cobra.Command) string {
	return strings.TrimPrefix(command.CommandPath(), "ensue ")
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "ensue",
		Short: "tells whether what comes next in a video stream ensues from what came before",
		Long: "ensue tells, for any video stream and without labels, whether what comes next ensues from what came before.\n" +
			"Begin with: ensue demo",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", a.json, "print one JSON envelope instead of text (ensue schema envelope shows its schema)")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no progress, no table; only what was asked for")
	flags.StringVar(&a.level, "log", "",
		"what is logged on stderr: debug, info, warn, error (default: as the definition that runs says, else warn)")
	completeFlag(root, "log", "debug", "info", "warn", "error")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return inputError("flags.unknown", err, "see --help") })
	root.AddCommand(
		a.demoCommand(), a.runCommand(), a.replayCommand(), a.encodeCommand(), a.trainCommand(), a.evalCommand(),
		a.publishCommand(), a.tailCommand(), a.searchCommand(), a.exportCommand(), a.deadCommand(), a.claimsCommand(),
		a.initCommand(), a.lintCommand(), a.explainCommand(), a.checkCommand(), a.testCommand(), a.modelCommand(), a.schemaCommand(),
		a.doctorCommand(), a.versionCommand(), a.manCommand(),
	)
	return root
}

// exitError is an error with an exit code, a stable code and a hint.
type exitError struct {
	exit int
	code string
	hint string
	// data is what the command found out before it failed, for the envelope.
	data any
	// told says that a person has already seen what is wrong, in the command's own output.
	told bool
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func inputError(code string, err error, hint string) error {
	return &exitError{exit: exitInput, code: code, hint: hint, err: err}
}

func environmentError(code string, err error, hint string) error {
	return &exitError{exit: exitEnvironment, code: code, hint: hint, err: err}
}

// classify finds exit code and stable code of an error: its own, or those of the Failure inside it.
func classify(err error) *exitError {
	if known, ok := errors.AsType[*exitError](err); ok {
		return known
	}
	if failure, ok := errors.AsType[*stream.Failure](err); ok {
		return &exitError{exit: exitOf(failure.Code), code: string(failure.Code), err: err}
	}
	if strings.HasPrefix(err.Error(), "unknown command") || strings.Contains(err.Error(), "arg(s)") {
		return &exitError{exit: exitInput, code: "command.usage", hint: "see ensue --help", err: err}
	}
	return &exitError{exit: exitRuntime, code: "runtime", err: err}
}

// exitOf is the exit code of failures that end a whole command.
func exitOf(code stream.Code) int {
	switch what := code[strings.IndexByte(string(code), '.')+1:]; what {
	case "broker_unreachable", "unreachable", "listen", "topic_missing", "not_authorized", "tls_failed", "login_failed", "fenced",
		"metadata_refused", "folder":
		return exitEnvironment
	case "no_such_file", "no_such_letter", "no_match", "config", "bad_config", "unknown_model", "bad_model", "no_hook":
		return exitInput
	}
	return exitRuntime
}

// envelope is what --json prints, of every command.
type envelope struct {
	Version int            `json:"version"`
	Command string         `json:"command"`
	OK      bool           `json:"ok"`
	Data    any            `json:"data,omitempty"`
	Error   *envelopeError `json:"error,omitempty"`
}

type envelopeError struct {
	Exit    int    `json:"exit"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// say prints what a command found out: data under --json, else what text writes.
func (a *app) say(command *cobra.Command, data any, text func(io.Writer) error) error {
	if !a.json {
		return text(a.out)
	}
	return a.print(envelope{Version: 1, Command: nameOf(command), OK: true, Data: data})
}

// fail prints an error and returns its exit code.
func (a *app) fail(command string, err error) int {
	known := classify(err)
	if a.json {
		told := &envelopeError{Exit: known.exit, Code: known.code, Message: connect.Scrub(err.Error()), Hint: known.hint}
		_ = a.print(envelope{Version: 1, Command: command, Data: known.data, Error: told})
		return known.exit
	}
	if known.told {
		return known.exit
	}
	fmt.Fprintf(a.err, "ensue %s: %s [%s]\n", command, connect.Scrub(err.Error()), known.code)
	if known.hint != "" {
		fmt.Fprintf(a.err, "  hint: %s\n", known.hint)
	}
	return known.exit
}

func (a *app) print(e envelope) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(e)
}

// progress says whether a progress bar is wanted: only on a terminal, never among JSON.
func (a *app) progress() bool { return a.interactive && !a.quiet && !a.json }

func (a *app) logger() *slog.Logger { return a.loggerTo(a.err) }

// loggerTo is the logger of a command that draws on standard error too and takes its log lines itself.
func (a *app) loggerTo(to io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.level)); err != nil {
		level = slog.LevelWarn
	}
	a.levels.Set(level)
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: &a.levels, ReplaceAttr: scrubbed}))
}

// scrubbed is an attribute of a log line without the credentials of addresses.
func scrubbed(_ []string, attribute slog.Attr) slog.Attr {
	switch value := attribute.Value.Any().(type) {
	case string:
		attribute.Value = slog.StringValue(connect.Scrub(value))
	case error:
		attribute.Value = slog.StringValue(connect.Scrub(value.Error()))
	case []string:
		attribute.Value = slog.StringValue(connect.Scrub(fmt.Sprint(value)))
	}
	return attribute
}

// levelOf logs as a definition asks for, unless the command line says otherwise.
func (a *app) levelOf(def *pipelines.Definition) {
	if a.level == "" {
		a.levels.Set(def.LogLevel())
	}
}

// colour says whether what is printed may be coloured: on a terminal, unless NO_COLOR asks otherwise.
func (a *app) colour() bool {
	_, refused := a.env("NO_COLOR")
	file, ok := a.out.(*os.File)
	return ok && !refused && term.IsTerminal(int(file.Fd()))
}
