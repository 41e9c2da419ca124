package search

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Point is a moment of a stream.
type Point struct {
	Stream string
	// At is the time where it was told, else Offset counts from the beginning of what is stored of the stream.
	At     time.Time
	Offset time.Duration
}

// ParsePoint reads STREAM@TIME: a time since the beginning (12.5s, 1m30s, 12.5) or a moment (RFC 3339).
func ParsePoint(text string) (Point, error) {
	at := strings.LastIndexByte(text, '@')
	if at <= 0 || at == len(text)-1 {
		return Point{}, fmt.Errorf("%q names no moment: write STREAM@TIME, as in lobby@12.5s or lobby@2026-11-23T17:55:02Z", text)
	}
	point := Point{Stream: text[:at]}
	when := text[at+1:]
	if moment, err := time.Parse(time.RFC3339Nano, when); err == nil {
		point.At = moment
		return point, nil
	}
	offset, err := parseOffset(when)
	if err != nil || offset < 0 {
		return Point{}, fmt.Errorf("%q is no time: write seconds since the beginning (12.5s, 1m30s) or a moment (2026-11-23T17:55:02Z)", when)
	}
	point.Offset = offset
	return point, nil
}

func parseOffset(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if !(seconds >= 0 && seconds < 1e9) {
			return 0, errors.New("out of range")
		}
		return time.Duration(seconds * float64(time.Second)), nil
	}
	return time.ParseDuration(text)
}

// String is the point as it is written.
func (p Point) String() string {
	if !p.At.IsZero() {
		return p.Stream + "@" + p.At.Format(time.RFC3339Nano)
	}
	return p.Stream + "@" + p.Offset.String()
}
