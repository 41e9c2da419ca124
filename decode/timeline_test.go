package decode

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

func TestTimelineTellsWhereSegmentsBegin(t *testing.T) {
	epoch := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	at := epoch.Add
	type step struct {
		segment stream.Segment
		want    time.Duration
		lasts   time.Duration
	}
	tests := map[string][]step{
		"nobody told times": {
			{stream.Segment{}, 0, 2 * time.Second},
			{stream.Segment{}, 2 * time.Second, 3 * time.Second},
			{stream.Segment{}, 5 * time.Second, time.Second},
		},
		"start and epoch told, picked up in the middle": {
			{stream.Segment{Start: at(time.Hour), Epoch: epoch}, time.Hour, 2 * time.Second},
			{stream.Segment{Start: at(time.Hour + 5*time.Second), Epoch: epoch}, time.Hour + 5*time.Second, 2 * time.Second},
		},
		"start told, no epoch": {
			{stream.Segment{Start: at(time.Hour)}, 0, 2 * time.Second},
			{stream.Segment{Start: at(time.Hour + 2*time.Second)}, 2 * time.Second, 2 * time.Second},
			{stream.Segment{Start: at(time.Hour + 9*time.Second)}, 9 * time.Second, 2 * time.Second},
		},
		"the first start comes late": {
			{stream.Segment{}, 0, 2 * time.Second},
			{stream.Segment{Start: at(time.Hour)}, 2 * time.Second, 2 * time.Second},
			{stream.Segment{Start: at(time.Hour + 3*time.Second)}, 5 * time.Second, 2 * time.Second},
		},
		"the clock was set back": {
			{stream.Segment{Start: at(time.Hour)}, 0, 2 * time.Second},
			{stream.Segment{Start: at(0)}, 2 * time.Second, 2 * time.Second},
			{stream.Segment{Start: at(2 * time.Second)}, 4 * time.Second, 2 * time.Second},
		},
		"a start before its epoch": {
			{stream.Segment{Start: at(-time.Second), Epoch: epoch}, 0, 2 * time.Second},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			var line Timeline
			for _, s := range steps {
				offset := line.Offset(&s.segment)
				require.Equal(t, s.want, offset)
				line.Advance(&stream.Clip{Start: offset, End: offset + s.lasts})
			}
		})
	}
}

func TestTimelineGoesOnAfterALostSegment(t *testing.T) {
	var line Timeline
	line.Advance(&stream.Clip{End: 4 * time.Second})
	lost := &stream.Segment{Duration: 2 * time.Second}
	line.Skip(lost, line.Offset(lost))
	require.Equal(t, 6*time.Second, line.Offset(&stream.Segment{}))
}
