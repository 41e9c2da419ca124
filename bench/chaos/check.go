package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// headerPoison is on records that must become dead letters; its value is the code they must get.
const headerPoison = "chaos-poison"

// digest is how docs/wire.md makes an id: the first half of a SHA-256 over the parts, each with a zero byte behind it, in hex.
func digest(parts ...string) string {
	hash := sha256.Sum256([]byte(strings.Join(parts, "\x00") + "\x00"))
	return hex.EncodeToString(hash[:16])
}

// header is the last header of that name.
func header(record *kgo.Record, name string) string {
	value := ""
	for _, h := range record.Headers {
		if h.Key == name {
			value = string(h.Value)
		}
	}
	return value
}

// sentSegment is a record that went in.
type sentSegment struct {
	stream   string
	sequence int64
	poison   string
	record   *kgo.Record
}

func (s sentSegment) id() string { return s.stream + "/" + strconv.FormatInt(s.sequence, 10) }

// readSent reads what a record of the segments' topic is.
func readSent(record *kgo.Record) sentSegment {
	sent := sentSegment{stream: string(record.Key), sequence: record.Offset, poison: header(record, headerPoison), record: record}
	if number, err := strconv.ParseInt(header(record, "ensue-sequence"), 10, 64); err == nil {
		sent.sequence = number
	}
	return sent
}

// Count is what one kind of record came to.
type Count struct {
	Expected int `json:"expected"`
	// Missing never came, Unexpected came and should not have.
	Missing    int `json:"missing"`
	Unexpected int `json:"unexpected"`
	// Conflicts are ids that came with different contents, Repeats the same record written again.
	Conflicts int `json:"conflicts"`
	Repeats   int `json:"repeats"`
	// OutOfOrder came for the first time after a later one of its stream; Strayed are streams on more than one partition.
	OutOfOrder int `json:"out_of_order"`
	Strayed    int `json:"strayed"`
	// Wrong are contradictions inside a record: header and value, code, payload.
	Wrong int `json:"wrong"`
}

// Verdict is what the checker found.
type Verdict struct {
	Segments    int   `json:"segments"`
	Results     Count `json:"results"`
	DeadLetters Count `json:"dead_letters"`
	// Examples say what is wrong, a few of each.
	Examples []string `json:"examples,omitempty"`
	notes    map[string]int
}

// OK says that nothing was lost, came twice or out of order. With exactly once nothing may even be repeated.
func (v *Verdict) OK(exactlyOnce bool) bool {
	bad := 0
	for _, c := range []Count{v.Results, v.DeadLetters} {
		bad += c.Missing + c.Unexpected + c.Conflicts + c.OutOfOrder + c.Strayed + c.Wrong
	}
	if exactlyOnce {
		bad += v.Results.Repeats
	}
	return bad == 0
}

// note keeps a few examples of every kind.
func (v *Verdict) note(kind, format string, args ...any) {
	if v.notes == nil {
		v.notes = map[string]int{}
	}
	const most = 8
	if v.notes[kind]++; v.notes[kind] <= most {
		v.Examples = append(v.Examples, kind+": "+fmt.Sprintf(format, args...))
	}
}

// check holds what came out against what went in.
func check(sent, results, letters []*kgo.Record) *Verdict {
	verdict := &Verdict{Segments: len(sent)}
	streams := map[string][]sentSegment{}
	for _, record := range sent {
		segment := readSent(record)
		streams[segment.stream] = append(streams[segment.stream], segment)
	}
	wantResults, wantLetters := map[string]sentSegment{}, map[string]sentSegment{}
	for _, segments := range streams {
		expectResults(segments, modelOf(results), wantResults)
	}
	for _, record := range sent {
		if segment := readSent(record); segment.poison != "" {
			wantLetters[letterID(segment)] = segment
		}
	}
	verdict.results(wantResults, results)
	verdict.letters(wantLetters, letters)
	return verdict
}

// expectResults adds the results on the segments of one stream. X is the segment before; a segment that has none, because it is the first,
// or the one before it is missing or a dead letter, is compared with its own beginning.
func expectResults(segments []sentSegment, model string, want map[string]sentSegment) {
	slices.SortStableFunc(segments, func(a, b sentSegment) int { return int(a.sequence - b.sequence) })
	before := ""
	for i, segment := range segments {
		switch {
		case i > 0 && segments[i-1].sequence == segment.sequence:
			continue // sent twice
		case i > 0 && segments[i-1].sequence+1 != segment.sequence:
			before = ""
		}
		if segment.poison != "" {
			before = ""
			continue
		}
		x := before
		if x == "" {
			x = segment.id()
		}
		want[digest(segment.stream, x, segment.id(), model)] = segment
		before = segment.id()
	}
}

// letterID is the id of the dead letter on a record.
func letterID(segment sentSegment) string {
	return digest(segment.record.Topic, strconv.Itoa(int(segment.record.Partition)), strconv.FormatInt(segment.record.Offset, 10), "",
		segment.id())
}

