package state

import (
	"container/list"
	"context"
	"sync"

	"github.com/ensue-video/ensue/stream"
)

// memoryStreams is how many streams Memory remembers, as many as an ingest.Order does.
const memoryStreams = 16384

// Memory is a Store within the process. A partition that comes back after a rebalance finds what this process knew of its streams, which
// another process may have carried on meanwhile: then the calibration lacks what was seen there.
type Memory struct {
	limit int

	mu    sync.Mutex
	known map[string]*list.Element // by key
	order *list.List               // of *stream.Saved, the one saved longest ago first
}

// NewMemory makes an empty one.
func NewMemory() *Memory {
	return &Memory{limit: memoryStreams, known: map[string]*list.Element{}, order: list.New()}
}

// Load implements Store.
func (m *Memory) Load(_ context.Context, partition Partition) (map[string]*stream.Saved, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := newest{partition: partition, streams: map[string]*stream.Saved{}}
	for e := m.order.Front(); e != nil; e = e.Next() {
		found.add(e.Value.(*stream.Saved))
	}
	return found.streams, nil
}

// Save implements Store. Invariant 6: beyond the limit the stream saved longest ago is forgotten.
func (m *Memory) Save(_ context.Context, entries []Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, entry := range entries {
		key := entry.Key()
		if at := m.known[key]; at != nil {
			m.order.Remove(at)
			delete(m.known, key)
		}
		if entry.Gone || entry.Ended {
			continue // what ended in this process was acknowledged in it: nobody asks for it again
		}
		m.known[key] = m.order.PushBack(entry.Saved)
		if m.order.Len() > m.limit {
			oldest := m.order.Front()
			delete(m.known, oldest.Value.(*stream.Saved).Key())
			m.order.Remove(oldest)
		}
	}
	return nil
}

// Close implements Store.
func (m *Memory) Close() error { return nil }
