package report

import (
	"cmp"
	"image"
	"slices"

	"github.com/ensue-video/ensue/picture"
	"github.com/ensue-video/ensue/stream"
)

// shot is a picture of a moment, with what was said about it.
type shot struct {
	start, at, energy float64
	p                 *float64
	verdict           stream.Verdict
	expected          *stream.Expected
	horizons          []stream.Horizon

	jpeg, overlay []byte
	size          image.Point
}

// newShot is a shot without the picture.
func newShot(result *stream.Result, m picture.Moment) *shot {
	window := result.Windows[m.Window]
	return &shot{
		start: window.Start, at: m.At.Seconds(), energy: window.Energy, p: window.PValue, verdict: result.Verdict,
		expected: result.Expected, horizons: result.Horizons,
	}
}

// alarm says that the shot shows a break or a stall.
func (s *shot) alarm() bool { return s.verdict == stream.Breaks || s.verdict == stream.Stalls }

// compare orders shots, the most telling first: what was judged by its p-value, what was not by its energy; then by time.
func (s *shot) compare(other *shot) int {
	switch {
	case s.p != nil && other.p == nil:
		return -1
	case s.p == nil && other.p != nil:
		return 1
	case s.p != nil:
		if order := cmp.Compare(*s.p, *other.p); order != 0 {
			return order
		}
	}
	return cmp.Or(cmp.Compare(other.energy, s.energy), cmp.Compare(s.start, other.start))
}

// album holds the pictures: of every video the most surprising alarms, or else its most telling moment, and of all of those as many as
// there is room for. Which these are does not depend on the order in which they come (invariant 4).
type album struct {
	perVideo, limit, count int
	pages                  map[string]*page
}

// page is the pictures of a video: alarms, the most surprising first, or one peak.
type page struct {
	alarms []*shot
	peak   *shot
}

// shots is what the page shows, in the order of time.
func (p *page) shots() []*shot {
	if p == nil {
		return nil
	}
	if len(p.alarms) == 0 && p.peak != nil {
		return []*shot{p.peak}
	}
	return slices.SortedFunc(slices.Values(p.alarms), func(a, b *shot) int { return cmp.Compare(a.start, b.start) })
}

// wants tells whether the picture would be kept.
func (a *album) wants(video string, s *shot) bool {
	if a.count >= a.limit {
		if name, worst := a.worst(); before(video, s, name, worst) >= 0 {
			return false
		}
	}
	known := a.pages[video]
	switch {
	case known == nil:
		return true
	case s.alarm():
		return len(known.alarms) < a.perVideo || s.compare(known.alarms[len(known.alarms)-1]) < 0
	}
	return len(known.alarms) == 0 && (known.peak == nil || s.compare(known.peak) < 0)
}

// keep puts the shot in its place. It returns how many pictures had to go for want of room.
func (a *album) keep(video string, s *shot) int {
	known := a.pages[video]
	if known == nil {
		known = &page{}
		a.pages[video] = known
	}
	a.count -= known.size()
	left := known.add(s, a.perVideo)
	a.count += known.size()
	for ; a.count > a.limit; left++ {
		name, worst := a.worst()
		a.pages[name].remove(worst)
		a.count--
	}
	return left
}

// worst is the picture that would go first.
func (a *album) worst() (video string, s *shot) {
	for name, known := range a.pages {
		last := known.last()
		if last != nil && (s == nil || before(name, last, video, s) > 0) {
			video, s = name, last
		}
	}
	return video, s
}

// before orders pictures of different videos: alarms before what is none, the most telling first, then by name.
func before(name string, s *shot, otherName string, other *shot) int {
	switch {
	case s.alarm() && !other.alarm():
		return -1
	case !s.alarm() && other.alarm():
		return 1
	}
	return cmp.Or(s.compare(other), cmp.Compare(name, otherName))
}

func (p *page) size() int {
	if p.peak != nil {
		return len(p.alarms) + 1
	}
	return len(p.alarms)
}

// add puts a shot in its place and returns how many alarms had to go.
func (p *page) add(s *shot, limit int) int {
	if !s.alarm() {
		if len(p.alarms) == 0 && (p.peak == nil || s.compare(p.peak) < 0) {
			p.peak = s
		}
		return 0
	}
	p.peak = nil
	at, _ := slices.BinarySearchFunc(p.alarms, s, (*shot).compare)
	p.alarms = slices.Insert(p.alarms, at, s)
	if len(p.alarms) <= limit {
		return 0
	}
	p.remove(p.last())
	return 1
}

// last is the least telling picture; nil when there is none.
func (p *page) last() *shot {
	if len(p.alarms) == 0 {
		return p.peak
	}
	return p.alarms[len(p.alarms)-1]
}

// remove takes the last picture away.
func (p *page) remove(last *shot) {
	if last == p.peak {
		p.peak = nil
		return
	}
	p.alarms = slices.DeleteFunc(p.alarms, func(s *shot) bool { return s == last })
}
