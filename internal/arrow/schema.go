package arrow

import (
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Key is what the schema is kept under in the key-value metadata of a Parquet file.
const Key = "ARROW:schema"

// Kind is the type of a field, as Arrow's format numbers them (format/Schema.fbs, union Type).
type Kind byte

// The types that are written here.
const (
	Int           Kind = 2
	FloatingPoint Kind = 3
	Utf8          Kind = 5
	Timestamp     Kind = 10
	List          Kind = 12
	Struct        Kind = 13
	FixedSizeList Kind = 16
)

// Single and Double are precisions of FloatingPoint, Microseconds is a unit of Timestamp.
const (
	Single       = 1
	Double       = 2
	Microseconds = 2
)

// Field is a column, or a part of one.
type Field struct {
	Name     string
	Nullable bool
	Kind     Kind
	// Detail is an integer's width, a floating-point number's precision, a timestamp's unit or a list's length.
	Detail int
	// Children are the element of a list, or the fields of a struct.
	Children []Field
}

// Schema is the fields and what is said about the table, as Parquet keeps them: a schema message (format/Message.fbs) in base64.
// Timestamps are in UTC.
func Schema(fields []Field, about map[string]string) string {
	const version5, headerSchema, aligned = 4, 1, 8
	b := flatbuffers.NewBuilder(1 << 10)
	written, pairs := writeFields(b, fields), writePairs(b, about)
	b.StartObject(4) // Schema
	b.PrependUOffsetTSlot(1, written, 0)
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

// writeFields writes a vector of fields.
func writeFields(b *flatbuffers.Builder, fields []Field) flatbuffers.UOffsetT {
	offsets := make([]flatbuffers.UOffsetT, len(fields))
	for i := range fields {
		offsets[i] = fields[i].write(b)
	}
	return vector(b, offsets)
}

// writePairs writes a vector of keys and values.
func writePairs(b *flatbuffers.Builder, about map[string]string) flatbuffers.UOffsetT {
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

func (f *Field) write(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	name, children := b.CreateString(f.Name), writeFields(b, f.Children)
	kind := f.writeType(b)
	b.StartObject(7) // Field
	b.PrependUOffsetTSlot(0, name, 0)
	b.PrependBoolSlot(1, f.Nullable, false)
	b.PrependByteSlot(2, byte(f.Kind), 0)
	b.PrependUOffsetTSlot(3, kind, 0)
	b.PrependUOffsetTSlot(5, children, 0)
	return b.EndObject()
}

func (f *Field) writeType(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	var zone flatbuffers.UOffsetT
	if f.Kind == Timestamp {
		zone = b.CreateString("UTC")
	}
	b.StartObject(2)
	switch f.Kind {
	case Int:
		b.PrependInt32Slot(0, int32(f.Detail), 0)
		b.PrependBoolSlot(1, true, false) // signed
	case FloatingPoint:
		b.PrependInt16Slot(0, int16(f.Detail), 0)
	case Timestamp:
		b.PrependInt16Slot(0, int16(f.Detail), 0)
		b.PrependUOffsetTSlot(1, zone, 0)
	case FixedSizeList:
		b.PrependInt32Slot(0, int32(f.Detail), 0)
	case Utf8, List, Struct: // they say nothing more
	}
	return b.EndObject()
}
