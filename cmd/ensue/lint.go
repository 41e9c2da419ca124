package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/internal/look"
	"github.com/ensue-video/ensue/pipelines"
)

func (a *app) lintCommand() *cobra.Command {
	var strict bool
	command := &cobra.Command{
		Use:   "lint DEFINITION...",
		Short: "find everything wrong with a definition, without connecting to anything",
		Long: "Lint reads definitions (files, - for the standard input, or the name of a stock one) and tells all problems at once:\n" +
			"file:line:column, severity, code, the key and the value, and what to do. Exit code 2 where there are errors.",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeDefinitions,
		RunE:              func(command *cobra.Command, names []string) error { return a.lint(command, names, strict) },
	}
	command.Flags().BoolVar(&strict, "strict", false, "warnings count as errors")
	return command
}

func (a *app) lint(command *cobra.Command, names []string, strict bool) error {
	findings := []pipelines.Finding{}
	bad := 0
	for _, name := range names {
		data, err := a.read(name)
		if err != nil {
			return err
		}
		found := pipelines.Lint(name, data, a.env)
		for _, finding := range found {
			if finding.Severity == pipelines.SeverityError || strict && finding.Severity == pipelines.SeverityWarning {
				bad++
			}
		}
		findings = append(findings, found...)
	}
	if bad > 0 {
		if !a.json {
			printFindings(a.out, findings)
		}
		return &exitError{
			exit: exitInput, code: "definition.invalid", data: findings, told: !a.json,
			err: fmt.Errorf("%s in %s", look.Plural(bad, "problem"), look.Plural(len(names), "definition")),
		}
	}
	return a.say(command, findings, func(out io.Writer) error {
		printFindings(out, findings)
		if !a.quiet {
			_, err := fmt.Fprintf(out, "%s, no errors\n", look.Plural(len(names), "definition"))
			return err
		}
		return nil
	})
}
