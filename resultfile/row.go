package resultfile

import (
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/ensue-video/ensue/internal/arrow"
	"github.com/ensue-video/ensue/stream"
)

// row is one result in a table, without its embeddings: these have a column each, as many as the file's results have horizons.
type row struct {
	ID     string `parquet:"id"`
	Stream string `parquet:"stream,dict"`
	// Times are in microseconds since 1970, UTC.
	YSegment string   `parquet:"y_segment"`
	YStart   int64    `parquet:"y_start,timestamp(microsecond)"`
	YEnd     int64    `parquet:"y_end,timestamp(microsecond)"`
	XSegment *string  `parquet:"x_segment,optional"`
	XStart   *int64   `parquet:"x_start,optional,timestamp(microsecond)"`
	XEnd     *int64   `parquet:"x_end,optional,timestamp(microsecond)"`
	Verdict  string   `parquet:"verdict,dict"`
	Reason   *string  `parquet:"reason,optional,dict"`
	Energy   *float64 `parquet:"energy,optional"`
	PValue   *float64 `parquet:"p_value,optional"`
	// What the calibration expects.
	Median *float64 `parquet:"expected_median,optional"`
	Low    *float64 `parquet:"expected_low,optional"`
	High   *float64 `parquet:"expected_high,optional"`

	Windows  []windowRow  `parquet:"windows,list"`
	Horizons []horizonRow `parquet:"horizons,list"`
	MapShape []int32      `parquet:"map_shape,list"`
	Map      []float32    `parquet:"map,list"`

	Model   string  `parquet:"model,dict"`
	Frames  int32   `parquet:"frames"`
	Dropped int32   `parquet:"dropped"`
	FPS     float64 `parquet:"fps"`

	Queue   float64 `parquet:"latency_queue"`
	Decode  float64 `parquet:"latency_decode"`
	Encode  float64 `parquet:"latency_encode"`
	Predict float64 `parquet:"latency_predict"`

	NextSeconds []float64 `parquet:"next_seconds,list"`
}

type windowRow struct {
	Start  float64  `parquet:"start"`
	Energy float64  `parquet:"energy"`
	PValue *float64 `parquet:"p_value,optional"`
}

type horizonRow struct {
	Seconds float64 `parquet:"seconds"`
	Energy  float64 `parquet:"energy"`
}

// nextColumn is the column of the nth embedding, from 0.
func nextColumn(n int) string { return "next_" + strconv.Itoa(n+1) }

// rowType is row with a field for every embedding.
func rowType(embeddings int, maps bool) reflect.Type {
	var fields []reflect.StructField
	for field := range reflect.TypeFor[row]().Fields() {
		if maps || field.Name != "Map" && field.Name != "MapShape" {
			fields = append(fields, field)
		}
	}
	for n := range embeddings {
		fields = append(fields, reflect.StructField{
			Name: "Next" + strconv.Itoa(n+1), Type: reflect.TypeFor[[]float32](),
			Tag: reflect.StructTag(`parquet:"` + nextColumn(n) + `,optional,list"`),
		})
	}
	return reflect.StructOf(fields)
}

// arrowFields are the table's columns as Arrow sees them; dims are the lengths of the embeddings, 0 where they differ.
func arrowFields(schema *parquet.Schema, dims []int) []arrow.Field {
	number := func(name string) arrow.Field {
		return arrow.Field{Name: name, Kind: arrow.FloatingPoint, Detail: arrow.Double}
	}
	single := []arrow.Field{{Name: "element", Kind: arrow.FloatingPoint, Detail: arrow.Single}}
	p := number("p_value")
	p.Nullable = true
	elements := map[string][]arrow.Field{
		"windows":      {{Name: "element", Kind: arrow.Struct, Children: []arrow.Field{number("start"), number("energy"), p}}},
		"horizons":     {{Name: "element", Kind: arrow.Struct, Children: []arrow.Field{number("seconds"), number("energy")}}},
		"map_shape":    {{Name: "element", Kind: arrow.Int, Detail: 32}},
		"map":          single,
		"next_seconds": {number("element")},
	}
	lengths := map[string]int{}
	for n, dim := range dims {
		lengths[nextColumn(n)] = dim
		elements[nextColumn(n)] = single
	}
	var fields []arrow.Field
	for _, column := range schema.Fields() {
		field := arrow.Field{Name: column.Name(), Nullable: column.Optional(), Children: elements[column.Name()]}
		switch length := lengths[field.Name]; {
		case length > 0:
			field.Kind, field.Detail = arrow.FixedSizeList, length
		case field.Children != nil:
			field.Kind = arrow.List
		case strings.HasSuffix(field.Name, "_start") || strings.HasSuffix(field.Name, "_end"):
			field.Kind, field.Detail = arrow.Timestamp, arrow.Microseconds
		case column.Type().Kind() == parquet.Int32:
			field.Kind, field.Detail = arrow.Int, 32
		case column.Type().Kind() == parquet.Double:
			field.Kind, field.Detail = arrow.FloatingPoint, arrow.Double
		default:
			field.Kind = arrow.Utf8
		}
		fields = append(fields, field)
	}
	return fields
}

