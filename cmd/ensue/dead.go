package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/dead"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/stream"
)

// deadFlags say where the dead letters are and which are meant.
type deadFlags struct {
	config  dead.Config
	cluster clusterFlags
	stream  string
	code    string
	since   time.Duration
	fresh   bool
}

func (f *deadFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.config.Topic, "topic", "video.dead", "topic of the dead letters")
	flags.StringVar(&f.config.File, "file", "", "a file of dead letters instead, as sink.dead_letter.jsonl writes it")
	f.cluster.add(flags)
}

func (f *deadFlags) addFilter(flags *pflag.FlagSet) {
	flags.StringVar(&f.stream, "stream", "", "only letters of this stream")
	flags.StringVar(&f.code, "code", "", "only letters with this code, as in --code decode.timeout")
	flags.DurationVar(&f.since, "since", 0, "only letters that are not older, as in --since 24h; 0 means all")
}

func (f *deadFlags) filter() dead.Filter {
	filter := dead.Filter{Stream: f.stream, Code: stream.Code(f.code), Fresh: f.fresh}
	if f.since > 0 {
		filter.Since = time.Now().Add(-f.since)
	}
	return filter
}

func (a *app) deadCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "dead",
		Short: "look at dead letters: what could not be processed, and why; send them again",
		Long: "A segment that cannot be processed becomes a dead letter: its record as it came, with what went wrong in headers. List shows\n" +
			"them, show one, retry sends their records back to the topic they came from. Letters are never removed; retention does that.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(a.deadListCommand(), a.deadShowCommand(), a.deadRetryCommand())
	return command
}

func (a *app) deadListCommand() *cobra.Command {
	var flags deadFlags
	command := &cobra.Command{
		Use:   "list",
		Short: "list the dead letters there are, oldest first",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := a.deadPlace(command, &flags); err != nil {
				return err
			}
			letters, err := a.deadLetters(command.Context(), flags)
			if err != nil {
				return err
			}
			data := deadList(letters)
			return a.say(command, data, func(out io.Writer) error { return a.printDead(out, data) })
		},
	}
	flags.add(command.Flags())
	flags.addFilter(command.Flags())
	command.Flags().BoolVar(&flags.fresh, "fresh", false, "only letters that were not sent again")
	return command
}

func (a *app) deadShowCommand() *cobra.Command {
	var flags deadFlags
	payload := ""
	command := &cobra.Command{
		Use:   "show ID",
		Short: "show everything about one dead letter, named by the first characters of its id",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, ids []string) error {
			return a.deadShow(command, flags, ids[0], payload)
		},
	}
	flags.add(command.Flags())
	command.Flags().StringVar(&payload, "payload", "", "write the record's value, the video, to this file")
	return command
}

type deadRetryFlags struct {
	deadFlags
	all, again, dry bool
}

func (a *app) deadRetryCommand() *cobra.Command {
	var flags deadRetryFlags
	command := &cobra.Command{
		Use:   "retry [ID ...]",
		Short: "send the records of dead letters back to the topic they came from, and mark the letters",
		Long: "Retry sends the records of the letters with these ids, or of all that --code, --stream or --since choose, or of --all. " +
			"A pipeline\n" +
			"scores such a segment alone: its place in the stream has passed. What was sent again before is left out, unless --again.",
		RunE: func(command *cobra.Command, ids []string) error { return a.deadRetry(command, flags, ids) },
	}
	f := command.Flags()
	flags.add(f)
	flags.addFilter(f)
	f.BoolVar(&flags.all, "all", false, "every letter")
	f.BoolVar(&flags.again, "again", false, "also letters that were sent again before")
	f.BoolVar(&flags.dry, "dry-run", false, "only say which letters would be sent")
	return command
}

// deadPlace finds out where the letters are: what the flags say, or the definition they name.
func (a *app) deadPlace(command *cobra.Command, flags *deadFlags) error {
	if flags.config.File != "" {
		return nil
	}
	place, err := a.place(&flags.cluster, command.Flags(), flags.config.Topic, "sink.dead_letter.kafka",
		(*pipelines.Definition).DeadLettersPlace)
	if err != nil {
		return err
	}
	flags.config.Brokers, flags.config.Topic, flags.config.Security = place.Brokers, place.Topic, place.Security
	flags.config.Naming = place.Naming()
	return nil
}

// deadLetters are the letters that the flags choose.
func (a *app) deadLetters(ctx context.Context, flags deadFlags) ([]*dead.Letter, error) {
	if flags.config.File == "" {
		// A broker that is not there is told soon; a topic that is large may take its time.
		if err := reach(ctx, flags.config.Check); err != nil {
			return nil, err
		}
	}
	letters, err := dead.Letters(ctx, flags.config, flags.filter(), func(err error) { a.logger().Warn("skipped a record", "error", err) })
	if err != nil {
		return nil, fmt.Errorf("listing dead letters: %w", err)
	}
	return letters, nil
}

