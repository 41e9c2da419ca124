package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Serving says how a Listener is served.
type Serving struct {
	// Certificate and Key are PEM files; without them plain HTTP is spoken.
	Certificate, Key string
	// Drain is how long requests may take once the context is done.
	Drain time.Duration
}

// Served is what a Listener came to.
type Served struct {
	// Segments are durable because of this process, Repeated were so before, Refused were told why not.
	Segments int64 `json:"segments"`
	Bytes    int64 `json:"bytes"`
	Repeated int64 `json:"repeated"`
	Refused  int64 `json:"refused"`
}

const (
	// headerTimeout is how long a sender may take to send its headers, bodyTimeout for all of a segment: 64 MiB at 10 Mbit/s take 54 s.
	headerTimeout = 10 * time.Second
	bodyTimeout   = 2 * time.Minute
	idleTimeout   = 2 * time.Minute
	maxHeaders    = 64 << 10
)

// Serve serves on the listener, which it closes, until ctx is done; then it takes nothing new, finishes what is on its way, and returns.
// It is an error when that took longer than the drain.
func (l *Listener) Serve(ctx context.Context, on net.Listener, how Serving) (Served, error) {
	server := &http.Server{
		Handler: l.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaders,
		WriteTimeout: bodyTimeout + l.config.Patience, ErrorLog: slog.NewLogLogger(l.config.Log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() {
		if how.Certificate != "" {
			ended <- server.ServeTLS(on, how.Certificate, how.Key)
			return
		}
		ended <- server.Serve(on)
	}()
	select {
	case err := <-ended:
		return l.served(), fmt.Errorf("taking segments at %s: %w", on.Addr(), err)
	case <-ctx.Done():
	}
	l.Drain()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), how.Drain)
	defer cancel()
	err := server.Shutdown(stopping)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	if serving := <-ended; !errors.Is(serving, http.ErrServerClosed) {
		err = errors.Join(err, serving)
	}
	return l.served(), err
}

func (l *Listener) served() Served {
	return Served{
		Segments: l.counts.segments.Load(), Bytes: l.counts.bytes.Load(), Repeated: l.counts.repeated.Load(), Refused: l.counts.refused.Load(),
	}
}
