package stream_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

const validTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

var digest = strings.Repeat("0123456789abcdef", 4)

func header(key, value string) stream.Header {
	return stream.Header{Key: key, Value: []byte(value)}
}

// record is a record at lobby's offset 7 with a payload and the headers, given as key, value, key, value.
func record(pairs ...string) stream.Record {
	r := stream.Record{Topic: "video.segments", Partition: 3, Offset: 7, Key: []byte("lobby"), Value: []byte("payload")}
	for i := 0; i < len(pairs); i += 2 {
		r.Headers = append(r.Headers, header(pairs[i], pairs[i+1]))
	}
	return r
}

func failureOf(t *testing.T, err error) *stream.Failure {
	t.Helper()
	var failure *stream.Failure
	require.ErrorAs(t, err, &failure)
	return failure
}

func TestBareValueIsASegmentOfTheDefaultStream(t *testing.T) {
	in := stream.Record{Topic: "video.segments", Partition: 3, Offset: 7, Value: []byte("payload")}
	segment := stream.SegmentFromRecord(in)
	require.NoError(t, segment.Problem)
	require.Equal(t, &stream.Segment{
		Stream: "default", Sequence: 7, Payload: in.Value, Record: in, Receipt: stream.NoReceipt{},
		Origin: stream.Origin{Topic: "video.segments", Partition: 3, Offset: 7},
	}, segment)
}

func TestEveryHeaderIsRead(t *testing.T) {
	in := record(
		"ensue-version", "1.4", "ensue-sequence", "42",
		"ensue-start", "2026-11-23T18:55:00.123456789+01:00", "ensue-epoch", "2026-11-23T17:54:00Z",
		"ensue-duration", "2.002", "content-type", "video/mp4", "ensue-sha256", strings.ToUpper(digest),
		"ensue-actions", "\x00\x01", "ensue-end", "true", "traceparent", validTrace, "x-unknown", "\xff",
	)
	segment := stream.SegmentFromRecord(in)
	require.NoError(t, segment.Problem)
	require.Equal(t, &stream.Segment{
		Stream: "lobby", Sequence: 42, Sequenced: true,
		Start:    time.Date(2026, 11, 23, 17, 55, 0, 123456789, time.UTC),
		Epoch:    time.Date(2026, 11, 23, 17, 54, 0, 0, time.UTC),
		Duration: 2002 * time.Millisecond, ContentType: "video/mp4", SHA256: digest, Actions: []byte{0, 1},
		Mark: stream.MarkEnd, Traceparent: validTrace, Payload: in.Value, Record: in, Receipt: stream.NoReceipt{},
		Origin: stream.Origin{Topic: "video.segments", Partition: 3, Offset: 7},
	}, segment)
}

func TestHeaderFormsThatSendersUse(t *testing.T) {
	for name, test := range map[string]struct {
		record stream.Record
		check  func(*testing.T, *stream.Segment)
	}{
		"duration with a unit":   {record("ensue-duration", "1500ms"), durationIs(1500 * time.Millisecond)},
		"duration in seconds":    {record("ensue-duration", "2"), durationIs(2 * time.Second)},
		"duration, exact":        {record("ensue-duration", "0.000000001"), durationIs(1)},
		"surrounding space":      {record("ensue-duration", " 2s\n"), durationIs(2 * time.Second)},
		"the last of two counts": {record("ensue-duration", "oops", "ensue-duration", "3"), durationIs(3 * time.Second)},
		"end as Python writes it": {record("ensue-end", "True"), func(t *testing.T, s *stream.Segment) {
			require.Equal(t, stream.MarkEnd, s.Mark)
		}},
		"no end": {record("ensue-end", "0"), func(t *testing.T, s *stream.Segment) {
			require.Equal(t, stream.MarkNone, s.Mark)
		}},
		"a corrupt trace context is ignored": {record("traceparent", "00-nonsense"), func(t *testing.T, s *stream.Segment) {
			require.Empty(t, s.Traceparent)
		}},
		"an end without payload": {
			stream.Record{Key: []byte("lobby"), Headers: []stream.Header{header("ensue-end", "1")}},
			func(t *testing.T, s *stream.Segment) { require.Equal(t, stream.MarkEnd, s.Mark) },
		},
		"a claim without payload": {
			stream.Record{Key: []byte("lobby"), Headers: []stream.Header{header("ensue-ref", "s3://bucket/1.mp4")}},
			func(t *testing.T, s *stream.Segment) { require.Equal(t, "s3://bucket/1.mp4", s.Ref) },
		},
		"a name that is not English": {
			stream.Record{Key: []byte("Eingang süd/カメラ 1"), Value: []byte("payload")},
			func(t *testing.T, s *stream.Segment) { require.Equal(t, "Eingang süd/カメラ 1", s.Stream) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			segment := stream.SegmentFromRecord(test.record)
			require.NoError(t, segment.Problem)
			test.check(t, segment)
		})
	}
}

