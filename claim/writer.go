package claim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
)

// Writer puts payloads into a store. It is safe for use by several goroutines.
type Writer struct{ store Store }

// NewWriter makes a writer into the store, which stays the caller's.
func NewWriter(store Store) *Writer { return &Writer{store: store} }

// Put writes the payload of a segment of the stream and returns the claim on it. Trouble of the store is tried again until ctx is
// done. Invariants 3 and 4.
func (w *Writer) Put(ctx context.Context, stream, contentType string, payload []byte) (Claim, error) {
	digest := sha256.Sum256(payload)
	told := hex.EncodeToString(digest[:])
	key := folderOf(stream) + "/" + told
	if _, err := again(ctx, func() error { return w.store.Put(ctx, key, contentType, payload) }); err != nil {
		return Claim{}, err
	}
	return Claim{Ref: w.store.Place().ref(key).String(), Size: int64(len(payload)), SHA256: told}, nil
}

// longestFolder is how long the name of a stream's folder may be: file systems take 255 bytes, an address in a record 2048.
const longestFolder = 200

// folderOf is the name of a stream as one part of a path: percent-encoded, and its digest where that is too long.
func folderOf(stream string) string {
	name := url.PathEscape(stream)
	if strings.HasPrefix(name, ".") {
		name = "%2E" + name[1:]
	}
	if len(name) > longestFolder {
		digest := sha256.Sum256([]byte(stream))
		return "sha256-" + hex.EncodeToString(digest[:])
	}
	return name
}
