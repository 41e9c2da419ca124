package container

import (
	"math/bits"
	"strings"
	"time"
)

// TimeBase is a unit of time in seconds: Num/Den.
type TimeBase struct{ Num, Den int64 }

// Duration is ticks of the time base, rounded to the nearest nanosecond, and the largest or smallest Duration where it does not fit.
func (b TimeBase) Duration(ticks int64) time.Duration {
	const limit = uint64(1<<63 - 1)
	if b.Num <= 0 || b.Den <= 0 {
		return 0
	}
	magnitude, negative := uint64(ticks), ticks < 0
	if negative {
		magnitude = -magnitude
	}
	result := limit
	if high, scale := bits.Mul64(uint64(b.Num), uint64(time.Second)); high == 0 {
		high, low := bits.Mul64(magnitude, scale)
		low, carry := bits.Add64(low, uint64(b.Den)/2, 0)
		high += carry
		if high < uint64(b.Den) {
			quotient, _ := bits.Div64(high, low, uint64(b.Den))
			result = min(quotient, limit)
		}
	}
	if negative {
		return -time.Duration(result)
	}
	return time.Duration(result)
}

// Ticks is how many ticks of the time base d is, rounded down.
func (b TimeBase) Ticks(d time.Duration) int64 {
	return int64(d.Seconds() * float64(b.Den) / float64(b.Num))
}

func cutComma(names string) (first, rest string, found bool) { return strings.Cut(names, ",") }
