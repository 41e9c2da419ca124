package model

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash"
	"slices"
	"strings"
)

// digestVersion names the way a digest is computed; another way gets another number.
const digestVersion = "ensue model 1"

// computeDigest hashes what determines the numbers: the canonical configuration, then every tensor by its name, type, shape and bytes,
// sorted by name. Every part is preceded by its length, so that no two lists of parts look the same. Prefixes, heads, sharding and keys
// that do not matter do not enter. Pages of the files are let go as they are read.
func (m *Model) computeDigest() string {
	sum := sha256.New()
	part(sum, []byte(digestVersion))
	part(sum, m.config.canonical())
	tensors := m.Tensors()
	slices.SortFunc(tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range tensors {
		info, _ := m.weights.info(m.prefix + t.Name)
		part(sum, []byte(t.Name))
		part(sum, []byte(info.Dtype))
		shape, _ := json.Marshal(t.Shape)
		part(sum, shape)
		_ = m.weights.copyTo(sum, m.prefix+t.Name) // it is there, and a hash takes everything
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

func part(sum hash.Hash, data []byte) {
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(data)))
	sum.Write(length[:])
	sum.Write(data)
}