// rowOf is the row of a result.
func rowOf(r *stream.Result, maps bool) (*row, error) {
	out := &row{
		ID: r.ID, Stream: r.Stream, YSegment: r.Y.Segment, YStart: r.Y.Start.UnixMicro(), YEnd: r.Y.End.UnixMicro(),
		Verdict: string(r.Verdict), Energy: r.Energy, PValue: r.PValue, Model: r.Model,
		Frames: r.Decode.Frames, Dropped: r.Decode.Dropped, FPS: r.Decode.FPS,
		Queue: r.Latency.Queue, Decode: r.Latency.Decode, Encode: r.Latency.Encode, Predict: r.Latency.Predict,
	}
	if r.X != nil {
		start, end := r.X.Start.UnixMicro(), r.X.End.UnixMicro()
		out.XSegment, out.XStart, out.XEnd = &r.X.Segment, &start, &end
	}
	if r.Reason != "" {
		reason := string(r.Reason)
		out.Reason = &reason
	}
	if e := r.Expected; e != nil {
		out.Median, out.Low, out.High = &e.Median, &e.Low, &e.High
	}
	for _, w := range r.Windows {
		out.Windows = append(out.Windows, windowRow(w))
	}
	for _, h := range r.Horizons {
		out.Horizons = append(out.Horizons, horizonRow(h))
	}
	for _, next := range r.Next {
		out.NextSeconds = append(out.NextSeconds, next.Seconds)
	}
	if !maps || r.Map == nil {
		return out, nil
	}
	var err error
	out.MapShape = r.Map.Shape
	out.Map, err = mapValues(r.Map)
	return out, err
}

// result is the inverse of rowOf.
func (r *row) result() *stream.Result {
	at := func(micro int64) time.Time { return time.UnixMicro(micro).UTC() }
	out := &stream.Result{
		ID: r.ID, Stream: r.Stream, Y: stream.Extent{Segment: r.YSegment, Start: at(r.YStart), End: at(r.YEnd)},
		Verdict: stream.Verdict(r.Verdict), Energy: r.Energy, PValue: r.PValue, Model: r.Model,
		Decode:  stream.Decode{Frames: r.Frames, Dropped: r.Dropped, FPS: r.FPS},
		Latency: stream.Latency{Queue: r.Queue, Decode: r.Decode, Encode: r.Encode, Predict: r.Predict},
	}
	if r.XSegment != nil && r.XStart != nil && r.XEnd != nil {
		out.X = &stream.Extent{Segment: *r.XSegment, Start: at(*r.XStart), End: at(*r.XEnd)}
	}
	if r.Reason != nil {
		out.Reason = stream.Reason(*r.Reason)
	}
	if r.Median != nil && r.Low != nil && r.High != nil {
		out.Expected = &stream.Expected{Median: *r.Median, Low: *r.Low, High: *r.High}
	}
	for _, w := range r.Windows {
		out.Windows = append(out.Windows, stream.Window(w))
	}
	for _, h := range r.Horizons {
		out.Horizons = append(out.Horizons, stream.Horizon(h))
	}
	if len(r.MapShape) > 0 {
		out.Map = arrayOf(r.MapShape, r.Map)
	}
	return out
}
