package video

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed *.mp4 events.yaml
var files embed.FS

// Kind says what happens at an event.
type Kind string

const (
	// Cut is a hard cut to another camera: one frame has nothing to do with the one before it.
	Cut Kind = "cut"
	// Freeze is a picture that stands still in a stream that moves before and after it.
	Freeze Kind = "freeze"
)

// Event is something out of the ordinary that was put into a stream on purpose.
type Event struct {
	Kind Kind
	// Start is the time of the first frame that shows it, since the first frame of the stream.
	Start time.Duration
	// End is the time of the first frame after it; for a cut it is Start.
	End time.Duration
}

// Stream is one of the sample streams.
type Stream struct {
	// Name is what the demo calls the stream, File its name in FS.
	Name, File string
	// Shows says in a few words what is to be seen.
	Shows string
	// Duration is the time from the first frame to the end of the last.
	Duration time.Duration
	// Events are in the order of time; empty where the stream is an ordinary recording.
	Events []Event
}

// FS holds the streams and events.yaml; the files lie at its root.
func FS() fs.FS { return files }

// Streams lists the streams in the order of events.yaml.
func Streams() ([]Stream, error) {
	text, err := files.ReadFile("events.yaml")
	if err != nil {
		return nil, fmt.Errorf("reading the list of sample streams: %w", err)
	}
	return parse(text)
}

// parse reads the list of streams; unknown keys and kinds, and times outside of the stream, are errors.
func parse(text []byte) ([]Stream, error) {
	var list struct {
		Streams []struct {
			Name, File, Shows string
			Seconds           float64
			Events            []struct {
				Kind       Kind
				Start, End float64
			}
		}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&list); err != nil {
		return nil, fmt.Errorf("parsing the list of sample streams: %w", err)
	}
	streams := make([]Stream, 0, len(list.Streams))
	for _, entry := range list.Streams {
		made := Stream{Name: entry.Name, File: entry.File, Shows: entry.Shows, Duration: seconds(entry.Seconds)}
		for _, event := range entry.Events {
			if event.Kind != Cut && event.Kind != Freeze {
				return nil, fmt.Errorf("stream %s: event kind %q is neither %q nor %q", entry.Name, event.Kind, Cut, Freeze)
			}
			if event.Start < 0 || event.End < event.Start || event.End > entry.Seconds {
				return nil, fmt.Errorf("stream %s: the %s from %g s to %g s is outside of 0 s to %g s",
					entry.Name, event.Kind, event.Start, event.End, entry.Seconds)
			}
			made.Events = append(made.Events, Event{Kind: event.Kind, Start: seconds(event.Start), End: seconds(event.End)})
		}
		streams = append(streams, made)
	}
	return streams, nil
}

// seconds is s seconds, to the microsecond.
func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond)
}
