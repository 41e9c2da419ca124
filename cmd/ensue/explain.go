package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/pipelines"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain DEFINITION",
		Short: "show what a definition comes to: stages, queues, memory bound, delivery guarantee and why",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, names []string) error {
			def, err := a.load(names[0])
			if err != nil {
				return err
			}
			explanation := pipelines.Explain(def)
			return a.say(command, explanation, func(out io.Writer) error {
				_, err := io.WriteString(out, explanation.Text())
				return err
			})
		},
	}
}
