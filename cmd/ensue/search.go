package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/resultfile"
	"github.com/ensue-video/ensue/search"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/tail"
)

// postgresVariable is the environment variable with the address of the database: an address on the command line is seen by everybody.
const postgresVariable = "POSTGRES"

type searchFlags struct {
	like     string
	postgres bool
	table    string
	options  search.Options
}

func (a *app) searchCommand() *cobra.Command {
	var flags searchFlags
	command := &cobra.Command{
		Use:   "search FILE... --like STREAM@TIME",
		Short: "find the moments in stored results that look most like one of them",
		Long: "Search compares the embeddings of what comes next, as results carry them, by the cosine of their angle. It reads files of\n" +
			"results (JSON lines, Parquet; a folder stands for those in it) a result at a time, or asks a database that " +
			"sink.postgres has written to,\n" +
			"whose address is in the environment variable " + postgresVariable + ". TIME counts from the beginning of what is stored\n" +
			"of the stream (12.5s, 1m30s), or is a moment (2026-11-23T17:55:02Z).",
		Example: "  ensue search results.jsonl --like lobby@12.5s\n" +
			"  ensue search /var/lib/ensue/results --like lobby@2026-11-23T17:55:02Z --k 5 --apart 30s\n" +
			"  " + postgresVariable + "=postgres://localhost/video ensue search --postgres --like lobby@1m30s --horizon 2s",
		RunE: func(command *cobra.Command, files []string) error { return a.search(command, files, flags) },
	}
	f := command.Flags()
	f.StringVar(&flags.like, "like", "", "the moment to compare with: STREAM@TIME")
	f.IntVar(&flags.options.K, "k", 10, "how many moments to find")
	f.DurationVar(&flags.options.Horizon, "horizon", 0,
		"compare what is expected this far ahead; default: the nearest horizon the results have")
	f.DurationVar(&flags.options.Apart, "apart", 0, "leave out what is nearer than this in the same stream")
	f.BoolVar(&flags.postgres, "postgres", false, "search the database whose address is in "+postgresVariable)
	f.StringVar(&flags.table, "table", sink.DefaultPostgresTable, "the table of sink.postgres")
	return command
}

func (a *app) search(command *cobra.Command, files []string, flags searchFlags) error {
	point, err := search.ParsePoint(flags.like)
	switch {
	case flags.like == "":
		return inputError("flags.value", errors.New("--like is missing"), "name a moment: --like STREAM@TIME, as in lobby@12.5s")
	case err != nil:
		return inputError("flags.value", fmt.Errorf("--like: %w", err), "")
	case flags.options.K < 1 || flags.options.Horizon < 0 || flags.options.Apart < 0:
		return inputError("flags.value", errors.New("--k is at least 1, --horizon and --apart are not negative"), "")
	case flags.postgres == (len(files) > 0):
		return inputError("flags.value", errors.New("nothing to search, or two things at once"),
			"name files of results, or give --postgres")
	}
	store, closing, err := a.searchStore(command.Context(), files, flags)
	if err != nil {
		return err
	}
	found, err := search.Find(command.Context(), store, point, flags.options)
	err = errors.Join(err, closing())
	if err != nil {
		return searchError(err)
	}
	return a.say(command, found, func(out io.Writer) error { return a.printFound(out, found) })
}

// searchStore is where results are looked for, and how to close it.
func (a *app) searchStore(ctx context.Context, files []string, flags searchFlags) (search.Store, func() error, error) {
	if !flags.postgres {
		paths, err := resultfile.Expand(files)
		if err != nil {
			return nil, nil, inputError("search.no_such_file", err, "name files of results: .jsonl, .parquet, or a folder of them")
		}
		return search.Files{Paths: paths}, func() error { return nil }, nil
	}
	url, ok := a.env(postgresVariable)
	if !ok || url == "" {
		return nil, nil, inputError("search.no_database", fmt.Errorf("the environment variable %s is not set", postgresVariable),
			"set it to postgres://user:password@host:5432/database")
	}
	store, err := search.OpenPostgres(ctx, url, flags.table)
	if err != nil {
		return nil, nil, environmentError("search.database", err, "is the database running, and is "+postgresVariable+" its address?")
	}
	return store, func() error { return store.Close(context.WithoutCancel(ctx)) }, nil
}

// searchError gives what a search cannot do a code and says what to do.
func searchError(err error) error {
	if unknown, ok := errors.AsType[*search.UnknownStream](err); ok {
		hint := "stored are " + strings.Join(firstOf(unknown.Known, 20), ", ")
		if near := pipelines.Nearest(unknown.Name, unknown.Known); near != "" {
			hint = fmt.Sprintf("did you mean %q? %s", near, hint)
		}
		return inputError("search.unknown_stream", err, hint)
	}
	if _, ok := errors.AsType[*search.Outside](err); ok {
		return inputError("search.outside", err,
			"first segments and gaps have no embedding; a time with an s counts from the beginning of what is stored")
	}
	if _, ok := errors.AsType[*search.NoEmbedding](err); ok {
		return inputError("search.no_embedding", err,
			"results carry embeddings in next[] once a segment was scored; a sink of another program may have left them out")
	}
	if _, ok := errors.AsType[*search.NoHorizon](err); ok {
		return inputError("search.no_horizon", err, "see predictor.horizons")
	}
	return err
}

func firstOf(names []string, most int) []string {
	if len(names) > most {
		return append(names[:most:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	return names
}

func (a *app) printFound(out io.Writer, found *search.Found) error {
	if !a.quiet {
		fmt.Fprintf(out, "like %s at %s (%s), what is expected %g s ahead\n", found.Like.Stream, tail.Clock(found.Like.Offset),
			found.Like.Start.Format(time.RFC3339), found.Horizon)
		if found.Left > 0 {
			fmt.Fprintf(out, "%d results of other models are left out\n", found.Left)
		}
	}
	fmt.Fprintf(out, "%10s  %-28s %10s  %-24s %s\n", "SIMILARITY", "STREAM", "AT", "START", "VERDICT")
	for _, m := range found.Matches {
		_, err := fmt.Fprintf(out, "%10.4f  %-28s %10s  %-24s %s\n", m.Similarity, m.Stream, tail.Clock(m.Offset),
			m.Start.Format("2006-01-02T15:04:05.000Z"), m.Verdict)
		if err != nil {
			return err
		}
	}
	return nil
}
