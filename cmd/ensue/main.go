package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := drainOnSignal(context.Background())
	code := run(ctx, os.Args[1:], newApp(os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
	stop()
	os.Exit(code)
}

// drainOnSignal ends the context at the first SIGINT or SIGTERM, so that what is under way is finished; the second one kills,
// with the exit code a shell expects of it.
func drainOnSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			cancel()
		case <-done:
			return
		}
		select {
		case second := <-signals:
			os.Exit(exitKilled + signalNumber(second))
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

func signalNumber(s os.Signal) int {
	if number, ok := s.(syscall.Signal); ok {
		return int(number)
	}
	return 0
}
