package claim

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// SweepConfig says what an orphan is.
type SweepConfig struct {
	// Older is how old an object must be at least.
	Older time.Duration
	// Referenced says whether anything refers to the object.
	Referenced func(Ref) bool
	// Remove removes the orphans; without it they are only told.
	Remove bool
	// Now is the time that ages are counted from.
	Now time.Time
}

// Swept is what a sweep came to.
type Swept struct {
	// Objects are all there are, Kept those that are referred to, Young those that are not old enough to tell.
	Objects int `json:"objects"`
	Kept    int `json:"kept"`
	Young   int `json:"young"`
	// Orphans are the others, and Bytes how large they are in all.
	Orphans int   `json:"orphans"`
	Bytes   int64 `json:"bytes"`
	// Removed says that they were removed.
	Removed bool `json:"removed"`
}

// Sweep finds the orphans of a store and tells each to found, which may be nil. Invariant 5: an object is looked at again just before
// it is removed, because a sender may have written the same payload anew.
func Sweep(ctx context.Context, store Store, config SweepConfig, found func(Ref, Object) error) (Swept, error) {
	swept := Swept{Removed: config.Remove}
	before := config.Now.Add(-config.Older - clockSkew)
	var orphans []Object
	err := store.List(ctx, func(object Object) error {
		swept.Objects++
		switch {
		case object.Modified.IsZero() || object.Modified.After(before):
			swept.Young++
		case config.Referenced(store.Place().ref(object.Key)):
			swept.Kept++
		default:
			orphans = append(orphans, object)
		}
		return nil
	})
	if err != nil {
		return swept, fmt.Errorf("sweeping %s: %w", store.Place(), err)
	}
	for _, orphan := range orphans {
		gone, err := sweepOne(ctx, store, config, orphan, before)
		if err != nil {
			return swept, fmt.Errorf("sweeping %s: %w", store.Place(), err)
		}
		if !gone {
			swept.Young++
			continue
		}
		swept.Orphans++
		swept.Bytes += orphan.Size
		if found == nil {
			continue
		}
		if err := found(store.Place().ref(orphan.Key), orphan); err != nil {
			return swept, err
		}
	}
	return swept, nil
}

// sweepOne removes an orphan if it still is one.
func sweepOne(ctx context.Context, store Store, config SweepConfig, orphan Object, before time.Time) (bool, error) {
	if !config.Remove {
		return true, nil
	}
	now, err := store.Stat(ctx, orphan.Key)
	switch {
	case errors.Is(err, ErrGone):
		return true, nil
	case err != nil:
		return false, err
	case now.Modified.After(before):
		return false, nil
	}
	return true, store.Remove(ctx, orphan.Key)
}
