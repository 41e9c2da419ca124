package pipelines

import (
	"math/rand/v2"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// Retry is how a stage tries again what failed and may pass: a decoder that had no time, a library that ran out of something.
type Retry struct {
	// Attempts is how often in all; 1 is never again.
	Attempts int `def:"attempts"`
	// First is the pause before the second attempt; it doubles from one to the next, up to Most. A random half is taken off.
	First time.Duration `def:"first"`
	Most  time.Duration `def:"most"`
}

// after is how long to wait after so many failed attempts; zero when there is nothing to wait for.
func (r Retry) after(failure *stream.Failure, attempts int) time.Duration {
	if failure.Permanent || failure.Attempts > 0 || attempts >= r.Attempts {
		return 0
	}
	pause := r.Most
	if doublings := attempts - 1; doublings < 32 && r.First<<doublings < r.Most {
		pause = r.First << doublings
	}
	return pause/2 + rand.N(pause/2+1)
}
