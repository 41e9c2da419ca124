package resultfile

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/foxglove/mcap/go/mcap"

	"github.com/ensue-video/ensue/stream"
)

const (
	// mcapSchemaResult is the schema of a stream's results, mcapSchemaLog that of its alarms.
	mcapSchemaResult, mcapSchemaLog = uint16(1), uint16(2)
	mcapChunk                       = 1 << 20
	jsonEncoding, schemaEncoding    = "json", "jsonschema"
)

// Levels of foxglove.Log.
const (
	logWarning = 3
	logError   = 4
)

// logSchema is foxglove.Log, as Foxglove publishes it (github.com/foxglove/foxglove-sdk, schemas/jsonschema/Log.json).
//
//go:embed foxglove_log.schema.json
var logSchema []byte

// CreateMCAP writes the results as messages, a channel a stream: "/NAME/result" has the results as JSON, "/NAME/alarm" what breaks or
// stalls as foxglove.Log. The time of a message is the end of Y.
func CreateMCAP(path string, results Results, options Options) (int, error) {
	return create(path, func(out io.Writer) (int, error) { return writeMCAP(out, results, options) })
}

// recording is an MCAP file that is being written.
type recording struct {
	out      *mcap.Writer
	channels map[string]uint16
	counts   map[uint16]uint32
	options  Options
}

func writeMCAP(out io.Writer, results Results, options Options) (count int, err error) {
	w, err := mcap.NewWriter(out, &mcap.WriterOptions{
		IncludeCRC: true, Chunked: true, ChunkSize: mcapChunk, Compression: mcap.CompressionZSTD, OverrideLibrary: true,
	})
	if err != nil {
		return 0, err
	}
	r := &recording{out: w, channels: map[string]uint16{}, counts: map[uint16]uint32{}, options: options}
	if err := r.begin(); err != nil {
		return 0, err
	}
	for result, err := range chosen(results, options) {
		if err == nil {
			err = r.write(result)
		}
		if err != nil {
			return count, err
		}
		count++
	}
	return count, w.Close()
}

func (r *recording) begin() error {
	if err := r.out.WriteHeader(&mcap.Header{Library: "ensue"}); err != nil {
		return err
	}
	for _, schema := range []mcap.Schema{
		{ID: mcapSchemaResult, Name: "ensue.Result", Data: stream.ResultSchema()},
		{ID: mcapSchemaLog, Name: "foxglove.Log", Data: logSchema},
	} {
		schema.Encoding = schemaEncoding
		if err := r.out.WriteSchema(&schema); err != nil {
			return err
		}
	}
	if len(r.options.About) == 0 {
		return nil
	}
	return r.out.WriteMetadata(&mcap.Metadata{Name: "ensue", Metadata: r.options.About})
}

func (r *recording) write(result *stream.Result) error {
	if !r.options.Maps {
		without := *result
		without.Map, result = nil, &without
	}
	data, err := stream.MarshalResult(result, stream.EncodingJSON)
	if err != nil {
		return err
	}
	at := logTime(result.Y.End)
	if err := r.message("/"+result.Stream+"/result", mcapSchemaResult, at, data); err != nil {
		return err
	}
	if result.Verdict != stream.Breaks && result.Verdict != stream.Stalls {
		return nil
	}
	data, err = json.Marshal(logOf(result))
	if err != nil {
		return err
	}
	return r.message("/"+result.Stream+"/alarm", mcapSchemaLog, at, data)
}

// message writes to the channel of the topic, which is made where it is new.
func (r *recording) message(topic string, schema uint16, at uint64, data []byte) error {
	channel, known := r.channels[topic]
	if !known {
		if len(r.channels) == math.MaxUint16 {
			return fmt.Errorf("there are more than %d channels", math.MaxUint16)
		}
		channel = uint16(len(r.channels)) + 1
		r.channels[topic] = channel
		if err := r.out.WriteChannel(&mcap.Channel{ID: channel, SchemaID: schema, Topic: topic, MessageEncoding: jsonEncoding}); err != nil {
			return err
		}
	}
	number := r.counts[channel]
	r.counts[channel]++
	return r.out.WriteMessage(&mcap.Message{ChannelID: channel, Sequence: number, LogTime: at, PublishTime: at, Data: data})
}

// logTime is in nanoseconds since 1970, which ends in 2554; what lies outside is at one end.
func logTime(at time.Time) uint64 {
	switch year := at.UTC().Year(); {
	case at.Unix() < 0:
		return 0
	case year > 2500:
		return math.MaxUint64
	}
	return uint64(at.Unix())*1e9 + uint64(at.Nanosecond())
}

// foxgloveLog is a message of logSchema.
type foxgloveLog struct {
	Timestamp struct {
		Sec  int64 `json:"sec"`
		Nsec int   `json:"nsec"`
	} `json:"timestamp"`
	Level   int    `json:"level"`
	Message string `json:"message"`
	Name    string `json:"name"`
	File    string `json:"file"`
	Line    int    `json:"line"`
}

// logOf is an alarm for people.
func logOf(result *stream.Result) foxgloveLog {
	log := foxgloveLog{Level: logWarning, Name: result.Stream, File: result.Y.Segment}
	if result.Verdict == stream.Breaks {
		log.Level = logError
	}
	log.Timestamp.Sec, log.Timestamp.Nsec = result.Y.End.Unix(), result.Y.End.Nanosecond()
	log.Message = string(result.Verdict)
	if result.PValue != nil && result.Energy != nil {
		log.Message = fmt.Sprintf("%s: p = %.2g, energy %.4g", result.Verdict, *result.PValue, *result.Energy)
	}
	return log
}
