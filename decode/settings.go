package decode

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

// Default is the configuration where the definition says nothing.
func Default() Config {
	return Config{
		FPS: 8,
		Limits: Limits{
			Bytes: 64 << 20, Pixels: Size{Width: 4096, Height: 4096}, Frames: 3000, Duration: time.Minute, Timeout: 20 * time.Second,
		},
	}
}

// maxSide is the largest width or height of a clip.
const maxSide = 4096

// Validate tells every setting that cannot work.
func (c Config) Validate() error {
	var problems []error
	complain := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	complain(!(c.FPS > 0 && c.FPS <= 240), "decode.fps is %v; give a rate above 0 and up to 240 frames per second", c.FPS)
	complain(c.Limits.Bytes <= 0, "decode.limits.bytes is %d; give a size, as in 64MiB", c.Limits.Bytes)
	complain(c.Limits.Pixels.Width <= 0 || c.Limits.Pixels.Height <= 0,
		"decode.limits.pixels is %dx%d; give a width and a height, as in 4096x4096", c.Limits.Pixels.Width, c.Limits.Pixels.Height)
	complain(c.Limits.Frames <= 0, "decode.limits.frames is %d; give a number of frames, as in 3000", c.Limits.Frames)
	complain(c.Limits.Duration <= 0, "decode.limits.duration is %v; give a length of time, as in 60s", c.Limits.Duration)
	complain(c.Limits.Timeout <= 0, "decode.limits.timeout is %v; give a length of time, as in 20s", c.Limits.Timeout)
	complain(c.Workers < 0, "decode.workers is %d; give a number of workers, or 0 for one per processor", c.Workers)
	return errors.Join(problems...)
}

// Parallel is how many segments are decoded side by side: Workers, or one per processor.
func (c Config) Parallel() int {
	if c.Workers > 0 {
		return c.Workers
	}
	return runtime.GOMAXPROCS(0)
}
