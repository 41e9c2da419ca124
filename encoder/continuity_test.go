package encoder

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// at is a clip of frames taken at those times, in milliseconds, on a grid of so many.
func at(grid int, times ...int) *stream.Clip {
	clip := stream.NewClip(nil, len(times), 0, 0, nil)
	clip.Step = time.Duration(grid) * time.Millisecond
	for _, ms := range times {
		clip.Times = append(clip.Times, time.Duration(ms)*time.Millisecond)
	}
	return clip
}

func TestContinuity(t *testing.T) {
	tests := []struct {
		name    string
		clips   []*stream.Clip
		follows []bool
	}{
		{"one after another", []*stream.Clip{at(100, 0, 100), at(100, 200, 300)}, []bool{true, true}},
		{"a lost frame or two", []*stream.Clip{at(100, 0, 100), at(100, 400, 500)}, []bool{true, true}},
		{"a hole", []*stream.Clip{at(100, 0, 100), at(100, 401, 501), at(100, 601)}, []bool{true, false, true}},
		{"time that stands still", []*stream.Clip{at(100, 0, 100), at(100, 100, 200)}, []bool{true, false}},
		{"time that runs backwards", []*stream.Clip{at(100, 500, 600), at(100, 0, 100), at(100, 200)}, []bool{true, false, true}},
		{"another rate", []*stream.Clip{at(100, 0, 100), at(97, 200), at(97, 297)}, []bool{true, false, true}},
		{"a rate told a little differently", []*stream.Clip{at(100, 0, 100), at(98, 200), at(102, 298)}, []bool{true, true, true}},
		{
			"small changes add up to another rate",
			[]*stream.Clip{at(100, 0), at(99, 100), at(98, 200), at(97, 300)},
			[]bool{true, true, true, false},
		},
		{"clips without frames", []*stream.Clip{at(0), at(100, 0), at(0), at(100, 100)}, []bool{true, true, true, true}},
		{"a hole around a clip without frames", []*stream.Clip{at(100, 0), at(0), at(100, 900)}, []bool{true, true, false}},
		{"a distance shown before", []*stream.Clip{at(100, 0, 500), at(100, 1500)}, []bool{true, true}},
		{"a distance shown in the clip itself", []*stream.Clip{at(100, 0), at(100, 1000, 1500)}, []bool{true, true}},
		{"twice the distance and more", []*stream.Clip{at(100, 0, 500), at(100, 1501, 1601)}, []bool{true, false}},
		{
			"single frames that come slowly",
			[]*stream.Clip{at(100, 0), at(100, 300), at(100, 900), at(100, 2101)},
			[]bool{true, true, true, false},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var continuity Continuity
			for i, clip := range test.clips {
				require.Equal(t, test.follows[i], continuity.Next(clip), "clip %d", i)
			}
		})
	}
}

// Invariant 7: only the frames count, not how they were cut.
func TestContinuityForgetsADistanceAfterAWhileHoweverTheStreamIsCut(t *testing.T) {
	for _, cut := range []int{1, 7, continuityFrames + 1} {
		for _, frames := range []int{continuityFrames, continuityFrames + 1} { // after the wide distance
			var continuity Continuity
			require.True(t, continuity.Next(at(100, 0, 1000)))
			now := 1000
			for sent := 1; sent < frames; {
				var times []int
				for range min(cut, frames-sent) {
					now += 100
					times = append(times, now)
				}
				sent += len(times)
				require.True(t, continuity.Next(at(100, times...)))
			}
			require.Equal(t, frames <= continuityFrames, continuity.Next(at(100, now+2000)), "pieces of %d, %d frames", cut, frames)
		}
	}
}
