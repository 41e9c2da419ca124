package web

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ensue-video/ensue/picture"
	"github.com/ensue-video/ensue/stream"
)

// The limits of what is kept (invariant 2).
const (
	// maxStreams is how many streams are shown; of more, the one that was silent longest makes room.
	maxStreams = 1000
	// maxPoints is how many windows of a stream are drawn.
	maxPoints = 240
	// maxAlarms and maxDead are how many alarms and dead letters are listed, the newest.
	maxAlarms, maxDead = 300, 100
	// maxText is how much of a message is kept.
	maxText = 400
)

// number is written with as many digits as are drawn.
type number float64

// MarshalJSON writes four significant digits.
func (n number) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(n), 'g', 4, 64), nil
}

// point is a window: start, energy, the expected band, p (below 0: not judged), the number that stands for its verdict, and the expected
// energy.
type point [7]number

// Stream is what is told of a stream. Its JSON is what the page reads.
type Stream struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	// Points are all there are in a snapshot, and the new ones in an update; Total is how many there have ever been, so that one that is
	// told twice is drawn once.
	Points []point `json:"points,omitempty"`
	Total  int64   `json:"total"`
	// Window is how long a window is, in seconds.
	Window  number         `json:"window"`
	Verdict stream.Verdict `json:"verdict"`
	Reason  stream.Reason  `json:"reason,omitempty"`
	// Time is the end of what was seen last, Seen when it came out of the pipeline.
	Time time.Time `json:"time"`
	Seen time.Time `json:"seen"`
	// Delay is how long the last segment took from its arrival to its result, in seconds.
	Delay  number `json:"delay"`
	Alarms int    `json:"alarms"`
	// Frame counts the frames that can be fetched: another number is another frame.
	Frame int64 `json:"frame"`
}

// known is a stream and what the page does not see of it.
type known struct {
	Stream
	usual picture.Usual
	// fresh is how many of the last points no client has been told.
	fresh   int
	changed bool
	// ongoing is the alarm that the last result was part of; nil where it was none.
	ongoing *Alarm
}

// Alarm is a break or a stall: of one result, or of several that follow each other with the same verdict.
type Alarm struct {
	ID      int64          `json:"id"`
	Stream  string         `json:"stream"`
	Verdict stream.Verdict `json:"verdict"`
	// Time is where it began, Until where the last of its results ends, Start the first one's window since the stream began.
	Time    time.Time `json:"time"`
	Until   time.Time `json:"until"`
	Start   number    `json:"start"`
	Results int       `json:"results"`
	// Energy, P and the expected are those of the most surprising window, Window is how long one is.
	Energy   number `json:"energy"`
	P        number `json:"p"`
	Low      number `json:"low"`
	High     number `json:"high"`
	Expected number `json:"expected"`
	Window   number `json:"window"`
	// Picture says that one can be fetched.
	Picture      bool       `json:"picture"`
	Acknowledged *time.Time `json:"acknowledged,omitempty"`

	result string
	jpeg   []byte
}

// Dead is a dead letter.
type Dead struct {
	ID      int64       `json:"id"`
	Time    time.Time   `json:"time"`
	Segment string      `json:"segment"`
	Origin  string      `json:"origin"`
	Code    stream.Code `json:"code"`
	Message string      `json:"message"`
}

// Stage is what a stage of the pipeline is doing.
type Stage struct {
	Name    string `json:"name"`
	Waiting int    `json:"waiting"`
	Room    int    `json:"room"`
	Done    int64  `json:"done"`
	// Busy is how many seconds its workers have worked, all together.
	Busy float64 `json:"busy"`
}

// Status is what the pipeline has done so far.
type Status struct {
	Received int64   `json:"received"`
	Dropped  int64   `json:"dropped"`
	Results  int64   `json:"results"`
	Dead     int64   `json:"dead"`
	Stages   []Stage `json:"stages"`
}

// update is what clients are sent: everything, or what has changed.
type update struct {
	// Whole says that this replaces all that was told before.
	Whole   bool      `json:"whole,omitempty"`
	Name    string    `json:"name,omitempty"`
	Model   string    `json:"model,omitempty"`
	Version string    `json:"version,omitempty"`
	Now     time.Time `json:"now"`
	Streams []Stream  `json:"streams,omitempty"`
	Gone    []int     `json:"gone,omitempty"`
	Alarms  []Alarm   `json:"alarms,omitempty"`
	Dead    []Dead    `json:"dead,omitempty"`
	Status  Status    `json:"status"`
}

func (u update) encode() []byte {
	data, err := json.Marshal(u)
	if err != nil { // there is nothing in it that JSON cannot say
		return nil
	}
	return data
}

// state is what is known of the pipeline. Its methods may be called by several goroutines and return at once (invariant 1).
type state struct {
	mu      sync.Mutex
	streams map[string]*known
	next    int
	alarms  []*Alarm
	dead    []*Dead
	count   int64
	// What has changed since the last update.
	gone      []int
	newAlarms []*Alarm
	newDead   []*Dead
	// early are pictures of alarms whose results are not written yet, the newest of them.
	early []early
}

