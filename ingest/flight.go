package ingest

import (
	"sync"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// flight counts segments that are sent and not done. Its zero value is ready.
type flight struct {
	mu    sync.Mutex
	count int
	idle  chan struct{}
}

func (f *flight) add() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
}

func (f *flight) done() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count--
	if f.count == 0 && f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

// land waits until none is left, for at most timeout, and returns how many are.
func (f *flight) land(timeout time.Duration) int {
	f.mu.Lock()
	idle := make(chan struct{})
	if f.count == 0 {
		close(idle)
	} else {
		f.idle = idle
	}
	f.mu.Unlock()

	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// flightReceipt is the receipt of a segment that only has to land.
type flightReceipt struct{ flight *flight }

// Done implements stream.Receipt.
func (r flightReceipt) Done(stream.SegmentID) { r.flight.done() }
