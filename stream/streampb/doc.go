// Package streampb is the Protobuf form of stream's results, generated from ../result.proto. Convert with
// stream.ResultToProto and stream.ResultFromProto.
//
// result.pb.go is committed, so that building needs no protoc. To make it anew: go generate ./stream/streampb. The generator is
// the protoc-gen-go of the google.golang.org/protobuf version that go.mod names; a test fails when file and schema drift apart.
package streampb

//go:generate ./generate.sh .
