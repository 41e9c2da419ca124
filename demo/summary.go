package demo

import (
	"cmp"
	"slices"
	"time"

	"github.com/ensue-video/ensue/examples/video"
	"github.com/ensue-video/ensue/stream"
)

// Summary is what a demo found.
type Summary struct {
	Model   string   `json:"model"`
	Brokers []string `json:"brokers"`
	// Definition and Results are the files that were left.
	Definition string `json:"definition_file"`
	Results    string `json:"results_file"`
	// Report is the file with the report; whoever writes it sets it.
	Report  string   `json:"report_file,omitempty"`
	Streams []*Found `json:"streams"`
	// Dead is how many records became dead letters, by code.
	Dead map[stream.Code]int64 `json:"dead_letters"`
}

// Found is what was found in one stream.
type Found struct {
	Stream  string `json:"stream"`
	Shows   string `json:"shows"`
	Results int    `json:"results"`
	Windows int    `json:"windows"`
	// Events are those known to be in the footage, with what the pipeline said about them.
	Events []Event `json:"events"`
	// Alarms are verdicts of breaks and stalls at other times.
	Alarms int `json:"other_alarms"`
	// AlarmsAt is where the most surprising window of each of those begins, in seconds.
	AlarmsAt []float64 `json:"other_alarms_at"`

	results []*stream.Result
}

// Event is a known event and what was said about it.
type Event struct {
	Kind    video.Kind `json:"kind"`
	Start   float64    `json:"start"`
	End     float64    `json:"end"`
	Seen    bool       `json:"seen"`
	Verdict string     `json:"verdict"`
	// At is where the most surprising window of the event begins, PValue how likely it was, Energy against the Usual one.
	At     float64 `json:"at"`
	PValue float64 `json:"p_value"`
	Energy float64 `json:"energy"`
	Usual  float64 `json:"usual_energy"`
	// Low and High are where its energy usually lies.
	Low  float64 `json:"usual_low"`
	High float64 `json:"usual_high"`
	// Next is the smallest p-value of the stream away from its events: how far the event stands out.
	Next float64 `json:"next_p_value"`
}

// near is how far from an event a window may begin and still be about it: a window is a second long, and the window after an
// event still has it in its past.
const near = 1.5

func (s *Summary) add(result *stream.Result) {
	at := slices.IndexFunc(s.Streams, func(f *Found) bool { return f.Stream == result.Stream })
	if at < 0 {
		at = len(s.Streams)
		s.Streams = append(s.Streams, &Found{Stream: result.Stream})
	}
	found := s.Streams[at]
	found.Results++
	found.Windows += len(result.Windows)
	found.results = append(found.results, result)
}

// judge holds what was found against what is known to be there.
func (s *Summary) judge(known []video.Stream) {
	for _, found := range s.Streams {
		at := slices.IndexFunc(known, func(k video.Stream) bool { return k.Name == found.Stream })
		if at < 0 {
			continue
		}
		found.Shows = known[at].Shows
		for _, event := range known[at].Events {
			found.Events = append(found.Events, found.event(event, known[at].Events))
		}
		found.AlarmsAt = found.otherAlarms(known[at].Events)
		found.Alarms = len(found.AlarmsAt)
	}
}

// event is what was said about one event.
func (f *Found) event(event video.Event, all []video.Event) Event {
	said := Event{Kind: event.Kind, Start: event.Start.Seconds(), End: event.End.Seconds(), PValue: 1, Next: 1}
	for _, result := range f.results {
		for _, window := range result.Windows {
			if window.PValue == nil {
				continue
			}
			switch {
			case about(window, event) && *window.PValue < said.PValue:
				said.At, said.PValue, said.Energy = window.Start, *window.PValue, window.Energy
				said.Verdict, said.Usual = string(result.Verdict), result.Expected.Median
				said.Low, said.High = result.Expected.Low, result.Expected.High
			case !slices.ContainsFunc(all, func(e video.Event) bool { return about(window, e) }):
				said.Next = min(said.Next, *window.PValue)
			}
		}
	}
	said.Seen = said.Verdict == string(stream.Breaks) || said.Verdict == string(stream.Stalls)
	return said
}

func (f *Found) otherAlarms(events []video.Event) []float64 {
	alarms := []float64{}
	for _, result := range f.results {
		if result.Verdict != stream.Breaks && result.Verdict != stream.Stalls {
			continue
		}
		if !slices.ContainsFunc(result.Windows, func(w stream.Window) bool {
			return slices.ContainsFunc(events, func(e video.Event) bool { return about(w, e) })
		}) {
			alarms = append(alarms, worst(result.Windows).Start)
		}
	}
	return alarms
}

// worst is the window with the smallest p-value; the first where none has one.
func worst(windows []stream.Window) stream.Window {
	p := func(w stream.Window) float64 {
		if w.PValue == nil {
			return 1
		}
		return *w.PValue
	}
	return slices.MinFunc(windows, func(a, b stream.Window) int { return cmp.Compare(p(a), p(b)) })
}

// about says whether a window touches an event or what comes right after it.
func about(window stream.Window, event video.Event) bool {
	begin := time.Duration(window.Start * float64(time.Second))
	slack := time.Duration(near * float64(time.Second))
	return begin >= event.Start-slack && begin <= event.End+slack
}
