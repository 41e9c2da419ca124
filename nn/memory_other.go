//go:build !linux

package nn

import (
	"bytes"
	"runtime"
	"strconv"
)

const hugePage = 1 << 21

func mapMemory(n int) ([]byte, error) { return make([]byte, n), nil }

func unmapMemory([]byte) {}

// threadID names the calling goroutine: "goroutine 12 [running]: …" is the only place where Go says it. The owner of a Device is one
// goroutine, so that is as good as its thread.
func threadID() int {
	var line [64]byte
	fields := bytes.Fields(line[:runtime.Stack(line[:], false)])
	id, _ := strconv.Atoi(string(fields[1]))
	return id
}
