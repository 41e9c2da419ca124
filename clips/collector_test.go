package clips

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// numbered is a clip of n frames of one pixel whose value is its number, from first on.
func numbered(first, n int) *stream.Clip {
	clip := stream.NewClip(nil, n, 1, 1, nil)
	clip.Step = time.Second
	for i := range n {
		clip.Frames = append(clip.Frames, bytes.Repeat([]byte{byte(first + i)}, 3)...)
		clip.Times = append(clip.Times, time.Duration(first+i)*time.Second)
	}
	return clip
}

func TestFramesAreCutIntoClipsOfOneLength(t *testing.T) {
	tests := []struct {
		name     string
		length   int
		segments []int // how many frames come at a time
		want     [][]int
	}{
		{"they come out even", 3, []int{3, 3}, [][]int{{0, 1, 2}, {3, 4, 5}}},
		{"segments do not matter", 3, []int{1, 4, 1}, [][]int{{0, 1, 2}, {3, 4, 5}}},
		{"the last clip ends where the frames end", 3, []int{7}, [][]int{{0, 1, 2}, {3, 4, 5}, {4, 5, 6}}},
		{"by one more", 3, []int{3, 0, 2}, [][]int{{0, 1, 2}, {2, 3, 4}}},
		{"a short recording is a short clip", 3, []int{2}, [][]int{{0, 1}}},
		{"all at once", 0, []int{4, 3}, [][]int{{0, 1, 2, 3, 4, 5, 6}}},
		{"nothing", 3, []int{0}, nil},
		{"single frames", 1, []int{2, 1}, [][]int{{0}, {1}, {2}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got [][]int
			c := collector{length: test.length, emit: func(clip *stream.Clip) error {
				require.Len(t, clip.Frames, clip.T*3)
				require.Len(t, clip.Times, clip.T)
				require.Equal(t, clip.Times[0], clip.Start)
				require.Equal(t, clip.Times[clip.T-1]+time.Second, clip.End)
				frames := make([]int, clip.T)
				for i := range frames {
					frames[i] = int(clip.Frame(i)[0])
					require.Equal(t, time.Duration(frames[i])*time.Second, clip.Times[i])
				}
				got = append(got, frames)
				return nil
			}}
			first := 0
			for _, n := range test.segments {
				require.NoError(t, c.add(numbered(first, n)))
				first += n
			}
			require.NoError(t, c.end())
			require.Equal(t, test.want, got)
			require.NoError(t, c.end(), "nothing is left")
			require.Equal(t, test.want, got)
		})
	}
}

func TestAfterAHoleClipsBeginAnew(t *testing.T) {
	var got []int
	c := collector{length: 4, emit: func(clip *stream.Clip) error {
		got = append(got, clip.T, int(clip.Frame(0)[0]))
		return nil
	}}
	require.NoError(t, c.add(numbered(0, 5)))
	require.NoError(t, c.end())
	require.NoError(t, c.add(numbered(10, 3)))
	require.NoError(t, c.end())
	require.Equal(t, []int{4, 0, 4, 1, 3, 10}, got)
}
