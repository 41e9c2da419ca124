package claim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"
)

// Claim is what a record tells about a payload that lies elsewhere.
type Claim struct {
	// Ref is its address.
	Ref string
	// Size is how many bytes it has; zero where nobody told.
	Size int64
	// SHA256 is its digest in hex.
	SHA256 string
}

// ReaderConfig says what a Reader may read.
type ReaderConfig struct {
	// Allow are the places claims may lie in.
	Allow []string
	S3    S3Config
	// Limit is how large a payload may be.
	Limit int64
	// Timeout bounds getting one payload, tries again included.
	Timeout time.Duration
}

// Reader gets the payloads of claims. It is safe for use by several goroutines.
type Reader struct {
	config ReaderConfig
	stores []Store
}

// NewReader makes the stores of the places. It connects to nothing. Close must be called.
func NewReader(config ReaderConfig) (*Reader, error) {
	reader := &Reader{config: config}
	for _, text := range config.Allow {
		place, err := ParsePlace(text)
		if err != nil {
			return nil, err
		}
		store, err := NewStore(place, config.S3)
		if err != nil {
			return nil, err
		}
		reader.stores = append(reader.stores, store)
	}
	return reader, nil
}

// Stores are the stores of the places.
func (r *Reader) Stores() []Store { return r.stores }

// Close ends the connections.
func (r *Reader) Close() error {
	var errs []error
	for _, store := range r.stores {
		errs = append(errs, store.Close())
	}
	return errors.Join(errs...)
}

// Read gets the payload of a claim and says how often it tried. Errors that wrap ErrRefused, ErrGone, ErrMismatch or ErrTooLarge are
// about the claim, all others about the store; those were tried again for the configured time, but ErrDenied.
func (r *Reader) Read(ctx context.Context, claim Claim) (payload []byte, tries int, err error) {
	store, key, err := r.find(claim.Ref)
	if err != nil {
		return nil, 0, err
	}
	if claim.Size > r.config.Limit {
		return nil, 0, tooLarge(claim.Size, r.config.Limit)
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	tries, err = again(ctx, func() (err error) {
		payload, err = r.once(ctx, store, key, claim)
		return err
	})
	return payload, tries, err
}

// again calls try until it succeeds, fails for good, or ctx is done; it says how often that was.
func again(ctx context.Context, try func() error) (tries int, err error) {
	begin := time.Now()
	for tries = 1; ; tries++ {
		if err = try(); err == nil || !passing(err) {
			return tries, err
		}
		if !rest(ctx, tries) {
			return tries, fmt.Errorf("%w (gave up after %d tries in %s)", err, tries, time.Since(begin).Round(time.Millisecond))
		}
	}
}

// passing says that the same request may succeed in a moment.
func passing(err error) bool {
	for _, final := range []error{ErrRefused, ErrGone, ErrMismatch, ErrTooLarge, ErrDenied} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}

// rest waits before another try, longer each time and a random half of it less; it is false when there is no time left.
func rest(ctx context.Context, tries int) bool {
	const first, most = 100 * time.Millisecond, 2 * time.Second
	pause := most
	if tries < 16 {
		pause = min(first<<(tries-1), most)
	}
	timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// find is the store that may be asked for the address. Invariant 1.
func (r *Reader) find(text string) (Store, string, error) {
	ref, err := ParseRef(text)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrRefused, err)
	}
	for _, store := range r.stores {
		if key, ok := store.Place().Holds(ref); ok {
			return store, key, nil
		}
	}
	return nil, "", fmt.Errorf("%w: %s lies in none of the places that are allowed (%s)", ErrRefused, ref, strings.Join(r.config.Allow, ", "))
}

// once reads the object and holds it against the claim. Invariant 2: the limit holds while reading, whatever the store tells.
func (r *Reader) once(ctx context.Context, store Store, key string, claim Claim) (payload []byte, err error) {
	body, size, err := store.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	switch {
	case size > r.config.Limit:
		return nil, tooLarge(size, r.config.Limit)
	case claim.Size > 0 && size >= 0 && size != claim.Size:
		return nil, fmt.Errorf("%w: it has %d bytes, the claim told %d", ErrMismatch, size, claim.Size)
	}
	digest := sha256.New()
	payload = make([]byte, 0, max(size, 512))
	limited := io.TeeReader(io.LimitReader(&ending{ctx, body}, r.config.Limit+1), digest)
	if payload, err = readAll(limited, payload); err != nil {
		return nil, fmt.Errorf("reading %s: %w", store.Place().ref(key), err)
	}
	switch got := int64(len(payload)); {
	case got > r.config.Limit:
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, r.config.Limit)
	case size >= 0 && got != size:
		return nil, fmt.Errorf("reading %s: it ended after %d of %d bytes", store.Place().ref(key), got, size)
	case claim.Size > 0 && got != claim.Size:
		return nil, fmt.Errorf("%w: it has %d bytes, the claim told %d", ErrMismatch, got, claim.Size)
	}
	if got := hex.EncodeToString(digest.Sum(nil)); !strings.EqualFold(got, claim.SHA256) {
		return nil, fmt.Errorf("%w: its SHA-256 is %s, the claim told %s", ErrMismatch, got, claim.SHA256)
	}
	return payload, nil
}

func tooLarge(size, limit int64) error {
	return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrTooLarge, size, limit)
}

// readAll appends what the reader has; where the size was told in advance nothing is copied.
func readAll(from io.Reader, into []byte) ([]byte, error) {
	for {
		if len(into) == cap(into) {
			into = append(into, 0)[:len(into)]
		}
		n, err := from.Read(into[len(into):cap(into)])
		into = into[:len(into)+n]
		if errors.Is(err, io.EOF) {
			return into, nil
		}
		if err != nil {
			return into, err
		}
	}
}

// ending is a reader that ends with its context: a network file system may take its time.
type ending struct {
	ctx  context.Context //nolint:containedctx // it is one call's reader
	from io.Reader
}

func (e *ending) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.from.Read(p)
}
