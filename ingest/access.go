package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/ensue-video/ensue/connect"
)

// access is whether the brokers let this client read. Until something was read a refusal (of the login, of a right) ends the source:
// it was started with settings that cannot work. After that it is waited out like an outage: who takes a right away by mistake, or
// changes a password, gives it back, and nothing is lost meanwhile. Either way it is told what to change.
type access struct {
	mu     sync.Mutex
	proven bool
	since  time.Time
	refuse context.CancelCauseFunc
}

// begin is called by Run with what ends it.
func (a *access) begin(refuse context.CancelCauseFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refuse, a.since = refuse, time.Time{}
}

// prove notes that something could be read.
func (a *access) prove() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.proven = true
}

// refused notes a refusal, and ends the source where that is all there ever was for so long: a user who was just made takes a moment to
// be known to every broker.
func (a *access) refused(err error, patience time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.proven || a.refuse == nil {
		return
	}
	if a.since.IsZero() {
		a.since = time.Now()
	}
	if time.Since(a.since) >= patience {
		a.refuse(err)
	}
}

// judge says what to do about an error of the brokers, where it is one of those that somebody has to mend.
func (k *Kafka) judge(err error) error {
	why := connect.Why(err)
	if why == "" {
		return err
	}
	told := k.refused(err)
	if why != connect.ReasonTLS { // a connection that breaks off while it is encrypted is an outage
		k.access.refused(told, k.timing.topic)
	}
	return told
}
