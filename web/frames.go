package web

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/picture"
	"github.com/ensue-video/ensue/stream"
)

// The limits of pictures (invariant 2).
const (
	// wantedFor is how long after somebody last asked for a stream's frames they are kept.
	wantedFor = 15 * time.Second
	// maxWanted is of how many streams frames are kept at once.
	maxWanted = 200
	// maxJobs is how many alarms wait for their picture; of more, some have none.
	maxJobs = 8
	// frameSide and alarmSide are the longer sides of pictures.
	frameSide, alarmSide = 384, 640
	frameQuality         = 75
	// encoders is how many pictures are made at once, so that people who look do not take the processors from the pipeline.
	encoders = 2
)

// frames are the latest frames of the streams that somebody looks at.
type frames struct {
	mu     sync.Mutex
	wanted map[int]*wanted
	count  int64
	slots  chan struct{}
	jobs   chan job
	config decode.Config
	log    *slog.Logger
}

// wanted is a stream that somebody looks at. frame is what to show, replaced and never changed; with its JPEGs, with and without the
// map, once somebody has asked for them.
type wanted struct {
	asked time.Time
	frame *shown
}

type shown struct {
	number int64
	frame  picture.Frame
	heat   *picture.Heat
	once   [2]sync.Once
	jpeg   [2][]byte
	err    [2]error
}

// job is an alarm whose picture is to be made.
type job struct {
	result  string
	segment *stream.Segment
	clip    *stream.Clip
	at      time.Duration
	heat    *picture.Heat
	// own is the encoder's frame, for when the segment cannot be decoded again.
	own picture.Frame
}

func newFrames(config decode.Config, log *slog.Logger) *frames {
	return &frames{wanted: map[int]*wanted{}, slots: make(chan struct{}, encoders), jobs: make(chan job, maxJobs), config: config, log: log}
}

// wants tells whether somebody looks at the stream.
func (f *frames) wants(id int, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.wanted[id]
	return w != nil && now.Sub(w.asked) < wantedFor
}

// show replaces the frame of a stream; it returns the frame's number.
func (f *frames) show(id int, frame picture.Frame, heat *picture.Heat) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.wanted[id]
	if w == nil {
		return 0
	}
	f.count++
	w.frame = &shown{number: f.count, frame: frame, heat: heat}
	return f.count
}

// ask is the latest frame of a stream, which is wanted from now on; nil where there is none yet.
func (f *frames) ask(id int, now time.Time) *shown {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.wanted[id]
	if w == nil {
		f.sweep(now)
		if len(f.wanted) >= maxWanted {
			return nil
		}
		w = &wanted{}
		f.wanted[id] = w
	}
	w.asked = now
	return w.frame
}

// sweep forgets the frames that nobody looks at any more.
func (f *frames) sweep(now time.Time) {
	for id, w := range f.wanted {
		if now.Sub(w.asked) >= wantedFor {
			delete(f.wanted, id)
		}
	}
}

// tidy is sweep, from outside.
func (f *frames) tidy(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sweep(now)
}

// encode is the JPEG of a frame, made once for everybody who asks.
func (f *frames) encode(ctx context.Context, s *shown, heat bool) ([]byte, error) {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	which := 0
	if heat {
		which = 1
	}
	s.once[which].Do(func() {
		over := s.heat
		if !heat {
			over = nil
		}
		s.jpeg[which], s.err[which] = picture.JPEG(s.frame, over, frameQuality)
	})
	return s.jpeg[which], s.err[which]
}

// hand takes an alarm's picture to be made, unless too many wait. clip is not kept.
func (f *frames) hand(segment *stream.Segment, clip *stream.Clip, result *stream.Result, usual float64) {
	moment, ok := picture.Most(result, clip)
	if !ok || len(f.jobs) == cap(f.jobs) {
		return
	}
	// The clip without its frames: what is needed to decode the segment again.
	bare := &stream.Clip{
		T: clip.T, H: clip.H, W: clip.W, Times: slices.Clone(clip.Times), Step: clip.Step, Start: clip.Start, End: clip.End,
		ShownWidth: clip.ShownWidth, ShownHeight: clip.ShownHeight, Cropped: clip.Cropped,
	}
	j := job{
		result: result.ID, clip: bare, at: moment.At, heat: picture.HeatAt(result, moment.Step, usual),
		segment: &stream.Segment{Stream: segment.Stream, Sequence: segment.Sequence, Payload: segment.Payload},
		own:     picture.FrameOf(clip, picture.Nearest(clip, moment.At), alarmSide),
	}
	select {
	case f.jobs <- j:
	default: // the worker cannot keep up: this alarm has no picture (invariant 1)
	}
}

// work makes the pictures of alarms until ctx is done.
func (f *frames) work(ctx context.Context, made func(result string, jpeg []byte)) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-f.jobs:
			frame := j.own
			if len(j.segment.Payload) > 0 {
				if larger, err := picture.Grab(ctx, f.config, j.segment, j.clip, j.at, alarmSide); err == nil {
					frame = larger
				}
			}
			jpeg, err := picture.JPEG(frame, j.heat, frameQuality)
			if err != nil {
				f.log.Warn("no picture of an alarm", "segment", j.segment.ID().String(), "error", err)
				continue
			}
			made(j.result, jpeg)
		}
	}
}