// early is a picture that came before its alarm.
type early struct {
	result string
	jpeg   []byte
}

func newState() *state { return &state{streams: map[string]*known{}} }

// of is the stream; the lock is held.
func (s *state) of(name string) *known {
	k := s.streams[name]
	if k != nil {
		return k
	}
	if len(s.streams) >= maxStreams {
		s.forget()
	}
	k = &known{Stream: Stream{ID: s.next, Name: name, Verdict: stream.WarmingUp}}
	s.next++
	s.streams[name] = k
	return k
}

// forget makes room for a stream.
func (s *state) forget() {
	var oldest *known
	for _, k := range s.streams {
		if oldest == nil || k.Seen.Before(oldest.Seen) || k.Seen.Equal(oldest.Seen) && k.ID < oldest.ID {
			oldest = k
		}
	}
	delete(s.streams, oldest.Name)
	s.gone = append(s.gone, oldest.ID)
	if len(s.gone) > maxStreams {
		s.gone = s.gone[len(s.gone)-maxStreams:]
	}
}

// observe adds to what is usual in the stream's maps and returns what was usual before; and whether an alarm that goes on with this result
// has its picture already.
func (s *state) observe(result *stream.Result) (usual float64, id int, pictured bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.of(result.Stream)
	usual = k.usual.Level()
	k.usual.Observe(result)
	return usual, k.ID, k.ongoing != nil && k.ongoing.Verdict == result.Verdict && k.ongoing.jpeg != nil
}

// shows says that another frame of the stream can be fetched.
func (s *state) shows(name string, frame int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.of(name)
	k.Frame, k.changed = frame, true
}

// result books a result that is written.
func (s *state) result(segment *stream.Segment, result *stream.Result, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.of(result.Stream)
	k.Verdict, k.Reason, k.Time, k.Seen, k.changed = result.Verdict, result.Reason, result.Y.End, now, true
	if !segment.Received.IsZero() {
		k.Delay = number(now.Sub(segment.Received).Seconds())
	}
	k.Window = number(windowOf(result))
	for _, w := range result.Windows {
		k.Points = append(k.Points, pointOf(w, result))
		k.fresh++
		k.Total++
	}
	if over := len(k.Points) - maxPoints; over > 0 {
		k.Points = slices.Delete(k.Points, 0, over)
	}
	k.fresh = min(k.fresh, len(k.Points))
	if result.Verdict == stream.Breaks || result.Verdict == stream.Stalls {
		k.Alarms++
		k.ongoing = s.alarm(k.ongoing, result)
	} else {
		k.ongoing = nil
	}
}

// windowOf is how long a window is, in seconds.
func windowOf(result *stream.Result) float64 {
	if len(result.Horizons) == 0 {
		return 1
	}
	return result.Horizons[0].Seconds
}

// The numbers that stand for verdicts in points.
const (
	pointWarming = iota
	pointContinues
	pointBreaks
	pointStalls
)

func pointOf(w stream.Window, result *stream.Result) point {
	p := point{number(w.Start), number(w.Energy), 0, 0, -1, pointWarming, 0}
	if w.PValue == nil || result.Expected == nil {
		return p
	}
	p[2], p[3], p[4], p[5] = number(result.Expected.Low), number(result.Expected.High), number(*w.PValue), pointContinues
	p[6] = number(result.Expected.Median)
	if result.PValue != nil && *w.PValue == *result.PValue { // the result has the verdict of its most surprising window
		switch result.Verdict {
		case stream.Breaks:
			p[5] = pointBreaks
		case stream.Stalls:
			p[5] = pointStalls
		case stream.WarmingUp, stream.Continues, stream.Unscored:
		}
	}
	return p
}

// alarm lists an alarm, or adds the result to the one that goes on; the lock is held.
func (s *state) alarm(ongoing *Alarm, result *stream.Result) *Alarm {
	next := alarmOf(result)
	if jpeg := s.claim(result.ID); jpeg != nil {
		next.jpeg, next.Picture = jpeg, true
	}
	if ongoing != nil && ongoing.Verdict == next.Verdict && s.find(ongoing.ID) == ongoing {
		ongoing.join(next)
		s.tell(ongoing)
		return ongoing
	}
	s.count++
	next.ID = s.count
	s.alarms = append(s.alarms, next)
	if len(s.alarms) > maxAlarms {
		s.alarms[0] = nil
		s.alarms = s.alarms[1:]
	}
	s.tell(next)
	return next
}

// tell has clients told of an alarm once more.
func (s *state) tell(a *Alarm) {
	if !slices.Contains(s.newAlarms, a) {
		s.newAlarms = bounded(append(s.newAlarms, a), maxAlarms)
	}
}

