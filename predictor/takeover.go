package predictor

import (
	"encoding/binary"
	"math"

	"github.com/ensue-video/ensue/stream"
)

// WithKeptMemory is for a caller that keeps what the predictor remembers of a stream (State.Memory) where the next owner of the stream
// finds it: the steps that would build it up again need not be read again, and Needed does not name them.
func WithKeptMemory() ScorerOption {
	return func(s *Scorer) { s.kept = true }
}

// Memory is what the predictor remembers after the last step, as bytes that Restore of the same predictor reads; nil where it remembers
// nothing. It is a copy.
func (s *Scorer) Memory(state *State) []byte {
	if s.remembering == nil || len(state.memories) == 0 {
		return nil
	}
	last := state.memories[len(state.memories)-s.remembering.Memory():]
	bytes := binary.LittleEndian.AppendUint64(make([]byte, 0, eraBytes+8*len(last)), uint64(state.era))
	for _, values := range [][]float32{last, state.newer} {
		for _, value := range values {
			bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(value))
		}
	}
	return bytes
}

// eraBytes is the size of an era's number.
const eraBytes = 8

// Restore has a stream that begins, of which nothing was scored yet, go on from what Memory wrote. Invariant 7: what follows is, bit for
// bit, what would have followed then. It fails (predict.memory_state) and changes nothing where the bytes are not from the same predictor.
func (s *Scorer) Restore(state *State, memory []byte) error {
	if len(memory) == 0 {
		return nil
	}
	size := 0
	if s.remembering != nil {
		size = 4 * s.remembering.Memory()
	}
	if size == 0 || len(memory) != eraBytes+size && len(memory) != eraBytes+2*size {
		return stream.Fail("predict", "predict.memory_state", "restoring what was remembered of a stream: %d bytes are not of this predictor",
			len(memory))
	}
	values := make([]float32, (len(memory)-eraBytes)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(memory[eraBytes+4*i:]))
	}
	state.era, state.memories = int64(binary.LittleEndian.Uint64(memory)), values[:size/4:size/4]
	if len(values) > size/4 {
		state.newer = values[size/4:]
	}
	return nil
}
