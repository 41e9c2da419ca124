package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/publish"
)

// listenFlags say how segments are taken by HTTP.
type listenFlags struct {
	address          string
	maxBytes, memory string
	certificate, key string
	drain            time.Duration
	// config is what the others say.
	config publish.ListenConfig
}

// tokenVariable names the variable with the token that senders must show; with _FILE behind it, the one with the path of its file.
const tokenVariable = "ENSUE_PUBLISH_TOKEN"

func (l *listenFlags) add(f *pflag.FlagSet) {
	f.StringVar(&l.address, "listen", "", "take segments by HTTP at this address, host:port; senders show the token of "+tokenVariable+
		" (or of the file "+tokenVariable+"_FILE), where it is set")
	f.StringVar(&l.maxBytes, "max-bytes", "64MiB", "with --listen: how large a segment may be")
	f.StringVar(&l.memory, "memory", "512MiB", "with --listen: how much all segments on their way may take; beyond it senders are told to "+
		"wait (429)")
	f.StringVar(&l.certificate, "listen-cert", "", "with --listen: PEM file with the certificate; without it plain HTTP is spoken")
	f.StringVar(&l.key, "listen-key", "", "with --listen: PEM file with the certificate's private key")
	f.DurationVar(&l.drain, "drain-timeout", 30*time.Second, "with --listen: how long segments on their way may take when this process is "+
		"stopped")
}

// listenConfig reads the flags that are words, and the token.
func (a *app) listenConfig(l *listenFlags, files []string, hook bool) (config publish.ListenConfig, err error) {
	config = publish.DefaultListen()
	if err := l.check(files, hook); err != nil {
		return config, err
	}
	if config.MaxBytes, err = pipelines.ParseBytes(l.maxBytes); err != nil {
		return config, inputError("flags.value", fmt.Errorf("--max-bytes %w", err), "as in --max-bytes 64MiB")
	}
	if config.Memory, err = pipelines.ParseBytes(l.memory); err != nil {
		return config, inputError("flags.value", fmt.Errorf("--memory %w", err), "as in --memory 512MiB")
	}
	config.Log = a.logger()
	config.Token, err = a.secret(tokenVariable)
	return config, err
}

func (l *listenFlags) check(files []string, hook bool) error {
	switch {
	case hook || len(files) > 0:
		return inputError("flags.value", fmt.Errorf("--listen %s takes segments by HTTP, but there is also --hook or a file", l.address),
			"run them as two commands")
	case (l.certificate == "") != (l.key == ""):
		return inputError("flags.value", errors.New("--listen-cert and --listen-key belong together"), "name both files, or neither")
	}
	return nil
}

// listen takes segments until the context is done.
func (a *app) listen(command *cobra.Command, publisher *publish.Publisher, flags publishFlags) error {
	config := flags.listen.config
	config.Patience = flags.config.Patience
	taking, err := (&net.ListenConfig{}).Listen(command.Context(), "tcp", flags.listen.address)
	if err != nil {
		return environmentError("publish.listen", err, "is the address free, and --listen host:port?")
	}
	if !a.quiet && !a.json {
		a.sayListening(taking.Addr(), config.Token == "", flags)
	}
	served := publish.Serving{Certificate: flags.listen.certificate, Key: flags.listen.key, Drain: flags.listen.drain}
	counts, err := publish.NewListener(config, publisher).Serve(command.Context(), taking, served)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("stopping: %w: some segments were still on their way after --drain-timeout %s; their senders were not told that "+
			"they arrived",
			err, flags.listen.drain)
	}
	if err != nil {
		return err
	}
	return a.say(command, counts, func(out io.Writer) error {
		_, err := fmt.Fprintf(out, "%d segments, %d bytes; %d repeated, %d refused\n", counts.Segments, counts.Bytes, counts.Repeated,
			counts.Refused)
		return err
	})
}

// sayListening tells a person where segments go, on stderr: what is printed on stdout is what came of it.
func (a *app) sayListening(address net.Addr, open bool, flags publishFlags) {
	scheme := "http"
	if flags.listen.certificate != "" {
		scheme = "https"
	}
	fmt.Fprintf(a.err, "taking segments at %s://%s/streams/{stream}/segments for the topic %q\n", scheme, address, flags.config.Topic)
	host, _, _ := net.SplitHostPort(flags.listen.address)
	if local := net.ParseIP(host); open && host != "localhost" && (local == nil || !local.IsLoopback()) {
		fmt.Fprintf(a.err, "  whoever reaches this address may send: set %s, or listen on 127.0.0.1\n", tokenVariable)
	}
}

// readSecret reads a small file and leaves out the line break at its end.
func readSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(file, 64<<10))
	return strings.TrimRight(string(text), "\r\n"), errors.Join(err, file.Close())
}
