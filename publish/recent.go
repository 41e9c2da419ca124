package publish

import (
	"container/list"
	"strconv"
	"sync"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// maxRecent bounds how many segments are remembered (a few hundred bytes each), and maxAge for how long.
const (
	maxRecent = 65536
	maxAge    = 10 * time.Minute
)

// identity is what a segment is known by when it is sent again: its number, or where it has none its time and digest. A segment with
// neither is new every time.
func identity(segment *stream.Segment) (string, bool) {
	switch {
	case segment.Sequenced:
		// A sender that counts anew tells another epoch, or at least another time.
		return "n\x00" + segment.Stream + "\x00" + strconv.FormatInt(segment.Sequence, 10) + "\x00" +
			segment.Epoch.Format(time.RFC3339Nano) + "\x00" + segment.Start.Format(time.RFC3339Nano), true
	case !segment.Start.IsZero() && segment.SHA256 != "":
		return "t\x00" + segment.Stream + "\x00" + segment.Start.Format(time.RFC3339Nano) + "\x00" + segment.SHA256, true
	}
	return "", false
}

// recent remembers what was delivered lately, so that a request that is sent again writes nothing again.
type recent struct {
	mu   sync.Mutex
	all  map[string]*delivery
	aged *list.List // of *delivery, the oldest first; only those that are over
}

// delivery is one segment on its way, or there. Everything but done is written before done is closed.
type delivery struct {
	done     chan struct{}
	key, sha string
	accepted *Accepted
	at       time.Time
}

func newRecent() *recent { return &recent{all: map[string]*delivery{}, aged: list.New()} }

// begin is the delivery of a segment; mine says that it is the caller's to make, and to end.
func (r *recent) begin(key string) (known *delivery, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, there := r.all[key]; there {
		return known, false
	}
	known = &delivery{done: make(chan struct{}), key: key}
	r.all[key] = known
	return known, true
}

// end is called once the delivery succeeded or failed; one that failed is forgotten.
func (r *recent) end(key string, known *delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known.at = time.Now()
	close(known.done)
	if known.accepted == nil {
		delete(r.all, key)
		return
	}
	r.aged.PushBack(known)
	for oldest := r.aged.Front(); oldest != nil; oldest = r.aged.Front() {
		gone := oldest.Value.(*delivery)
		if r.aged.Len() <= maxRecent && time.Since(gone.at) < maxAge {
			break
		}
		r.aged.Remove(oldest)
		delete(r.all, gone.key)
	}
}
