package nn

// Embedding is a table of learned vectors.
type Embedding struct {
	Weight *Parameter // [count, size]
}

// NewEmbedding makes a table with weights from TruncatedNormal(0.02), named name.weight.
func NewEmbedding(ps *Parameters, name string, count, size int) *Embedding {
	return &Embedding{Weight: ps.New(name+".weight", TruncatedNormal(0.02), count, size)}
}

// Forward takes the vectors of ids: [len(ids), size].
func (e *Embedding) Forward(t *Tape, ids []int) *Value { return t.Gather(t.Param(e.Weight), ids) }