func durationIs(want time.Duration) func(*testing.T, *stream.Segment) {
	return func(t *testing.T, s *stream.Segment) {
		t.Helper()
		require.Equal(t, want, s.Duration)
	}
}

func TestBadRecordsNameTheirProblem(t *testing.T) {
	for name, test := range map[string]struct {
		record stream.Record
		code   stream.Code
		says   []string
	}{
		"sequence is a word":   {record("ensue-sequence", "x1"), stream.CodeBadHeader, []string{"ensue-sequence", `"x1"`}},
		"sequence is negative": {record("ensue-sequence", "-1"), stream.CodeBadHeader, []string{`"-1"`}},
		"sequence is empty":    {record("ensue-sequence", ""), stream.CodeBadHeader, []string{"ensue-sequence", `""`}},
		"sequence overflows":   {record("ensue-sequence", "9223372036854775808"), stream.CodeBadHeader, []string{"ensue-sequence"}},
		"start is no time": {
			record("ensue-start", "yesterday"), stream.CodeBadHeader, []string{"ensue-start", `"yesterday"`, "RFC 3339"},
		},
		"start is out of range": {record("ensue-start", "0001-01-01T00:00:00Z"), stream.CodeBadHeader, []string{"1900"}},
		"start before the epoch": {
			record("ensue-start", "2026-01-01T00:00:00Z", "ensue-epoch", "2026-01-02T00:00:00Z"),
			stream.CodeBadHeader,
			[]string{"ensue-start", "ensue-epoch"},
		},
		"epoch is no time":         {record("ensue-epoch", "0"), stream.CodeBadHeader, []string{"ensue-epoch", `"0"`}},
		"duration is a word":       {record("ensue-duration", "long"), stream.CodeBadHeader, []string{"ensue-duration", `"long"`}},
		"duration is not a number": {record("ensue-duration", "NaN"), stream.CodeBadHeader, []string{`"NaN"`}},
		"duration is zero":         {record("ensue-duration", "0"), stream.CodeBadHeader, []string{"longer than 0"}},
		"duration is negative":     {record("ensue-duration", "-2s"), stream.CodeBadHeader, []string{`"-2s"`}},
		"duration is endless":      {record("ensue-duration", "9999999h"), stream.CodeBadHeader, []string{"ensue-duration"}},
		"digest is short":          {record("ensue-sha256", "abcd"), stream.CodeBadHeader, []string{"ensue-sha256", `"abcd"`}},
		"end is a word":            {record("ensue-end", "maybe"), stream.CodeBadHeader, []string{"ensue-end", `"maybe"`}},
		"claim has no scheme":      {record("ensue-ref", "data/1.mp4"), stream.CodeBadHeader, []string{"ensue-ref", "scheme"}},
		"claim beside a payload":   {record("ensue-ref", "s3://bucket/1.mp4"), stream.CodeBadHeader, []string{"ensue-ref", "7 bytes"}},
		"content type is binary":   {record("content-type", "video/\x00"), stream.CodeBadHeader, []string{"content-type", `"video/\x00"`}},
		"version is a word":        {record("ensue-version", "new"), stream.CodeBadHeader, []string{"ensue-version", `"new"`}},
		"version is later":         {record("ensue-version", "2.0"), stream.CodeVersion, []string{"ensue-version", `"2.0"`, "version 1"}},
		"a long value is shortened": {
			record("ensue-start", strings.Repeat("a", 100_000)), stream.CodeBadHeader, []string{"… (100000 bytes)"},
		},
		"two bad headers are told at once": {
			record("ensue-sequence", "x1", "ensue-end", "maybe"), stream.CodeBadHeader, []string{"ensue-sequence", "ensue-end"},
		},
		"empty value":        {stream.Record{Key: []byte("lobby")}, stream.CodeEmptyValue, []string{"no value", "ensue-ref", "ensue-end"}},
		"key is not UTF-8":   {stream.Record{Key: []byte("\xff"), Value: []byte("payload")}, stream.CodeBadKey, []string{`"\xff"`, "UTF-8"}},
		"key has a line end": {stream.Record{Key: []byte("a\nb"), Value: []byte("payload")}, stream.CodeBadKey, []string{`"a\nb"`, "U+000A"}},
		"key is far too long": {
			stream.Record{Key: bytes.Repeat([]byte("k"), 256), Value: []byte("payload")}, stream.CodeBadKey, []string{"256 bytes"},
		},
		"key and header wrong": {
			stream.Record{Key: []byte("\x00"), Headers: []stream.Header{header("ensue-end", "?")}}, stream.CodeBadKey, []string{"ensue-end"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			segment := stream.SegmentFromRecord(test.record)
			failure := failureOf(t, segment.Problem)
			require.Equal(t, test.code, failure.Code)
			require.True(t, failure.Permanent)
			require.Equal(t, "ingest", failure.Stage)
			for _, word := range test.says {
				require.Contains(t, failure.Error(), word)
			}
			require.Less(t, len(failure.Error()), 1000)
			require.NotEmpty(t, segment.Stream)
			require.NotNil(t, segment.Receipt)
		})
	}
}

