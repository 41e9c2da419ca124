package metrics

import (
	"sync"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// silent is after how long without a result a stream makes room for another.
const silent = 10 * time.Minute

// streams is the last that is known of each stream, of so many as are told one by one (invariant 2).
type streams struct {
	most int

	mu    sync.Mutex
	known map[string]*told
	rest  told
	// looked is when a silent stream was last looked for.
	looked time.Time
}

// told is what is told of a stream.
type told struct {
	energy, pValue float64
	expected       stream.Expected
	// scored, judged and banded say which of the three there are.
	scored, judged, banded bool
	verdicts               map[stream.Verdict]int64
	last                   time.Time
}

func newStreams(most int) *streams {
	if most <= 0 {
		most = DefaultStreams
	}
	return &streams{most: most, known: map[string]*told{}}
}

// Result books a written result under its stream.
func (s *Set) Result(result *stream.Result, now time.Time) { s.streams.book(result, now) }

// Forget makes room where a stream has ended.
func (s *Set) Forget(name string) {
	s.streams.mu.Lock()
	defer s.streams.mu.Unlock()
	delete(s.streams.known, name)
}

func (s *streams) book(result *stream.Result, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of(result.Stream, now)
	if one.verdicts == nil {
		one.verdicts = make(map[stream.Verdict]int64, 5)
	}
	one.verdicts[result.Verdict]++
	one.last = now
	if result.Energy != nil {
		one.energy, one.scored = *result.Energy, true
	}
	if result.PValue != nil {
		one.pValue, one.judged = *result.PValue, true
	}
	if result.Expected != nil {
		one.expected, one.banded = *result.Expected, true
	}
}

// of is what is told of the stream, or of those without metrics of their own.
func (s *streams) of(name string, now time.Time) *told {
	if one, ok := s.known[name]; ok {
		return one
	}
	if len(s.known) >= s.most && now.Sub(s.looked) > time.Second {
		s.looked = now
		for other, one := range s.known {
			if now.Sub(one.last) > silent {
				delete(s.known, other)
			}
		}
	}
	if len(s.known) >= s.most {
		return &s.rest
	}
	made := &told{}
	s.known[name] = made
	return made
}

func (s *streams) tell(emit Emit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	emit(Streams, float64(len(s.known)))
	for name, one := range s.known {
		one.tell(name, emit)
		one.tellLast(name, emit)
	}
	s.rest.tell(Other, emit)
}

func (t *told) tell(name string, emit Emit) {
	for verdict, count := range t.verdicts {
		emit(StreamResults, float64(count), name, string(verdict))
	}
	if !t.last.IsZero() {
		emit(StreamLastStamp, float64(t.last.UnixMilli())/1e3, name)
	}
}

func (t *told) tellLast(name string, emit Emit) {
	if t.scored {
		emit(StreamEnergy, t.energy, name)
	}
	if t.judged {
		emit(StreamPValue, t.pValue, name)
	}
	if t.banded {
		emit(StreamExpected, t.expected.Low, name, "low")
		emit(StreamExpected, t.expected.Median, name, "median")
		emit(StreamExpected, t.expected.High, name, "high")
	}
}
