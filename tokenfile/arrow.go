package tokenfile

import (
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Arrow's types, as its format numbers them (github.com/apache/arrow, format/Schema.fbs, union Type).
const (
	arrowInt           = 2
	arrowFloatingPoint = 3
	arrowUtf8          = 5
	arrowFixedSizeList = 16
)

// arrowField is a column: its type, and of a list the type of its elements.
type arrowField struct {
	name     string
	nullable bool
	kind     byte
	// detail is an integer's width, a floating-point number's precision or a list's length.
	detail   int
	children []arrowField
}

// single and double are Arrow's precisions of floating-point numbers.
const single, double = 1, 2

// columns are the table's columns as Arrow sees them, of tokens with dim numbers.
func columns(dim int) []arrowField {
	element := []arrowField{{name: "element", kind: arrowFloatingPoint, detail: single}}
	return []arrowField{
		{name: "file", kind: arrowUtf8},
		{name: "clip", kind: arrowInt, detail: 32},
		{name: "tubelet", kind: arrowInt, detail: 32},
		{name: "start", kind: arrowFloatingPoint, detail: double, nullable: true},
		{name: "end", kind: arrowFloatingPoint, detail: double, nullable: true},
		{name: "row", kind: arrowInt, detail: 32},
		{name: "column", kind: arrowInt, detail: 32},
		{name: "embedding", kind: arrowFixedSizeList, detail: dim, children: element},
		{name: "expected", kind: arrowFixedSizeList, detail: dim, children: element, nullable: true},
		{name: "target", kind: arrowFixedSizeList, detail: dim, children: element, nullable: true},
		{name: "energy", kind: arrowFloatingPoint, detail: single, nullable: true},
	}
}

// arrowSchema says to readers that follow Arrow that lists are of a fixed length: Parquet itself knows only lists. It is what Arrow
// keeps under ARROW:schema: a schema message (format/Message.fbs) in base64.
func arrowSchema(dim int, about map[string]string) string {
	const version5, headerSchema, aligned = 4, 1, 8
	b := flatbuffers.NewBuilder(1 << 10)
	fields, pairs := arrowFields(b, columns(dim)), arrowPairs(b, about)
	b.StartObject(4) // Schema
	b.PrependUOffsetTSlot(1, fields, 0)
	b.PrependUOffsetTSlot(2, pairs, 0)
	schema := b.EndObject()
	b.StartObject(5) // Message
	b.PrependInt16Slot(0, version5, 0)
	b.PrependByteSlot(1, headerSchema, 0)
	b.PrependUOffsetTSlot(2, schema, 0)
	b.Finish(b.EndObject())
	message := b.FinishedBytes()
	for len(message)%aligned != 0 {
		message = append(message, 0)
	}
	whole := binary.LittleEndian.AppendUint32(nil, 0xffffffff) // "a length follows"
	whole = binary.LittleEndian.AppendUint32(whole, uint32(len(message)))
	return base64.StdEncoding.EncodeToString(append(whole, message...))
}

// arrowFields writes a vector of fields.
func arrowFields(b *flatbuffers.Builder, fields []arrowField) flatbuffers.UOffsetT {
	offsets := make([]flatbuffers.UOffsetT, len(fields))
	for i, f := range fields {
		offsets[i] = f.write(b)
	}
	return vector(b, offsets)
}

// arrowPairs writes a vector of keys and values.
func arrowPairs(b *flatbuffers.Builder, about map[string]string) flatbuffers.UOffsetT {
	var offsets []flatbuffers.UOffsetT
	for _, name := range slices.Sorted(maps.Keys(about)) {
		key, value := b.CreateString(name), b.CreateString(about[name])
		b.StartObject(2) // KeyValue
		b.PrependUOffsetTSlot(0, key, 0)
		b.PrependUOffsetTSlot(1, value, 0)
		offsets = append(offsets, b.EndObject())
	}
	return vector(b, offsets)
}

func vector(b *flatbuffers.Builder, offsets []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	b.StartVector(flatbuffers.SizeUOffsetT, len(offsets), flatbuffers.SizeUOffsetT)
	for i := range offsets {
		b.PrependUOffsetT(offsets[len(offsets)-1-i]) // vectors are written from their end
	}
	return b.EndVector(len(offsets))
}

func (f arrowField) write(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	name, children := b.CreateString(f.name), arrowFields(b, f.children)
	kind := f.writeType(b)
	b.StartObject(7) // Field
	b.PrependUOffsetTSlot(0, name, 0)
	b.PrependBoolSlot(1, f.nullable, false)
	b.PrependByteSlot(2, f.kind, 0)
	b.PrependUOffsetTSlot(3, kind, 0)
	b.PrependUOffsetTSlot(5, children, 0)
	return b.EndObject()
}

func (f arrowField) writeType(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	b.StartObject(2)
	switch f.kind {
	case arrowInt:
		b.PrependInt32Slot(0, int32(f.detail), 0)
		b.PrependBoolSlot(1, true, false) // signed
	case arrowFloatingPoint:
		b.PrependInt16Slot(0, int16(f.detail), 0)
	case arrowFixedSizeList:
		b.PrependInt32Slot(0, int32(f.detail), 0)
	}
	return b.EndObject()
}
