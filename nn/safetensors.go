package nn

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"unsafe"

	"gorgonia.org/tensor"
)

// The safetensors format (https://github.com/huggingface/safetensors): eight bytes with the length of a JSON header, the header, the data.

const (
	maxHeader     = 100 << 20 // what the format's own reader allows
	metadataField = "__metadata__"
	dataAlignment = 8
)

// TensorInfo says what a safetensors file holds under a name.
type TensorInfo struct {
	// Dtype is the format's name: F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL.
	Dtype string
	Shape []int
	// first and last are offsets into the data.
	first, last int
}

// Safetensors is an open safetensors file. Its data is mapped, not read: what is not asked for costs nothing.
type Safetensors struct {
	// Metadata is what the file says about itself.
	Metadata map[string]string

	path    string
	tensors map[string]TensorInfo
	header  int // its length
	data    []byte
	mapping mapping
}

// OpenSafetensors opens a file. Close it when its tensors have been read.
func OpenSafetensors(path string) (*Safetensors, error) {
	m, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("opening weights %s: %w", path, err)
	}
	s, err := ParseSafetensors(m.data)
	if err != nil {
		_ = m.close()
		return nil, fmt.Errorf("reading weights %s: %w", path, err)
	}
	s.path, s.mapping = path, m
	return s, nil
}

// ParseSafetensors reads a file that is in memory. The result refers to it.
func ParseSafetensors(file []byte) (*Safetensors, error) {
	if len(file) < 8 {
		return nil, fmt.Errorf("the file has %d bytes, a header needs 8", len(file))
	}
	size := binary.LittleEndian.Uint64(file)
	if size > maxHeader || size > uint64(len(file)-8) {
		return nil, fmt.Errorf("the header is said to have %d bytes, the file has %d", size, len(file))
	}
	s := &Safetensors{tensors: map[string]TensorInfo{}, header: int(size), data: file[8+size:]}
	err := s.parse(file[8 : 8+size])
	return s, err
}

func (s *Safetensors) parse(header []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(header, &fields); err != nil {
		return fmt.Errorf("parsing the header: %w", err)
	}
	for name, raw := range fields {
		if name == metadataField {
			if err := json.Unmarshal(raw, &s.Metadata); err != nil {
				return fmt.Errorf("parsing the header's metadata: %w", err)
			}
			continue
		}
		info, err := parseInfo(raw, len(s.data))
		if err != nil {
			return fmt.Errorf("parsing the header's entry for tensor %s: %w", name, err)
		}
		s.tensors[name] = info
	}
	return nil
}

