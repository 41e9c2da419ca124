package predictor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWindowsTileASegment(t *testing.T) {
	tests := []struct {
		name     string
		window   int
		from, to int
		want     []stretch
	}{
		{"nothing", 8, 5, 5, nil},
		{"less than half a window is still one", 8, 0, 3, []stretch{{0, 3}}},
		{"exactly one", 8, 2, 10, []stretch{{2, 10}}},
		{"two", 8, 0, 16, []stretch{{0, 8}, {8, 16}}},
		{"a remainder below half a window joins the last", 8, 0, 19, []stretch{{0, 8}, {8, 19}}},
		{"a remainder of half a window is its own", 8, 0, 20, []stretch{{0, 8}, {8, 16}, {16, 20}}},
		{"half of an odd window is rounded up", 7, 0, 10, []stretch{{0, 10}}},
		{"and from there on its own", 7, 0, 11, []stretch{{0, 7}, {7, 11}}},
		{"windows of one step", 1, 3, 6, []stretch{{3, 4}, {4, 5}, {5, 6}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, layout{window: test.window}.tile(test.from, test.to))
		})
	}
}

func TestHorizonsBecomeBandsOfSteps(t *testing.T) {
	tests := []struct {
		name     string
		horizons []time.Duration
		step     time.Duration
		window   int
		bands    []stretch
		leads    [][]int
		reach    int
	}{
		{
			"one and two seconds at 8 steps a second",
			[]time.Duration{time.Second, 2 * time.Second},
			time.Second / 8, 8,
			[]stretch{{0, 8}, {8, 16}},
			[][]int{{0}, {8}},
			8,
		},
		{
			"at 7.5 steps a second the nearest number of steps",
			[]time.Duration{time.Second, 2 * time.Second},
			time.Second * 4 / 30, 8,
			[]stretch{{0, 8}, {8, 15}},
			[][]int{{0}, {8}},
			8,
		},
		{
			"a band of several windows is predicted from several contexts",
			[]time.Duration{time.Second, 4 * time.Second},
			time.Second / 8, 8,
			[]stretch{{0, 8}, {8, 32}},
			[][]int{{0}, {8, 16, 24}},
			24,
		},
		{
			"one horizon",
			[]time.Duration{500 * time.Millisecond},
			time.Second / 8, 4,
			[]stretch{{0, 4}},
			[][]int{{0}},
			0,
		},
		{
			"steps longer than the horizons",
			[]time.Duration{time.Second / 4, time.Second / 2},
			time.Second, 1,
			[]stretch{{0, 1}, {1, 2}},
			[][]int{{0}, {1}},
			1,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLayout(Config{Context: 2 * time.Second, Horizons: test.horizons}, test.step)
			require.Equal(t, test.window, l.window)
			require.Equal(t, test.bands, l.bands)
			require.Equal(t, test.reach, l.reach)
			require.Equal(t, test.bands[len(test.bands)-1].to, l.horizon())
			for i, band := range l.bands {
				require.Equal(t, test.leads[i], l.leads(band))
			}
		})
	}
}

func TestWithoutAPastASegmentsOwnBeginningIsTheContext(t *testing.T) {
	for count, want := range map[int]int{2: 1, 3: 1, 7: 3, 15: 7, 16: 8, 17: 8, 100: 8} {
		require.Equal(t, want, layout{window: 8}.alone(count), "%d steps", count)
	}
}
