package stream_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/stream/streampb"
)

func at(seconds float64) time.Time {
	return time.Date(2026, 11, 23, 17, 55, 0, 0, time.UTC).Add(time.Duration(math.Round(seconds * 1e9)))
}

// fullResult has every field set but the reason.
func fullResult() *stream.Result {
	data := make([]byte, 16)
	for i, value := range []float32{0.5, -1, 3.25, float32(math.Pi)} {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(value))
	}
	return &stream.Result{
		ID: stream.ResultID("lobby", "lobby/41", "lobby/42", "pixels+persistence"), Stream: "lobby",
		X:       &stream.Extent{Segment: "lobby/41", Start: at(0), End: at(2.002)},
		Y:       stream.Extent{Segment: "lobby/42", Start: at(2.002), End: at(4.004)},
		Verdict: stream.Breaks, Energy: new(0.83), PValue: new(0.0004),
		Expected: &stream.Expected{Median: 0.41, Low: 0.33, High: 0.52},
		Windows: []stream.Window{
			{Start: 2.002, Energy: 0.8, PValue: new(0.001)}, {Start: 3.003, Energy: 0.86},
		},
		Horizons: []stream.Horizon{{Seconds: 1, Energy: 0.41}, {Seconds: 2, Energy: 1.0 / 3}},
		Map:      &stream.Array{Shape: []int32{2, 2, 2}, Encoding: "float16-base64", Data: data},
		Next:     []stream.Next{{Seconds: 1, Dim: 4, Encoding: "float32-base64", Data: data}},
		Model:    "pixels@1+persistence@1",
		Decode:   stream.Decode{Frames: 16, Dropped: 1, FPS: 7.992},
		Latency:  stream.Latency{Queue: 0.001, Decode: 0.02, Encode: 1e-9, Predict: 0.03},
	}
}

// bareResult has as little as a result can have.
func bareResult() *stream.Result {
	return &stream.Result{
		ID: stream.ResultID("lobby", "", "lobby/0", "m"), Stream: "lobby", Y: stream.Extent{Segment: "lobby/0", Start: at(0), End: at(0)},
		Verdict: stream.Unscored, Reason: stream.ReasonFirst, Model: "m",
	}
}

func TestResultRoundTripsThroughItsRecord(t *testing.T) {
	for name, result := range map[string]*stream.Result{"full": fullResult(), "bare": bareResult()} {
		for _, encoding := range []stream.Encoding{stream.EncodingJSON, stream.EncodingProtobuf} {
			t.Run(name+" "+string(encoding), func(t *testing.T) {
				out, err := stream.RecordFromResult(result, encoding)
				require.NoError(t, err)
				require.Equal(t, "lobby", string(out.Key))
				back, err := stream.ResultFromRecord(out)
				require.NoError(t, err)
				require.Equal(t, result, back)
			})
		}
	}
}

func TestResultCarriesCloudEventsHeaders(t *testing.T) {
	result := fullResult()
	result.Stream = "gate 1/ü"
	out, err := stream.RecordFromResult(result, stream.EncodingJSON)
	require.NoError(t, err)
	require.Equal(t, []stream.Header{
		header("ce_specversion", "1.0"),
		header("ce_id", result.ID),
		header("ce_source", "/ensue/streams/gate%201%2F%C3%BC"),
		header("ce_type", "video.ensue.result.v1"),
		header("ce_time", "2026-11-23T17:55:04.004Z"),
		header("ce_subject", "lobby/42"),
		header("content-type", "application/json"),
	}, out.Headers)
	out, err = stream.RecordFromResult(result, stream.EncodingProtobuf)
	require.NoError(t, err)
	content, _ := out.Get("content-type")
	require.Equal(t, "application/protobuf", content)
}

// The wire JSON is a promise: this is what it looks like.
func TestResultJSONIsGolden(t *testing.T) {
	data, err := stream.MarshalResult(fullResult(), stream.EncodingJSON)
	require.NoError(t, err)
	want, err := os.ReadFile("testdata/result.json")
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(want)), string(data))
}

