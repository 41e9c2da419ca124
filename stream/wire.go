package stream

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Headers of a segment's record (docs/wire.md). All are optional; of a header that is there twice the last one counts.
const (
	// HeaderVersion is the version of the wire format the sender speaks, "major" or "major.minor"; without it, Version.
	HeaderVersion = "ensue-version"
	// HeaderSequence numbers the segments of a stream one by one: a whole number from 0 on, in decimal digits.
	HeaderSequence = "ensue-sequence"
	// HeaderStart is when the first frame of the segment was taken: RFC 3339, up to nanoseconds.
	HeaderStart = "ensue-start"
	// HeaderEpoch is when the first frame of the whole stream was taken: RFC 3339, up to nanoseconds.
	HeaderEpoch = "ensue-epoch"
	// HeaderDuration is how long the segment lasts: decimal seconds ("2.002") or a Go duration ("2s", "1500ms").
	HeaderDuration = "ensue-duration"
	// HeaderContentType is the sender's word for the container, or of a result its encoding.
	HeaderContentType = "content-type"
	// HeaderSHA256 is the digest of the payload: 64 hexadecimal digits.
	HeaderSHA256 = "ensue-sha256"
	// HeaderRef is a claim: the URI where the payload lies when the record has no value.
	HeaderRef = "ensue-ref"
	// HeaderSize is how many bytes the payload of a claim has.
	HeaderSize = "ensue-size"
	// HeaderActions is opaque to ensue; it is carried, not read.
	HeaderActions = "ensue-actions"
	// HeaderEnd says that this is the last segment of its stream: "true" or "1".
	HeaderEnd = "ensue-end"
	// HeaderRetryOf is the id of the dead letter that this record was, before it was sent again.
	HeaderRetryOf = "ensue-retry-of"
	// HeaderTraceparent is the W3C trace context. A corrupt one is ignored, as that specification asks for.
	HeaderTraceparent = "traceparent"
)

// Headers of a result's record: CloudEvents 1.0 in the Kafka protocol binding's binary mode.
const (
	HeaderCESpecVersion = "ce_specversion"
	HeaderCEID          = "ce_id"
	HeaderCESource      = "ce_source"
	HeaderCEType        = "ce_type"
	HeaderCETime        = "ce_time"
	HeaderCESubject     = "ce_subject"
)

// Headers that a dead letter adds to those of the record it tells about.
const (
	HeaderDeadID          = "ensue-dead-id"
	HeaderSegment         = "ensue-segment"
	HeaderErrorCode       = "ensue-error-code"
	HeaderErrorStage      = "ensue-error-stage"
	HeaderErrorMessage    = "ensue-error-message"
	HeaderErrorAttempts   = "ensue-error-attempts"
	HeaderErrorPermanent  = "ensue-error-permanent"
	HeaderOriginTopic     = "ensue-origin-topic"
	HeaderOriginPartition = "ensue-origin-partition"
	HeaderOriginOffset    = "ensue-origin-offset"
	HeaderOriginFile      = "ensue-origin-file"
	// HeaderTruncated is "true" on a dead letter whose payload the broker would not take; the next two then describe it.
	HeaderTruncated     = "ensue-truncated"
	HeaderPayloadBytes  = "ensue-payload-bytes"
	HeaderPayloadSHA256 = "ensue-payload-sha256"
	// HeaderRetriedAt is on a record that says of a dead letter that it was sent again, and when (RFC 3339).
	HeaderRetriedAt = "ensue-retried-at"
)

// Codes of the wire format.
const (
	// CodeBadHeader: a header that ensue knows cannot be read.
	CodeBadHeader Code = "ingest.bad_header"
	// CodeBadKey: the record's key cannot be the name of a stream.
	CodeBadKey Code = "ingest.bad_key"
	// CodeEmptyValue: the record has neither payload nor claim, and does not end its stream.
	CodeEmptyValue Code = "ingest.empty_value"
	// CodeVersion: the record speaks a later major version of the wire format.
	CodeVersion Code = "ingest.version"
	// CodeBadResult: a result that must not go out, because no reader could make sense of it.
	CodeBadResult Code = "sink.bad_result"
	// CodeUnreadableResult: a record that is not a result, or one of a later major version.
	CodeUnreadableResult Code = "result.unreadable"
)

const (
	// maxName bounds the length of a stream's name and of the content type, in bytes.
	maxName = 255
	// maxRef bounds the length of a claim, in bytes.
	maxRef = 2048
	// shownValue is how much of a bad value a message quotes, in bytes.
	shownValue = 64
)

// checkName says what is wrong with a text that must be printable and at most limit bytes long; nil when nothing is.
func checkName(text string, limit int) error {
	switch {
	case len(text) > limit:
		return fmt.Errorf("has %d bytes, at most %d are allowed", len(text), limit)
	case !utf8.ValidString(text):
		return errors.New("is not valid UTF-8")
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("contains the unprintable character %U", r)
		}
	}
	return nil
}

// quote shows a value in a message: quoted, and shortened where it is long.
func quote(text string) string {
	if len(text) <= shownValue {
		return strconv.Quote(text)
	}
	return strconv.Quote(text[:shownValue]) + "… (" + strconv.Itoa(len(text)) + " bytes)"
}

// isHex says whether text is exactly n hexadecimal digits.
func isHex(text string, n int) bool {
	return len(text) == n && strings.Trim(text, "0123456789abcdefABCDEF") == ""
}
