package decode

import "time"

// Config is the definition's `decode`.
type Config struct {
	// FPS is the sampling rate asked for; the effective one is the stream's own rate divided by a whole number.
	FPS    float64 `def:"fps"`
	Limits Limits  `def:"limits"`
	// Workers is how many segments are decoded side by side (of different streams); 0 means one per processor.
	Workers int `def:"workers"`
}

// Limits are what one segment may cost. What exceeds one is refused with a code of its own.
type Limits struct {
	// Bytes is the size of the payload.
	Bytes int64 `def:"bytes"`
	// Pixels is the largest picture.
	Pixels Size `def:"pixels"`
	// Frames is how many frames are decoded.
	Frames int `def:"frames"`
	// Duration is how long the segment may last by its own timestamps.
	Duration time.Duration `def:"duration"`
	// Timeout is how long decoding may take.
	Timeout time.Duration `def:"timeout"`
}

// Size is a width and a height in pixels.
type Size struct{ Width, Height int }
