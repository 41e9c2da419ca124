package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/ensue-video/ensue/stream/streampb"
)

// Encoding is how a result is written: the same schema in two forms.
type Encoding string

const (
	// EncodingJSON is the default.
	EncodingJSON Encoding = "json"
	// EncodingProtobuf is smaller and quicker; result.proto is its schema.
	EncodingProtobuf Encoding = "protobuf"
)

const (
	contentTypeJSON     = "application/json"
	contentTypeProtobuf = "application/protobuf"

	// cloudEventsVersion is the CloudEvents specification the headers follow.
	cloudEventsVersion = "1.0"
	// eventTypePrefix and the major version make the ce_type: "video.ensue.result.v1".
	eventTypePrefix = "video.ensue.result.v"
	// eventSource and the stream's name make the ce_source.
	eventSource = "/ensue/streams/"
)

// ContentType is the encoding's media type.
func (e Encoding) ContentType() string {
	if e == EncodingProtobuf {
		return contentTypeProtobuf
	}
	return contentTypeJSON
}

// EventType is the CloudEvents type of a result: "video.ensue.result.v" and the major version.
func EventType() string { return eventTypePrefix + strconv.Itoa(Version) }

// MarshalResult is the result in the encoding, checked first (Result.Check): a value that is no number never reaches the wire.
func MarshalResult(result *Result, encoding Encoding) ([]byte, error) {
	if err := result.Check(); err != nil {
		return nil, &Failure{
			Code: CodeBadResult, Stage: "sink", Permanent: true,
			Err: fmt.Errorf("encoding result %q of %q: %w", result.ID, result.Y.Segment, err),
		}
	}
	switch encoding {
	case EncodingJSON:
		return marshalJSON(result)
	case EncodingProtobuf:
		return proto.MarshalOptions{Deterministic: true}.Marshal(ResultToProto(result))
	}
	return nil, Fail("sink", CodeBadResult, "encoding %q is not one of %q and %q", encoding, EncodingJSON, EncodingProtobuf)
}

// UnmarshalResult is the inverse of MarshalResult. Fields it does not know are tolerated.
func UnmarshalResult(data []byte, encoding Encoding) (*Result, error) {
	result := &Result{}
	switch encoding {
	case EncodingJSON:
		if err := json.Unmarshal(data, result); err != nil {
			return nil, unreadable("decoding a result from JSON: %w", err)
		}
	case EncodingProtobuf:
		message := &streampb.Result{}
		if err := proto.Unmarshal(data, message); err != nil {
			return nil, unreadable("decoding a result from Protobuf: %w", err)
		}
		result = ResultFromProto(message)
	default:
		return nil, unreadable("encoding %q is not one of %q and %q", encoding, EncodingJSON, EncodingProtobuf)
	}
	if err := result.Check(); err != nil {
		return nil, unreadable("decoding a result: %w", err)
	}
	return result, nil
}

// RecordFromResult is the record that carries a result: the stream's name is the key, so that the results of a stream stay in
// order, and CloudEvents headers (binary mode) say what it is. The same result makes the same record, byte for byte; Topic and
// Time are for the sink to set.
func RecordFromResult(result *Result, encoding Encoding) (Record, error) {
	value, err := MarshalResult(result, encoding)
	if err != nil {
		return Record{}, err
	}
	record := Record{Key: []byte(result.Stream), Value: value}
	for _, pair := range [][2]string{
		{HeaderCESpecVersion, cloudEventsVersion},
		{HeaderCEID, result.ID},
		{HeaderCESource, eventSource + url.PathEscape(result.Stream)},
		{HeaderCEType, EventType()},
		// The end of Y is when it happened; the time of writing would make a replay's record another one (invariant 7).
		{HeaderCETime, result.Y.End.UTC().Format(time.RFC3339Nano)},
		{HeaderCESubject, result.Y.Segment},
		{HeaderContentType, encoding.ContentType()},
	} {
		record.Headers = append(record.Headers, Header{Key: pair[0], Value: []byte(pair[1])})
	}
	if result.Traceparent != "" {
		record.Headers = append(record.Headers, Header{Key: HeaderTraceparent, Value: []byte(result.Traceparent)})
	}
	return record, nil
}

// ResultFromRecord is the inverse of RecordFromResult. The content type says the encoding; JSON without one. A record whose
// ce_type says that it is something else, or a later major version, is refused.
func ResultFromRecord(record Record) (*Result, error) {
	if event, ok := record.Get(HeaderCEType); ok && event != EventType() {
		return nil, unreadable("header %s %s: this program reads %q", HeaderCEType, quote(event), EventType())
	}
	encoding := EncodingJSON
	if content, ok := record.Get(HeaderContentType); ok {
		media, _, err := mime.ParseMediaType(content)
		switch {
		case err == nil && media == contentTypeProtobuf:
			encoding = EncodingProtobuf
		case err != nil || media != contentTypeJSON:
			return nil, unreadable("header %s %s: results are %q or %q",
				HeaderContentType, quote(content), contentTypeJSON, contentTypeProtobuf)
		}
	}
	result, err := UnmarshalResult(record.Value, encoding)
	if err != nil {
		return nil, err
	}
	result.Traceparent, _ = record.Get(HeaderTraceparent)
	return result, nil
}

