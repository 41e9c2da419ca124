package kernel

import (
	"syscall"
	"unsafe"
)

// processorTime is how long the calling thread has been computing, in seconds.
func processorTime() float64 {
	const thread = 3 // CLOCK_THREAD_CPUTIME_ID
	var t syscall.Timespec
	_, _, _ = syscall.Syscall(syscall.SYS_CLOCK_GETTIME, thread, uintptr(unsafe.Pointer(&t)), 0)
	return float64(t.Sec) + 1e-9*float64(t.Nsec)
}
