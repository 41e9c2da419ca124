package ingest

import "github.com/ensue-video/ensue/stream"

// The codes of what can go wrong here. They never change their meaning; docs/errors.md lists them.
const (
	// CodeConfig: the configuration cannot work.
	CodeConfig stream.Code = "ingest.config"
	// CodeLate: a segment came after its place in the stream was given up.
	CodeLate stream.Code = "ingest.late"
	// CodeBroker: no broker could be reached at the start.
	CodeBroker stream.Code = "ingest.broker_unreachable"
	// CodeTopic: the topic does not exist.
	CodeTopic stream.Code = "ingest.topic_missing"
	// CodeNoMatch: a path matches no file.
	CodeNoMatch stream.Code = "ingest.no_match"
	// CodeOpen: a file cannot be opened.
	CodeOpen stream.Code = "ingest.open"
	// CodeNoFile: a path is something else than a file, such as a pipe or a device.
	CodeNoFile stream.Code = "ingest.not_a_file"
	// CodeNoVideo: a file gave not one segment.
	CodeNoVideo stream.Code = "ingest.no_segment"
)
