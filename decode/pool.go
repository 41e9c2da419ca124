package decode

import (
	"sync"
)

// Pool is the memory of clips. Decoders share one; a clip's Release gives its memory back. It is safe for use by several goroutines.
//
// It counts what is out (invariant 6: whoever bounds the pipeline can ask), and keeps at most the bytes it was made with for the
// next clips; the rest goes to the garbage collector. A clip that is never released is only missing from the count.
type Pool struct {
	mu     sync.Mutex
	idle   [][]byte
	kept   int64
	retain int64

	clips int
	bytes int64
}

// NewPool makes a pool that keeps up to retain bytes for the next clips.
func NewPool(retain int64) *Pool { return &Pool{retain: retain} }

// Outstanding is how many clips are not released yet, and how many bytes they hold.
func (p *Pool) Outstanding() (clips int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clips, p.bytes
}

// get returns n bytes that are whatever they were before.
func (p *Pool) get(n int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	size := roundUp(n)
	memory := p.take(size)
	if memory == nil {
		memory = make([]byte, size)
	}
	p.clips++
	p.bytes += int64(cap(memory))
	return memory[:n]
}

// take finds the smallest idle memory that holds size bytes and does not waste half of itself.
func (p *Pool) take(size int) []byte {
	best := -1
	for i, memory := range p.idle {
		if fits := cap(memory) >= size && cap(memory) <= 2*size; fits && (best < 0 || cap(memory) < cap(p.idle[best])) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	memory := p.idle[best]
	last := len(p.idle) - 1
	p.idle[best], p.idle[last] = p.idle[last], nil
	p.idle = p.idle[:last]
	p.kept -= int64(cap(memory))
	return memory
}

// put takes the memory of a released clip back.
func (p *Pool) put(memory []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	size := int64(cap(memory))
	p.clips--
	p.bytes -= size
	for p.kept+size > p.retain && len(p.idle) > 0 { // the oldest goes, so that sizes nobody asks for any more do not stay
		p.kept -= int64(cap(p.idle[0]))
		copy(p.idle, p.idle[1:])
		p.idle[len(p.idle)-1] = nil
		p.idle = p.idle[:len(p.idle)-1]
	}
	if size > 0 && p.kept+size <= p.retain {
		p.idle = append(p.idle, memory)
		p.kept += size
	}
}

// roundUp makes sizes meet again: up to a multiple of 256 KiB.
func roundUp(n int) int {
	const grain = 256 << 10
	return (n + grain - 1) / grain * grain
}
