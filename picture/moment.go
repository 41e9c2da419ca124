package picture

import (
	"time"

	"github.com/ensue-video/ensue/stream"
)

// Moment is what to show of a result: the most telling moment of its most telling window.
type Moment struct {
	// Window is the number of the window, Step that of the map's step; 0 where there is no map.
	Window, Step int
	// At is the time of the frame to show, since the first frame of the stream.
	At time.Duration
}

// Most chooses the moment: of the most surprising window, or the one with the most energy where none was judged, the step of the map that
// departs most. ok is false for a result without windows. clip says when the windows and steps end.
func Most(result *stream.Result, clip *stream.Clip) (m Moment, ok bool) {
	if len(result.Windows) == 0 {
		return Moment{}, false
	}
	m.Window = most(result)
	begin := seconds(result.Windows[m.Window].Start)
	end := clip.End
	if m.Window+1 < len(result.Windows) {
		end = seconds(result.Windows[m.Window+1].Start)
	}
	m.At = begin + (end-begin)/2
	values, steps, height, width := unpack(result.Map)
	if values == nil {
		return m, true
	}
	first := seconds(result.Windows[0].Start)
	step := max((clip.End-first)/time.Duration(steps), 1)
	places := height * width
	best := -1.0
	for t := int((begin - first + step/2) / step); t < steps && first+time.Duration(t)*step+step/2 < end; t++ {
		energy := 0.0
		for _, value := range values[t*places : (t+1)*places] {
			energy += float64(value)
		}
		if result.Verdict == stream.Stalls {
			energy = 1 / (energy + 1e-9) // there the calmest moment tells
		}
		if energy > best {
			// The frame shown is the last one of the step.
			best, m.Step, m.At = energy, t, first+time.Duration(t+1)*step-step/8
		}
	}
	return m, true
}

// Last is the latest moment of the result: its last step.
func Last(result *stream.Result, clip *stream.Clip) Moment {
	return Moment{Window: max(0, len(result.Windows)-1), Step: max(0, Steps(result)-1), At: clip.End}
}

func most(result *stream.Result) int {
	best := 0
	for i, window := range result.Windows {
		now := result.Windows[best]
		switch {
		case window.PValue != nil && now.PValue != nil:
			if *window.PValue < *now.PValue {
				best = i
			}
		case window.PValue != nil:
			best = i
		case now.PValue == nil && window.Energy > now.Energy:
			best = i
		}
	}
	return best
}

func seconds(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }
