package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// maxMessage bounds the error message in a dead letter, in bytes.
const maxMessage = 2048

// ID tells the same dead letter from another, whenever and wherever it is written again: the first 16 bytes of a SHA-256 over
// the segment and where it came from, in hex. What differs between two runs (attempts, the message) is no part of it.
func (d *DeadLetter) ID() string {
	hash := sha256.New()
	for _, part := range []string{
		d.Origin.Topic, strconv.Itoa(d.Origin.Partition), strconv.FormatInt(d.Origin.Offset, 10), d.Origin.File, d.Segment.String(),
	} {
		hash.Write([]byte(part))
		hash.Write([]byte{0})
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// RecordFromDeadLetter is the record that carries a dead letter: key, value and headers of the original record intact, so that
// it can be replayed as it is, and behind them the headers that say what went wrong (invariant 4). Of a letter that was replayed
// and failed again, the last headers count. Topic and Time are for the sink to set.
func RecordFromDeadLetter(letter *DeadLetter) Record {
	record := Record{Key: letter.Record.Key, Value: letter.Record.Value}
	record.Headers = append(record.Headers, letter.Record.Headers...)
	if record.Key == nil && letter.Origin.Topic == "" {
		// A file has no record: the stream's name is what its key would have been.
		record.Key = []byte(letter.Segment.Stream)
	}
	if _, ok := letter.Record.Get(HeaderTraceparent); !ok && letter.Traceparent != "" {
		record.Headers = append(record.Headers, Header{Key: HeaderTraceparent, Value: []byte(letter.Traceparent)})
	}
	record.Headers = append(record.Headers, letterHeaders(letter)...)
	return record
}

// TruncatedRecordFromDeadLetter is RecordFromDeadLetter for a broker that takes no record this large: without the payload, whose
// size and SHA-256 it tells instead, and with "ensue-truncated: true". With bare true the original key and headers are left out
// as well; the key is then the stream's name.
func TruncatedRecordFromDeadLetter(letter *DeadLetter, bare bool) Record {
	told := *letter
	if bare {
		told.Record.Key, told.Record.Headers = []byte(letter.Segment.Stream), nil
	}
	record := RecordFromDeadLetter(&told)
	// Empty, not nil: a nil value is a tombstone and would delete the letter from a compacted topic.
	record.Value = []byte{}
	digest := sha256.Sum256(letter.Record.Value)
	record.Headers = append(record.Headers,
		Header{Key: HeaderTruncated, Value: []byte("true")},
		Header{Key: HeaderPayloadBytes, Value: []byte(strconv.Itoa(len(letter.Record.Value)))},
		Header{Key: HeaderPayloadSHA256, Value: []byte(hex.EncodeToString(digest[:]))},
	)
	return record
}

func letterHeaders(letter *DeadLetter) []Header {
	failure := letter.Cause()
	pairs := [][2]string{
		{HeaderDeadID, letter.ID()},
		{HeaderSegment, letter.Segment.String()},
		{HeaderErrorCode, string(failure.Code)},
		{HeaderErrorStage, failure.Stage},
		{HeaderErrorMessage, shortMessage(failure)},
		{HeaderErrorAttempts, strconv.Itoa(letter.Attempts)},
		{HeaderErrorPermanent, strconv.FormatBool(failure.Permanent)},
	}
	if letter.Origin.Topic != "" {
		pairs = append(pairs, [][2]string{
			{HeaderOriginTopic, letter.Origin.Topic},
			{HeaderOriginPartition, strconv.Itoa(letter.Origin.Partition)},
			{HeaderOriginOffset, strconv.FormatInt(letter.Origin.Offset, 10)},
		}...)
	}
	if letter.Origin.File != "" {
		pairs = append(pairs, [2]string{HeaderOriginFile, letter.Origin.File})
	}
	headers := make([]Header, len(pairs))
	for i, pair := range pairs {
		headers[i] = Header{Key: pair[0], Value: []byte(pair[1])}
	}
	return headers
}

// letterJSON is the JSON of a dead letter: a line of a JSONL file. The payload itself is not in it; Origin says where it lies.
type letterJSON struct {
	ID          string        `json:"id"`
	Segment     string        `json:"segment"`
	Stream      string        `json:"stream"`
	Sequence    int64         `json:"sequence"`
	Error       letterError   `json:"error"`
	Attempts    int           `json:"attempts"`
	Origin      letterOrigin  `json:"origin"`
	Payload     letterPayload `json:"payload"`
	RecordTime  *time.Time    `json:"record_time,omitempty"`
	Traceparent string        `json:"traceparent,omitempty"`
}

type letterError struct {
	Code      Code   `json:"code"`
	Stage     string `json:"stage"`
	Message   string `json:"message"`
	Permanent bool   `json:"permanent"`
}

type letterOrigin struct {
	Topic     string `json:"topic,omitempty"`
	Partition *int   `json:"partition,omitempty"`
	Offset    *int64 `json:"offset,omitempty"`
	File      string `json:"file,omitempty"`
}

type letterPayload struct {
	Bytes int `json:"bytes"`
	// SHA256 is empty where there is no payload in the record: for files, claims and the end of a stream.
	SHA256 string `json:"sha256,omitempty"`
}

// MarshalJSON is the letter without its payload, of which it tells the size and the SHA-256.
func (d *DeadLetter) MarshalJSON() ([]byte, error) {
	failure := d.Cause()
	out := letterJSON{
		ID: d.ID(), Segment: d.Segment.String(), Stream: d.Segment.Stream, Sequence: d.Segment.Sequence,
		Error: letterError{
			Code: failure.Code, Stage: failure.Stage, Message: shortMessage(failure), Permanent: failure.Permanent,
		},
		Attempts:    d.Attempts,
		Origin:      letterOrigin{Topic: d.Origin.Topic, File: d.Origin.File},
		Payload:     letterPayload{Bytes: len(d.Record.Value)},
		Traceparent: d.Traceparent,
	}
	if d.Origin.Topic != "" {
		out.Origin.Partition, out.Origin.Offset = &d.Origin.Partition, &d.Origin.Offset
	}
	if len(d.Record.Value) > 0 {
		digest := sha256.Sum256(d.Record.Value)
		out.Payload.SHA256 = hex.EncodeToString(digest[:])
	}
	if !d.Record.Time.IsZero() {
		at := d.Record.Time.UTC()
		out.RecordTime = &at
	}
	return json.Marshal(out)
}

// Cause is the letter's Failure; never nil, so that a letter without one is still told.
func (d *DeadLetter) Cause() *Failure {
	if d.Failure != nil && d.Failure.Err != nil {
		return d.Failure
	}
	return Fail("sink", "sink.internal", "the dead letter does not say what went wrong")
}

// shortMessage is the failure in words: valid UTF-8 and bounded, whatever a library put into it.
func shortMessage(failure *Failure) string {
	text := strings.ToValidUTF8(failure.Err.Error(), "\uFFFD")
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage], "") + "…"
}
