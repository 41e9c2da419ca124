package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/stream"
)

// version is set by the build (see the Makefile).
var version = "dev"

type versionData struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	Wire    int    `json:"wire"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version of the program and of the wire format",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			data := versionData{Version: version, Commit: commit(), Go: runtime.Version(), Wire: stream.Version}
			return a.say(command, data, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "ensue %s %s (%s, wire format %d)\n", data.Version, data.Commit, data.Go, data.Wire)
				return err
			})
		},
	}
}

func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
			return setting.Value[:12]
		}
	}
	return ""
}
