// Package decode turns a segment into a clip: the bytes of a container become frames, sampled by presentation time, resized and
// in RGB.
//
// Main types:
//
//   - Decoder: decodes one segment after another; one per worker. It keeps its FFmpeg objects, its pictures and its share of a Pool.
//   - Pool: the memory of clips, shared by decoders, counted.
//   - Timeline: where on its stream's clock a segment begins.
//   - Config, Limits: what a segment may cost.
//   - Fit: how a picture of any shape becomes one of the size asked for, Squash or Crop.
//   - Codes: everything that can be wrong with a segment, with a stable code each.
//
// # Which frames are taken
//
// Time τ counts from the first frame of the stream, so the grid goes on from segment to segment. Where frames come at a steady
// distance fd, the grid step is n·fd with n = max(1, round(1/(fd·fps))), and a frame is taken when floor((τ+fd/2)/step) differs
// from that of the frame before it. The step is a whole number of frames because taking 8 frames out of 10 repeats and skips
// some, and that judder scores as an anomaly. Where frames come as they like, the step is 1/fps and the first frame at or after
// each grid point is taken. See grid.go for how fd is told from rounded timestamps.
//
// # What a frame becomes
//
// With Squash, the whole picture at the size asked for (no crop, no bars), turned as the file's display matrix says. The planes Y, U and
// V are area-averaged on their own and only the small picture is converted to RGB: averaging and the colour matrix are both
// linear, so but for rounding and clipping the order does not matter, and it saves converting pixels nobody sees. Both fields of
// interlaced video are averaged into one picture, which at these sizes is what a deinterlacer would leave. The matrix and the range
// are those the video tells; BT.601 and limited range where it tells none, as FFmpeg assumes. Alpha is ignored; high dynamic
// range is not tone-mapped. More than 8 bits are averaged before they are rounded to 8.
//
// With Crop, what transformers' VJEPA2VideoProcessor makes of it: the shorter side resized to int(side·256/224) by an antialiased
// triangle in 16-bit fixed point, columns before rows, and the square in the middle, its offsets rounded down. Of RGB video
// every byte is the processor's; of other video the planes are resized on their own, as above, and more than 8 bits become 8 first.
//
// # Invariants
//
//   - 4 (stream): whatever the bytes are, Decode returns a clip or a stream.Failure with a code of Codes; it does not crash and
//     does not hang.
//   - 6 (stream): memory is bounded by Limits: the payload, its packets, a handful of frames of at most Limits.Pixels, and the clip.
//   - 7 (stream): same bytes, same offset, same configuration: the same clip bit for bit, whichever worker decodes it. A decoder
//     starts anew for every segment.
package decode
