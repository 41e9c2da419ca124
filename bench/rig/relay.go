package rig

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Relay is a link to a broker that passes only so many bytes a second, in each direction of each connection.
type Relay struct {
	listener net.Listener
	target   string
	rate     int64
	stop     context.CancelFunc
	group    sync.WaitGroup
}

// NewRelay listens on a free port; To says where it leads, and it must be called before anybody connects. A rate of 0 is no limit.
func NewRelay(ctx context.Context, rate int64) (*Relay, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &Relay{listener: listener, rate: rate}, nil
}

// Addr is where it listens.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// To begins to pass on what comes.
func (r *Relay) To(ctx context.Context, target string) {
	r.target = target
	ctx, r.stop = context.WithCancel(ctx)
	r.group.Go(func() {
		for {
			from, err := r.listener.Accept()
			if err != nil {
				return
			}
			r.group.Go(func() { r.pass(ctx, from) })
		}
	})
}

// Close ends every connection and waits for it.
func (r *Relay) Close() error {
	if r.stop != nil {
		r.stop()
	}
	err := r.listener.Close()
	r.group.Wait()
	return err
}

func (r *Relay) pass(ctx context.Context, from net.Conn) {
	to, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.target)
	if err != nil {
		_ = from.Close() // the other side sees that
		return
	}
	closeBoth := func() { _ = errors.Join(from.Close(), to.Close()) }
	defer context.AfterFunc(ctx, closeBoth)()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		both.Go(func() {
			_, _ = io.Copy(&paced{to: way[1], rate: r.rate, next: time.Now()}, way[0])
			closeBoth()
		})
	}
	both.Wait()
}

// paced writes at most rate bytes a second.
type paced struct {
	to   io.Writer
	rate int64
	next time.Time
}

func (p *paced) Write(data []byte) (int, error) {
	const piece = 16 << 10
	written := 0
	for len(data) > 0 {
		part := data[:min(piece, len(data))]
		if p.rate > 0 {
			time.Sleep(time.Until(p.next))
			if now := time.Now(); p.next.Before(now) {
				p.next = now
			}
			p.next = p.next.Add(time.Duration(len(part)) * time.Second / time.Duration(p.rate))
		}
		n, err := p.to.Write(part)
		written += n
		if err != nil {
			return written, err
		}
		data = data[len(part):]
	}
	return written, nil
}
