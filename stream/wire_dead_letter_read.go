package stream

import (
	"errors"
	"slices"
	"strconv"
	"time"
)

// CodeUnreadableLetter: a record that is no dead letter.
const CodeUnreadableLetter Code = "dead.unreadable"

// letterHeaderNames are the headers that a dead letter adds to those of its record.
var letterHeaderNames = []string{
	HeaderDeadID, HeaderSegment, HeaderErrorCode, HeaderErrorStage, HeaderErrorMessage, HeaderErrorAttempts, HeaderErrorPermanent,
	HeaderOriginTopic, HeaderOriginPartition, HeaderOriginOffset, HeaderOriginFile,
	HeaderTruncated, HeaderPayloadBytes, HeaderPayloadSHA256, HeaderRetriedAt,
}

// ToldLetter is a dead letter as it was told.
type ToldLetter struct {
	DeadLetter
	// ID is the letter's own; see DeadLetter.ID.
	ID string
	// Place is where the letter lies, Time when it was written.
	Place Origin
	Time  time.Time
	// Truncated says that the payload was too large for the topic of the dead letters; Bytes and SHA256 describe it all the same.
	Truncated bool
	Bytes     int
	SHA256    string
}

// LetterFromRecord is the inverse of RecordFromDeadLetter and TruncatedRecordFromDeadLetter: what went wrong, and the record as it was
// before. It fails with CodeUnreadableLetter where the record is no dead letter.
func LetterFromRecord(record Record) (*ToldLetter, error) {
	get := func(name string) string {
		value, _ := record.Get(name)
		return value
	}
	id, code := get(HeaderDeadID), get(HeaderErrorCode)
	segment, ok := ParseSegmentID(get(HeaderSegment))
	if id == "" || code == "" || !ok {
		return nil, Fail("sink", CodeUnreadableLetter, "%s is no dead letter: it has no %s, %s or %s",
			record.Origin(), HeaderDeadID, HeaderErrorCode, HeaderSegment)
	}
	letter := &ToldLetter{ID: id, Place: record.Origin(), Time: record.Time, Bytes: len(record.Value)}
	letter.Segment, letter.Attempts = segment, number(get(HeaderErrorAttempts))
	letter.Failure = &Failure{
		Code: Code(code), Stage: get(HeaderErrorStage), Permanent: get(HeaderErrorPermanent) == "true",
		Err: errors.New(get(HeaderErrorMessage)),
	}
	letter.Origin = Origin{
		Topic: get(HeaderOriginTopic), Partition: number(get(HeaderOriginPartition)), Offset: int64(number(get(HeaderOriginOffset))),
		File: get(HeaderOriginFile),
	}
	letter.Record = Record{Key: record.Key, Value: record.Value, Headers: originalHeaders(record.Headers)}
	letter.Traceparent, _ = letter.Record.Get(HeaderTraceparent)
	if letter.Truncated = get(HeaderTruncated) == "true"; letter.Truncated {
		letter.Bytes, letter.SHA256 = number(get(HeaderPayloadBytes)), get(HeaderPayloadSHA256)
	}
	return letter, nil
}

// originalHeaders are the headers without those of dead letters; of a letter that was sent again and failed again, also without those of
// the first time.
func originalHeaders(headers []Header) []Header {
	return slices.DeleteFunc(slices.Clone(headers), func(h Header) bool { return slices.Contains(letterHeaderNames, h.Key) })
}

// number is 0 for what is none.
func number(text string) int {
	value, _ := strconv.Atoi(text)
	return value
}

// RetryOf is the record to send where the letter's came from: the same key, value and headers, and the id of the letter.
func (l *ToldLetter) RetryOf() Record {
	record := l.Record
	record.Topic, record.Partition = l.Origin.Topic, l.Origin.Partition
	record.Headers = append(slices.Clone(record.Headers), Header{Key: HeaderRetryOf, Value: []byte(l.ID)})
	return record
}

// RetriedRecord says in the topic of the dead letters that the letter was sent again.
func (l *ToldLetter) RetriedRecord(at time.Time) Record {
	return Record{
		Key: l.Record.Key, Value: []byte{}, Topic: l.Place.Topic, Partition: l.Place.Partition,
		Headers: []Header{{Key: HeaderDeadID, Value: []byte(l.ID)}, {Key: HeaderRetriedAt, Value: []byte(formatTime(at))}},
	}
}

// RetriedFromRecord is the id of the letter that the record says was sent again, and when; not ok for any other record.
func RetriedFromRecord(record Record) (id string, at time.Time, ok bool) {
	text, told := record.Get(HeaderRetriedAt)
	id, named := record.Get(HeaderDeadID)
	if !told || !named {
		return "", time.Time{}, false
	}
	at, err := parseTime(text)
	return id, at, err == nil
}
