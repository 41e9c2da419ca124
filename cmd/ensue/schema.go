package main

import (
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/stream"
)

//go:embed envelope.schema.json
var envelopeSchema []byte

func (a *app) schemaCommand() *cobra.Command {
	kinds := []string{"definition", "test", "result", "envelope"}
	return &cobra.Command{
		Use:       "schema [definition|test|result|envelope]",
		Short:     "print the JSON Schema of definitions and of their tests (for editors), of results, or of what --json prints",
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: kinds,
		RunE: func(command *cobra.Command, args []string) error {
			schema := pipelines.Schema()
			if len(args) == 1 {
				schema = map[string][]byte{
					"definition": schema, "test": pipelines.ExpectationsSchema(), "result": stream.ResultSchema(), "envelope": envelopeSchema,
				}[args[0]]
			}
			if a.json {
				return a.say(command, json.RawMessage(schema), nil)
			}
			_, err := fmt.Fprintln(a.out, string(schema))
			return err
		},
	}
}
