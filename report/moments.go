package report

import (
	"encoding/binary"
	"math"

	"github.com/ensue-video/ensue/stream"
)

// moment is one result with the embedding of what it lets expect.
type moment struct {
	start, end float64
	verdict    stream.Verdict
	embedding  []float32
}

// moments are those of a video; when there are more than limit, every second one is given up (invariant 2).
type moments struct {
	all           []moment
	limit, stride int
	seen          int
}

func (m *moments) add(result *stream.Result, start, end float64) {
	if len(result.Next) == 0 {
		return
	}
	m.seen++
	if (m.seen-1)%m.stride != 0 {
		return
	}
	embedding := vector(result.Next[0])
	if embedding == nil {
		return
	}
	m.all = append(m.all, moment{start, end, result.Verdict, embedding})
	if len(m.all) > m.limit {
		kept := m.all[:0]
		for i := 0; i < len(m.all); i += 2 {
			kept = append(kept, m.all[i])
		}
		clear(m.all[len(kept):])
		m.all = kept
		m.stride *= 2
	}
}

// vector reads an embedding; nil where it cannot be read.
func vector(next stream.Next) []float32 {
	if next.Encoding != "float32-base64" || next.Dim <= 0 || len(next.Data) != 4*int(next.Dim) {
		return nil
	}
	values := make([]float32, next.Dim)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(next.Data[4*i:]))
		if value := float64(values[i]); math.IsNaN(value) || math.IsInf(value, 0) {
			return nil
		}
	}
	return values
}
