package container

import (
	"math"
	"testing"
	"time"

	"github.com/asticode/go-astiav"
	"github.com/stretchr/testify/require"
)

func TestTicksBecomeDurations(t *testing.T) {
	tests := []struct {
		base  TimeBase
		ticks int64
		want  time.Duration
	}{
		{TimeBase{1, 1000}, 1500, 1500 * time.Millisecond},
		{TimeBase{1001, 30000}, 1, 33366667},
		{TimeBase{1001, 30000}, 30000, 1001 * time.Second},
		{TimeBase{1, 90000}, -90000, -time.Second},
		{TimeBase{1, 3}, 1, 333333333},
		{TimeBase{1, 1}, math.MaxInt64, math.MaxInt64},
		{TimeBase{1, 1}, math.MinInt64, -math.MaxInt64},
		{TimeBase{1, 1200000}, 1 << 50, 938249922368853333}, // 2^50/1.2e6 s: more than 63 bits on the way
		{TimeBase{0, 1}, 5, 0},
		{TimeBase{1, 0}, 5, 0},
	}
	for _, test := range tests {
		require.Equal(t, test.want, test.base.Duration(test.ticks), "%v of %v", test.ticks, test.base)
	}
}

func TestInvisibleFramesAreKnownByTheirFirstByte(t *testing.T) {
	const superframe = 0xc9
	tests := []struct {
		name string
		data []byte
		want bool
	}{
		{"shown key frame of profile 0", []byte{0b10_0_0_0_0_1_0, 0}, false},
		{"hidden key frame of profile 0", []byte{0b10_0_0_0_0_0_0, 0}, true},
		{"existing frame shown", []byte{0b10_0_0_1_000, 0}, false},
		{"hidden inter frame of profile 2", []byte{0b10_0_1_0_1_0_0, 0}, true},
		{"hidden key frame of profile 3", []byte{0b10_1_1_0_0_0_0, 0}, true},
		{"shown key frame of profile 3", []byte{0b10_1_1_0_0_0_1, 0}, false},
		{"superframe", []byte{0b10_0_0_0_0_0_0, superframe}, false},
		{"nothing", nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { require.Equal(t, test.want, invisible(astiav.CodecIDVp9, test.data)) })
	}
	require.True(t, invisible(astiav.CodecIDVp8, []byte{0b0000_0000}))
	require.False(t, invisible(astiav.CodecIDVp8, []byte{0b0001_0000}))
}
