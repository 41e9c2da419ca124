package ingest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// franzHooks hear what the client does not tell in its results: whether fetches arrive at all. While they do not, no time passes
// for what waits for a missing segment, and a record that takes too long is not fetched again and again under the same terms.
type franzHooks struct{ m *franzMembership }

// OnGroupManageError implements kgo.HookGroupManageError. The client joins again by itself.
func (h *franzHooks) OnGroupManageError(err error) {
	if h.m.reading.Err() == nil && errors.Is(err, kerr.InconsistentGroupProtocol) {
		h.m.log.Warn("joining the consumer group fails; trying again until it works", "error", joinError(h.m.cfg.Group, err))
	}
}

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (h *franzHooks) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key != int16(kmsg.Fetch) {
		return
	}
	err := e2e.Err()
	if err == nil {
		h.works()
		return
	}
	if h.m.reading.Err() != nil || errors.Is(err, context.Canceled) {
		return // the client gives a fetch up itself when partitions change
	}
	h.fails(fmt.Errorf("fetching from a broker: %w", err))
	// Something arrived, but not all of it in time: a slow link, and the same would happen again.
	if late := net.Error(nil); errors.As(err, &late) && late.Timeout() && e2e.BytesRead > 4 {
		h.slow(e2e)
	}
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (h *franzHooks) OnBrokerConnect(broker kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil && h.m.reading.Err() == nil {
		h.fails(fmt.Errorf("connecting to %s: %w", net.JoinHostPort(broker.Host, strconv.Itoa(int(broker.Port))), err))
	}
}

func (h *franzHooks) fails(err error) {
	if h.m.failing.CompareAndSwap(false, true) {
		h.m.log.Warn("reading fails; trying again until it works", "error", err)
		h.tell(fetched{failing: true})
	}
}

func (h *franzHooks) works() {
	if h.m.failing.CompareAndSwap(true, false) {
		h.m.log.Info("reading works again")
		h.tell(fetched{})
	}
}

func (h *franzHooks) tell(news fetched) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	for _, w := range h.m.workers {
		w.mailbox.put(news)
	}
}

// slow gives fetches twice the time, in the next membership.
func (h *franzHooks) slow(e2e kgo.BrokerE2E) {
	rate := float64(e2e.BytesRead) / max(e2e.TimeToRead.Seconds(), 1e-3)
	next := min(2*time.Duration(h.m.overhead.Load()), maxTimeout)
	h.m.overhead.Store(int64(next))
	h.m.log.Warn("a fetch did not arrive within ingest.kafka.read_batch_timeout; waiting longer from now on: "+
		"raise ingest.kafka.read_batch_timeout, lower ingest.kafka.max_bytes, send shorter segments, or send them by claim",
		"arrived", e2e.BytesRead, "bytes_per_second", int64(rate), "waiting", next)
	h.m.end(errors.New("a fetch did not arrive in time"))
}
