package nn

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"unsafe"
)

// buffer is a piece of memory outside the Go heap.
type buffer struct {
	id    int
	mem   []byte
	class int
	refs  int // values that look at it
}

func (b *buffer) pointer() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b.mem)) }

// pool hands out buffers and takes them back, in size classes an eighth apart. It gives nothing back to the system before close: a page
// given back is a page to fault in again.
//
// After settle, the same sequence of gets and puts meets the same buffers. That is what keeps a repeated step free of allocations.
type pool struct {
	free  map[int][]*buffer
	maps  [][]byte // what was taken from the system
	slab  []byte   // what is left of the last slab
	count int
	bytes int
}

const (
	slabBytes  = 8 << 20
	pageBytes  = 4 << 10
	alignBytes = 64
)

// classOf rounds a size up to a multiple of an eighth of its power of two.
func classOf(n int) int {
	n = max(n, alignBytes)
	step := max(alignBytes, 1<<(bits.Len(uint(n))-4))
	return (n + step - 1) / step * step
}

func (p *pool) get(n int) *buffer {
	class := classOf(n)
	if list := p.free[class]; len(list) > 0 {
		b := list[len(list)-1]
		p.free[class] = list[:len(list)-1]
		b.refs = 1
		return b
	}
	if p.free == nil {
		p.free = map[int][]*buffer{}
	}
	p.count++
	return &buffer{id: p.count, mem: p.carve(class), class: class, refs: 1}
}

// carve takes memory from the slab; what is large gets its own mapping.
func (p *pool) carve(n int) []byte {
	if n > slabBytes/4 {
		return p.take((n + hugePage - 1) / hugePage * hugePage)[:n]
	}
	if len(p.slab) < n {
		p.slab = p.take(slabBytes)
	}
	mem := p.slab[:n:n]
	p.slab = p.slab[n:]
	return mem
}

func (p *pool) take(n int) []byte {
	mem, err := mapMemory(n)
	if err != nil {
		panic(&Error{Op: "allocating", Err: fmt.Errorf("%d bytes: %w", n, err)})
	}
	p.maps = append(p.maps, mem)
	p.bytes += n
	return mem
}

func (p *pool) put(b *buffer) {
	if b.refs--; b.refs == 0 {
		p.free[b.class] = append(p.free[b.class], b)
	}
}

// settle puts the free lists in the order of their making.
func (p *pool) settle() {
	for _, list := range p.free {
		slices.SortFunc(list, newestFirst)
	}
}

func newestFirst(a, b *buffer) int { return cmp.Compare(b.id, a.id) }

func (p *pool) close() {
	for _, m := range p.maps {
		unmapMemory(m)
	}
	*p = pool{}
}

// scratch is memory for the inside of one operation. It only grows.
type scratch struct {
	mem []byte
}

func (s *scratch) floats(n int) []float32 {
	if 4*n > len(s.mem) {
		s.close()
		mem, err := mapMemory((4*n + hugePage - 1) / hugePage * hugePage)
		if err != nil {
			panic(&Error{Op: "allocating", Err: fmt.Errorf("%d bytes of scratch memory: %w", 4*n, err)})
		}
		s.mem = mem
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(s.mem))), n)
}

func (s *scratch) close() {
	if s.mem != nil {
		unmapMemory(s.mem)
		s.mem = nil
	}
}

// block is memory of one size, for numbers that stay.
type block struct {
	floats []float32
	mem    []byte
}

func newBlock(n int) block {
	bytes := 4 * n
	mem, err := mapMemory(max(1, (bytes+pageBytes-1)/pageBytes) * pageBytes)
	if err != nil {
		panic(&Error{Op: "allocating", Err: fmt.Errorf("%d bytes: %w", bytes, err)})
	}
	return block{unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(mem))), n), mem}
}

func (b *block) close() {
	if b.mem != nil {
		unmapMemory(b.mem)
		*b = block{}
	}
}
