package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// minYear and maxYear bound the times a record may tell: the difference of any two of them fits into a time.Duration.
	minYear = 1900
	maxYear = 2190
	// maxDuration bounds how long a segment may say it lasts; what is scored is bounded further by decode.limits.
	maxDuration = 24 * time.Hour
)

// segmentHeader is a header of a segment's record and how it is read into the segment. The text has no surrounding space.
type segmentHeader struct {
	name string
	read func(*Segment, string) error
}

// segmentHeaders are the known headers. Each is read by itself: one that is corrupt does not keep the others from being read.
var segmentHeaders = []segmentHeader{
	{HeaderSequence, readSequence},
	{HeaderStart, func(s *Segment, text string) (err error) { s.Start, err = parseTime(text); return err }},
	{HeaderEpoch, func(s *Segment, text string) (err error) { s.Epoch, err = parseTime(text); return err }},
	{HeaderDuration, func(s *Segment, text string) (err error) { s.Duration, err = parseDuration(text); return err }},
	{HeaderContentType, readContentType},
	{HeaderSHA256, readSHA256},
	{HeaderRef, readRef},
	{HeaderSize, readSize},
	{HeaderEnd, readEnd},
	{HeaderRetryOf, func(s *Segment, text string) error { s.Retried = text != ""; return nil }},
	{HeaderTraceparent, readTraceparent},
}

// SegmentFromRecord is the segment that a record carries. It never fails: what is wrong with the record is told in
// Segment.Problem, a permanent Failure that becomes a dead letter (invariant 4), and the segment still says where it came from.
//
// A record with nothing but a value is a segment of DefaultStream whose sequence is the record's offset. Headers that ensue
// does not know are tolerated. A record whose key cannot name a stream gets a stream name of its own, made from the key's
// digest, so that its dead letter disturbs no other stream.
//
// The segment shares the record's bytes. Received is left for the caller to set, and the payload is not yet compared with SHA256.
func SegmentFromRecord(record Record) *Segment {
	segment := &Segment{
		Stream:   DefaultStream,
		Sequence: record.Offset,
		Payload:  record.Value,
		Origin:   Origin{Topic: record.Topic, Partition: record.Partition, Offset: record.Offset},
		Record:   record,
		Receipt:  NoReceipt{},
	}
	var problems []*Failure
	if failure := readKey(segment, record.Key); failure != nil {
		problems = append(problems, failure)
	}
	if failure := checkVersion(&record); failure != nil {
		// The headers of a later version may mean something else: none of them is read.
		segment.Problem = joinProblems(append(problems, failure))
		return segment
	}
	problems = append(problems, readHeaders(segment, &record)...)
	if failure := checkContent(segment, &record, problems); failure != nil {
		problems = append(problems, failure)
	}
	segment.Problem = joinProblems(problems)
	return segment
}

// RecordFromSegment is the record that carries a segment, the inverse of SegmentFromRecord. Topic, Partition, Offset and Time
// are those the segment came with; a sender overwrites them. What only the stages know (Gap, Alone, ContextOnly, MarkForget,
// the file of the Origin) has no form on the wire. An unsequenced segment gets no sequence header.
func RecordFromSegment(segment *Segment) Record {
	record := Record{
		Topic:     segment.Origin.Topic,
		Partition: segment.Origin.Partition,
		Offset:    segment.Origin.Offset,
		Time:      segment.Record.Time,
		Key:       []byte(segment.Stream),
		Value:     segment.Payload,
	}
	add := func(key, value string) {
		if value != "" {
			record.Headers = append(record.Headers, Header{Key: key, Value: []byte(value)})
		}
	}
	add(HeaderVersion, strconv.Itoa(Version))
	if segment.Sequenced {
		add(HeaderSequence, strconv.FormatInt(segment.Sequence, 10))
	}
	add(HeaderStart, formatTime(segment.Start))
	add(HeaderEpoch, formatTime(segment.Epoch))
	if segment.Duration > 0 {
		add(HeaderDuration, formatSeconds(segment.Duration))
	}
	add(HeaderContentType, segment.ContentType)
	add(HeaderSHA256, segment.SHA256)
	add(HeaderRef, segment.Ref)
	if segment.Size > 0 {
		add(HeaderSize, strconv.FormatInt(segment.Size, 10))
	}
	add(HeaderActions, string(segment.Actions))
	if segment.Mark == MarkEnd {
		add(HeaderEnd, "true")
	}
	add(HeaderTraceparent, segment.Traceparent)
	return record
}

func readKey(segment *Segment, key []byte) *Failure {
	if len(key) == 0 {
		return nil
	}
	name := string(key)
	if err := checkName(name, maxName); err != nil {
		digest := sha256.Sum256(key)
		segment.Stream = "bad-key:" + hex.EncodeToString(digest[:8])
		return Fail("ingest", CodeBadKey, "the record's key %s %w: use the stream's name as the key", quote(name), err)
	}
	segment.Stream = name
	return nil
}

func checkVersion(record *Record) *Failure {
	text, ok := record.Get(HeaderVersion)
	if !ok {
		return nil
	}
	major, _, _ := strings.Cut(strings.TrimSpace(text), ".")
	number, err := strconv.ParseUint(major, 10, 31)
	switch {
	case err != nil || number == 0:
		return badHeader(HeaderVersion, text, fmt.Errorf(`must be a version such as "%d"`, Version))
	case number > Version:
		return Fail("ingest", CodeVersion, "header %s %s: this program reads version %d of the wire format and earlier ones: "+
			"use a newer ensue, or an older sender", HeaderVersion, quote(text), Version)
	}
	return nil
}

