package dead

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// line is a line of a file of dead letters, or one that says that a letter was sent again.
type line struct {
	ID        string    `json:"id"`
	Segment   string    `json:"segment,omitempty"`
	RetriedAt time.Time `json:"retried_at,omitzero"`
	Error     struct {
		Code      string `json:"code"`
		Stage     string `json:"stage"`
		Message   string `json:"message"`
		Permanent bool   `json:"permanent"`
	} `json:"error,omitzero"`
	Attempts int `json:"attempts,omitempty"`
	Origin   struct {
		Topic     string `json:"topic"`
		Partition int    `json:"partition"`
		Offset    int64  `json:"offset"`
		File      string `json:"file"`
	} `json:"origin,omitzero"`
	Payload struct {
		Bytes  int    `json:"bytes"`
		SHA256 string `json:"sha256"`
	} `json:"payload,omitzero"`
	RecordTime  time.Time `json:"record_time,omitzero"`
	Traceparent string    `json:"traceparent,omitempty"`
}

// eachLine calls take with every line of the file, as the record that it would be in a topic.
func (c Config) eachLine(take func(stream.Record) error) error {
	file, err := os.Open(c.File)
	if err != nil {
		return stream.Fail("dead", CodeNoFile, "opening the dead letters: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	lines := bufio.NewReader(file)
	for number := int64(0); ; number++ {
		text, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // a line that is not ended is being written, or a crash cut it off
		}
		if err != nil {
			return stream.Fail("dead", CodeFile, "reading the dead letters: %w", err)
		}
		var read line
		if err := json.Unmarshal(text, &read); err != nil {
			read = line{}
		}
		record := read.record()
		record.Topic, record.Offset = c.File, number
		if err := take(record); err != nil {
			return err
		}
	}
}

func (l *line) record() stream.Record {
	record := stream.Record{Time: l.RecordTime}
	add := func(name, value string) {
		if value != "" {
			record.Headers = append(record.Headers, stream.Header{Key: name, Value: []byte(value)})
		}
	}
	add(stream.HeaderDeadID, l.ID)
	if !l.RetriedAt.IsZero() {
		add(stream.HeaderRetriedAt, l.RetriedAt.UTC().Format(time.RFC3339Nano))
		return record
	}
	add(stream.HeaderTraceparent, l.Traceparent)
	add(stream.HeaderSegment, l.Segment)
	add(stream.HeaderErrorCode, l.Error.Code)
	add(stream.HeaderErrorStage, l.Error.Stage)
	add(stream.HeaderErrorMessage, l.Error.Message)
	add(stream.HeaderErrorPermanent, strconv.FormatBool(l.Error.Permanent))
	add(stream.HeaderErrorAttempts, strconv.Itoa(l.Attempts))
	if l.Origin.Topic != "" {
		add(stream.HeaderOriginTopic, l.Origin.Topic)
		add(stream.HeaderOriginPartition, strconv.Itoa(l.Origin.Partition))
		add(stream.HeaderOriginOffset, strconv.FormatInt(l.Origin.Offset, 10))
	}
	add(stream.HeaderOriginFile, l.Origin.File)
	add(stream.HeaderTruncated, "true") // a line has no payload
	add(stream.HeaderPayloadBytes, strconv.Itoa(l.Payload.Bytes))
	add(stream.HeaderPayloadSHA256, l.Payload.SHA256)
	return record
}

// markLine says in the file that a letter was sent again. A pipeline may write to the file meanwhile: a short line goes in as a whole.
func (c Config) markLine(id string, at time.Time) error {
	text, err := json.Marshal(line{ID: id, RetriedAt: at.UTC()})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(c.File, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return stream.Fail("dead", CodeFile, "marking letter %s: %w", id, err)
	}
	if _, err := file.Write(append(text, '\n')); err != nil {
		return errors.Join(stream.Fail("dead", CodeFile, "marking letter %s: %w", id, err), file.Close())
	}
	return errors.Join(file.Sync(), file.Close())
}

func digest(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}
