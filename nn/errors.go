package nn

import (
	"errors"
	"fmt"
)

// Error is what an operation found wrong with what it was given. Operations panic with it and Device.Run returns it.
type Error struct {
	// Op is what was being done, as a gerund.
	Op  string
	Err error
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrClosed is returned by a Device that was closed.
var ErrClosed = errors.New("the device is closed")

func fail(op, format string, args ...any) {
	panic(&Error{Op: op, Err: fmt.Errorf(format, args...)})
}

func must(op string, err error) {
	if err != nil {
		panic(&Error{Op: op, Err: err})
	}
}

// mustFor is must for what was done with a parameter; its name is not put into words before there is an error (invariant 4).
func mustFor(op string, p *Parameter, err error) {
	if err != nil {
		must(op+" "+p.Name, err)
	}
}
