//go:build !unix

package eval

import "time"

// processStart is what processorTime counts from.
var processStart = time.Now()

// processorTime is the clock where nothing better is known: on a machine that does nothing else it is an upper bound.
func processorTime() (time.Duration, error) { return time.Since(processStart), nil }