func TestResultTimesAreUTCOnTheWire(t *testing.T) {
	result := fullResult()
	zone := time.FixedZone("CET", 3600)
	result.X.Start, result.Y.End = result.X.Start.In(zone), result.Y.End.In(zone)
	want, err := stream.MarshalResult(fullResult(), stream.EncodingJSON)
	require.NoError(t, err)
	got, err := stream.MarshalResult(result, stream.EncodingJSON)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func TestProtobufReadsTheJSON(t *testing.T) {
	for name, result := range map[string]*stream.Result{"full": fullResult(), "bare": bareResult()} {
		t.Run(name, func(t *testing.T) {
			data, err := stream.MarshalResult(result, stream.EncodingJSON)
			require.NoError(t, err)
			message := &streampb.Result{}
			// DiscardUnknown is off: a field that the proto does not know would be an error.
			require.NoError(t, protojson.Unmarshal(data, message))
			require.True(t, proto.Equal(stream.ResultToProto(result), message), "%v", message)

			data, err = protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
			require.NoError(t, err)
			back, err := stream.UnmarshalResult(data, stream.EncodingJSON)
			require.NoError(t, err)
			require.Equal(t, result, back)
		})
	}
}

// jsonFields are the fields of a struct by their JSON name, and which of them may be missing.
func jsonFields(t *testing.T, of reflect.Type) (fields map[string]reflect.Type, optional map[string]bool) {
	t.Helper()
	fields, optional = map[string]reflect.Type{}, map[string]bool{}
	for field := range of.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		require.NotEmpty(t, name, "%v.%s has no JSON name", of, field.Name)
		if name == "-" {
			continue // it travels as a header
		}
		fields[name] = field.Type
		optional[name] = options == "omitempty"
	}
	return fields, optional
}

func TestGoAndProtoHaveTheSameFields(t *testing.T) {
	compareProto(t, reflect.TypeFor[stream.Result](), (&streampb.Result{}).ProtoReflect().Descriptor())
}

func compareProto(t *testing.T, of reflect.Type, message protoreflect.MessageDescriptor) {
	t.Helper()
	fields, _ := jsonFields(t, of)
	require.Equal(t, len(fields), message.Fields().Len(), "%v and %s", of, message.FullName())
	for name, kind := range fields {
		field := message.Fields().ByName(protoreflect.Name(name))
		require.NotNil(t, field, "%s has no field %s", message.FullName(), name)
		compareProtoField(t, kind, field)
	}
}

func compareProtoField(t *testing.T, kind reflect.Type, field protoreflect.FieldDescriptor) {
	t.Helper()
	if kind.Kind() == reflect.Pointer {
		require.True(t, field.HasPresence(), "%s is a pointer in Go and has no presence", field.FullName())
		kind = kind.Elem()
	}
	if kind.Kind() == reflect.Slice && kind.Elem().Kind() != reflect.Uint8 {
		require.True(t, field.IsList(), "%s", field.FullName())
		kind = kind.Elem()
	}
	switch {
	case kind == reflect.TypeFor[time.Time]():
		require.Equal(t, "google.protobuf.Timestamp", string(field.Message().FullName()))
	case kind.Kind() == reflect.Struct:
		compareProto(t, kind, field.Message())
	default:
		want := map[reflect.Kind]protoreflect.Kind{
			reflect.String: protoreflect.StringKind, reflect.Float64: protoreflect.DoubleKind,
			reflect.Int32: protoreflect.Int32Kind, reflect.Slice: protoreflect.BytesKind,
		}[kind.Kind()]
		require.Equal(t, want, field.Kind(), "%s", field.FullName())
	}
}

type schemaNode struct {
	Required   []string              `json:"required"`
	Properties map[string]schemaNode `json:"properties"`
	Items      *schemaNode           `json:"items"`
	Defs       map[string]schemaNode `json:"$defs"`
	Ref        string                `json:"$ref"`
	Text       string                `json:"description"`
}

func TestGoAndJSONSchemaHaveTheSameFields(t *testing.T) {
	var root schemaNode
	require.NoError(t, json.Unmarshal(stream.ResultSchema(), &root))
	seen := map[string]bool{}
	compareSchema(t, reflect.TypeFor[stream.Result](), &root, root.Defs, seen)
	require.Len(t, seen, len(root.Defs), "every definition of the schema is used")
}

func compareSchema(t *testing.T, of reflect.Type, node *schemaNode, defs map[string]schemaNode, seen map[string]bool) {
	t.Helper()
	fields, optional := jsonFields(t, of)
	require.Len(t, node.Properties, len(fields), "%v", of)
	for name, kind := range fields {
		property, ok := node.Properties[name]
		require.True(t, ok, "the schema of %v has no %s", of, name)
		require.Equal(t, !optional[name], slices.Contains(node.Required, name), "%v.%s required", of, name)
		for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice {
			kind = kind.Elem()
		}
		if property.Items != nil {
			property = *property.Items
		}
		if kind.Kind() == reflect.Struct && kind != reflect.TypeFor[time.Time]() {
			def := strings.TrimPrefix(property.Ref, "#/$defs/")
			require.Contains(t, defs, def, "%v.%s", of, name)
			seen[def] = true
			inner := defs[def]
			compareSchema(t, kind, &inner, defs, seen)
		}
	}
}

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(stream.ResultSchema()))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	require.NoError(t, compiler.AddResource("result.schema.json", document))
	schema, err := compiler.Compile("result.schema.json")
	require.NoError(t, err)
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, data []byte) error {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	require.NoError(t, err)
	return schema.Validate(document)
}