// marshalJSON is one line of JSON without a line end, with <, > and & as they are.
func marshalJSON(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// MarshalJSON writes the times in UTC, whatever zone they carry, so that equal results are equal on the wire (invariant 7).
func (e Extent) MarshalJSON() ([]byte, error) {
	type plain Extent
	e.Start, e.End = e.Start.UTC(), e.End.UTC()
	return marshalJSON(plain(e))
}

func unreadable(format string, args ...any) *Failure {
	return Fail("result", CodeUnreadableResult, format, args...)
}

// Check says everything that keeps the result from being written: names missing, numbers that are none, arrays whose data do
// not fit their shape, a verdict that contradicts the energy.
func (r *Result) Check() error {
	c := &resultCheck{}
	c.require(r.ID != "", "id is empty")
	c.require(r.Stream != "", "stream is empty")
	c.require(r.Model != "", "model is empty")
	for _, text := range []string{r.ID, r.Stream, r.Model, string(r.Reason), r.Y.Segment} {
		c.require(utf8.ValidString(text), "%q is not valid UTF-8", text)
	}
	c.verdict(r)
	c.extent("y", &r.Y)
	if r.X != nil {
		c.extent("x", r.X)
	}
	c.number("energy", r.Energy)
	c.probability("p_value", r.PValue)
	if e := r.Expected; e != nil {
		c.finite("expected", e.Median, e.Low, e.High)
	}
	for i := range r.Windows {
		name := "windows[" + strconv.Itoa(i) + "]"
		c.finite(name, r.Windows[i].Start, r.Windows[i].Energy)
		c.probability(name+".p_value", r.Windows[i].PValue)
	}
	for i, horizon := range r.Horizons {
		c.finite("horizons["+strconv.Itoa(i)+"]", horizon.Seconds, horizon.Energy)
	}
	if r.Map != nil {
		c.array("map", r.Map.Shape, r.Map.Encoding, len(r.Map.Data))
	}
	for i := range r.Next {
		name := "next[" + strconv.Itoa(i) + "]"
		c.finite(name, r.Next[i].Seconds)
		c.array(name, []int32{r.Next[i].Dim}, r.Next[i].Encoding, len(r.Next[i].Data))
	}
	c.finite("decode.fps", r.Decode.FPS)
	c.finite("latency", r.Latency.Queue, r.Latency.Decode, r.Latency.Encode, r.Latency.Predict)
	return errors.Join(c.problems...)
}

// resultCheck gathers what is wrong with a result.
type resultCheck struct{ problems []error }

func (c *resultCheck) require(ok bool, format string, args ...any) {
	if !ok {
		c.problems = append(c.problems, fmt.Errorf(format, args...))
	}
}

func (c *resultCheck) verdict(r *Result) {
	switch r.Verdict {
	case WarmingUp, Continues, Breaks, Stalls:
		c.require(r.Energy != nil, "verdict is %q, but there is no energy", r.Verdict)
	case Unscored:
		c.require(r.Energy == nil, "verdict is %q, but there is an energy", r.Verdict)
		c.require(r.Reason != "", "verdict is %q without a reason", r.Verdict)
	default:
		c.require(false, "verdict %q is not known", r.Verdict)
	}
}

func (c *resultCheck) extent(name string, extent *Extent) {
	c.require(extent.Segment != "" && utf8.ValidString(extent.Segment), "%s.segment %q is empty or not valid UTF-8", name, extent.Segment)
	for _, at := range []time.Time{extent.Start, extent.End} {
		year := at.UTC().Year()
		c.require(year >= 1 && year <= 9999, "%s has a time in the year %d", name, year)
	}
	c.require(!extent.End.Before(extent.Start), "%s ends before it starts", name)
}

func (c *resultCheck) finite(name string, values ...float64) {
	for _, value := range values {
		c.require(!math.IsNaN(value) && !math.IsInf(value, 0), "%s is %v", name, value)
	}
}

func (c *resultCheck) number(name string, value *float64) {
	if value != nil {
		c.finite(name, *value)
	}
}

func (c *resultCheck) probability(name string, value *float64) {
	if value != nil {
		c.require(*value >= 0 && *value <= 1, "%s is %v, not a probability", name, *value)
	}
}

// array wants as many bytes of data as shape and encoding say; of an encoding it does not know it only wants some.
func (c *resultCheck) array(name string, shape []int32, encoding string, size int) {
	want, known := map[string]int64{"float16-base64": 2, "float32-base64": 4}[encoding]
	c.require(encoding != "" && utf8.ValidString(encoding), "%s.encoding %q is empty or not valid UTF-8", name, encoding)
	c.require(len(shape) > 0 && size > 0, "%s is empty", name)
	for _, n := range shape {
		c.require(n > 0, "%s has a dimension of %d", name, n)
		if n <= 0 {
			return
		}
		// Bounded as soon as it is too large, so that the product cannot overflow.
		want = min(want*int64(n), math.MaxInt32)
	}
	c.require(!known || want == int64(size), "%s has %d bytes of data, its shape %v says %d", name, size, shape, want)
}
