package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/internal/look"
	"github.com/ensue-video/ensue/resultfile"
)

type exportFlags struct {
	jsonl, parquet, mcap string
	noMaps, once         bool
}

func (a *app) exportCommand() *cobra.Command {
	var flags exportFlags
	command := &cobra.Command{
		Use:   "export FILE...",
		Short: "write stored results in another format: Parquet, MCAP, JSON lines",
		Long: "Export reads results (JSON lines or Parquet; a folder stands for those in it) and writes them to one file of each format that\n" +
			"is asked for. Files appear whole or not at all. docs/sinks.md has the columns of the table and the channels of the recording.",
		Example: "  ensue export results.jsonl --parquet results.parquet\n" +
			"  ensue export /var/lib/ensue/results --mcap results.mcap --once",
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, files []string) error { return a.export(command, files, flags) },
	}
	f := command.Flags()
	f.StringVar(&flags.jsonl, "jsonl", "", "write a line of JSON each to this file")
	f.StringVar(&flags.parquet, "parquet", "", "write a Parquet table to this file: for pandas, DuckDB, Polars")
	f.StringVar(&flags.mcap, "mcap", "", "write an MCAP recording to this file: for Foxglove, Rerun")
	f.BoolVar(&flags.noMaps, "no-maps", false, "leave out the energy of every token")
	f.BoolVar(&flags.once, "once", false, "of results with the same id write the last one only (remembers every id)")
	return command
}

// exportData is what export says at the end.
type exportData struct {
	Files   []string       `json:"files"`
	Written []exportedFile `json:"written"`
}

type exportedFile struct {
	File    string `json:"file"`
	Results int    `json:"results"`
}

func (a *app) export(command *cobra.Command, files []string, flags exportFlags) error {
	paths, err := resultfile.Expand(files)
	if err != nil {
		return inputError("export.no_such_file", err, "name files of results: .jsonl, .parquet, or a folder of them")
	}
	results, err := resultfile.OpenAll(paths)
	if err != nil {
		return inputError("export.no_such_file", err, "")
	}
	data := exportData{Files: paths}
	options := resultfile.Options{Maps: !flags.noMaps, Once: flags.once, About: map[string]string{"ensue": version}}
	for _, to := range []struct {
		path  string
		write func(string, resultfile.Results, resultfile.Options) (int, error)
	}{{flags.jsonl, resultfile.CreateJSONL}, {flags.parquet, resultfile.CreateParquet}, {flags.mcap, resultfile.CreateMCAP}} {
		if to.path == "" {
			continue
		}
		count, err := to.write(to.path, results, options)
		if err != nil {
			return err
		}
		data.Written = append(data.Written, exportedFile{to.path, count})
	}
	if len(data.Written) == 0 {
		return inputError("flags.value", errors.New("nothing to write to"), "give --parquet, --mcap or --jsonl, with a file")
	}
	return a.say(command, data, func(out io.Writer) error {
		if a.quiet {
			return nil
		}
		for _, written := range data.Written {
			fmt.Fprintf(out, "%s: %s\n", written.File, look.Plural(written.Results, "result"))
		}
		return nil
	})
}
