package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/pipelines"
)

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "check DEFINITION",
		Short:             "ask brokers, topics, limits, model and decoder of a definition whether they are ready; writes nothing",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDefinitions,
		RunE: func(command *cobra.Command, names []string) error {
			def, err := a.load(names[0])
			if err != nil {
				return err
			}
			return a.sayChecks(command, pipelines.Check(command.Context(), def))
		},
	}
}

// sayChecks prints checks, and fails with the environment's exit code when one of them did.
func (a *app) sayChecks(command *cobra.Command, checks []pipelines.Checked) error {
	failed := 0
	for _, check := range checks {
		if !check.OK {
			failed++
		}
	}
	if failed == 0 {
		return a.say(command, checks, func(out io.Writer) error { return printChecks(out, checks) })
	}
	if !a.json {
		if err := printChecks(a.out, checks); err != nil {
			return err
		}
	}
	return &exitError{
		exit: exitEnvironment, code: command.Name() + ".failed", data: checks, told: !a.json,
		err: fmt.Errorf("%d of %d checks failed", failed, len(checks)),
	}
}

func printChecks(out io.Writer, checks []pipelines.Checked) error {
	for _, check := range checks {
		sign := "ok  "
		if !check.OK {
			sign = "FAIL"
		}
		if _, err := fmt.Fprintf(out, "%s  %s: %s\n", sign, check.Name, check.Detail); err != nil {
			return err
		}
		if check.Hint != "" {
			if _, err := fmt.Fprintf(out, "      hint: %s\n", check.Hint); err != nil {
				return err
			}
		}
	}
	return nil
}
