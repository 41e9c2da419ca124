package ingest

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Counters count what a source did since it was made. All are safe for concurrent use.
// Of what went into an Order: Received = Emitted + Dropped + Duplicates + what still waits.
type Counters struct {
	// Received counts the segments that came in, Emitted those that went on.
	Received, Emitted atomic.Int64
	// Duplicates counts copies of what was there before; Late what came after its place was given up, Dropped those of the late
	// that were dropped.
	Duplicates, Late, Dropped atomic.Int64
	// Gaps counts how often something missing was given up, Forced how often that was early, because too much waited.
	Gaps, Forced atomic.Int64
	// Restarts counts senders that began to count anew, Evicted streams that were forgotten.
	Restarts, Evicted atomic.Int64
	// Problems counts records and files that could not be used.
	Problems atomic.Int64
	// Passed counts records whose results an earlier owner had written, and which nothing needs as context any more.
	Passed atomic.Int64
	// Given counts streams whose context was given up because it held the committed offset back too far.
	Given atomic.Int64
	// OutOfRange counts how often the wanted offset was no longer there.
	OutOfRange atomic.Int64
	// Rebalances counts how often partitions were given to this process.
	Rebalances atomic.Int64
}

// Stats is a snapshot of what a source did.
type Stats struct {
	Received, Emitted         int64
	Duplicates, Late, Dropped int64
	Gaps, Forced              int64
	Restarts, Evicted         int64
	Problems, Passed          int64
	Given, OutOfRange         int64
	Rebalances                int64
	// Partitions are those this process owns, ascending; empty for files.
	Partitions []PartitionStats
}

// PartitionStats is where the reading of one partition stands.
type PartitionStats struct {
	Partition int
	// Lag is how many records the topic has beyond what was read.
	Lag int64
	// Held is how many records lie between the committed offset and what was read.
	Held int64
}

// Reporter is a Source that tells what it did.
type Reporter interface {
	Stats() Stats
}

func (c *Counters) snapshot() Stats {
	return Stats{
		Received: c.Received.Load(), Emitted: c.Emitted.Load(),
		Duplicates: c.Duplicates.Load(), Late: c.Late.Load(), Dropped: c.Dropped.Load(),
		Gaps: c.Gaps.Load(), Forced: c.Forced.Load(),
		Restarts: c.Restarts.Load(), Evicted: c.Evicted.Load(),
		Problems: c.Problems.Load(), Passed: c.Passed.Load(),
		Given: c.Given.Load(), OutOfRange: c.OutOfRange.Load(), Rebalances: c.Rebalances.Load(),
	}
}

// positions are where the reading of the owned partitions stands.
type positions struct {
	mu sync.Mutex
	at map[int]position
}

// position is of one partition: the end of the topic, the next offset to read, and the committed one.
type position struct{ high, read, committed int64 }

func (p *positions) moved(partition int, read, high int64) {
	p.change(partition, func(at *position) { at.read, at.high = read, high })
}

func (p *positions) commit(partition int, offset int64) {
	p.change(partition, func(at *position) { at.committed = offset })
}

func (p *positions) change(partition int, do func(*position)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[int]position{}
	}
	at := p.at[partition]
	do(&at)
	p.at[partition] = at
}

func (p *positions) drop(partition int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.at, partition)
}

func (p *positions) stats() []PartitionStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]PartitionStats, 0, len(p.at))
	for _, id := range sortedKeys(p.at) {
		at := p.at[id]
		out = append(out, PartitionStats{Partition: id, Lag: max(at.high-at.read, 0), Held: max(at.read-at.committed, 0)})
	}
	return out
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
