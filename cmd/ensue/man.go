package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand is for packagers and `make docs`, so it is not in the list of commands.
func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man FOLDER",
		Short:  "write a man page for every command",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(command *cobra.Command, folders []string) error {
			if err := os.MkdirAll(folders[0], 0o755); err != nil {
				return fmt.Errorf("writing man pages: %w", err)
			}
			header := &doc.GenManHeader{Title: "ENSUE", Section: "1", Source: "ensue " + version, Manual: "ensue", Date: released()}
			root := command.Root()
			root.DisableAutoGenTag = true
			root.InitDefaultCompletionCmd()
			if err := doc.GenManTree(root, header, folders[0]); err != nil {
				return fmt.Errorf("writing man pages: %w", err)
			}
			pages, err := os.ReadDir(folders[0])
			if err != nil {
				return fmt.Errorf("writing man pages: %w", err)
			}
			return a.say(command, map[string]any{"folder": folders[0], "pages": len(pages)}, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "%d pages in %s; man -M reads a folder that has them in man1\n", len(pages), folders[0])
				return err
			})
		},
	}
}

// released is the date on the pages: that of SOURCE_DATE_EPOCH, so that building twice gives the same bytes, else none worth telling.
func released() *time.Time {
	day := time.Unix(0, 0).UTC()
	if text, ok := os.LookupEnv("SOURCE_DATE_EPOCH"); ok {
		var seconds int64
		if _, err := fmt.Sscanf(text, "%d", &seconds); err == nil {
			day = time.Unix(seconds, 0).UTC()
		}
	}
	return &day
}
