package stream

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// savedVersion is the version of the JSON of a Saved. A later one is not read: the stream then begins anew.
const savedVersion = 1

// CodeUnreadableSaved: a record of the state topic, or a line of a state file, is not what it should be.
const CodeUnreadableSaved Code = "state.unreadable"

// savedJSON is the JSON of a Saved. Durations are in nanoseconds, so that a clock is the same after a restart, bit for bit.
type savedJSON struct {
	Version     int        `json:"version"`
	Stream      string     `json:"stream"`
	Model       string     `json:"model"`
	Group       string     `json:"group"`
	Topic       string     `json:"topic"`
	Partition   int        `json:"partition"`
	Generation  int32      `json:"generation"`
	Sequence    int64      `json:"sequence"`
	Result      string     `json:"result,omitempty"`
	Offset      int64      `json:"offset"`
	Since       int64      `json:"since"`
	Time        *time.Time `json:"time,omitempty"`
	Needed      int64      `json:"needed"`
	Numbered    bool       `json:"numbered,omitempty"`
	Epoch       *time.Time `json:"epoch,omitempty"`
	From        int64      `json:"from_ns"`
	End         int64      `json:"end_ns"`
	Torn        bool       `json:"torn,omitempty"`
	Ended       bool       `json:"ended,omitempty"`
	Calibration []byte     `json:"calibration,omitempty"`
	Memory      []byte     `json:"memory,omitempty"`
}

// SavedKey is the key of a stream's record in a compacted topic: the newest of a key counts.
func SavedKey(group, topic, name string) string { return group + "/" + topic + "/" + name }

// Key is the SavedKey of s.
func (s *Saved) Key() string { return SavedKey(s.Group, s.Topic, s.Stream) }

// MarshalSaved is the JSON of s, without a line end.
func MarshalSaved(s *Saved) ([]byte, error) {
	return json.Marshal(savedJSON{
		Version: savedVersion, Stream: s.Stream, Model: s.Model, Group: s.Group, Topic: s.Topic, Partition: s.Partition,
		Generation: s.Generation, Sequence: s.Sequence, Result: s.Result, Offset: s.Offset, Since: s.Since, Time: timeOrNil(s.Time),
		Needed: s.Needed, Numbered: s.Numbered, Epoch: timeOrNil(s.Epoch), From: int64(s.From), End: int64(s.End),
		Torn: s.Torn, Ended: s.Ended, Calibration: s.Calibration, Memory: s.Memory,
	})
}

// UnmarshalSaved is the inverse of MarshalSaved. Unknown fields are tolerated, another version is not (CodeUnreadableSaved).
func UnmarshalSaved(data []byte) (*Saved, error) {
	var in savedJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, Fail("ingest", CodeUnreadableSaved, "reading the state of a stream: %w", err)
	}
	if err := in.check(); err != nil {
		return nil, Fail("ingest", CodeUnreadableSaved, "reading the state of stream %s: %w", quote(in.Stream), err)
	}
	return &Saved{
		Stream: in.Stream, Model: in.Model, Group: in.Group, Topic: in.Topic, Partition: in.Partition, Generation: in.Generation,
		Sequence: in.Sequence, Result: in.Result, Offset: in.Offset, Since: in.Since, Time: timeOf(in.Time),
		Needed: in.Needed, Numbered: in.Numbered, Epoch: timeOf(in.Epoch), From: time.Duration(in.From), End: time.Duration(in.End),
		Torn: in.Torn, Ended: in.Ended, Calibration: in.Calibration, Memory: in.Memory,
	}, nil
}

func (in *savedJSON) check() error {
	switch {
	case in.Version != savedVersion:
		return fmt.Errorf("version %d: this program reads version %d", in.Version, savedVersion)
	case in.Stream == "":
		return errors.New("it names no stream")
	case in.Offset < -1 || in.Since < -1 || in.Since > in.Offset || in.Partition < 0:
		return fmt.Errorf("partition %d, offsets %d and %d cannot be", in.Partition, in.Since, in.Offset)
	}
	return nil
}

func timeOrNil(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}

func timeOf(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.UTC()
}
