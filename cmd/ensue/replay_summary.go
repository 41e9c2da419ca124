package main

import (
	"slices"
	"strings"

	"github.com/ensue-video/ensue/stream"
)

// replaySummary gathers what a replay found, for the table at the end. One goroutine uses it.
type replaySummary struct {
	known   map[string]*replayStream
	refused []refusedFile
}

func newReplaySummary() *replaySummary { return &replaySummary{known: map[string]*replayStream{}} }

func (s *replaySummary) add(segment *stream.Segment, result *stream.Result, failure *stream.Failure) {
	if failure != nil {
		s.refused = append(s.refused, refusedFile{
			File: segment.Origin.String(), Segment: segment.ID().String(), Code: failure.Code, Message: failure.Error(),
		})
	}
	if result == nil {
		return
	}
	known := s.known[result.Stream]
	if known == nil {
		known = &replayStream{Stream: result.Stream, Verdicts: map[stream.Verdict]int{}}
		s.known[result.Stream] = known
	}
	known.add(result)
}

func (k *replayStream) add(result *stream.Result) {
	k.Segments++
	k.Verdicts[result.Verdict]++
	k.Windows += len(result.Windows)
	k.Seconds += result.Y.End.Sub(result.Y.Start).Seconds()
	for _, window := range result.Windows {
		k.energies = append(k.energies, window.Energy)
		if window.PValue != nil && (k.Worst == nil || *window.PValue < *k.Worst.PValue) {
			k.Worst = &window
		}
	}
}

// streams is what is known of every stream, by name.
func (s *replaySummary) streams() []*replayStream {
	all := make([]*replayStream, 0, len(s.known))
	for _, known := range s.known {
		known.Median = median(known.energies)
		all = append(all, known)
	}
	slices.SortFunc(all, func(a, b *replayStream) int { return strings.Compare(a.Stream, b.Stream) })
	return all
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
