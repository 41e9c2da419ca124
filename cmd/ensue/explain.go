package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/pipelines"
)

// explainFormats are what --format takes.
var explainFormats = []string{"text", "json", "dot", "mermaid"}

func (a *app) explainCommand() *cobra.Command {
	var format string
	command := &cobra.Command{
		Use:   "explain DEFINITION",
		Short: "show what a definition comes to: stages, queues, memory bound, delivery guarantee and why",
		Long: "Explain shows what a definition comes to on this machine, without connecting to anything.\n" +
			"--format dot is for graphviz (ensue explain live --format dot | dot -Tsvg), mermaid for Markdown.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDefinitions,
		RunE: func(command *cobra.Command, names []string) error {
			def, err := a.load(names[0])
			if err != nil {
				return err
			}
			return a.explain(command, pipelines.Explain(def), format)
		},
	}
	command.Flags().StringVar(&format, "format", "text", "text, json, dot (for graphviz) or mermaid (for Markdown)")
	completeFlag(command, "format", explainFormats...)
	return command
}

func (a *app) explain(command *cobra.Command, explanation pipelines.Explanation, format string) error {
	text := ""
	switch format {
	case "text":
		text = explanation.Text()
	case "dot":
		text = explanation.Dot()
	case "mermaid":
		text = explanation.Mermaid()
	case "json":
		data, err := json.MarshalIndent(explanation, "", "  ")
		if err != nil {
			return fmt.Errorf("writing the explanation: %w", err)
		}
		text = string(data) + "\n"
	default:
		return inputError("flags.value", fmt.Errorf("--format %q is not known", format), "it is text, json, dot or mermaid")
	}
	return a.say(command, explanation, func(out io.Writer) error {
		_, err := io.WriteString(out, text)
		return err
	})
}