// deadRow is one dead letter under --json.
type deadRow struct {
	ID        string     `json:"id"`
	Segment   string     `json:"segment"`
	Stream    string     `json:"stream"`
	Code      string     `json:"code"`
	Stage     string     `json:"stage"`
	Message   string     `json:"message"`
	Permanent bool       `json:"permanent"`
	Attempts  int        `json:"attempts"`
	Origin    string     `json:"origin"`
	Place     string     `json:"place"`
	Time      *time.Time `json:"time,omitempty"`
	Bytes     int        `json:"bytes"`
	Truncated bool       `json:"truncated"`
	Retried   *time.Time `json:"retried,omitempty"`
	RetryOf   string     `json:"retry_of,omitempty"`
	Trace     string     `json:"traceparent,omitempty"`
}

// deadTable is what list says.
type deadTable struct {
	Letters []deadRow      `json:"letters"`
	Codes   map[string]int `json:"codes"`
	Retried int            `json:"retried"`
}

func deadList(letters []*dead.Letter) deadTable {
	table := deadTable{Letters: []deadRow{}, Codes: map[string]int{}}
	for _, letter := range letters {
		row := rowOf(letter)
		table.Letters = append(table.Letters, row)
		table.Codes[row.Code]++
		if row.Retried != nil {
			table.Retried++
		}
	}
	return table
}

func rowOf(letter *dead.Letter) deadRow {
	row := deadRow{
		ID: letter.ID, Segment: letter.Segment.String(), Stream: letter.Segment.Stream,
		Code: string(letter.Failure.Code), Stage: letter.Failure.Stage,
		Message: connect.Scrub(letter.Failure.Error()), Permanent: letter.Failure.Permanent,
		Attempts: letter.Attempts, Origin: letter.Origin.String(), Place: letter.Place.String(),
		Bytes: letter.Bytes, Truncated: letter.Truncated, Trace: letter.Traceparent,
	}
	row.RetryOf, _ = letter.Record.Get(stream.HeaderRetryOf)
	if !letter.Time.IsZero() {
		at := letter.Time.UTC()
		row.Time = &at
	}
	if !letter.Retried.IsZero() {
		at := letter.Retried.UTC()
		row.Retried = &at
	}
	return row
}

// shownMessage is how much of a message a table shows.
const shownMessage = 60

