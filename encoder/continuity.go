package encoder

import (
	"time"

	"github.com/ensue-video/ensue/stream"
)

const (
	// stepTolerance is how much the distance of the sampling grid may change before it counts as another frame rate.
	stepTolerance = 0.02
	// holeSteps is how many steps of the grid may lie between two frames before the stream has a hole: a lost frame or two are none,
	// and neither is twice the longest distance that the stream has shown anyway (variable frame rate).
	holeSteps = 3
	// continuityFrames is over how many of the last frames that longest distance is taken.
	continuityFrames = 32
)

// Continuity tells whether the clips of one stream follow on each other: whoever remembers something of a stream (the frames an
// encoder has left over, a predictor's context) asks it before the next clip. It looks at the times of frames only, so that everybody
// who sees the same clips judges alike. The zero value is that of a stream that begins; a copy goes on by itself. One goroutine uses it
// at a time.
//
// Invariant 6: it is of constant size.
type Continuity struct {
	step time.Duration // of the grid
	last time.Duration // when the last frame was taken
	seen int           // frames since the beginning
	// distances are the last ones between neighbouring frames, the newest at (seen-2) % continuityFrames.
	distances [continuityFrames]time.Duration
}

// Next tells whether the clip follows on the ones before it without a hole and at the same rate, and takes note of it. Where it does
// not, the stream begins anew with it. A clip without frames follows and changes nothing.
func (c *Continuity) Next(clip *stream.Clip) bool {
	if len(clip.Times) == 0 {
		return true
	}
	follows := c.seen == 0 || c.sameRate(clip.Step) && c.near(clip)
	if !follows {
		*c = Continuity{}
	}
	if c.seen == 0 { // the step of the first clip stays: small changes must not add up
		c.step = clip.Step
	}
	for _, at := range clip.Times {
		if c.seen > 0 {
			c.distances[(c.seen-1)%continuityFrames] = at - c.last
		}
		c.last = at
		c.seen++
	}
	return follows
}

func (c *Continuity) sameRate(step time.Duration) bool {
	change := float64(step-c.step) / float64(c.step)
	return change <= stepTolerance && change >= -stepTolerance
}

// near tells whether the clip's first frame comes after the last one, and not too long after.
func (c *Continuity) near(clip *stream.Clip) bool {
	widest := time.Duration(0)
	for _, distance := range c.distances[:min(c.seen-1, continuityFrames)] {
		widest = max(widest, distance)
	}
	for i := 1; i < len(clip.Times); i++ {
		widest = max(widest, clip.Times[i]-clip.Times[i-1])
	}
	distance := clip.Times[0] - c.last
	return distance > 0 && distance <= max(holeSteps*c.step, 2*widest)
}
