package predictor

import (
	"encoding/binary"
	"math"

	"github.com/ensue-video/ensue/stream"
)

// WithKeptMemory is for a caller that keeps what the predictor remembers of a stream (State.Memory) where the next owner of the stream
// finds it: the steps that would build it up again need not be read again, and Needed does not name them.
func WithKeptMemory() ScorerOption {
	return func(s *Scorer) { s.warmup = s.encoder.Warmup }
}

// Memory is what the predictor remembers after the last step, as bytes that Restore of the same predictor reads; nil where it remembers
// nothing. It is a copy.
func (s *Scorer) Memory(state *State) []byte {
	if s.remembering == nil || len(state.memories) == 0 {
		return nil
	}
	last := state.memories[len(state.memories)-s.remembering.Memory():]
	bytes := make([]byte, 0, 4*len(last))
	for _, value := range last {
		bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(value))
	}
	return bytes
}

// Restore has a stream that begins, of which nothing was scored yet, go on from what Memory wrote. Invariant 7: what follows is, bit for
// bit, what would have followed then. It fails (predict.memory_state) and changes nothing where the bytes are not from the same predictor.
func (s *Scorer) Restore(state *State, memory []byte) error {
	if len(memory) == 0 {
		return nil
	}
	if s.remembering == nil || len(memory) != 4*s.remembering.Memory() {
		return stream.Fail("predict", "predict.memory_state", "restoring what was remembered of a stream: %d bytes are not of this predictor",
			len(memory))
	}
	state.memories = make([]float32, s.remembering.Memory())
	for i := range state.memories {
		state.memories[i] = math.Float32frombits(binary.LittleEndian.Uint32(memory[4*i:]))
	}
	return nil
}
