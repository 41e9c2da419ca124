package nn

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

func encoded(tb testing.TB, f *TensorFile) []byte {
	tb.Helper()
	var b bytes.Buffer
	require.NoError(tb, f.Encode(&b))
	return b.Bytes()
}

func exampleFile() *TensorFile {
	f := &TensorFile{Metadata: map[string]string{"format": "pt", "quote": `a "b"`}}
	f.Put("a", dense32(1, 2, 3))
	f.Put("b", dense64(2, 4))
	f.PutBFloat16("c", dense32(3, 5))
	f.Put("d", tensor.New(tensor.WithShape(2), tensor.WithBacking([]int64{7, -1})))
	f.Put("e", tensor.New(tensor.WithShape(3), tensor.WithBacking([]uint8{1, 2, 255})))
	return f
}

func TestSafetensorsAreReadAsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	require.NoError(t, exampleFile().Write(path))
	_, err := os.Stat(path + ".part")
	require.True(t, os.IsNotExist(err))
	s, err := OpenSafetensors(path)
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, []string{"a", "b", "c", "d", "e"}, s.Names())
	require.Equal(t, map[string]string{"format": "pt", "quote": `a "b"`}, s.Metadata)
	a, err := s.Float32("a", 2, 3)
	require.NoError(t, err)
	require.Equal(t, dense32(1, 2, 3).Float32s(), a.Float32s())
	b, err := s.Float64("b")
	require.NoError(t, err)
	require.Equal(t, dense64(2, 4).Float64s(), b.Float64s())
	c, err := s.Float32("c")
	require.NoError(t, err)
	require.Equal(t, FromBFloat16(ToBFloat16(dense32(3, 5).Float32s())), c.Float32s())
	d, err := s.Float64("d")
	require.NoError(t, err)
	require.Equal(t, []float64{7, -1}, d.Float64s())
	e, err := s.Float32("e")
	require.NoError(t, err)
	require.Equal(t, []float32{1, 2, 255}, e.Float32s())
}

func TestTensorsAreCopiedFromFileToFile(t *testing.T) {
	first, err := ParseSafetensors(encoded(t, exampleFile()))
	require.NoError(t, err)
	copied := &TensorFile{Metadata: first.Metadata}
	for _, name := range first.Names() {
		info, _ := first.Info(name)
		copied.PutFrom(name, info.Dtype, info.Shape, func(w io.Writer) error { return first.CopyTo(w, name) })
	}
	require.Equal(t, encoded(t, exampleFile()), encoded(t, copied))
	require.ErrorContains(t, first.CopyTo(io.Discard, "nothing"), "reading tensor nothing: there is none of that name")
	short := &TensorFile{}
	short.PutFrom("a", "F32", []int{3}, func(w io.Writer) error {
		_, err := w.Write(make([]byte, 8))
		return err
	})
	require.ErrorContains(t, short.Encode(io.Discard), "writing tensor a: 8 bytes for F32 [3], which takes 12")
	unknown := &TensorFile{}
	unknown.PutFrom("a", "F31", []int{3}, nil)
	require.ErrorContains(t, unknown.Encode(io.Discard), `writing tensor a: unknown type "F31"`)
}

func TestTheSameTensorsGiveTheSameFile(t *testing.T) {
	first, second := encoded(t, exampleFile()), encoded(t, exampleFile())
	require.Equal(t, first, second)
	require.Zero(t, len(encoded(t, exampleFile())[:8+binary.LittleEndian.Uint64(encoded(t, exampleFile()))])%8)
}

func TestSafetensorsErrorsNameTheTensorAndBothShapes(t *testing.T) {
	s, err := ParseSafetensors(encoded(t, exampleFile()))
	require.NoError(t, err)
	_, err = s.Float32("a", 3, 2)
	require.EqualError(t, err, "reading tensor a: expected shape [3 2], found [2 3]")
	_, err = s.Float32("nothing")
	require.ErrorContains(t, err, "reading tensor nothing: there is none of that name")
	f := &TensorFile{}
	f.Put("encoder.layer.0.norm1.weight", dense32(1, 2))
	s, err = ParseSafetensors(encoded(t, f))
	require.NoError(t, err)
	_, err = s.Float32("layer.0.norm1.weight")
	require.ErrorContains(t, err, "did you mean encoder.layer.0.norm1.weight?")
}

func TestHalfPrecisionIsReadExactly(t *testing.T) {
	for bits, want := range map[uint16]float32{0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0001: 0x1p-24, 0x8000: 0, 0x3555: 0.33325195} {
		require.Equal(t, want, fromFloat16(bits), "%#x", bits)
	}
}

