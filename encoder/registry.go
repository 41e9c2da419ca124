package encoder

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/ensue-video/ensue/stream"
)

// DefaultModel is the encoder of a definition that names none.
const DefaultModel = "pixels"

// constructors is the table of encoders: to add one, add a line.
var constructors = map[string]func(Config) (Encoder, error){
	"pixels": func(Config) (Encoder, error) { return NewPixels(), nil },
}

// Names are the encoders New knows, sorted.
func Names() []string {
	names := make([]string, 0, len(constructors))
	for name := range constructors {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// New makes the encoder that cfg names; no name means DefaultModel. A name that is not in the table is a permanent failure
// encode.unknown_model around an *UnknownModel.
func New(cfg Config) (Encoder, error) {
	cfg = cfg.Default()
	construct, ok := constructors[cfg.Model]
	if !ok {
		unknown := &UnknownModel{Key: "encoder.model", Name: cfg.Model, Known: Names()}
		return nil, &stream.Failure{Code: "encode.unknown_model", Stage: "encode", Permanent: true, Err: unknown}
	}
	return construct(cfg)
}

// Default fills what cfg leaves open.
func (c Config) Default() Config {
	if c.Model == "" {
		c.Model = DefaultModel
	}
	return c
}

// Digest identifies a model: "sha256:" and the SHA-256, in hex, of its name, its version and the parameters that determine what
// it computes. Every part is preceded by its length, so that no two lists of parts look the same.
func Digest(name, version string, parameters ...string) string {
	hash := sha256.New()
	for _, part := range append([]string{name, version}, parameters...) {
		var length [8]byte
		binary.LittleEndian.PutUint64(length[:], uint64(len(part)))
		hash.Write(length[:])
		hash.Write([]byte(part))
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil))
}
