package stream

import (
	"errors"
	"fmt"
)

// Code is the stable name of a kind of failure: "stage.what". Codes never change their meaning; docs/errors.md lists them.
type Code string

// Failure is an error with a stable code. Permanent failures give the same outcome however often they are tried.
type Failure struct {
	// Code is stable; people alert on it.
	Code Code
	// Stage is where it happened: ingest, decode, encode, predict, sink.
	Stage string
	// Permanent says that trying again cannot help.
	Permanent bool
	// Attempts is how often it was tried, where whoever failed has tried again by itself; 0 where it was once.
	Attempts int
	// Err is what happened, in words.
	Err error
}

// Fail makes a permanent failure; format and args as fmt.Errorf.
func Fail(stage string, code Code, format string, args ...any) *Failure {
	return &Failure{Code: code, Stage: stage, Permanent: true, Err: fmt.Errorf(format, args...)}
}

// FailTransient makes a failure that may pass; format and args as fmt.Errorf.
func FailTransient(stage string, code Code, format string, args ...any) *Failure {
	return &Failure{Code: code, Stage: stage, Err: fmt.Errorf(format, args...)}
}

// Error is the text, without the code.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap is the error inside.
func (f *Failure) Unwrap() error { return f.Err }

// AsFailure makes err a Failure with its whole text and the code of the Failure inside it; an error without one becomes a
// transient failure of the stage with the code "stage.internal".
func AsFailure(err error, stage string) *Failure {
	if failure, ok := errors.AsType[*Failure](err); ok {
		return &Failure{Code: failure.Code, Stage: failure.Stage, Permanent: failure.Permanent, Attempts: failure.Attempts, Err: err}
	}
	return &Failure{Code: Code(stage + ".internal"), Stage: stage, Err: err}
}

// DeadLetter is what the dead-letter sink writes about a segment that could not be processed (invariant 4).
type DeadLetter struct {
	Segment  SegmentID
	Origin   Origin
	Failure  *Failure
	Attempts int
	// Record is the record as it came; for files it has no value, Origin.File tells where the bytes are.
	Record      Record
	Traceparent string
}
