package web

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	// every is how often changes are sent.
	every = 500 * time.Millisecond
	// maxClients is how many pages may be open at once, maxBehind how many updates one may be behind (invariant 2).
	maxClients, maxBehind = 64, 8
	// patience is how long a client may take to receive one update.
	patience = 15 * time.Second
)

// client is one open page. What it has not read waits in updates; when that is full it is behind, and gets everything once it reads again.
type client struct {
	updates chan []byte
	behind  bool
}

// clients are all open pages.
type clients struct {
	mu     sync.Mutex
	all    map[*client]struct{}
	closed bool
}

var (
	errFull   = errors.New("too many pages are open")
	errClosed = errors.New("the pipeline is stopping")
)

func newClients() *clients { return &clients{all: map[*client]struct{}{}} }

// join adds a client, which is sent first what whole makes: under the lock, so that no update falls between the two.
func (c *clients) join(whole func() []byte) (*client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, errClosed
	case len(c.all) >= maxClients:
		return nil, errFull
	}
	one := &client{updates: make(chan []byte, maxBehind)}
	one.updates <- whole()
	c.all[one] = struct{}{}
	return one, nil
}

func (c *clients) leave(one *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, one)
}

// close ends every client; no more may join.
func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for one := range c.all {
		close(one.updates)
		delete(c.all, one)
	}
}

func (c *clients) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// send hands an update to every client that keeps up. Invariant 3: one that does not loses what waits for it and is behind; once it has
// read again it gets what whole makes.
func (c *clients) send(part []byte, whole func() []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var everything []byte
	for one := range c.all {
		if one.behind {
			if len(one.updates) > 0 {
				continue
			}
			if everything == nil {
				everything = whole()
			}
			one.updates <- everything
			one.behind = false
			continue
		}
		select {
		case one.updates <- part:
		default:
			one.behind = true
			for len(one.updates) > 0 {
				select {
				case <-one.updates:
				default:
				}
			}
		}
	}
}

// publish sends what has changed to all clients, until ctx is done. While nobody looks it only forgets.
func (s *Server) publish(ctx context.Context) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			changes := s.state.changes(now)
			s.frames.tidy(now)
			if s.clients.count() == 0 {
				continue
			}
			changes.Status = s.status()
			s.clients.send(changes.encode(), s.everything)
		}
	}
}

// everything is the whole state.
func (s *Server) everything() []byte {
	u := s.state.whole(time.Now())
	u.Name, u.Model, u.Version, u.Status = s.about.Name, s.about.Model, s.about.Version, s.status()
	return u.encode()
}

// events is GET /api/events: server-sent events, each an update.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	one, err := s.clients.join(s.everything)
	if err != nil {
		w.Header().Set("Retry-After", "10")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer s.clients.leave(one)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // proxies like to hold events back
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	for {
		select {
		case <-r.Context().Done():
			return
		case data, ok := <-one.updates:
			if !ok {
				return
			}
			if err := out.SetWriteDeadline(time.Now().Add(patience)); err != nil {
				return
			}
			if _, err := w.Write(append(append([]byte("data: "), data...), "\n\n"...)); err != nil {
				return
			}
			if err := out.Flush(); err != nil {
				return
			}
		}
	}
}