func (a *app) printDead(out io.Writer, data deadTable) error {
	if len(data.Letters) == 0 {
		_, err := fmt.Fprintln(out, "no dead letters")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tWHEN\tSEGMENT\tCODE\tTRIES\tSENT AGAIN\tMESSAGE")
	for _, row := range data.Letters {
		fmt.Fprintf(table, "%.12s\t%s\t%s\t%s\t%d\t%s\t%s\n", row.ID, moment(row.Time), row.Segment, row.Code, row.Attempts,
			moment(row.Retried), firstLine(row.Message, shownMessage))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	codes := slices.SortedFunc(maps.Keys(data.Codes), func(x, y string) int {
		if n := data.Codes[y] - data.Codes[x]; n != 0 {
			return n
		}
		return strings.Compare(x, y)
	})
	parts := make([]string, len(codes))
	for i, code := range codes {
		parts[i] = fmt.Sprintf("%d × %s", data.Codes[code], code)
	}
	_, err := fmt.Fprintf(out, "%d dead letters, %d of them sent again: %s\n", len(data.Letters), data.Retried, strings.Join(parts, ", "))
	return err
}

func moment(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return at.Local().Format("2006-01-02 15:04:05")
}

func firstLine(text string, limit int) string {
	text, _, _ = strings.Cut(text, "\n")
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}

func (a *app) deadShow(command *cobra.Command, flags deadFlags, id, payload string) error {
	if err := a.deadPlace(command, &flags); err != nil {
		return err
	}
	letters, err := a.deadLetters(command.Context(), flags)
	if err != nil {
		return err
	}
	letter, err := dead.Find(letters, id)
	if err != nil {
		return err
	}
	if payload != "" {
		whole, err := dead.Whole(command.Context(), flags.config, letter)
		if err != nil {
			return fmt.Errorf("getting the payload: %w", err)
		}
		if err := os.WriteFile(payload, whole.Record.Value, 0o600); err != nil {
			return inputError("dead.file", fmt.Errorf("writing the payload: %w", err), "name another file")
		}
	}
	row := rowOf(letter)
	headers := map[string]string{}
	for _, header := range letter.Record.Headers {
		headers[header.Key] = connect.Scrub(string(header.Value)) // senders put addresses of all kinds there
	}
	data := struct {
		deadRow
		Headers map[string]string `json:"headers"`
	}{row, headers}
	return a.say(command, data, func(out io.Writer) error { return printLetter(out, row, headers) })
}

func printLetter(out io.Writer, row deadRow, headers map[string]string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	passing := "no: it would fail again"
	if !row.Permanent {
		passing = "yes"
	}
	payload := fmt.Sprintf("%d bytes", row.Bytes)
	if row.Truncated {
		payload += ", not in the letter; fetched from the origin where that still has it"
	}
	for _, line := range [][2]string{
		{"id", row.ID},
		{"segment", row.Segment},
		{"code", row.Code},
		{"stage", row.Stage},
		{"message", firstLine(row.Message, 1<<16)},
		{"tried", fmt.Sprintf("%d times", row.Attempts)},
		{"may pass", passing},
		{"origin", row.Origin},
		{"letter", row.Place},
		{"written", moment(row.Time)},
		{"payload", payload},
		{"sent again", moment(row.Retried)},
		{"was a retry of", row.RetryOf},
		{"traceparent", row.Trace},
	} {
		if line[1] != "" && line[1] != "-" {
			fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		fmt.Fprintf(table, "header\t%s: %s\n", name, firstLine(headers[name], 200))
	}
	return table.Flush()
}

// deadRetried is what retry says.
type deadRetried struct {
	Sent   []deadRow    `json:"sent"`
	Failed []deadFailed `json:"failed"`
	DryRun bool         `json:"dry_run,omitempty"`
}

type deadFailed struct {
	ID      string `json:"id"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (a *app) deadRetry(command *cobra.Command, flags deadRetryFlags, ids []string) error {
	chosen := flags.stream != "" || flags.code != "" || flags.since > 0
	if len(ids) == 0 && !flags.all && !chosen {
		return inputError("flags.value", errors.New("no dead letter is named"),
			"write ids as `ensue dead list` shows them, or choose by --code, --stream, --since, or --all")
	}
	if err := a.deadPlace(command, &flags.deadFlags); err != nil {
		return err
	}
	letters, err := a.deadChosen(command.Context(), flags, ids)
	if err != nil {
		return err
	}
	data := deadRetried{Sent: []deadRow{}, Failed: []deadFailed{}, DryRun: flags.dry}
	if flags.dry {
		data.Sent = deadList(letters).Letters
		return a.say(command, data, func(out io.Writer) error { return printRetried(out, data) })
	}
	bar := a.newDeadBar(len(letters))
	err = dead.Retry(command.Context(), flags.config, letters, func(letter *dead.Letter, err error) {
		bar.step()
		if err != nil {
			failure := stream.AsFailure(err, "dead")
			data.Failed = append(data.Failed, deadFailed{ID: letter.ID, Code: string(failure.Code), Message: failure.Error()})
			return
		}
		data.Sent = append(data.Sent, rowOf(letter))
	})
	bar.end()
	if err != nil {
		return fmt.Errorf("sending dead letters again: %w", err)
	}
	if len(data.Failed) > 0 {
		if !a.json {
			if err := printRetried(a.out, data); err != nil {
				return err
			}
		}
		return &exitError{
			exit: exitRuntime, code: data.Failed[0].Code, data: data, told: !a.json,
			err: fmt.Errorf("%d of %d dead letters could not be sent again: %s", len(data.Failed), len(letters), data.Failed[0].Message),
		}
	}
	return a.say(command, data, func(out io.Writer) error { return printRetried(out, data) })
}

// deadBar is the progress bar of a retry. The zero value draws nothing.
type deadBar struct {
	progress *mpb.Progress
	bar      *mpb.Bar
}

func (a *app) newDeadBar(total int) *deadBar {
	if !a.progress() {
		return &deadBar{}
	}
	b := &deadBar{progress: mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(64))}
	b.bar = b.progress.AddBar(int64(total), mpb.PrependDecorators(decor.Name("retry "), decor.CountersNoUnit("%d / %d letters")),
		mpb.AppendDecorators(decor.Percentage(), decor.Name(" left "), decor.AverageETA(decor.ET_STYLE_GO)))
	return b
}

func (b *deadBar) step() {
	if b.bar != nil {
		b.bar.Increment()
	}
}

func (b *deadBar) end() {
	if b.bar != nil {
		b.bar.SetTotal(-1, true)
		b.progress.Wait()
	}
}

// deadChosen are the letters to send again.
func (a *app) deadChosen(ctx context.Context, flags deadRetryFlags, ids []string) ([]*dead.Letter, error) {
	flags.fresh = !flags.again && len(ids) == 0
	letters, err := a.deadLetters(ctx, flags.deadFlags)
	if err != nil || len(ids) == 0 {
		return letters, err
	}
	var named []*dead.Letter
	for _, id := range ids {
		letter, err := dead.Find(letters, id)
		if err != nil {
			return nil, err
		}
		if !letter.Retried.IsZero() && !flags.again {
			return nil, inputError("dead.retried", fmt.Errorf("dead letter %.12s was sent again at %s",
				letter.ID, letter.Retried.Format(time.RFC3339)),
				"write --again to send it once more")
		}
		named = append(named, letter)
	}
	return named, nil
}

func printRetried(out io.Writer, data deadRetried) error {
	done := "sent again"
	if data.DryRun {
		done = "would be sent again"
	}
	for _, row := range data.Sent {
		fmt.Fprintf(out, "%.12s  %s  to %s\n", row.ID, row.Segment, row.Origin)
	}
	for _, failed := range data.Failed {
		fmt.Fprintf(out, "%.12s  failed: %s [%s]\n", failed.ID, failed.Message, failed.Code)
	}
	_, err := fmt.Fprintf(out, "%d dead letters %s, %d failed\n", len(data.Sent), done, len(data.Failed))
	return err
}
