package rig

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is one process of the program under test.
type Process struct {
	// Log is the file with what it says.
	Log  string
	pid  int
	done chan struct{}
	err  error
}

// Start starts the program; what it says goes to the end of the log. The kernel kills it with this process.
func Start(log, program string, arguments ...string) (*Process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	command := exec.Command(program, arguments...)
	command.Stdout, command.Stderr = file, file
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &Process{Log: log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Pdeathsig means the thread that started the process, not the whole program: the thread has to stay.
		runtime.LockOSThread()
		if err := command.Start(); err != nil {
			started <- err
			return
		}
		p.pid = command.Process.Pid
		started <- nil
		p.err = command.Wait()
		close(p.done)
	}()
	if err := errors.Join(<-started, file.Close()); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	return p, nil
}

// Signal sends a signal to the process if it still runs.
func (p *Process) Signal(sig syscall.Signal) error {
	if p.Ended() {
		return nil
	}
	if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("sending %s: %w", sig, err)
	}
	return nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended says whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Wait waits until the process has ended, for at most so long; false: it still runs.
func (p *Process) Wait(atMost time.Duration) bool {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

// KilledBy is the signal that killed a process that has ended: one that it did not handle; 0 where it ended by itself.
func (p *Process) KilledBy() syscall.Signal {
	if exit, ok := errors.AsType[*exec.ExitError](p.err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return status.Signal()
		}
	}
	return 0
}

// Exit is the exit code of a process that has ended, 128 and the signal's number where one killed it.
func (p *Process) Exit() int {
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return 0
	case p.KilledBy() != 0:
		return 128 + int(p.KilledBy())
	case errors.As(p.err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// Resident is how many bytes of memory the process has, C libraries included; 0 where that is not known.
func (p *Process) Resident() int64 { return p.status("VmRSS:") }

// Peak is the most it ever had.
func (p *Process) Peak() int64 { return p.status("VmHWM:") }

func (p *Process) status(key string) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}

// Processor is how much processor time it has used.
func (p *Process) Processor() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may have spaces.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime
		n, _ := strconv.ParseInt(field, 10, 64)
		ticks += n
	}
	const hertz = 100
	return time.Duration(ticks) * time.Second / hertz
}

// LastLine is the last line of the log, for reports.
func (p *Process) LastLine() string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}
