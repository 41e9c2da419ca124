package main

import (
	"syscall"
	"time"
)

// clock tells time since some moment.
type clock func() time.Duration

// clockOf is the clock on the wall, or with own that of the work done by this process alone.
func clockOf(own bool) clock {
	if own {
		return processorTime
	}
	begin := time.Now()
	return func() time.Duration { return time.Since(begin) }
}

// processorTime is how long processors have worked for this process.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err) // it has no other argument
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