func TestABadKeyDisturbsNoOtherStream(t *testing.T) {
	one := stream.SegmentFromRecord(stream.Record{Key: []byte("\xff"), Value: []byte("payload")})
	two := stream.SegmentFromRecord(stream.Record{Key: []byte("\xfe"), Value: []byte("payload")})
	require.NotEqual(t, stream.DefaultStream, one.Stream)
	require.NotEqual(t, one.Stream, two.Stream)
	require.True(t, utf8.ValidString(one.Stream))
}

func TestHeadersOfALaterVersionAreNotRead(t *testing.T) {
	segment := stream.SegmentFromRecord(record("ensue-version", "2", "ensue-sequence", "42"))
	require.Equal(t, "lobby", segment.Stream)
	require.Equal(t, int64(7), segment.Sequence)
	require.False(t, segment.Sequenced)
}

func TestAGoodHeaderIsReadBesideABadOne(t *testing.T) {
	segment := stream.SegmentFromRecord(record("ensue-start", "?", "ensue-sequence", "42"))
	require.Error(t, segment.Problem)
	require.Equal(t, stream.SegmentID{Stream: "lobby", Sequence: 42}, segment.ID())
	require.True(t, segment.Sequenced)
}

func TestSegmentWithoutProblemHasANilError(t *testing.T) {
	segment := stream.SegmentFromRecord(record())
	// A typed nil would not be equal to nil.
	require.True(t, segment.Problem == nil) //nolint:testifylint // that is the point
}

// normal is the part of a segment that travels.
func normal(s *stream.Segment) stream.Segment {
	out := *s
	out.Record, out.Receipt, out.Problem = stream.Record{}, nil, nil
	return out
}

