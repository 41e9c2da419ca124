package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// watcher follows results and dead letters while they come: how far the pipeline is, and how long it takes. It judges nothing.
type watcher struct {
	client *kgo.Client
	feed   *feed
	group  sync.WaitGroup

	mu       sync.Mutex
	results  map[string]struct{}
	letters  map[string]struct{}
	last     time.Time
	phase    string
	phases   map[string][]time.Duration
	boundary map[string]time.Time
}

func watch(ctx context.Context, addrs []string, topics topicNames, committed bool, from *feed) (*watcher, error) {
	level := kgo.ReadUncommitted()
	if committed {
		level = kgo.ReadCommitted()
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(addrs...), kgo.ConsumeTopics(topics.results, topics.dead), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(level), kgo.FetchMaxWait(100*time.Millisecond), kgo.ClientID("bench-watch"),
	)
	if err != nil {
		return nil, fmt.Errorf("making a reader: %w", err)
	}
	w := &watcher{
		client: client, feed: from, results: map[string]struct{}{}, letters: map[string]struct{}{}, last: time.Now(),
		phases: map[string][]time.Duration{}, boundary: map[string]time.Time{},
	}
	w.group.Go(func() {
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(record *kgo.Record) { w.take(record, record.Topic == topics.dead) })
		}
	})
	return w, nil
}

func (w *watcher) close() {
	w.group.Wait()
	w.client.Close()
}

// begin says that what is sent from now on belongs to a phase.
func (w *watcher) begin(phase string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.phase = phase
	w.boundary[phase] = time.Now()
}

func (w *watcher) take(record *kgo.Record, dead bool) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if dead {
		w.letters[header(record, "ensue-dead-id")] = struct{}{}
		w.last = now
		return
	}
	id := header(record, "ce_id")
	if _, again := w.results[id]; again {
		return
	}
	w.results[id] = struct{}{}
	w.last = now
	var told struct{ Y struct{ Segment string } }
	if json.Unmarshal(record.Value, &told) != nil || !strings.HasPrefix(told.Y.Segment, "cam-") {
		return
	}
	if at, ok := w.feed.sent(told.Y.Segment); ok && !at.Before(w.boundary[w.phase]) {
		w.phases[w.phase] = append(w.phases[w.phase], now.Sub(at))
	}
}

// progress is how many results and dead letters came, each id once, and when the last one did.
func (w *watcher) progress() (results, letters int, last time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.results), len(w.letters), w.last
}

// Latency is how long it took from a segment being durable to its result being read.
type Latency struct {
	Phase   string  `json:"phase"`
	N       int     `json:"n"`
	P50     float64 `json:"p50_seconds"`
	P95     float64 `json:"p95_seconds"`
	P99     float64 `json:"p99_seconds"`
	Longest float64 `json:"max_seconds"`
}

// latencies are those of every phase, by name.
func (w *watcher) latencies() map[string]Latency {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]Latency{}
	for phase, took := range w.phases {
		slices.Sort(took)
		at := func(q float64) float64 { return took[min(int(q*float64(len(took))), len(took)-1)].Seconds() }
		all[phase] = Latency{Phase: phase, N: len(took), P50: at(.5), P95: at(.95), P99: at(.99), Longest: at(1)}
	}
	return all
}
