package stream

import _ "embed"

//go:embed result.schema.json
var resultSchema string

//go:embed result.proto
var resultProto string

// ResultSchema is the JSON Schema (2020-12) of a result.
func ResultSchema() []byte { return []byte(resultSchema) }

// ResultProto is the Protobuf schema of a result: the same fields, by the same names.
func ResultProto() []byte { return []byte(resultProto) }