// modelOf is the model that the results name; all must name the same.
func modelOf(results []*kgo.Record) string {
	for _, record := range results {
		var told struct{ Model string }
		if json.Unmarshal(record.Value, &told) == nil {
			return told.Model
		}
	}
	return ""
}

// resultOf is what the checker reads of a result: who it is, and its content without what two runs may differ in.
type resultOf struct {
	ID, Stream string
	X, Y       struct{ Segment string }
	content    string
}

func readResult(record *kgo.Record) (resultOf, error) {
	var read resultOf
	if err := json.Unmarshal(record.Value, &read); err != nil {
		return read, err
	}
	var all map[string]any
	if err := json.Unmarshal(record.Value, &all); err != nil {
		return read, err
	}
	delete(all, "latency")
	plain, err := json.Marshal(all) // maps are written in the order of their keys
	read.content = string(plain)
	return read, err
}

func (v *Verdict) results(want map[string]sentSegment, records []*kgo.Record) {
	c := &v.Results
	c.Expected = len(want)
	seen, latest, partition := map[string]string{}, map[string]int64{}, map[string]int32{}
	for _, record := range records {
		read, err := readResult(record)
		if err != nil || read.ID != header(record, "ce_id") || read.Stream != string(record.Key) {
			c.Wrong++
			v.note("wrong result", "%d@%d: id %q, header %q, key %q: %v", record.Partition, record.Offset, read.ID, header(record, "ce_id"),
				record.Key, err)
			continue
		}
		if at, known := partition[read.Stream]; known && at != record.Partition {
			c.Strayed++
			v.note("strayed", "%s is on the partitions %d and %d", read.Stream, at, record.Partition)
		}
		partition[read.Stream] = record.Partition
		segment, expected := want[read.ID]
		if !expected {
			c.Unexpected++
			v.note("unexpected result", "%s on %s after %q at %d@%d", read.ID, read.Y.Segment, read.X.Segment, record.Partition, record.Offset)
		}
		if content, again := seen[read.ID]; again {
			c.Repeats++
			if content != read.content {
				c.Conflicts++
				v.note("conflict", "%s on %s at %d@%d: %s", read.ID, read.Y.Segment, record.Partition, record.Offset, difference(content, read.content))
			}
			continue
		}
		seen[read.ID] = read.content
		if last, begun := latest[read.Stream]; expected && begun && segment.sequence < last {
			c.OutOfOrder++
			v.note("out of order", "%s after %s/%d at %d@%d", read.Y.Segment, read.Stream, last, record.Partition, record.Offset)
		} else if expected {
			latest[read.Stream] = segment.sequence
		}
	}
	for id, segment := range want {
		if _, came := seen[id]; !came {
			c.Missing++
			v.note("missing result", "%s on %s (sent to %d@%d)", id, segment.id(), segment.record.Partition, segment.record.Offset)
		}
	}
}

// difference names the fields in which two contents differ.
func difference(a, b string) string {
	var one, other map[string]any
	if json.Unmarshal([]byte(a), &one) != nil || json.Unmarshal([]byte(b), &other) != nil {
		return "unreadable"
	}
	var fields []string
	for key, value := range one {
		was, _ := json.Marshal(value)
		is, _ := json.Marshal(other[key])
		if !bytes.Equal(was, is) {
			fields = append(fields, fmt.Sprintf("%s %.120s -> %.120s", key, was, is))
		}
		delete(other, key)
	}
	for key := range other {
		fields = append(fields, key+" is new")
	}
	slices.Sort(fields)
	return strings.Join(fields, "; ")
}

func (v *Verdict) letters(want map[string]sentSegment, records []*kgo.Record) {
	c := &v.DeadLetters
	c.Expected = len(want)
	seen := map[string]bool{}
	for _, record := range records {
		id, code := header(record, "ensue-dead-id"), header(record, "ensue-error-code")
		segment, expected := want[id]
		switch {
		case !expected:
			c.Unexpected++
			v.note("unexpected dead letter", "%s on %s: %s: %s", id, header(record, "ensue-segment"), code, header(record, "ensue-error-message"))
			continue
		case seen[id]:
			c.Repeats++
			continue
		}
		seen[id] = true
		if code != segment.poison || !bytes.Equal(record.Value, segment.record.Value) || !bytes.Equal(record.Key, segment.record.Key) {
			c.Wrong++
			v.note("wrong dead letter", "%s on %s: %s instead of %s, or the record is not intact", id, segment.id(), code, segment.poison)
		}
	}
	for id, segment := range want {
		if !seen[id] {
			c.Missing++
			v.note("missing dead letter", "%s on %s (%s, sent to %d@%d)", id, segment.id(), segment.poison, segment.record.Partition,
				segment.record.Offset)
		}
	}
}