func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestBrokenSafetensorsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"empty":            {nil, "a header needs 8"},
		"header too long":  {binary.LittleEndian.AppendUint64(nil, 1<<62), "the header is said to have"},
		"no JSON":          {file("{", 0), "parsing the header"},
		"no object":        {file(`{"a":3}`, 0), "tensor a"},
		"unknown type":     {file(`{"a":{"dtype":"X","shape":[1],"data_offsets":[0,4]}}`, 4), `tensor a: unknown type "X"`},
		"negative size":    {file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), "impossible shape [-1]"},
		"overflow":         {file(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 4), "impossible shape"},
		"one offset":       {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}`, 4), "1 offsets instead of 2"},
		"outside":          {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 4), "bytes [0, 8) of 4"},
		"backwards":        {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4), "bytes [4, 0) of 4"},
		"size and offsets": {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4), "4 bytes for F32 [2], which takes 8"},
		"bad metadata":     {file(`{"__metadata__":{"a":1}}`, 0), "metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseSafetensors(c.file)
			require.ErrorContains(t, err, c.says)
		})
	}
	path := filepath.Join(t.TempDir(), "empty.safetensors")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err := OpenSafetensors(path)
	require.ErrorContains(t, err, "reading weights "+path)
	_, err = OpenSafetensors(path + "missing")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzParseSafetensors(f *testing.F) {
	f.Add(encoded(f, exampleFile()))
	f.Add(file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, 4))
	f.Add(file(`{"a":{"dtype":"F32","shape":[0,9],"data_offsets":[0,0]}}`, 0))
	f.Add(file(`{"__metadata__":{}}`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSafetensors(data)
		if err != nil {
			return
		}
		for _, name := range s.Names() {
			info, _ := s.Info(name)
			if x, err := s.Float32(name, info.Shape...); err == nil {
				_ = x.Shape()
			}
		}
	})
}

func TestParametersAreLoadedFromWhatTheyWereSavedTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	build := func(seed uint64) *Parameters {
		ps := NewParameters(seed)
		NewBlock(ps, "block", BlockConfig{Size: 8, Heads: 2, Hidden: 16})
		return ps
	}
	from, to := build(1), build(2)
	var f TensorFile
	from.Put(&f, "encoder.", Float32)
	require.NoError(t, f.Write(path))
	s, err := OpenSafetensors(path)
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, to.Load(s, "encoder."))
	for _, p := range from.All() {
		require.Equal(t, p.Dense().Float32s(), to.Get(p.Name).Dense().Float32s())
	}
	require.ErrorContains(t, to.Load(s, "predictor."), "reading tensor predictor.block.norm1.weight")
}

func TestTheOptimiserIsRestored(t *testing.T) {
	onDevice(t, func(d *Device) {
		ps := NewParameters(1)
		p := ps.New("w", TruncatedNormal(1), 3, 4)
		o := NewAdamW(ps.All(), AdamWConfig{Decay: 0.1})
		setGradient(p, dense32(1, 3, 4))
		o.Step(d, 0.1)
		var f TensorFile
		o.Put(&f, "optimiser.")
		s, err := ParseSafetensors(encoded(t, &f))
		require.NoError(t, err)
		again := NewAdamW(ps.All(), AdamWConfig{Decay: 0.1})
		require.NoError(t, again.Load(s, "optimiser."))
		require.Equal(t, 1, again.Steps())
		require.Equal(t, o.first[0].Float32s(), again.first[0].Float32s())
		require.Equal(t, o.second[0].Float32s(), again.second[0].Float32s())
	})
}

func TestAModelIsBuiltFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	from := NewParameters(1)
	NewBlock(from, "block", BlockConfig{Size: 8, Heads: 2, Hidden: 16})
	var f TensorFile
	from.Put(&f, "encoder.", Float32)
	require.NoError(t, f.Write(path))
	s, err := OpenSafetensors(path)
	require.NoError(t, err)
	defer s.Close()
	to := NewParametersFrom(func(name string, shape ...int) (*tensor.Dense, error) { return s.View("encoder."+name, shape...) })
	NewBlock(to, "block", BlockConfig{Size: 8, Heads: 2, Hidden: 16})
	require.NoError(t, to.Err())
	for _, p := range from.All() {
		require.Equal(t, p.Dense().Float32s(), to.Get(p.Name).Dense().Float32s())
	}
	NewBlock(to, "another", BlockConfig{Size: 8, Heads: 2, Hidden: 16})
	require.ErrorContains(t, to.Err(), "loading parameter another.norm1.weight: reading tensor encoder.another.norm1.weight")
}
