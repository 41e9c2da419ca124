// Package container is the one door to FFmpeg: it opens what people call a video file from bytes or a reader, hands out the
// packets of its video, opens a decoder for them, and cuts a recording into pieces on key frames without re-encoding.
//
// Main types:
//
//   - Input: opens one file after another; one per worker, used by one goroutine at a time.
//   - Packets: the video packets of a segment, with a time each; its memory is used again for the next segment.
//   - Codec: a decoder with limits.
//   - Cut, Piece: a recording as a sequence of small files.
//
// What comes from outside is hostile until proven otherwise, so:
//
//   - Nothing FFmpeg reads may open a file or an address. Bytes come through an Input only (custom IO), the protocol whitelist
//     is empty, the function FFmpeg would open something with always refuses, and formats that consist of references (HLS,
//     DASH, concat scripts, SDP, image sequences) are not on the list of formats.
//   - A format is looked at before anything of it is parsed; what is not on the list is refused by name.
//   - No decoder runs before the limits are set: the streams are analysed by parsers alone.
//   - Reading gives up at the deadline of the context, also in the midst of a demuxer.
//
// FFmpeg prints nothing: its messages about an Input or a Codec become part of that one's errors. Its log callback is the one
// thing that belongs to the process; opening an Input installs ours, which keeps no state but the last message of each Input.
// astiav.SetLogCallback must not be used beside it: in v0.16 it formats into a fixed buffer without a bound.
//
// Memory: every C object belongs to the Input, Codec or call that made it; Live counts them for tests.
//
// Invariant 6 (stream): an Input keeps no more than the packets asked for; Cut keeps one piece.
package container
