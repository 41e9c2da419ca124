package claim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// What can be wrong with a claim. Everything else is the store's trouble, and may pass.
var (
	// ErrRefused: the address is none, or leads out of the places that are allowed.
	ErrRefused = errors.New("the claim is refused")
	// ErrGone: there is no such object (any more).
	ErrGone = errors.New("there is no such object")
	// ErrMismatch: the object is not what the claim told.
	ErrMismatch = errors.New("the object is not the one that was claimed")
	// ErrTooLarge: the object is larger than the limit.
	ErrTooLarge = errors.New("the object is too large")
	// ErrDenied: the store does not let this process in. A store that may not be listed says this of missing objects as well.
	ErrDenied = errors.New("the store denies access")
)

// Object is one object of a store.
type Object struct {
	// Key is its name in the store's place.
	Key      string
	Size     int64
	Modified time.Time
}

// Store keeps the objects of one Place. It is safe for use by several goroutines.
type Store interface {
	// Place is where the objects lie.
	Place() Place
	// Put writes an object, over one that is there; it is durable when Put returns.
	Put(ctx context.Context, key, contentType string, data []byte) error
	// Open opens an object for reading and tells its size. Its errors wrap ErrGone and ErrDenied where that is it.
	Open(ctx context.Context, key string) (io.ReadCloser, int64, error)
	// Stat tells about an object.
	Stat(ctx context.Context, key string) (Object, error)
	// List calls each with every object; an error of each ends it and is returned.
	List(ctx context.Context, each func(Object) error) error
	// Remove removes an object; one that is not there is no error.
	Remove(ctx context.Context, key string) error
	// Close ends the connections.
	Close() error
}

// NewStore makes the store of a place; s3 is only for places of that scheme. It connects to nothing.
func NewStore(place Place, s3 S3Config) (Store, error) {
	switch place.Scheme {
	case SchemeFile:
		return NewFolder(place)
	case SchemeS3:
		return NewS3(place, s3)
	}
	return nil, fmt.Errorf("making the store %s: its scheme is neither %s nor %s", place, SchemeS3, SchemeFile)
}
