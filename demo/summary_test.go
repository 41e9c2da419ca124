package demo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/examples/video"
	"github.com/ensue-video/ensue/stream"
)

func window(start, p float64) stream.Window {
	return stream.Window{Start: start, Energy: 1, PValue: &p}
}

func result(verdict stream.Verdict, windows ...stream.Window) *stream.Result {
	return &stream.Result{Stream: "cam", Verdict: verdict, Windows: windows, Expected: &stream.Expected{Median: 2}}
}

func TestAnEventIsSeenOnlyWhereItIs(t *testing.T) {
	known := []video.Stream{{Name: "cam", Events: []video.Event{
		{Kind: video.Cut, Start: 10 * time.Second, End: 10 * time.Second},
		{Kind: video.Freeze, Start: 20 * time.Second, End: 25 * time.Second},
	}}}
	var summary Summary
	for _, r := range []*stream.Result{
		result(stream.Continues, window(4, .3), window(5, .02)),
		result(stream.Breaks, window(9, .5), window(10, 1e-6)),
		result(stream.Continues, window(21, .1), window(22, .2)),
		result(stream.Breaks, window(30, 1e-5)),
	} {
		summary.add(r)
	}
	summary.judge(known)
	found := summary.Streams[0]
	require.Equal(t, Event{
		Kind: video.Cut, Start: 10, End: 10, Seen: true, Verdict: "breaks", At: 10, PValue: 1e-6, Energy: 1, Usual: 2, Next: 1e-5,
	}, found.Events[0])
	require.False(t, found.Events[1].Seen)
	require.Equal(t, .1, found.Events[1].PValue)
	require.Equal(t, 1, found.Alarms)
	require.Equal(t, []float64{30}, found.AlarmsAt)
}
