package container

/*
#cgo pkg-config: libavformat libavcodec libavutil
#include <stdlib.h>
#include <errno.h>
#include <libavutil/avutil.h>
#include <libavutil/time.h>
#include "bridge.h"
*/
import "C"

import (
	"context"
	"errors"
	"io"
	"runtime/cgo"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/asticode/go-astiav"
)

// ioBuffer is the size of the buffer between FFmpeg and a reader.
const ioBuffer = 64 << 10

// Whence bits of FFmpeg's seek callback, beside those of io.Seeker.
const (
	seekSize  = 0x10000
	seekForce = 0x20000
)

// wrap makes an astiav value of a C object that astiav has no constructor for. Every astiav type begins with its C pointer
// (bridge_test.go checks it), and a value made like this is in none of astiav's tables, so nothing of it stays behind.
func wrap[T any](pointer unsafe.Pointer) *T {
	value := new(T)
	*(*unsafe.Pointer)(unsafe.Pointer(value)) = pointer
	return value
}

// unwrap is the C object of an astiav value.
func unwrap[T any](value *T) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(value))
}

// source is what FFmpeg reads from at the moment.
type source struct {
	ctx    context.Context
	reader io.ReadSeeker
	size   int64
	// err is the reader's own failure, which FFmpeg knows only as "input/output error".
	err error
}

//export ensueRead
func ensueRead(handle C.uintptr_t, buffer *C.uint8_t, size C.int) C.int {
	src := cgo.Handle(handle).Value().(*source)
	n, err := src.read(unsafe.Slice((*byte)(unsafe.Pointer(buffer)), int(size)))
	if err != nil {
		return C.int(ffmpegError(err))
	}
	return C.int(n)
}

//export ensueSeek
func ensueSeek(handle C.uintptr_t, offset C.int64_t, whence C.int) C.int64_t {
	src := cgo.Handle(handle).Value().(*source)
	at, err := src.seek(int64(offset), int(whence))
	if err != nil {
		return C.int64_t(ffmpegError(err))
	}
	return C.int64_t(at)
}

func ffmpegError(err error) astiav.Error {
	if code, ok := errors.AsType[astiav.Error](err); ok {
		return code
	}
	return astiav.ErrEio
}

// read fills p as far as it can. A panic of the reader must not unwind through C: it becomes an error.
func (s *source) read(p []byte) (n int, err error) {
	defer s.recovered(&err)
	if s.ctx.Err() != nil {
		return 0, astiav.ErrExit
	}
	n, err = s.reader.Read(p)
	switch {
	case n > 0:
		return n, nil
	case err == nil, errors.Is(err, io.EOF):
		return 0, astiav.ErrEof
	}
	s.err = err
	return 0, astiav.ErrEio
}

func (s *source) seek(offset int64, whence int) (at int64, err error) {
	defer s.recovered(&err)
	whence &^= seekForce
	if whence == seekSize {
		return s.size, nil
	}
	at, err = s.reader.Seek(offset, whence)
	if err != nil {
		return 0, astiav.ErrEio // FFmpeg also asks for places that do not exist; that is no failure of the reader
	}
	return at, nil
}

func (s *source) recovered(err *error) {
	if cause := recover(); cause != nil {
		s.err = errors.New("the reader panicked")
		*err = astiav.ErrEio
	}
}

// Version is the version of the FFmpeg that is linked, as its maintainers and the distribution spell it.
func Version() string { return C.GoString(C.av_version_info()) }

// live counts the C objects of this package that exist now, for tests.
var live atomic.Int64

// Live is how many FFmpeg objects this package holds in the whole process. It is 0 when every Input, Codec and Packets is freed.
func Live() int64 { return live.Load() }

// guard wraps C.Guard.
type guard struct {
	c      *C.Guard
	handle cgo.Handle
}

func newGuard(src *source) (*guard, error) {
	handle := cgo.NewHandle(src)
	c := C.guard_new(C.uintptr_t(handle))
	if c == nil {
		handle.Delete()
		return nil, astiav.Error(-int(C.ENOMEM))
	}
	live.Add(1)
	return &guard{c: c, handle: handle}, nil
}

func (g *guard) free() {
	C.guard_free(g.c)
	g.handle.Delete()
	live.Add(-1)
}

// arm forgets what was said and sets the time to give up at; the zero time means never.
func (g *guard) arm(deadline time.Time) {
	C.guard_clear(g.c)
	g.c.deadline = 0
	if !deadline.IsZero() {
		g.c.deadline = C.av_gettime_relative() + C.int64_t(time.Until(deadline).Microseconds())
	}
}

func (g *guard) message() string {
	var text [len(g.c.message)]C.char
	C.guard_message(g.c, &text[0], C.int(len(text)))
	return C.GoString(&text[0])
}
