package decode

import (
	"context"
	"errors"
	"fmt"

	"github.com/ensue-video/ensue/container"
	"github.com/ensue-video/ensue/stream"
)

// stage is the name of this stage in failures.
const stage = "decode"

// What can be wrong with a segment.
const (
	CodeTooLarge         stream.Code = "decode.too_large"
	CodeTooManyPixels    stream.Code = "decode.too_many_pixels"
	CodeTooManyFrames    stream.Code = "decode.too_many_frames"
	CodeTooLong          stream.Code = "decode.too_long"
	CodeTimeout          stream.Code = "decode.timeout"
	CodeEmpty            stream.Code = "decode.empty"
	CodeChecksum         stream.Code = "decode.checksum"
	CodeNotVideo         stream.Code = "decode.not_video"
	CodeFormatRefused    stream.Code = "decode.format_refused"
	CodeNoVideoStream    stream.Code = "decode.no_video_stream"
	CodeCodecUnsupported stream.Code = "decode.codec_unsupported"
	CodeEncrypted        stream.Code = "decode.encrypted"
	CodeCorrupt          stream.Code = "decode.corrupt"
	CodeNoFrames         stream.Code = "decode.no_frames"
	CodeInternal         stream.Code = "decode.internal"
)

// CodeInfo explains a code.
type CodeInfo struct {
	Code stream.Code
	// Permanent says that the same segment fails again however often it is tried.
	Permanent bool
	// Meaning and Action are a sentence each.
	Meaning, Action string
}

// Codes lists every code this stage gives, for the documentation.
func Codes() []CodeInfo {
	return []CodeInfo{
		{CodeEmpty, true, "The segment has no payload.", "Send the video in the record's value, or a claim in ensue-ref."},
		{
			CodeChecksum, true, "The payload does not match the SHA-256 its sender told.",
			"Look for what changes the bytes on the way; send the digest of what is sent.",
		},
		{CodeTooLarge, true, "The payload is larger than decode.limits.bytes.", "Cut shorter segments, or raise the limit."},
		{
			CodeTooManyPixels, true, "A picture is larger than decode.limits.pixels.",
			"Raise the limit if such cameras are meant; otherwise somebody tries to fill the memory.",
		},
		{CodeTooManyFrames, true, "The segment has more frames than decode.limits.frames.", "Cut shorter segments, or raise the limit."},
		{
			CodeTooLong, true, "The segment lasts longer than decode.limits.duration by its own timestamps.",
			"Cut shorter segments, or raise the limit.",
		},
		{
			CodeTimeout, false, "Decoding took longer than decode.limits.timeout.",
			"Give the machine fewer streams or more processors, or raise the limit; if it is always the same segment, look at it.",
		},
		{
			CodeNotVideo, true, "The payload is not recognised as any media format.",
			"Look at what the producer writes; the message shows the first bytes.",
		},
		{
			CodeFormatRefused, true,
			"The payload is a format that is not opened: a playlist or another list of references, a still image, text or audio.",
			"Send the video itself, in a container of the list in the documentation.",
		},
		{CodeNoVideoStream, true, "The container has no video track.", "Check what the producer muxes."},
		{CodeCodecUnsupported, true, "The video's codec is not decoded here.", "Re-encode it, for example as H.264."},
		{CodeEncrypted, true, "The video is encrypted.", "Send it in the clear on a private topic; keys are not handled."},
		{
			CodeCorrupt, true, "The container or the video in it is damaged, so that no frame can be made out.",
			"Check that segments begin with a key frame and arrive whole; the message has the decoder's words.",
		},
		{
			CodeNoFrames, true, "The container has a video track without frames.",
			"Check what the producer muxes; live producers may have sent the header alone.",
		},
		{CodeInternal, false, "Something failed that has nothing to do with the segment.", "Report it with the message."},
	}
}

// problems says which code each kind of error of package container gets.
var problems = []struct {
	err  error
	code stream.Code
}{
	{container.ErrUnknown, CodeNotVideo},
	{container.ErrRefused, CodeFormatRefused},
	{container.ErrNoVideo, CodeNoVideoStream},
	{container.ErrCodec, CodeCodecUnsupported},
	{container.ErrEncrypted, CodeEncrypted},
	{container.ErrBroken, CodeCorrupt},
}

// classify gives an error of package container its code. Errors that have one, and that of the caller's own context, stay.
func (d *Decoder) classify(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*stream.Failure](err); ok {
		return err
	}
	if cause := ctx.Err(); cause != nil {
		return cause // the pipeline stops; that says nothing about the segment
	}
	if errors.Is(err, container.ErrDeadline) || errors.Is(err, context.DeadlineExceeded) {
		return stream.FailTransient(stage, CodeTimeout, "decoding took longer than decode.limits.timeout (%v)", d.config.Limits.Timeout)
	}
	for _, problem := range problems {
		if errors.Is(err, problem.err) {
			return stream.Fail(stage, problem.code, "%w", err)
		}
	}
	return stream.FailTransient(stage, CodeInternal, "%w", err)
}

// refuse is a permanent failure.
func refuse(code stream.Code, format string, args ...any) error {
	return stream.Fail(stage, code, "%w", fmt.Errorf(format, args...))
}