func TestSchemaTakesResultsAndRefusesOthers(t *testing.T) {
	schema := compiledSchema(t)
	for name, result := range map[string]*stream.Result{"full": fullResult(), "bare": bareResult()} {
		data, err := stream.MarshalResult(result, stream.EncodingJSON)
		require.NoError(t, err)
		require.NoError(t, validate(t, schema, data), name)
	}
	data, err := stream.MarshalResult(fullResult(), stream.EncodingJSON)
	require.NoError(t, err)
	for name, change := range map[string]func(map[string]any){
		"no id":                         func(m map[string]any) { delete(m, "id") },
		"unknown verdict":               func(m map[string]any) { m["verdict"] = "fine" },
		"p-value above 1":               func(m map[string]any) { m["p_value"] = 1.5 },
		"scored without energy":         func(m map[string]any) { delete(m, "energy") },
		"unscored with energy":          func(m map[string]any) { m["verdict"] = "unscored" },
		"a time that is none":           func(m map[string]any) { m["y"].(map[string]any)["end"] = "late" },
		"a map without its shape":       func(m map[string]any) { delete(m["map"].(map[string]any), "shape") },
		"a window whose start is words": func(m map[string]any) { m["windows"].([]any)[0].(map[string]any)["start"] = "0" },
	} {
		t.Run(name, func(t *testing.T) {
			var document map[string]any
			require.NoError(t, json.Unmarshal(data, &document))
			change(document)
			changed, err := json.Marshal(document)
			require.NoError(t, err)
			require.Error(t, validate(t, schema, changed))
		})
	}
}

func TestExamplesInTheDocumentAreResults(t *testing.T) {
	page, err := os.ReadFile(fixture.Repository("docs", "wire.md"))
	require.NoError(t, err)
	examples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(page, -1)
	require.Len(t, examples, 2)
	schema := compiledSchema(t)
	for _, example := range examples {
		require.NoError(t, validate(t, schema, example[1]))
		_, err := stream.UnmarshalResult(example[1], stream.EncodingJSON)
		require.NoError(t, err)
	}
}

func TestDocumentNamesEveryHeader(t *testing.T) {
	page, err := os.ReadFile(fixture.Repository("docs", "wire.md"))
	require.NoError(t, err)
	source, err := os.ReadFile("wire.go")
	require.NoError(t, err)
	names := regexp.MustCompile(`(?m)^\tHeader\w+ += "(.*)"$`).FindAllSubmatch(source, -1)
	require.Len(t, names, 34)
	for _, name := range names {
		require.Contains(t, string(page), "`"+string(name[1])+"`")
	}
}

func TestNothingThatIsNoNumberReachesTheWire(t *testing.T) {
	fields := map[string]func(*stream.Result, float64){
		"energy":             func(r *stream.Result, x float64) { r.Energy = &x },
		"p_value":            func(r *stream.Result, x float64) { r.PValue = &x },
		"expected":           func(r *stream.Result, x float64) { r.Expected.Low = x },
		"windows[1]":         func(r *stream.Result, x float64) { r.Windows[1].Energy = x },
		"windows[0].p_value": func(r *stream.Result, x float64) { r.Windows[0].PValue = &x },
		"horizons[0]":        func(r *stream.Result, x float64) { r.Horizons[0].Energy = x },
		"next[0]":            func(r *stream.Result, x float64) { r.Next[0].Seconds = x },
		"decode.fps":         func(r *stream.Result, x float64) { r.Decode.FPS = x },
		"latency":            func(r *stream.Result, x float64) { r.Latency.Encode = x },
	}
	for name, set := range fields {
		for _, value := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			for _, encoding := range []stream.Encoding{stream.EncodingJSON, stream.EncodingProtobuf} {
				result := fullResult()
				set(result, value)
				_, err := stream.RecordFromResult(result, encoding)
				failure := failureOf(t, err)
				require.Equal(t, stream.CodeBadResult, failure.Code)
				require.True(t, failure.Permanent)
				require.Contains(t, failure.Error(), name)
			}
		}
	}
}

func TestBadResultsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*stream.Result){
		"id is empty":            func(r *stream.Result) { r.ID = "" },
		"stream is empty":        func(r *stream.Result) { r.Stream = "" },
		"model is empty":         func(r *stream.Result) { r.Model = "" },
		"not valid UTF-8":        func(r *stream.Result) { r.Model = "\xff" },
		"y.segment":              func(r *stream.Result) { r.Y.Segment = "" },
		"x ends before":          func(r *stream.Result) { r.X.End = r.X.Start.Add(-1) },
		"the year 10000":         func(r *stream.Result) { r.Y.End = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"is not known":           func(r *stream.Result) { r.Verdict = "fine" },
		"there is no energy":     func(r *stream.Result) { r.Energy = nil },
		"there is an energy":     func(r *stream.Result) { r.Verdict = stream.Unscored },
		"not a probability":      func(r *stream.Result) { r.PValue = new(-0.1) },
		"its shape [2 2 3] says": func(r *stream.Result) { r.Map.Shape[2] = 3 },
		"map is empty":           func(r *stream.Result) { r.Map.Data = nil },
		"a dimension of 0":       func(r *stream.Result) { r.Next[0].Dim = 0 },
		"[2147483647 2147483647": func(r *stream.Result) { r.Map.Shape = []int32{math.MaxInt32, math.MaxInt32, math.MaxInt32} },
		"map.encoding":           func(r *stream.Result) { r.Map.Encoding = "" },
	} {
		t.Run(name, func(t *testing.T) {
			result := fullResult()
			change(result)
			require.ErrorContains(t, result.Check(), name)
		})
	}
	result := fullResult()
	result.Verdict, result.Energy, result.Reason = stream.Unscored, nil, ""
	require.ErrorContains(t, result.Check(), "without a reason")
	_, err := stream.MarshalResult(fullResult(), "xml")
	require.ErrorContains(t, err, `"xml"`)
}

func TestRecordsThatAreNoResultAreRefused(t *testing.T) {
	good, err := stream.RecordFromResult(fullResult(), stream.EncodingJSON)
	require.NoError(t, err)
	for name, change := range map[string]func(*stream.Record){
		"video.ensue.result.v2": func(r *stream.Record) { r.Headers = append(r.Headers, header("ce_type", "video.ensue.result.v2")) },
		"text/html":             func(r *stream.Record) { r.Headers = append(r.Headers, header("content-type", "text/html")) },
		"from JSON":             func(r *stream.Record) { r.Value = []byte("{") },
		"from Protobuf": func(r *stream.Record) {
			r.Headers = append(r.Headers, header("content-type", "application/protobuf"))
		},
		"id is empty": func(r *stream.Record) { r.Value = []byte("{}") },
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			change(&bad)
			_, err := stream.ResultFromRecord(bad)
			require.ErrorContains(t, err, name)
			require.Equal(t, stream.CodeUnreadableResult, failureOf(t, err).Code)
		})
	}
}

func TestResultsOfALaterMinorVersionAreRead(t *testing.T) {
	data, err := stream.MarshalResult(fullResult(), stream.EncodingJSON)
	require.NoError(t, err)
	later := append([]byte(`{"added_later":{"a":1},`), data[1:]...)
	back, err := stream.ResultFromRecord(stream.Record{
		Value: later, Headers: []stream.Header{header("content-type", "application/json; charset=utf-8")},
	})
	require.NoError(t, err)
	require.Equal(t, fullResult(), back)
}

func FuzzUnmarshalResult(f *testing.F) {
	for _, encoding := range []stream.Encoding{stream.EncodingJSON, stream.EncodingProtobuf} {
		for _, result := range []*stream.Result{fullResult(), bareResult()} {
			data, err := stream.MarshalResult(result, encoding)
			require.NoError(f, err)
			f.Add(data, encoding == stream.EncodingJSON)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, isJSON bool) {
		encoding := stream.EncodingProtobuf
		if isJSON {
			encoding = stream.EncodingJSON
		}
		result, err := stream.UnmarshalResult(data, encoding)
		if err != nil {
			require.Equal(t, stream.CodeUnreadableResult, failureOf(t, err).Code)
			return
		}
		for _, encoding := range []stream.Encoding{stream.EncodingJSON, stream.EncodingProtobuf} {
			once, err := stream.MarshalResult(result, encoding)
			require.NoError(t, err)
			back, err := stream.UnmarshalResult(once, encoding)
			require.NoError(t, err)
			twice, err := stream.MarshalResult(back, encoding)
			require.NoError(t, err)
			require.Equal(t, string(once), string(twice))
		}
	})
}

func TestGeneratedProtobufIsCurrent(t *testing.T) {
	if _, err := exec.LookPath("protoc"); err != nil {
		t.Skip("needs protoc (Debian: protobuf-compiler) to compare streampb/result.pb.go with result.proto")
	}
	out := t.TempDir()
	command := exec.Command(fixture.Repository("stream", "streampb", "generate.sh"), out)
	text, err := command.CombinedOutput()
	require.NoError(t, err, "%s", text)
	// The header names protoc's version, which may differ.
	version := regexp.MustCompile(`(?m)^// \tprotoc .*$`)
	read := func(path string) string {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		return version.ReplaceAllString(string(data), "")
	}
	require.Equal(t, read(out+"/result.pb.go"), read("streampb/result.pb.go"), "run go generate ./stream/streampb")
}
