package tail

import (
	"crypto/sha256"
	"encoding/hex"
)

// DefaultOnceWindow is how many results Once remembers at least: what a crash has written again lies far less than that behind.
const DefaultOnceWindow = 1 << 18

// seen remembers the last ids, in bounded memory: two generations of at most window each. What it remembers was seen among the last
// window ids, whatever else; up to twice as much may be remembered.
type seen struct {
	window     int
	young, old map[[16]byte]struct{}
}

func newSeen(window int) *seen {
	if window <= 0 {
		window = DefaultOnceWindow
	}
	return &seen{window: window, young: map[[16]byte]struct{}{}}
}

// again says whether the id was seen before, and remembers it.
func (s *seen) again(id string) bool {
	key := keyOf(id)
	_, young := s.young[key]
	_, old := s.old[key]
	if young {
		return true
	}
	if len(s.young) >= s.window {
		s.young, s.old = make(map[[16]byte]struct{}, s.window), s.young
	}
	s.young[key] = struct{}{} // also where it is old: it was seen just now
	return old
}

// keyOf is the 16 bytes that an id of a result is; any other text is digested to as many.
func keyOf(id string) (key [16]byte) {
	if len(id) == hex.EncodedLen(len(key)) {
		if _, err := hex.Decode(key[:], []byte(id)); err == nil {
			return key
		}
	}
	digest := sha256.Sum256([]byte(id))
	copy(key[:], digest[:])
	return key
}
