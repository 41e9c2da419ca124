package report

import (
	"cmp"
	"context"
	"image"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/picture"
	"github.com/ensue-video/ensue/stream"
)

// Options say what a report is about and how large it may become.
type Options struct {
	// Title stands at the top; empty: "What ensued".
	Title string
	// Made is when; it is the only thing in a report that differs between two replays of the same.
	Made time.Time
	// Alpha is the p-value below which a window is an alarm.
	Alpha float64
	// Decode is the pipeline's own configuration, for the pictures.
	Decode decode.Config
	// Values are the definition's keys, Versions what it was made with.
	Values   []Value
	Versions []Fact
	Log      *slog.Logger
	Limits   Limits
	// NoPictures leaves the pictures out, which cost decoding.
	NoPictures bool
}

// Value is a key of the definition. Nothing secret may be in it.
type Value struct{ Path, Value, Origin string }

// Fact is a name and what is known of it.
type Fact struct{ Name, Text string }

// Limits bound memory and file (invariant 2). The zero value means the defaults.
type Limits struct {
	// Bins is how many stretches a video's timeline has, at most; a longer one is averaged.
	Bins int
	// Moments is how many moments of a video are compared with others.
	Moments int
	// Pictures is how many of a video are kept, AllPictures how many of all together.
	Pictures, AllPictures int
	// Compared is how many moments of all videos together are looked through for those that look alike.
	Compared int
	// Alarms is how many alarms, and how many refused files, are listed.
	Alarms int
}

func (l Limits) withDefaults() Limits {
	for _, limit := range []struct {
		value *int
		usual int
	}{{&l.Bins, 1200}, {&l.Moments, 400}, {&l.Pictures, 6}, {&l.AllPictures, 240}, {&l.Compared, 4000}, {&l.Alarms, 1000}} {
		if *limit.value <= 0 {
			*limit.value = limit.usual
		}
	}
	return l
}

// Recorder gathers what an engine finds. Its methods may be called by several goroutines.
type Recorder struct {
	options Options
	log     *slog.Logger

	mu      sync.Mutex
	videos  map[string]*video
	album   album
	usual   map[string]*picture.Usual
	refused []refusal
	// left counts what was left out.
	leftRefused, leftAlarms, leftPictures, badPictures int
	model                                              string
}

// video is what is known of one stream.
type video struct {
	name     string
	file     string
	segments int
	windows  int
	seconds  float64
	verdicts map[stream.Verdict]int
	reasons  map[stream.Reason]int
	line     timeline
	moments  moments
	alarms   []alarm
	horizons []horizon
}

// alarm is a window that broke or stalled.
type alarm struct {
	start, end, energy, p float64
	verdict               stream.Verdict
	expected              *stream.Expected
}

// horizon is the mean energy at a distance.
type horizon struct {
	seconds, total float64
	count          int
}

// refusal is a piece of a file that could not be read.
type refusal struct{ File, Segment, Code, Message string }