func FuzzSegmentFromRecord(f *testing.F) {
	f.Add([]byte("lobby"), []byte("payload"), "ensue-sequence", []byte("42"), "ensue-start", []byte("2026-11-23T17:55:00Z"), int64(7))
	f.Add([]byte(""), []byte(""), "ensue-ref", []byte("s3://b/1"), "ensue-duration", []byte("2.002"), int64(0))
	f.Add([]byte("\xff"), []byte(nil), "ensue-end", []byte("1"), "ensue-version", []byte("9"), int64(-1))
	f.Add([]byte("a"), []byte("b"), "ensue-sha256", []byte(digest), "traceparent", []byte(validTrace), int64(1))
	f.Fuzz(func(t *testing.T, key, value []byte, h1 string, v1 []byte, h2 string, v2 []byte, offset int64) {
		in := stream.Record{
			Topic: "t", Partition: 1, Offset: offset, Key: key, Value: value,
			Headers: []stream.Header{{Key: h1, Value: v1}, {Key: h2, Value: v2}},
		}
		segment := stream.SegmentFromRecord(in)
		require.NotEmpty(t, segment.Stream)
		require.LessOrEqual(t, len(segment.Stream), 255)
		for _, r := range segment.Stream {
			require.True(t, unicode.IsPrint(r))
		}
		require.NotNil(t, segment.Receipt)
		if segment.Problem != nil {
			require.True(t, failureOf(t, segment.Problem).Permanent)
			return
		}
		again := stream.SegmentFromRecord(stream.RecordFromSegment(segment))
		require.NoError(t, again.Problem)
		require.Equal(t, normal(segment), normal(again))
	})
}

func FuzzRecordFromSegment(f *testing.F) {
	f.Add("lobby", int64(42), true, int64(1_795_456_500_123_456_789), int64(60_000_000_000), int64(2_002_000_000), "video/mp4",
		[]byte("x"), []byte("y"), true)
	f.Add("default", int64(0), false, int64(0), int64(0), int64(0), "", []byte(nil), []byte(nil), true)
	f.Fuzz(func(t *testing.T, name string, sequence int64, sequenced bool, start, age, duration int64, content string,
		payload, actions []byte, end bool,
	) {
		segment := &stream.Segment{
			Stream: name, Sequence: sequence, Sequenced: sequenced, Duration: time.Duration(duration),
			ContentType: content, Payload: payload, Actions: actions, Receipt: stream.NoReceipt{},
			Origin: stream.Origin{Topic: "t", Partition: 1, Offset: sequence},
		}
		if start != 0 && age >= 0 && age < math.MaxInt64/2 {
			segment.Start = time.Unix(0, start).UTC()
			segment.Epoch = segment.Start.Add(-time.Duration(age))
		}
		if end {
			segment.Mark = stream.MarkEnd
		}
		if !sendable(segment) {
			t.Skip("no sender makes this")
		}
		if len(segment.Actions) == 0 {
			segment.Actions = nil
		}
		again := stream.SegmentFromRecord(stream.RecordFromSegment(segment))
		require.NoError(t, again.Problem)
		require.Equal(t, normal(segment), normal(again))
	})
}

// sendable says whether the segment keeps the limits that docs/wire.md names.
func sendable(s *stream.Segment) bool {
	printable := func(text string) bool {
		return len(text) <= 255 && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
	}
	inRange := func(at time.Time) bool { return at.IsZero() || at.Year() >= 1900 && at.Year() <= 2190 }
	return s.Stream != "" && printable(s.Stream) && printable(s.ContentType) && strings.TrimSpace(s.ContentType) == s.ContentType &&
		s.Sequence >= 0 && s.Duration >= 0 && s.Duration <= 24*time.Hour && inRange(s.Start) && inRange(s.Epoch) &&
		(len(s.Payload) > 0 || s.Mark == stream.MarkEnd)
}

func TestRecordFromSegmentTellsItsVersion(t *testing.T) {
	out := stream.RecordFromSegment(&stream.Segment{Stream: "lobby", Payload: []byte("payload")})
	require.Equal(t, "lobby", string(out.Key))
	require.Equal(t, []stream.Header{header("ensue-version", "1")}, out.Headers)
}

func TestFailuresOfSegmentsUnwrap(t *testing.T) {
	segment := stream.SegmentFromRecord(stream.Record{Key: []byte("lobby")})
	require.Equal(t, stream.CodeEmptyValue, stream.AsFailure(errors.Join(segment.Problem), "ingest").Code)
	require.False(t, slices.Contains([]stream.Code{stream.CodeBadHeader, stream.CodeBadKey}, stream.AsFailure(segment.Problem, "ingest").Code))
}
