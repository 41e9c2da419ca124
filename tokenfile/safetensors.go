package tokenfile

import (
	"encoding/binary"
	"encoding/json"
	"io"
)

// writeSafetensors writes all arrays into one file (https://github.com/huggingface/safetensors): the length of a header, the header in
// JSON, the arrays one after the other.
func writeSafetensors(a *arrays) ([]string, error) {
	header, err := safetensorsHeader(a)
	if err != nil {
		return nil, err
	}
	err = place(a.path, func(w io.Writer) error {
		if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))); err != nil {
			return err
		}
		if _, err := w.Write(header); err != nil {
			return err
		}
		for _, p := range a.parts {
			if _, err := io.Copy(w, p.file); err != nil {
				return err
			}
		}
		return nil
	})
	return []string{a.path}, err
}

func safetensorsHeader(a *arrays) ([]byte, error) {
	type entry struct {
		Dtype   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	fields := map[string]any{}
	if len(a.about) > 0 {
		fields["__metadata__"] = a.about
	}
	at := int64(0)
	for _, p := range a.parts {
		next := at + p.bytes()
		fields[p.name] = entry{p.dtype("F32", "F64", "I32"), p.whole(), [2]int64{at, next}}
		at = next
	}
	header, err := json.Marshal(fields) // keys in the order of the alphabet
	for err == nil && len(header)%8 != 0 {
		header = append(header, ' ')
	}
	return header, err
}

// dtype is the name of the type of the array's numbers.
func (p *part) dtype(float32s, float64s, int32s string) string {
	switch p.values.(type) {
	case []float64:
		return float64s
	case []int32:
		return int32s
	}
	return float32s
}