// alarmOf is the alarm of one result: of its most surprising window.
func alarmOf(result *stream.Result) *Alarm {
	a := &Alarm{
		Stream: result.Stream, Verdict: result.Verdict, Time: result.Y.Start, Until: result.Y.End, Results: 1, result: result.ID, P: -1,
		Window: number(windowOf(result)),
	}
	for i, w := range result.Windows {
		if i == 0 || w.PValue != nil && number(*w.PValue) < a.P {
			a.Start, a.Energy = number(w.Start), number(w.Energy)
			a.Time = result.Y.Start.Add(time.Duration((w.Start - result.Windows[0].Start) * float64(time.Second)))
			if w.PValue != nil {
				a.P = number(*w.PValue)
			}
		}
	}
	if result.Expected != nil {
		a.Low, a.High, a.Expected = number(result.Expected.Low), number(result.Expected.High), number(result.Expected.Median)
	}
	return a
}

// join adds what came next: it goes on until then, and its numbers are those of its most surprising window.
func (a *Alarm) join(next *Alarm) {
	a.Until, a.Results = next.Until, a.Results+1
	if next.P >= 0 && (a.P < 0 || next.P < a.P) {
		a.P, a.Energy, a.Low, a.High, a.Expected = next.P, next.Energy, next.Low, next.High, next.Expected
	}
	if a.jpeg == nil {
		a.result, a.jpeg, a.Picture = next.result, next.jpeg, next.Picture
	}
}

// failure lists a dead letter.
func (s *state) failure(segment *stream.Segment, failure *stream.Failure, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	d := &Dead{
		ID: s.count, Time: now, Segment: segment.ID().String(), Origin: segment.Origin.String(), Code: failure.Code,
		Message: short(failure.Error()),
	}
	s.dead = bounded(append(s.dead, d), maxDead)
	s.newDead = bounded(append(s.newDead, d), maxDead)
}

func short(text string) string {
	if len(text) <= maxText {
		return text
	}
	cut := maxText
	for cut > 0 && text[cut]&0xc0 == 0x80 { // not within a letter
		cut--
	}
	return text[:cut] + "…"
}

// bounded keeps the newest.
func bounded[T any](all []T, limit int) []T {
	if len(all) <= limit {
		return all
	}
	return slices.Clone(all[len(all)-limit:])
}

// pictured adds the picture of a result that broke or stalled, whether it is listed already or not.
func (s *state) pictured(result string, jpeg []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.alarms {
		if a.result == result {
			a.jpeg, a.Picture = jpeg, true
			s.tell(a)
			return
		}
	}
	s.early = bounded(append(s.early, early{result, jpeg}), maxJobs) // results that are never written must not fill the memory
}

// claim takes the picture that came before the alarm of the result; nil where none did. The lock is held.
func (s *state) claim(result string) []byte {
	at := slices.IndexFunc(s.early, func(e early) bool { return e.result == result })
	if at < 0 {
		return nil
	}
	jpeg := s.early[at].jpeg
	s.early = slices.Delete(s.early, at, at+1)
	return jpeg
}

// picture is that of an alarm; nil where there is none.
func (s *state) picture(id int64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.find(id); a != nil {
		return a.jpeg
	}
	return nil
}

func (s *state) find(id int64) *Alarm {
	at, ok := slices.BinarySearchFunc(s.alarms, id, func(a *Alarm, id int64) int { return cmp.Compare(a.ID, id) })
	if !ok {
		return nil
	}
	return s.alarms[at]
}

// acknowledge marks an alarm as seen, or takes the mark away; false where there is no such alarm.
func (s *state) acknowledge(id int64, seen bool, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.find(id)
	if a == nil {
		return false
	}
	a.Acknowledged = nil
	if seen {
		a.Acknowledged = &now
	}
	s.tell(a)
	return true
}

// whole is everything.
func (s *state) whole(now time.Time) update {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := update{Whole: true, Now: now, Streams: make([]Stream, 0, len(s.streams))}
	for _, k := range s.streams {
		one := k.Stream
		one.Points = slices.Clone(k.Points)
		u.Streams = append(u.Streams, one)
	}
	slices.SortFunc(u.Streams, func(a, b Stream) int { return cmp.Compare(a.ID, b.ID) })
	for _, a := range s.alarms {
		u.Alarms = append(u.Alarms, *a)
	}
	for _, d := range s.dead {
		u.Dead = append(u.Dead, *d)
	}
	return u
}

// changes is what has changed since the last call.
func (s *state) changes(now time.Time) update {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := update{Now: now, Gone: s.gone}
	for _, k := range s.streams {
		if !k.changed {
			continue
		}
		one := k.Stream
		one.Points = slices.Clone(k.Points[len(k.Points)-k.fresh:])
		u.Streams = append(u.Streams, one)
		k.fresh, k.changed = 0, false
	}
	slices.SortFunc(u.Streams, func(a, b Stream) int { return cmp.Compare(a.ID, b.ID) })
	for _, a := range s.newAlarms {
		u.Alarms = append(u.Alarms, *a)
	}
	for _, d := range s.newDead {
		u.Dead = append(u.Dead, *d)
	}
	s.gone, s.newAlarms, s.newDead = nil, nil, nil
	return u
}

// NewStage is what a stage is doing; its workers have worked for busy, all together.
func NewStage(name string, waiting, room int, done int64, busy time.Duration) Stage {
	return Stage{Name: name, Waiting: waiting, Room: room, Done: done, Busy: busy.Seconds()}
}
