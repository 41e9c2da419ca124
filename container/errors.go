package container

import "errors"

// What can be wrong with a file. Errors of this package wrap exactly one of them, or a context's error, or a reader's.
var (
	// ErrUnknown: the bytes look like no media format at all.
	ErrUnknown = errors.New("no video format is recognised")
	// ErrRefused: the bytes look like a format that is not opened, because it refers to other files or is no video.
	ErrRefused = errors.New("the format is not accepted")
	// ErrBroken: the format is known but its structure cannot be read.
	ErrBroken = errors.New("the file is damaged")
	// ErrNoVideo: there is no video track.
	ErrNoVideo = errors.New("there is no video track")
	// ErrCodec: the video's codec is not decoded here.
	ErrCodec = errors.New("the codec is not supported")
	// ErrEncrypted: the video is encrypted.
	ErrEncrypted = errors.New("the video is encrypted")
	// ErrReader: reading the bytes failed; it has nothing to do with what they are.
	ErrReader = errors.New("reading failed")
	// ErrDeadline: the deadline passed meanwhile.
	ErrDeadline = errors.New("the deadline passed")
)
