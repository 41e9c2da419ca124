#!/bin/sh
# Writes result.pb.go, made from ../result.proto, into the folder given. Needs protoc; protoc-gen-go is built at go.mod's version.
set -eu
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
go build -o "$tools/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go

# Some distributions package protoc without the well-known types. Only the names matter here: the Go type comes from timestamppb.
mkdir -p "$tools/google/protobuf"
cat >"$tools/google/protobuf/timestamp.proto" <<'PROTO'
syntax = "proto3";
package google.protobuf;
option go_package = "google.golang.org/protobuf/types/known/timestamppb";
message Timestamp {
  int64 seconds = 1;
  int32 nanos = 2;
}
PROTO

protoc --plugin="protoc-gen-go=$tools/protoc-gen-go" --proto_path=.. --proto_path="$tools" \
	--go_out="$out" --go_opt=paths=source_relative result.proto