// New makes a recorder.
func New(options Options) *Recorder {
	options.Limits = options.Limits.withDefaults()
	if options.Title == "" {
		options.Title = "What ensued"
	}
	r := &Recorder{options: options, log: options.Log, videos: map[string]*video{}, usual: map[string]*picture.Usual{}}
	r.album = album{perVideo: options.Limits.Pictures, limit: options.Limits.AllPictures, pages: map[string]*page{}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r
}

// pictureSide is the longer side of a picture, overlaySide that of the map over it: it has few places, and is stretched.
const (
	pictureSide, overlaySide = 400, 96
	jpegQuality              = 78
)

// Scored takes the picture of a moment that may be worth one. It is a pipelines.Observer's.
func (r *Recorder) Scored(segment *stream.Segment, clip *stream.Clip, result *stream.Result) {
	if r.options.NoPictures || result == nil || clip == nil || clip.T == 0 {
		return
	}
	moment, ok := picture.Most(result, clip)
	if !ok {
		return
	}
	shot := newShot(result, moment)
	r.mu.Lock()
	usual := r.usual[result.Stream]
	if usual == nil {
		usual = &picture.Usual{}
		r.usual[result.Stream] = usual
	}
	level := usual.Level()
	usual.Observe(result)
	wanted := r.album.wants(result.Stream, shot)
	r.mu.Unlock()
	if !wanted {
		return
	}
	err := shot.take(r.options.Decode, segment, clip, moment)
	if heat := picture.HeatAt(result, moment.Step, level); err == nil && heat != nil {
		err = shot.lay(heat)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.badPictures++
		r.log.Warn("no picture for the report", "segment", segment.ID().String(), "error", err)
		return
	}
	r.leftPictures += r.album.keep(result.Stream, shot)
}

// take makes the picture; where the segment cannot be decoded again it is the frame that the encoder saw.
func (s *shot) take(config decode.Config, segment *stream.Segment, clip *stream.Clip, m picture.Moment) error {
	frame, err := picture.Grab(context.Background(), config, segment, clip, m.At, pictureSide)
	if err != nil {
		frame = picture.FrameOf(clip, picture.Nearest(clip, m.At), pictureSide)
	}
	s.size, s.at = frame.Shown, frame.At.Seconds()
	s.jpeg, err = picture.JPEG(frame, nil, jpegQuality)
	return err
}

// lay makes the map over the picture.
func (s *shot) lay(heat *picture.Heat) (err error) {
	scale := float64(overlaySide) / float64(max(s.size.X, s.size.Y))
	s.overlay, err = heat.Overlay(image.Pt(max(1, int(float64(s.size.X)*scale)), max(1, int(float64(s.size.Y)*scale))))
	return err
}

// Done books a result or a failure. It is a pipelines.Observer's.
func (r *Recorder) Done(segment *stream.Segment, result *stream.Result, failure *stream.Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if failure != nil {
		if len(r.refused) < r.options.Limits.Alarms {
			r.refused = append(r.refused, refusal{
				File: segment.Origin.String(), Segment: segment.ID().String(), Code: string(failure.Code), Message: failure.Error(),
			})
		} else {
			r.leftRefused++
		}
	}
	if result == nil {
		return
	}
	r.model = result.Model
	known := r.videos[result.Stream]
	if known == nil {
		known = &video{
			name: result.Stream, file: segment.Origin.File, verdicts: map[stream.Verdict]int{}, reasons: map[stream.Reason]int{},
			line: timeline{limit: r.options.Limits.Bins}, moments: moments{limit: r.options.Limits.Moments, stride: 1},
		}
		r.videos[result.Stream] = known
	}
	r.book(known, result)
}

func (r *Recorder) book(v *video, result *stream.Result) {
	v.segments++
	v.windows += len(result.Windows)
	v.seconds += result.Y.End.Sub(result.Y.Start).Seconds()
	v.verdicts[result.Verdict]++
	if result.Reason != "" {
		v.reasons[result.Reason]++
	}
	for i, h := range result.Horizons {
		if i == len(v.horizons) {
			v.horizons = append(v.horizons, horizon{seconds: h.Seconds})
		}
		v.horizons[i].total += h.Energy
		v.horizons[i].count++
	}
	if len(result.Windows) == 0 {
		return
	}
	windows := r.judge(result)
	v.moments.add(result, windows[0].start, windows[len(windows)-1].end)
	for _, w := range windows {
		v.line.add(w)
		if w.verdict != stream.Breaks && w.verdict != stream.Stalls {
			continue
		}
		if len(v.alarms) < r.options.Limits.Alarms {
			v.alarms = append(v.alarms, alarm{w.start, w.end, w.energy, *w.p, w.verdict, result.Expected})
		} else {
			r.leftAlarms++
		}
	}
}

// judge tells the windows of a result apart: the result has the verdict of the most surprising one.
func (r *Recorder) judge(result *stream.Result) []bin {
	bins := make([]bin, 0, len(result.Windows))
	for i, window := range result.Windows {
		end := window.Start
		if len(result.Horizons) > 0 {
			end += result.Horizons[0].Seconds // how long a window is
		}
		if i+1 < len(result.Windows) {
			end = result.Windows[i+1].Start
		}
		b := bin{start: window.Start, end: end, energy: window.Energy, low: window.Energy, high: window.Energy, count: 1, p: window.PValue}
		b.expected, b.verdict = result.Expected, stream.WarmingUp
		switch {
		case window.PValue == nil:
		case *window.PValue >= r.options.Alpha:
			b.verdict = stream.Continues
		default:
			b.verdict = result.Verdict
		}
		bins = append(bins, b)
	}
	return bins
}

// sorted is every video, by name (invariant 4).
func (r *Recorder) sorted() []*video {
	return slices.SortedFunc(maps.Values(r.videos), func(a, b *video) int { return cmp.Compare(a.name, b.name) })
}
