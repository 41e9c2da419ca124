package container

import "github.com/asticode/go-astiav"

// invisible says that a packet of VP8 or VP9 holds only a frame that others are made from. Such packets have times of their own,
// which are no frames' times.
func invisible(codec astiav.CodecID, data []byte) bool {
	switch {
	case len(data) == 0:
		return false
	case codec == astiav.CodecIDVp8:
		return data[0]&0x10 == 0 // RFC 6386 §9.1: show_frame
	case codec == astiav.CodecIDVp9:
		return invisibleVP9(data)
	}
	return false
}

// invisibleVP9 reads show_existing_frame and show_frame (VP9 bitstream specification §6.2). A superframe (annex B) ends with a
// shown frame.
func invisibleVP9(data []byte) bool {
	const marker, superframe = 0x2, 0x6
	if data[0]>>6 != marker || data[len(data)-1]>>5 == superframe {
		return false
	}
	profile := data[0]>>5&1 | data[0]>>4&1<<1
	bits := data[0] << 4 // show_existing_frame, frame_type, show_frame, …
	if profile == 3 {
		bits <<= 1 // a reserved bit comes first
	}
	const showExisting, show = 0x80, 0x20
	return bits&showExisting == 0 && bits&show == 0
}