// parseInfo reads one entry and checks it against the size of the data: nothing later has to.
func parseInfo(raw []byte, data int) (TensorInfo, error) {
	var entry struct {
		Dtype   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets []int  `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw, &entry); err != nil {
		return TensorInfo{}, err
	}
	width := widthOf(entry.Dtype)
	if width == 0 {
		return TensorInfo{}, fmt.Errorf("unknown type %q", entry.Dtype)
	}
	size := width
	for _, n := range entry.Shape {
		if n < 0 || n > 0 && size > math.MaxInt/n {
			return TensorInfo{}, fmt.Errorf("impossible shape %v", entry.Shape)
		}
		size *= n
	}
	if len(entry.Offsets) != 2 {
		return TensorInfo{}, fmt.Errorf("%d offsets instead of 2", len(entry.Offsets))
	}
	first, last := entry.Offsets[0], entry.Offsets[1]
	if first < 0 || last < first || last > data {
		return TensorInfo{}, fmt.Errorf("bytes [%d, %d) of %d", first, last, data)
	}
	if last-first != size {
		return TensorInfo{}, fmt.Errorf("%d bytes for %s %v, which takes %d", last-first, entry.Dtype, entry.Shape, size)
	}
	return TensorInfo{entry.Dtype, entry.Shape, first, last}, nil
}

func widthOf(dtype string) int {
	switch dtype {
	case "F64", "I64", "U64":
		return 8
	case "F32", "I32", "U32":
		return 4
	case "F16", "BF16", "I16", "U16":
		return 2
	case "I8", "U8", "BOOL":
		return 1
	}
	return 0
}

// Close ends the mapping. Arrays that Float32 and Float64 returned stay: they are copies.
func (s *Safetensors) Close() error {
	s.data = nil
	return s.mapping.close()
}

// Names are the names of the tensors, sorted.
func (s *Safetensors) Names() []string { return slices.Sorted(maps.Keys(s.tensors)) }

// Info tells what is held under a name.
func (s *Safetensors) Info(name string) (TensorInfo, bool) {
	info, ok := s.tensors[name]
	return info, ok
}

// Float32 reads a tensor, of any type but U64, as float32. shape, where it is given, is what the caller expects.
func (s *Safetensors) Float32(name string, shape ...int) (*tensor.Dense, error) {
	return readTensor[float32](s, name, shape)
}

// Float64 reads a tensor, of any type but U64, as float64. shape, where it is given, is what the caller expects.
func (s *Safetensors) Float64(name string, shape ...int) (*tensor.Dense, error) {
	return readTensor[float64](s, name, shape)
}

// View is a float32 tensor on the file's own memory, where the file holds float32, and Float32 elsewhere. It is valid until Close and must
// not be written to.
func (s *Safetensors) View(name string, shape ...int) (*tensor.Dense, error) {
	info, ok := s.tensors[name]
	if !ok || info.Dtype != "F32" || !littleEndian() || info.first == info.last || len(info.Shape) == 0 ||
		len(shape) > 0 && !slices.Equal(shape, info.Shape) {
		return s.Float32(name, shape...)
	}
	at := unsafe.Pointer(&s.data[info.first])
	if uintptr(at)%unsafe.Alignof(float32(0)) != 0 {
		return s.Float32(name, shape...)
	}
	values := unsafe.Slice((*float32)(at), (info.last-info.first)/4)
	return tensor.New(tensor.WithShape(info.Shape...), tensor.WithBacking(values)), nil
}

// CopyTo writes a tensor's bytes as the file has them: for hashing and copying. Their pages need not stay in memory.
func (s *Safetensors) CopyTo(w io.Writer, name string) error {
	info, ok := s.tensors[name]
	if !ok {
		return fmt.Errorf("reading tensor %s: there is none of that name%s", name, s.hint(name))
	}
	if _, err := w.Write(s.data[info.first:info.last]); err != nil {
		return fmt.Errorf("copying tensor %s: %w", name, err)
	}
	s.Forget(name)
	return nil
}

// Forget says that a tensor is not needed soon: its pages need not stay in memory. Views of it stay valid, their pages are read again.
func (s *Safetensors) Forget(name string) {
	if info, ok := s.tensors[name]; ok {
		s.mapping.done(8+s.header+info.first, 8+s.header+info.last)
	}
}

func readTensor[F floating](s *Safetensors, name string, shape []int) (*tensor.Dense, error) {
	info, ok := s.tensors[name]
	if !ok {
		return nil, fmt.Errorf("reading tensor %s: there is none of that name%s", name, s.hint(name))
	}
	if len(shape) > 0 && !slices.Equal(shape, info.Shape) {
		return nil, fmt.Errorf("reading tensor %s: expected shape %v, found %v", name, shape, info.Shape)
	}
	values := make([]F, (info.last-info.first)/widthOf(info.Dtype))
	if err := decode(values, s.data[info.first:info.last], info.Dtype); err != nil {
		return nil, fmt.Errorf("reading tensor %s: %w", name, err)
	}
	s.mapping.done(8+s.header+info.first, 8+s.header+info.last)
	if len(info.Shape) == 0 {
		return tensor.New(tensor.WithShape(1), tensor.WithBacking(values)), nil
	}
	return tensor.New(tensor.WithShape(info.Shape...), tensor.WithBacking(values)), nil
}

// hint names a tensor whose name ends alike: prefixes are what most often goes wrong.
func (s *Safetensors) hint(name string) string {
	tail := name[strings.LastIndex(name[:max(0, strings.LastIndex(name, "."))], ".")+1:]
	for _, other := range s.Names() {
		if strings.HasSuffix(other, tail) {
			return fmt.Sprintf("; did you mean %s?", other)
		}
	}
	return fmt.Sprintf(" among %d", len(s.tensors))
}

// decode turns little-endian bytes into numbers.
func decode[F floating](to []F, from []byte, dtype string) error {
	order := binary.LittleEndian
	var at func(i int) F
	switch dtype {
	case "F64":
		at = func(i int) F { return F(math.Float64frombits(order.Uint64(from[8*i:]))) }
	case "F32":
		at = func(i int) F { return F(math.Float32frombits(order.Uint32(from[4*i:]))) }
	case "BF16":
		at = func(i int) F { return F(math.Float32frombits(uint32(order.Uint16(from[2*i:])) << 16)) }
	case "F16":
		at = func(i int) F { return F(fromFloat16(order.Uint16(from[2*i:]))) }
	case "I64":
		at = func(i int) F { return F(int64(order.Uint64(from[8*i:]))) }
	case "I32":
		at = func(i int) F { return F(int32(order.Uint32(from[4*i:]))) }
	case "U32":
		at = func(i int) F { return F(order.Uint32(from[4*i:])) }
	case "I16":
		at = func(i int) F { return F(int16(order.Uint16(from[2*i:]))) }
	case "U16":
		at = func(i int) F { return F(order.Uint16(from[2*i:])) }
	case "I8":
		at = func(i int) F { return F(int8(from[i])) }
	case "U8", "BOOL":
		at = func(i int) F { return F(from[i]) }
	default:
		return fmt.Errorf("numbers of type %s cannot be read as floating point", dtype)
	}
	if copyNative(to, from, dtype) {
		return nil
	}
	for i := range to {
		to[i] = at(i)
	}
	return nil
}

// copyNative copies where the bytes are the numbers already.
func copyNative[F floating](to []F, from []byte, dtype string) bool {
	var probe F
	same := dtype == "F32" && unsafe.Sizeof(probe) == 4 || dtype == "F64" && unsafe.Sizeof(probe) == 8
	if !same || !littleEndian() || len(to) == 0 {
		return false
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(to))), len(from)), from)
	return true
}

func littleEndian() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) == 1 }

// fromFloat16 widens an IEEE half.
func fromFloat16(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exponent {
	case 0:
		x := float32(fraction) * 0x1p-24
		return math.Float32frombits(math.Float32bits(x) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}

// TensorFile collects what a safetensors file is to hold.
type TensorFile struct {
	// Metadata is written into the header.
	Metadata map[string]string

	names  []string
	arrays map[string]fileTensor
}

// fileTensor is an array, or where dense is nil what write gives.
type fileTensor struct {
	dense *tensor.Dense
	half  bool

	kind  string
	shape []int
	from  func(w io.Writer) error
}

// Put adds an array of float32, float64, uint16 (the bits of bfloat16), int64, int32 or uint8.
func (f *TensorFile) Put(name string, x *tensor.Dense) { f.put(name, fileTensor{dense: x}) }

// PutBFloat16 adds a float32 array, rounded to bfloat16.
func (f *TensorFile) PutBFloat16(name string, x *tensor.Dense) {
	f.put(name, fileTensor{dense: x, half: true})
}

// PutFrom adds an array that is not in memory: write is called when the file is written and gives its bytes, little-endian and as many as
// dtype and shape say. Other numbers of bytes are an error of Encode.
func (f *TensorFile) PutFrom(name, dtype string, shape []int, write func(w io.Writer) error) {
	f.put(name, fileTensor{kind: dtype, shape: slices.Clone(shape), from: write})
}

func (f *TensorFile) put(name string, x fileTensor) {
	if f.arrays == nil {
		f.arrays = map[string]fileTensor{}
	}
	if _, ok := f.arrays[name]; !ok {
		f.names = append(f.names, name)
	}
	f.arrays[name] = x
}

// Write writes the file beside path and then puts it in its place: a reader never sees half of one.
func (f *TensorFile) Write(path string) (err error) {
	temporary := path + ".part"
	file, err := os.Create(temporary)
	if err != nil {
		return fmt.Errorf("writing weights %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(temporary)
			err = fmt.Errorf("writing weights %s: %w", path, err)
		}
	}()
	if err := f.Encode(file); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// Encode writes the file to w. The same tensors in the same order give the same bytes.
func (f *TensorFile) Encode(w io.Writer) error {
	header, err := f.header()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<20)
	var size [8]byte
	binary.LittleEndian.PutUint64(size[:], uint64(len(header)))
	_, _ = out.Write(size[:]) // bufio keeps the first error for Flush
	_, _ = out.Write(header)
	for _, name := range f.names {
		if err := f.arrays[name].write(out); err != nil {
			return fmt.Errorf("writing tensor %s: %w", name, err)
		}
	}
	return out.Flush()
}

func (f *TensorFile) header() ([]byte, error) {
	type entry struct {
		Dtype   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	var b strings.Builder
	b.WriteByte('{')
	if len(f.Metadata) > 0 {
		meta, err := json.Marshal(f.Metadata)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q:%s,", metadataField, meta)
	}
	at := 0
	for i, name := range f.names {
		x := f.arrays[name]
		dtype, err := x.dtype()
		if err != nil {
			return nil, fmt.Errorf("writing tensor %s: %w", name, err)
		}
		next := at + productOf(x.dims())*widthOf(dtype)
		key, _ := json.Marshal(name)
		value, _ := json.Marshal(entry{dtype, append([]int{}, x.dims()...), [2]int{at, next}})
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
		at = next
	}
	header := strings.TrimSuffix(b.String(), ",") + "}"
	if rest := len(header) % dataAlignment; rest != 0 {
		header += strings.Repeat(" ", dataAlignment-rest)
	}
	return []byte(header), nil
}

var errNotContiguous = errors.New("the array is not contiguous and row-major")

// productOf is how many elements a shape has; the empty shape is that of one number.
func productOf(shape []int) int {
	size := 1
	for _, n := range shape {
		size *= n
	}
	return size
}

func (x fileTensor) dims() []int {
	if x.dense == nil {
		return x.shape
	}
	return x.dense.Shape()
}

func (x fileTensor) dtype() (string, error) {
	if x.dense == nil {
		if widthOf(x.kind) == 0 {
			return "", fmt.Errorf("unknown type %q", x.kind)
		}
		return x.kind, nil
	}
	if x.dense.RequiresIterator() || x.dense.DataOrder().IsColMajor() {
		return "", errNotContiguous
	}
	switch x.dense.Dtype() {
	case tensor.Float32:
		if x.half {
			return "BF16", nil
		}
		return "F32", nil
	case tensor.Float64:
		return "F64", nil
	case tensor.Uint16:
		return "BF16", nil
	case tensor.Int64:
		return "I64", nil
	case tensor.Int32:
		return "I32", nil
	case tensor.Uint8:
		return "U8", nil
	}
	return "", fmt.Errorf("arrays of %v cannot be written", x.dense.Dtype())
}

func (x fileTensor) write(w io.Writer) error {
	if x.dense == nil {
		counted := &countingWriter{to: w}
		if err := x.from(counted); err != nil {
			return err
		}
		if want := productOf(x.shape) * widthOf(x.kind); counted.bytes != want {
			return fmt.Errorf("%d bytes for %s %v, which takes %d", counted.bytes, x.kind, x.shape, want)
		}
		return nil
	}
	var numbers any
	switch x.dense.Dtype() {
	case tensor.Float32:
		numbers = x.dense.Float32s()
		if x.half {
			numbers = ToBFloat16(x.dense.Float32s())
		}
	case tensor.Float64:
		numbers = x.dense.Float64s()
	case tensor.Uint16:
		numbers = x.dense.Uint16s()
	case tensor.Int64:
		numbers = x.dense.Int64s()
	case tensor.Int32:
		numbers = x.dense.Int32s()
	default:
		numbers = x.dense.Uint8s()
	}
	return binary.Write(w, binary.LittleEndian, numbers)
}

// countingWriter counts what goes through.
type countingWriter struct {
	to    io.Writer
	bytes int
}

func (c *countingWriter) Write(data []byte) (int, error) {
	n, err := c.to.Write(data)
	c.bytes += n
	return n, err
}