func readHeaders(segment *Segment, record *Record) []*Failure {
	var problems []*Failure
	for _, header := range segmentHeaders {
		text, ok := record.Get(header.name)
		if !ok {
			continue
		}
		if err := header.read(segment, strings.TrimSpace(text)); err != nil {
			problems = append(problems, badHeader(header.name, text, err))
		}
	}
	if actions, ok := record.Get(HeaderActions); ok && actions != "" {
		segment.Actions = []byte(actions)
	}
	if !segment.Start.IsZero() && segment.Start.Before(segment.Epoch) {
		problems = append(problems, badHeader(HeaderStart, formatTime(segment.Start),
			fmt.Errorf("is before %s %s: a segment cannot start before its stream", HeaderEpoch, formatTime(segment.Epoch))))
	}
	return problems
}

// checkContent wants one of payload, claim and end. Where a header is corrupt already, that is the cause to tell.
func checkContent(segment *Segment, record *Record, problems []*Failure) *Failure {
	switch {
	case len(segment.Payload) > 0 && segment.Ref != "":
		return badHeader(HeaderRef, segment.Ref,
			fmt.Errorf("the record also has a value of %d bytes: send the payload or a claim, not both", len(record.Value)))
	case len(segment.Payload) > 0 || segment.Ref != "" || segment.Mark == MarkEnd || len(problems) > 0:
		return nil
	}
	return Fail("ingest", CodeEmptyValue, "the record has no value: send the bytes of a video container, or %s with their address, "+
		"or %s: true to end the stream", HeaderRef, HeaderEnd)
}

// joinProblems is one failure that tells all; its code is that of the first. It is a nil error when there are none.
func joinProblems(problems []*Failure) error {
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return problems[0]
	}
	texts := make([]string, len(problems))
	for i, problem := range problems {
		texts[i] = problem.Err.Error()
	}
	return &Failure{
		Code: problems[0].Code, Stage: problems[0].Stage, Permanent: true,
		Err: errors.New(strings.Join(texts, "; ")),
	}
}

func badHeader(name, value string, err error) *Failure {
	return Fail("ingest", CodeBadHeader, "header %s %s: %w", name, quote(value), err)
}

func readSequence(segment *Segment, text string) error {
	number, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return errors.New("must be a whole number from 0 to 9223372036854775807")
	}
	segment.Sequence, segment.Sequenced = int64(number), true
	return nil
}

func readContentType(segment *Segment, text string) error {
	if err := checkName(text, maxName); err != nil {
		return err
	}
	segment.ContentType = text
	return nil
}

func readSHA256(segment *Segment, text string) error {
	if !isHex(text, hex.EncodedLen(sha256.Size)) {
		return errors.New("must be the 64 hexadecimal digits of the payload's SHA-256")
	}
	segment.SHA256 = strings.ToLower(text)
	return nil
}

func readRef(segment *Segment, text string) error {
	if err := checkName(text, maxRef); err != nil {
		return err
	}
	address, err := url.Parse(text)
	if err != nil || address.Scheme == "" {
		return errors.New(`must be an address with a scheme, such as "file:///data/0001.mp4"`)
	}
	segment.Ref = text
	return nil
}

func readSize(segment *Segment, text string) error {
	number, err := strconv.ParseUint(text, 10, 63)
	if err != nil || number == 0 {
		return errors.New("must be the number of bytes that ensue-ref leads to")
	}
	segment.Size = int64(number)
	return nil
}

func readEnd(segment *Segment, text string) error {
	switch strings.ToLower(text) {
	case "true", "1":
		segment.Mark = MarkEnd
	case "false", "0":
	default:
		return errors.New(`must be "true" or "false"`)
	}
	return nil
}

// readTraceparent ignores what it cannot read (W3C Trace Context §3.2.2.5: "If parsing fails … restart the trace").
func readTraceparent(segment *Segment, text string) error {
	parts := strings.Split(text, "-")
	if len(parts) >= 4 && isHex(parts[0], 2) && isHex(parts[1], 32) && isHex(parts[2], 16) && isHex(parts[3], 2) &&
		len(text) <= maxName && checkName(text, maxName) == nil {
		segment.Traceparent = text
	}
	return nil
}

func parseTime(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, errors.New(`must be a time such as "2026-11-23T17:55:00.123456789Z" (RFC 3339)`)
	}
	at = at.UTC()
	if at.Year() < minYear || at.Year() > maxYear {
		return time.Time{}, fmt.Errorf("must lie in the years %d to %d", minYear, maxYear)
	}
	return at, nil
}

func formatTime(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}

func parseDuration(text string) (time.Duration, error) {
	if text != "" && strings.Trim(text[len(text)-1:], "0123456789.") == "" {
		text += "s"
	}
	length, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errors.New(`must be seconds such as "2.002", or a duration with units such as "1500ms"`)
	case length <= 0 || length > maxDuration:
		return 0, fmt.Errorf("must be longer than 0 and at most %v", maxDuration)
	}
	return length, nil
}

// formatSeconds is the duration in decimal seconds, exact to the nanosecond and without trailing zeros: "2.002".
func formatSeconds(length time.Duration) string {
	text := fmt.Sprintf("%d.%09d", length/time.Second, length%time.Second)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
