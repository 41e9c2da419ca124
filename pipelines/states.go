package pipelines

import "sync"

// states is what a stage remembers of every stream. The lanes see to it that one goroutine at a time uses the state of a
// stream; the map itself needs the lock.
type states[S any] struct {
	mu   sync.Mutex
	all  map[string]S
	make func() S
}

func newStates[S any](make func() S) *states[S] {
	return &states[S]{all: map[string]S{}, make: make}
}

// of is the state of the stream, a new one if it has none.
func (s *states[S]) of(stream string) S {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, ok := s.all[stream]
	if !ok {
		state = s.make()
		s.all[stream] = state
	}
	return state
}

// drop forgets the stream.
func (s *states[S]) drop(stream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, stream)
}
