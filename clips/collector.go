package clips

import (
	"time"

	"github.com/ensue-video/ensue/stream"
)

// collector makes clips of equal length of the frames of a recording, as they come.
type collector struct {
	// length is how many frames a clip has; 0: all there are.
	length int
	emit   func(*stream.Clip) error
	// now is the clip that is being filled, before the one that was filled last; before has no frames until one was.
	now, before sheet
}

// sheet is frames, [n, H, W, 3], with their times.
type sheet struct {
	h, w   int
	frames []byte
	times  []time.Duration
	step   time.Duration
}

// add takes the frames of what follows in the recording.
func (c *collector) add(clip *stream.Clip) error {
	for t := range clip.T {
		c.now.h, c.now.w, c.now.step = clip.H, clip.W, clip.Step
		c.now.frames = append(c.now.frames, clip.Frame(t)...)
		c.now.times = append(c.now.times, clip.Times[t])
		if len(c.now.times) == c.length {
			if err := c.emit(c.now.clip()); err != nil {
				return err
			}
			c.now, c.before = c.before.emptied(), c.now
		}
	}
	return nil
}

// end makes the last clip of frames that do not fill one: it is moved back, so that it ends where they end. Where they are all there are,
// it is shorter than others. What comes then begins anew.
func (c *collector) end() error {
	defer func() { c.now, c.before = c.now.emptied(), c.before.emptied() }()
	if len(c.now.times) == 0 {
		return nil
	}
	if have := len(c.before.times); have > 0 {
		missing := c.length - len(c.now.times)
		picture := c.now.h * c.now.w * 3
		c.before.frames = append(c.before.frames[:0], c.before.frames[(have-missing)*picture:]...)
		c.before.times = append(c.before.times[:0], c.before.times[have-missing:]...)
		c.before.frames = append(c.before.frames, c.now.frames...)
		c.before.times = append(c.before.times, c.now.times...)
		c.before.step = c.now.step
		return c.emit(c.before.clip())
	}
	return c.emit(c.now.clip())
}

func (s sheet) emptied() sheet {
	s.frames, s.times = s.frames[:0], s.times[:0]
	return s
}

// clip is the sheet as a clip, on its memory.
func (s sheet) clip() *stream.Clip {
	clip := stream.NewClip(s.frames, len(s.times), s.h, s.w, nil)
	clip.Times, clip.Step = s.times, s.step
	clip.Start, clip.End = s.times[0], s.times[len(s.times)-1]+s.step
	return clip
}
