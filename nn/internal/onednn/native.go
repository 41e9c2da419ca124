//go:build cgo && linux && !purego

package onednn

/*
#cgo CFLAGS: -O2 -std=gnu11 -Wall -fopenmp
#cgo LDFLAGS: -ldnnl -lgomp
#cgo noescape ensue_matmul_run
#cgo nocallback ensue_matmul_run
#cgo noescape ensue_weights_fill
#cgo nocallback ensue_weights_fill
#include <omp.h>
#include <stdlib.h>
#include "matmul.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// Native tells that products run on oneDNN.
const Native = true

// capacity is how many products an Engine keeps. Streams of ever new resolutions must not grow it.
const capacity = 1024

// Engine is oneDNN's engine and stream, and the cache of products.
type Engine struct {
	c       *C.ensue_dnnl
	cache   map[key]*product
	clock   uint64
	scratch func(floats int) []float32
}

type key struct {
	shape  Shape
	packed bool
}

type product struct {
	c    *C.ensue_matmul
	used uint64
}

// SetThreads sets how many OpenMP threads oneDNN uses for the calling OS thread.
func SetThreads(n int) { C.omp_set_num_threads(C.int(n)) }

// New opens oneDNN. scratch returns memory that stays untouched until the next call of it.
func New(scratch func(floats int) []float32) (*Engine, error) {
	e := &Engine{
		c: (*C.ensue_dnnl)(C.calloc(1, C.sizeof_ensue_dnnl)), cache: make(map[key]*product, capacity), scratch: scratch,
	}
	if err := check(C.ensue_dnnl_open(e.c)); err != nil {
		e.Close()
		return nil, fmt.Errorf("opening oneDNN: %w", err)
	}
	return e, nil
}

// Close frees the products and the engine. Packed weights are freed by their own Close, before this one.
func (e *Engine) Close() {
	for k, p := range e.cache {
		p.close()
		delete(e.cache, k)
	}
	if e.c != nil {
		C.ensue_dnnl_close(e.c)
		C.free(unsafe.Pointer(e.c))
		e.c = nil
	}
}

func (p *product) close() {
	C.ensue_matmul_destroy(p.c)
	C.free(unsafe.Pointer(p.c))
}

// Packed are weights in oneDNN's own layout.
type Packed struct {
	c     *C.ensue_weights
	shape Shape
}

// Pack makes room for weights w [K, N] in oneDNN's layout; M is ignored. Fill fills it.
func (e *Engine) Pack(s Shape) (*Packed, error) {
	p := &Packed{c: (*C.ensue_weights)(C.calloc(1, C.sizeof_ensue_weights)), shape: s}
	native := s.native()
	if err := check(C.ensue_weights_create(e.c, p.c, &native)); err != nil {
		p.Close()
		return nil, fmt.Errorf("packing weights [%d, %d]: %w", s.N, s.K, err)
	}
	return p, nil
}

// Fill reorders float32 weights, [N, K] with TransW, into p.
func (e *Engine) Fill(p *Packed, rows []float32) error {
	native := p.shape.native()
	return check(C.ensue_weights_fill(e.c, p.c, &native, full(rows)))
}

// Floats is the whole of p's memory as float32 in oneDNN's order; p must not be bfloat16.
func (p *Packed) Floats() []float32 {
	return unsafe.Slice((*float32)(p.c.data), int(p.c.size)/4)
}

// Bytes is how much memory p holds.
func (p *Packed) Bytes() int { return int(p.c.size) }

// Close frees p.
func (p *Packed) Close() {
	if p.c != nil {
		C.ensue_weights_destroy(p.c)
		C.free(unsafe.Pointer(p.c))
		p.c = nil
	}
}

// MatMul computes y = x w with plain weights.
func (e *Engine) MatMul(s Shape, y, x, w Buffer, bias []float32) error {
	return e.run(s, y, x, nil, w, bias)
}

// MatMulPacked computes y = x w with packed weights.
func (e *Engine) MatMulPacked(s Shape, y, x Buffer, w *Packed, bias []float32) error {
	return e.run(s, y, x, w, Buffer{}, bias)
}

func (e *Engine) run(s Shape, y, x Buffer, packed *Packed, plain Buffer, bias []float32) error {
	p, err := e.product(s, packed)
	if err != nil {
		return err
	}
	var weights *C.ensue_weights
	if packed != nil {
		weights = packed.c
	}
	scratch := e.scratch(int(p.c.scratch_size+3) / 4)
	status := C.ensue_matmul_run(e.c, p.c, y.pointer(), x.pointer(), weights, plain.pointer(), full(bias), unsafe.Pointer(full(scratch)))
	if status != C.dnnl_success {
		return fmt.Errorf("multiplying [%d, %d] by [%d, %d]: %w", s.M, s.K, s.K, s.N, check(status))
	}
	return nil
}

// product returns the cached product of a shape, or makes it.
func (e *Engine) product(s Shape, packed *Packed) (*product, error) {
	e.clock++
	k := key{s, packed != nil}
	if p, ok := e.cache[k]; ok {
		p.used = e.clock
		return p, nil
	}
	if len(e.cache) >= capacity {
		e.forget()
	}
	p := &product{c: (*C.ensue_matmul)(C.calloc(1, C.sizeof_ensue_matmul)), used: e.clock}
	native := s.native()
	var weights *C.ensue_weights
	if packed != nil {
		weights = packed.c
	}
	if err := check(C.ensue_matmul_create(e.c, p.c, &native, weights)); err != nil {
		C.free(unsafe.Pointer(p.c))
		return nil, fmt.Errorf("preparing the product of [%d, %d] and [%d, %d]: %w", s.M, s.K, s.K, s.N, err)
	}
	e.cache[k] = p
	return p, nil
}

// forget drops the products that were not used for half a capacity of calls, or everything.
func (e *Engine) forget() {
	for all := range 2 {
		for k, p := range e.cache {
			if all == 1 || e.clock-p.used > capacity/2 {
				p.close()
				delete(e.cache, k)
			}
		}
		if len(e.cache) < capacity {
			return
		}
	}
}

// Implementation names what oneDNN runs for a shape that was used.
func (e *Engine) Implementation(s Shape, packed bool) string {
	if p, ok := e.cache[key{s, packed}]; ok {
		return C.GoString(p.c.implementation)
	}
	return ""
}

func (s Shape) native() C.ensue_shape {
	return C.ensue_shape{
		m: C.long(s.M), n: C.long(s.N), k: C.long(s.K), trans_x: flag(s.TransX), trans_w: flag(s.TransW), half_x: flag(s.HalfX),
		half_w: flag(s.HalfW), half_y: flag(s.HalfY), bias: flag(s.Bias), gelu: flag(s.GELU), sum: flag(s.Sum),
	}
}

func (b Buffer) pointer() unsafe.Pointer {
	if b.Half != nil {
		return unsafe.Pointer(unsafe.SliceData(b.Half))
	}
	return unsafe.Pointer(unsafe.SliceData(b.Full))
}

func full(x []float32) *C.float { return (*C.float)(unsafe.SliceData(x)) }

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

var errOutOfMemory = errors.New("out of memory")

func check(status C.dnnl_status_t) error {
	switch status {
	case C.dnnl_success:
		return nil
	case C.dnnl_out_of_memory:
		return errOutOfMemory
	case C.dnnl_invalid_arguments:
		return errors.New("oneDNN refused the arguments")
	case C.dnnl_unimplemented:
		return errors.New("oneDNN has no implementation for this")
	}
	return fmt.Errorf("oneDNN failed with status %d", int(status))
}

// cached is how many products are kept.
func (e *Engine) cached() int { return len(e.cache) }
