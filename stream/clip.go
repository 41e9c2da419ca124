package stream

import (
	"sync/atomic"
	"time"
)

// Clip is the frames of a segment, sampled by presentation time: `[T, H, W, 3]` uint8 RGB, row-major.
// It has one owner; the last one calls Release, which returns the memory to the pool it came from.
type Clip struct {
	// Frames is T*H*W*3 bytes.
	Frames []byte
	// T, H, W are the number of frames and their size in pixels.
	T, H, W int
	// Times are the presentation times of the frames, since the first frame of the stream. len(Times) == T, increasing.
	Times []time.Duration
	// Step is the distance between two frames of the sampling grid; the effective rate is 1/Step.
	Step time.Duration
	// Start and End span the whole segment on the same clock as Times, not only the sampled frames.
	Start, End time.Duration
	// Decoded is how many frames came out of the decoder, Dropped how many it could not make out.
	Decoded, Dropped int
	// ShownWidth and ShownHeight are the size of the picture as people see it, before it was made to fit the frames; 0 where nobody
	// knows. Cropped says that the frames are the square in its middle and not all of it.
	ShownWidth, ShownHeight int
	Cropped                 bool

	release  func([]byte)
	released atomic.Bool
}

// NewClip makes a clip over frames, which release takes back once; release may be nil.
func NewClip(frames []byte, t, h, w int, release func([]byte)) *Clip {
	return &Clip{Frames: frames, T: t, H: h, W: w, release: release}
}

// Frame is frame t: `[H, W, 3]`.
func (c *Clip) Frame(t int) []byte {
	size := c.H * c.W * 3
	return c.Frames[t*size : (t+1)*size]
}

// Release gives the memory back. The second call does nothing.
func (c *Clip) Release() {
	if c == nil || c.released.Swap(true) {
		return
	}
	if c.release != nil {
		c.release(c.Frames)
	}
	c.Frames = nil
}
