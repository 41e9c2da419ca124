//go:build unix

package eval

import (
	"fmt"
	"syscall"
	"time"
)

// processorTime is what the process has used of all processors. Unlike a clock it goes on alike whatever else the machine is doing.
func processorTime() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("reading the processor time: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
