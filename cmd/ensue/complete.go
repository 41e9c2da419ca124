package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/pipelines"
)

// completeDefinitions completes the name of a definition: stock ones, and YAML files.
func completeDefinitions(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	for _, name := range pipelines.StockNames() {
		if strings.HasPrefix(name, begun) {
			names = append(names, cobra.CompletionWithDesc(name, "a definition that comes with the program"))
		}
	}
	// Shells complete either names or files; stock names come first, and a begun path has none.
	if len(names) > 0 {
		return names, cobra.ShellCompDirectiveDefault
	}
	return []cobra.Completion{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// completeFlag completes the values of a flag that takes one of a few words.
func completeFlag(command *cobra.Command, flag string, words ...string) {
	fixed := make([]cobra.Completion, len(words))
	copy(fixed, words)
	if err := command.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(fixed, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is not there: a programming error that every run of the program finds
	}
}

// completeDefinition completes the value of a flag that names a definition.
func completeDefinition(command *cobra.Command, flag string) {
	if err := command.RegisterFlagCompletionFunc(flag, completeDefinitions); err != nil {
		panic(err) // as in completeFlag
	}
}
